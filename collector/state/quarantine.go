package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// deaths counts the attempts of a lane, in a row, that died with their process and
// were not forgiven: a run that fails, is stopped or panics ends its attempt or
// leaves it, or could not tell, since the database was away, and its process lives.
func deaths(ctx context.Context, q querier, tenant, group string) (n int, err error) {
	err = q.QueryRowContext(ctx, `
SELECT COUNT(*) FROM attempts a JOIN lanes l ON l.tenant = a.tenant AND l.grp = a.grp
WHERE a.tenant = $1 AND a.grp = $2 AND a.phase = 'running' AND a.seq > l.forgiven
  AND NOT EXISTS (SELECT 1 FROM replicas r WHERE substr(a.owner, 1, length(r.name) + 1) = r.name || '/')`, tenant, group).Scan(&n)
	return n, err
}

// quarantine closes a lane whose runs died too often (Invariant 7).
func quarantine(ctx context.Context, tx *sql.Tx, tenant, group string, at time.Time) error {
	_, err := tx.ExecContext(ctx, `UPDATE lanes SET quarantined_at = $1 WHERE tenant = $2 AND grp = $3`, max(millis(at), 1), tenant, group)
	return err
}

// Leave implements collector.Ledger.
func (s *Store) Leave(ctx context.Context, a *collector.Attempt) error {
	_, err := s.db.ExecContext(ctx, `
UPDATE attempts SET phase = 'left' WHERE tenant = $1 AND grp = $2 AND seq = $3 AND owner = $4 AND run_id = $5 AND phase = 'running'`,
		a.Tenant, a.Group, int64(a.Seq), a.Owner, a.RunID.String())
	if err != nil {
		return fmt.Errorf("leave attempt %d of %s/%s: %w", a.Seq, a.Tenant, a.Group, err)
	}
	return nil
}

// Deaths implements collector.Ledger.
func (s *Store) Deaths(ctx context.Context, tenant, group string) (int, error) {
	n, err := deaths(ctx, s.db, tenant, group)
	if err != nil {
		return 0, fmt.Errorf("count runs of %s/%s that never ended: %w", tenant, group, err)
	}
	return n, nil
}

// RunAlone implements collector.Ledger (Invariant 7).
func (s *Store) RunAlone(ctx context.Context, claim string, now time.Time) (bool, error) {
	var only bool
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		// First the lock of the row, then a look that sees what its last holder did.
		if _, err := tx.ExecContext(ctx, `UPDATE suspect SET claim = claim`); err != nil {
			return err
		}
		n, err := affected(ctx, tx, `
UPDATE suspect SET claim = $1 WHERE claim = $1 OR NOT EXISTS (
  SELECT 1 FROM lanes l WHERE l.lease_owner || '/' || l.fence = suspect.claim AND l.lease_until > `+s.db.clock("$2")+`)`, claim, millis(now))
		only = n > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("ask whether another suspect is run: %w", err)
	}
	return only, nil
}

// Quarantines implements collector.Ledger; they are ordered by tenant and group.
func (s *Store) Quarantines(ctx context.Context, tenant string) ([]collector.Quarantine, error) {
	all, err := collect(ctx, s.db, func(r scanner) (q collector.Quarantine, err error) {
		err = r.Scan(&q.Tenant, &q.Group, instant{&q.Since})
		return q, err
	}, `SELECT tenant, grp, quarantined_at FROM lanes WHERE quarantined_at > 0 AND ($1 = '' OR tenant = $1)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read quarantines: %w", err)
	}
	slices.SortFunc(all, func(a, b collector.Quarantine) int {
		return strings.Compare(a.Tenant+"\x00"+a.Group, b.Tenant+"\x00"+b.Group)
	})
	return all, nil
}

// Release implements collector.Ledger.
func (s *Store) Release(ctx context.Context, tenant string) (int, error) {
	n, err := affected(ctx, s.db, `UPDATE lanes SET quarantined_at = 0, forgiven = seq WHERE tenant = $1 AND quarantined_at > 0`, tenant)
	if err != nil {
		return 0, fmt.Errorf("release %s from quarantine: %w", tenant, err)
	}
	return n, nil
}

// quarantined is the error of a Begin on a closed lane.
func quarantined(b collector.Begin, at time.Time) error {
	return &collector.QuarantineError{Quarantine: collector.Quarantine{Tenant: b.Tenant, Group: b.Group, Since: at}}
}
