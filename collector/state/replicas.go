package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// Beat implements collector.Replicas.
func (s *Store) Beat(ctx context.Context, owner string, now time.Time) (known bool, err error) {
	n, err := affected(ctx, s.db, `UPDATE replicas SET seen_at = `+s.db.clock("$2")+` WHERE name = $1`, owner, millis(now))
	if err == nil && n == 0 {
		_, err = s.db.ExecContext(ctx, `
INSERT INTO replicas (name, seen_at) VALUES ($1, `+s.db.clock("$2")+`) ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at`, owner, millis(now))
	}
	if err != nil {
		return false, fmt.Errorf("tell the state database that this replica is alive: %w", err)
	}
	return n > 0, nil
}

// Alive implements collector.Replicas.
func (s *Store) Alive(ctx context.Context, now time.Time) (n int, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM replicas WHERE seen_at > `+s.db.clock("$1")+` - $2`, millis(now), collector.DeadAfter.Milliseconds()).Scan(&n)
	if err != nil {
		return 0, fmt.Errorf("count the replicas: %w", err)
	}
	return n, nil
}

// Bury implements collector.Replicas.
func (s *Store) Bury(ctx context.Context, now time.Time) (dead []string, err error) {
	err = s.db.tx(ctx, func(tx *sql.Tx) (err error) {
		dead, err = collect(ctx, tx, scanString, `DELETE FROM replicas WHERE seen_at <= `+s.db.clock("$1")+` - $2 RETURNING name`,
			millis(now), collector.DeadAfter.Milliseconds())
		for _, name := range dead {
			if err == nil {
				err = takeJobs(ctx, tx, name)
			}
			if err == nil && s.vault == s.db {
				err = freeRefreshes(ctx, tx, name, collector.CredentialKindDCOAuth)
			}
		}
		return err
	})
	for _, name := range dead {
		if err == nil && s.vault != s.db {
			err = freeRefreshes(ctx, s.vault, name, collector.CredentialKindDCOAuth)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("take over from dead replicas: %w", err)
	}
	return dead, nil
}

// Depart implements collector.Replicas.
func (s *Store) Depart(ctx context.Context, owner string) error {
	_, err := s.RecoverLeases(ctx, owner)
	if err == nil {
		_, err = s.db.ExecContext(ctx, `DELETE FROM replicas WHERE name = $1`, owner)
	}
	if err != nil {
		return fmt.Errorf("take leave of the other replicas: %w", err)
	}
	return nil
}

// FreeJobs implements collector.Replicas.
func (s *Store) FreeJobs(ctx context.Context, owner string) error {
	if err := takeJobs(ctx, s.db, owner); err != nil {
		return fmt.Errorf("free the jobs of %s: %w", owner, err)
	}
	return nil
}

// RecoverLeases frees every lease, of jobs and of token refreshes, of the given
// owner, of all owners when it is empty, and returns how many jobs that were. The
// caller knows that their runs have ended: after OpenSQLite, whose lock proves that nobody
// else is alive. Noted intents of refreshes stay: their outcome is unknown
// (Invariant 5).
func (s *Store) RecoverLeases(ctx context.Context, owner string) (int, error) {
	n, err := affected(ctx, s.db, `UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0 WHERE `+ofOwner, owner)
	if err != nil {
		return 0, fmt.Errorf("free leases of earlier runs: %w", err)
	}
	if err := freeRefreshes(ctx, s.vault, owner, ""); err != nil {
		return n, fmt.Errorf("free leases of earlier token refreshes: %w", err)
	}
	return n, nil
}

// ofOwner is the condition that somebody's lease is owner's, or anybody's when
// that is empty.
const ofOwner = `lease_owner <> '' AND ($1 = '' OR lease_owner = $1)`

// takeJobs ends the leases of an owner who may live, and takes the numbers of his
// attempts from him (Invariant 3).
func takeJobs(ctx context.Context, q querier, owner string) error {
	_, err := q.ExecContext(ctx, `UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0, `+fenceAttempt+` WHERE lease_owner = $1`, owner)
	return err
}

// freeRefreshes ends an owner's leases of token refreshes, but for one kind of
// credential; the intents stay. An owner who is only thought dead may still have a
// call under way. Where the provider takes the same token again within its leeway,
// a second call does no harm. Where it takes a token once (Data Center), the answer
// to the first call is the only hope, so that lease is left to its end
// (docs/adr/0009-replicas.md).
func freeRefreshes(ctx context.Context, q querier, owner, except string) error {
	_, err := q.ExecContext(ctx, `UPDATE credentials SET lease_owner = '', lease_until = 0 WHERE `+ofOwner+` AND kind <> $2`, owner, except)
	return err
}
