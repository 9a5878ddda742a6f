package state

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// bury leaves a tombstone of a tenant, whose rows are kept so far.
func bury(ctx context.Context, tx *sql.Tx, tenant string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `
INSERT INTO tombstones (tenant, name, site_url, removed_at, erased) SELECT id, name, site_url, CAST($2 AS BIGINT), -1 FROM tenants WHERE id = $1
ON CONFLICT (tenant) DO UPDATE SET name = excluded.name, site_url = excluded.site_url, removed_at = excluded.removed_at, erased = excluded.erased`,
		tenant, millis(at))
	return err
}

// Tombstones lists the removed tenants by id.
func (s *Store) Tombstones(ctx context.Context) ([]collector.Tombstone, error) {
	all, err := collect(ctx, s.db, func(r scanner) (t collector.Tombstone, err error) {
		err = r.Scan(&t.Tenant, &t.Name, &t.SiteURL, instant{&t.RemovedAt}, &t.Erased)
		return t, err
	}, `SELECT tenant, name, site_url, removed_at, erased FROM tombstones`)
	if err != nil {
		return nil, fmt.Errorf("list removed tenants: %w", err)
	}
	slices.SortFunc(all, func(a, b collector.Tombstone) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all, nil
}

// Occupy keeps all runs of a removed tenant away for the given time, or until
// Vacate, also if it is added again. False says that one is still under way: ask
// again. Asking again as the same owner lengthens the time.
func (s *Store) Occupy(ctx context.Context, owner, tenant string, now time.Time, lease time.Duration) (bool, error) {
	var left int
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
UPDATE lanes SET lease_owner = $1, lease_until = `+s.db.clock("$2")+` + $3, lease_kind = 'erase', fence = fence + 1, `+fenceAttempt+`
WHERE tenant = $4 AND (lease_until <= `+s.db.clock("$2")+` OR lease_owner = $1 AND lease_kind = 'erase')`,
			owner, millis(now), lease.Milliseconds(), tenant); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM lanes WHERE tenant = $1 AND NOT (lease_owner = $2 AND lease_kind = 'erase')`, tenant, owner).Scan(&left)
	})
	if err != nil {
		return false, fmt.Errorf("keep runs of tenant %s away: %w", tenant, err)
	}
	return left == 0, nil
}

// Vacate ends what Occupy began.
func (s *Store) Vacate(ctx context.Context, owner, tenant string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0 WHERE tenant = $1 AND lease_owner = $2 AND lease_kind = 'erase'`, tenant, owner)
	if err != nil {
		return fmt.Errorf("let runs of tenant %s go on: %w", tenant, err)
	}
	return nil
}

// ForgetTenant records that rows of a removed tenant were erased from the warehouse,
// and drops its heads, so that it would begin anew, and whom was asked to be erased
// from it. Its attempt numbers go on: rows of a run that was frozen all the while can
// never count as new ones.
func (s *Store) ForgetTenant(ctx context.Context, tenant string, erased int64, now time.Time) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM heads WHERE tenant = $1`, tenant); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE erasures SET account = '', done_at = $2 WHERE tenant = $1 AND done_at = 0`, tenant, max(millis(now), 1)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE tombstones SET erased = CAST($2 AS BIGINT) + CASE WHEN erased > 0 THEN erased ELSE 0 END WHERE tenant = $1`, tenant, erased)
		return err
	})
	if err != nil {
		return fmt.Errorf("record the erasure of tenant %s: %w", tenant, err)
	}
	return nil
}
