package state

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

var tenantID = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

const tenantColumns = `id, name, site_url, deployment, cloud_id, paused, created_at`

func scanTenant(s scanner) (t collector.Tenant, err error) {
	err = s.Scan(&t.ID, &t.Name, &t.SiteURL, &t.Deployment, &t.CloudID, &t.Paused, instant{&t.CreatedAt})
	return t, err
}

// PutTenant stores a tenant, or replaces the one with its id; CreatedAt stays what it
// was at first. One that is paused stays so, also if that came after the caller read
// it: SetPaused resumes it.
func (s *Store) PutTenant(ctx context.Context, t collector.Tenant) error {
	return putTenant(ctx, s.db, t)
}

// PutTenants stores tenants as PutTenant does, then schedules as PutSchedule does, and
// removes others: all of it or, with an error, nothing.
func (s *Store) PutTenants(ctx context.Context, tenants []collector.Tenant, put, remove []collector.Schedule) error {
	return s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, t := range tenants {
			if err := putTenant(ctx, tx, t); err != nil {
				return err
			}
		}
		for _, sc := range put {
			if err := putSchedule(ctx, tx, sc); err != nil {
				return err
			}
		}
		for _, sc := range remove {
			if err := removeSchedule(ctx, tx, sc.Tenant, sc.Group); err != nil {
				return err
			}
		}
		return nil
	})
}

func putTenant(ctx context.Context, q querier, t collector.Tenant) error {
	if !tenantID.MatchString(t.ID) {
		return fmt.Errorf("tenant id %q: use 1 to 63 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit", t.ID)
	}
	_, err := q.ExecContext(ctx, `
INSERT INTO tenants (id, name, site_url, deployment, cloud_id, paused, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (id) DO UPDATE SET name = excluded.name, site_url = excluded.site_url, deployment = excluded.deployment, cloud_id = excluded.cloud_id, paused = tenants.paused OR excluded.paused`,
		t.ID, t.Name, t.SiteURL, cmp.Or(t.Deployment, schemas.Cloud), t.CloudID, t.Paused, millis(t.CreatedAt))
	if err != nil {
		return fmt.Errorf("store tenant %s: %w", t.ID, err)
	}
	return nil
}

// Tenant returns one tenant, or ErrUnknownTenant.
func (s *Store) Tenant(ctx context.Context, id string) (collector.Tenant, error) {
	t, err := scanTenant(s.db.QueryRowContext(ctx, `SELECT `+tenantColumns+` FROM tenants WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, unknownTenant(id)
	}
	if err != nil {
		return t, fmt.Errorf("read tenant %s: %w", id, err)
	}
	return t, nil
}

// Tenants lists all tenants by id.
func (s *Store) Tenants(ctx context.Context) ([]collector.Tenant, error) {
	all, err := collect(ctx, s.db, scanTenant, `SELECT `+tenantColumns+` FROM tenants`)
	if err != nil {
		return nil, fmt.Errorf("list tenants: %w", err)
	}
	// Sorted here, since the order of text differs between databases.
	slices.SortFunc(all, func(a, b collector.Tenant) int { return strings.Compare(a.ID, b.ID) })
	return all, nil
}

// LearnCloudID stores what a site said its cloud id is, unless one is known by now or
// the tenant's site is another one.
func (s *Store) LearnCloudID(ctx context.Context, id, siteURL, cloudID string) error {
	if _, err := s.db.ExecContext(ctx, `UPDATE tenants SET cloud_id = $1 WHERE id = $2 AND site_url = $3 AND cloud_id = ''`, cloudID, id, siteURL); err != nil {
		return fmt.Errorf("store the cloud id of tenant %s: %w", id, err)
	}
	return nil
}

// SetPaused stops or resumes the claiming of a tenant's work; a run in progress
// goes on. ErrUnknownTenant when there is none.
func (s *Store) SetPaused(ctx context.Context, id string, paused bool) error {
	n, err := affected(ctx, s.db, `UPDATE tenants SET paused = $1 WHERE id = $2`, paused, id)
	if err != nil {
		return fmt.Errorf("pause tenant %s: %w", id, err)
	}
	if n == 0 {
		return unknownTenant(id)
	}
	return nil
}

// RemoveTenant erases a tenant with its credentials, schedules and holds, and leaves
// a tombstone. Its heads and attempt numbers stay: rows in the warehouse keep their
// meaning, and a tenant that comes back under the same id goes on counting. A run in
// progress is fenced, keeps its lane until it has noticed, and what it wrote is
// swept like that of other dead ones from the given time on. Repeating it after a
// failure is safe; ErrUnknownTenant when there is none.
func (s *Store) RemoveTenant(ctx context.Context, id string, at time.Time) error {
	// Credentials go first: after a crash in between, the tenant is still
	// listed and can be removed again, and no secret is left behind unseen.
	if err := s.DeleteCredentials(ctx, id); err != nil {
		return err
	}
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, statement := range []string{
			`UPDATE lanes SET lease_kind = '', quarantined_at = 0 WHERE tenant = $1`, // no claim holds it any more
			`UPDATE attempts SET phase = 'ended' WHERE tenant = $1 AND phase IN ('running', 'left')`,
			`DELETE FROM holds WHERE tenant = $1`,
			`DELETE FROM exposures WHERE tenant = $1`,
		} {
			if _, err := tx.ExecContext(ctx, statement, id); err != nil {
				return err
			}
		}
		// A run under way may still write: what it leaves is swept.
		if _, err := tx.ExecContext(ctx, `UPDATE residue SET superseded_at = $2 WHERE tenant = $1 AND superseded_at = 0`, id, max(millis(at), 1)); err != nil {
			return err
		}
		if err := bury(ctx, tx, id, at); err != nil {
			return err
		}
		n, err := affected(ctx, tx, `DELETE FROM tenants WHERE id = $1`, id) // work goes with it
		if err == nil && n == 0 {
			err = unknownTenant(id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("remove tenant: %w", err)
	}
	return s.DeleteCredentials(ctx, id) // a consent may have ended in between
}

// knownTenant is nil when the tenant exists.
func knownTenant(ctx context.Context, q querier, id string) error {
	var one int
	err := q.QueryRowContext(ctx, `SELECT 1 FROM tenants WHERE id = $1`, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return unknownTenant(id)
	}
	return err
}
