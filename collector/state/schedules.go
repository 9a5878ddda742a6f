package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
)

// PutSchedule stores the schedule of a tenant's group, or replaces it while
// processes run: the next claim follows it, and a run in progress keeps its
// lease and leaves the new next start alone when Cron changed. A zero NextAt
// keeps the stored next start as long as Cron is the same; otherwise the caller
// has to compute it (package schedule). ErrUnknownTenant when there is none.
func (s *Store) PutSchedule(ctx context.Context, sc collector.Schedule) error {
	return s.db.tx(ctx, func(tx *sql.Tx) error { return putSchedule(ctx, tx, sc) })
}

func putSchedule(ctx context.Context, tx *sql.Tx, sc collector.Schedule) error {
	if sc.Group == "" || strings.Contains(sc.Group, "/") || sc.Cron == "" {
		return fmt.Errorf("schedule of tenant %q: group %q and cron %q must be given, and the group without a slash", sc.Tenant, sc.Group, sc.Cron)
	}
	err := knownTenant(ctx, tx, sc.Tenant)
	if err == nil {
		err = openLane(ctx, tx, sc.Tenant, sc.Group)
	}
	if err == nil && sc.NextAt.IsZero() {
		var n int
		n, err = affected(ctx, tx, `UPDATE work SET paused = $1 WHERE tenant = $2 AND kind = $3 AND cron = $4`, sc.Paused, sc.Tenant, sc.Group, sc.Cron)
		if err == nil && n == 0 {
			err = errors.New("it is new or its cron changed, so its next start must be given")
		}
	} else if err == nil {
		_, err = tx.ExecContext(ctx, `
INSERT INTO work (tenant, kind, grp, one_off, cron, datasets, next_at, paused) VALUES ($1, $2, $2, FALSE, $3, '[]', $4, $5)
ON CONFLICT (tenant, kind) DO UPDATE SET cron = excluded.cron, next_at = excluded.next_at, paused = excluded.paused`,
			sc.Tenant, sc.Group, sc.Cron, millis(sc.NextAt), sc.Paused)
	}
	if err != nil {
		return fmt.Errorf("store schedule %s/%s: %w", sc.Tenant, sc.Group, err)
	}
	return nil
}

// openLane makes sure that the lane of a tenant and group exists.
func openLane(ctx context.Context, q querier, tenant, group string) error {
	_, err := q.ExecContext(ctx, `INSERT INTO lanes (tenant, grp) VALUES ($1, $2) ON CONFLICT (tenant, grp) DO NOTHING`, tenant, group)
	return err
}

// Schedules lists the schedules of a tenant, of all tenants when it is empty,
// by tenant and group.
func (s *Store) Schedules(ctx context.Context, tenant string) ([]collector.Schedule, error) {
	all, err := collect(ctx, s.db, func(r scanner) (sc collector.Schedule, err error) {
		err = r.Scan(&sc.Tenant, &sc.Group, &sc.Cron, &sc.Paused, instant{&sc.NextAt})
		return sc, err
	}, `SELECT tenant, grp, cron, paused, next_at FROM work WHERE NOT one_off AND ($1 = '' OR tenant = $1)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	slices.SortFunc(all, func(a, b collector.Schedule) int {
		return strings.Compare(a.Tenant+"\x00"+a.Group, b.Tenant+"\x00"+b.Group)
	})
	return all, nil
}

// SetSchedulePaused stops or resumes the claiming of one schedule, or returns
// ErrUnknownSchedule.
func (s *Store) SetSchedulePaused(ctx context.Context, tenant, group string, paused bool) error {
	n, err := affected(ctx, s.db, `UPDATE work SET paused = $1 WHERE tenant = $2 AND kind = $3`, paused, tenant, group)
	if err != nil {
		return fmt.Errorf("pause schedule %s/%s: %w", tenant, group, err)
	}
	if n == 0 {
		return unknownSchedule(tenant, group)
	}
	return nil
}

// RemoveSchedule deletes a schedule, or returns ErrUnknownSchedule. A run in
// progress learns of it at its next Renew, as ErrFenced; its lease stays until
// it ends, so that nobody else runs beside it.
func (s *Store) RemoveSchedule(ctx context.Context, tenant, group string) error {
	return removeSchedule(ctx, s.db, tenant, group)
}

func removeSchedule(ctx context.Context, q querier, tenant, group string) error {
	n, err := affected(ctx, q, `DELETE FROM work WHERE tenant = $1 AND kind = $2`, tenant, group)
	if err != nil {
		return fmt.Errorf("remove schedule %s/%s: %w", tenant, group, err)
	}
	if n == 0 {
		return unknownSchedule(tenant, group)
	}
	return nil
}

// Enqueue asks for one run of a group now, of the given datasets only (nil:
// all), and returns the kind of its row. A request that equals one not started
// yet joins it and gets its kind. ErrUnknownTenant when there is none.
func (s *Store) Enqueue(ctx context.Context, tenant, group string, datasets []string, now time.Time) (kind string, err error) {
	if group == "" {
		return "", fmt.Errorf("one-off run of tenant %q: no group given", tenant)
	}
	datasets = slices.Sorted(slices.Values(datasets))
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("number a one-off run: %w", err)
	}
	kind = "once/" + id.String()
	err = s.db.tx(ctx, func(tx *sql.Tx) error {
		if err := knownTenant(ctx, tx, tenant); err != nil {
			return err
		}
		if err := openLane(ctx, tx, tenant, group); err != nil {
			return err
		}
		waiting, err := collect(ctx, tx, scanString, `
SELECT w.kind FROM work w JOIN lanes l ON l.tenant = w.tenant AND l.grp = w.grp
WHERE w.tenant = $1 AND w.grp = $2 AND w.one_off AND w.datasets = $3 AND l.lease_kind <> w.kind`,
			tenant, group, listText(datasets))
		if err != nil {
			return err
		}
		if len(waiting) > 0 {
			kind = waiting[0]
			return nil
		}
		_, err = tx.ExecContext(ctx, `
INSERT INTO work (tenant, kind, grp, one_off, cron, datasets, next_at) VALUES ($1, $2, $3, TRUE, '', $4, $5)`,
			tenant, kind, group, listText(datasets), millis(now))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("ask for a run of %s/%s: %w", tenant, group, err)
	}
	return kind, nil
}
