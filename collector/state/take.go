package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
)

// Take asks for a run of a tenant's group and claims it in one step, for
// somebody who waits for it. false says that the group is being run by
// somebody else just now. If the process dies, the row stays and is claimed
// like any other once the lease has ended. A paused tenant can be taken: a
// person asked for it. ErrUnknownTenant when there is none.
func (s *Store) Take(ctx context.Context, owner, tenant, group string, datasets []string, now time.Time, lease time.Duration) (collector.Job, bool, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return collector.Job{}, false, fmt.Errorf("number a one-off run: %w", err)
	}
	job := collector.Job{
		Tenant: tenant, Group: group, Datasets: slices.Sorted(slices.Values(datasets)), Tick: now,
		Trigger: collector.TriggerManual, Kind: "once/" + id.String(), Owner: owner,
	}
	err = s.db.tx(ctx, func(tx *sql.Tx) error {
		if err := knownTenant(ctx, tx, tenant); err != nil {
			return err
		}
		if err := openLane(ctx, tx, tenant, group); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `
UPDATE lanes SET lease_owner = $1, lease_until = `+s.db.clock("$2")+` + $3, lease_kind = $4, fence = fence + 1, `+fenceAttempt+`
WHERE tenant = $5 AND grp = $6 AND lease_until <= `+s.db.clock("$2")+` RETURNING fence`,
			owner, millis(now), lease.Milliseconds(), job.Kind, tenant, group).Scan(&job.Fence); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `
INSERT INTO work (tenant, kind, grp, one_off, cron, datasets, next_at) VALUES ($1, $2, $3, TRUE, '', $4, $5)`,
			tenant, job.Kind, group, listText(job.Datasets), millis(now))
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return collector.Job{}, false, nil
	}
	if err != nil {
		return collector.Job{}, false, fmt.Errorf("take a run of %s/%s: %w", tenant, group, err)
	}
	return job, true, nil
}

// Installation is the identity of this state database: a random id, made when
// it is first asked for. A warehouse remembers which one decides what it shows.
func (s *Store) Installation(ctx context.Context) (uuid.UUID, error) {
	id, err := uuid.NewRandom()
	if err == nil {
		_, err = s.db.ExecContext(ctx, `INSERT INTO installation (one, id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING`, id.String())
	}
	var text string
	if err == nil {
		err = s.db.QueryRowContext(ctx, `SELECT id FROM installation`).Scan(&text)
	}
	if err == nil {
		id, err = uuid.Parse(text)
	}
	if err != nil {
		return uuid.Nil, fmt.Errorf("identity of the state database: %w", err)
	}
	return id, nil
}
