package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// The ledger keeps three things per tenant: the lane's seq (the newest attempt
// number), heads (the last decided number per dataset), and residue.
//
// Residue is the void list, one row per dataset and number: "rows of this
// dataset may lie in the warehouse under this number, and nobody decided
// them". Begin writes it for every dataset of the new attempt, before the first
// row can exist. It is taken back in the same transaction that makes it untrue:
// Decide takes it back for the datasets that it moves to the number, Decide and
// End for those of which the run says that no row was sent. So
//
//   - a crash at any instant leaves the residue, whatever the attempt had
//     written: readers who honour it never see undecided rows (Invariant 2);
//   - an attempt that ran for some datasets (sync --dataset), found no change,
//     or failed before it wrote leaves none where it wrote none: void lists
//     grow with broken writes, not with runs;
//   - a number that was decided for one dataset is void for another that the
//     same attempt wrote and did not decide (held, failed half-way).
//
// A zombie cannot take residue back: Decide and End first take the lane's row
// with "seq = mine", which is false once a later Begin has counted on. That
// row also serializes Begin, Decide and End of a lane on PostgreSQL, so a Begin
// sees either all heads of an earlier Decide or fences it.
//
// What readers get as Void of a head is the residue at or below its Seq. An
// attempt gets all residue below its own number, since its head will stand
// above them.

// Phases of an attempt.
const (
	phaseRunning = "running"
	phaseDecided = "decided"
	phaseEnded   = "ended"
)

// Begin implements collector.Ledger.
func (s *Store) Begin(ctx context.Context, b collector.Begin) (*collector.Attempt, error) {
	datasets := slices.Compact(slices.Sorted(slices.Values(b.Datasets)))
	if b.Tenant == "" || b.Group == "" || b.Owner == "" || len(datasets) == 0 {
		return nil, fmt.Errorf("begin attempt of %s/%s: tenant, group, owner %q and datasets %q must be given", b.Tenant, b.Group, b.Owner, b.Datasets)
	}
	a := &collector.Attempt{Tenant: b.Tenant, Group: b.Group, RunID: b.RunID, Owner: b.Owner, StartedAt: b.StartedAt}
	var closedAt time.Time
	err := s.db.tx(ctx, func(tx *sql.Tx) (err error) {
		// Invariant 3: from here on every earlier attempt of the lane is fenced. So
		// whoever lost the lane meanwhile, and does not know it, must not pass here.
		err = tx.QueryRowContext(ctx, `
INSERT INTO lanes (tenant, grp, seq) VALUES ($1, $2, 1)
ON CONFLICT (tenant, grp) DO UPDATE SET seq = lanes.seq + 1
WHERE CASE WHEN CAST($3 AS BIGINT) = 0 THEN lanes.lease_owner = '' ELSE lanes.lease_kind <> '' AND lanes.fence = $3 END
RETURNING seq, quarantined_at`, b.Tenant, b.Group, b.Fence).Scan(&a.Seq, instant{&closedAt})
		if errors.Is(err, sql.ErrNoRows) {
			return collector.ErrFenced
		}
		if err != nil {
			return err
		}
		if !closedAt.IsZero() {
			return quarantined(b, closedAt)
		}
		if a.Abandoned, err = abandoned(ctx, tx, b.Tenant, b.Group); err != nil {
			return err
		}
		n := 0
		if len(a.Abandoned) > 0 {
			if n, err = deaths(ctx, tx, b.Tenant, b.Group); err != nil {
				return err
			}
		}
		if n > collector.QuarantineAfter { // the one that was to tell of it died as well
			closedAt = b.StartedAt
			if _, err := tx.ExecContext(ctx, `UPDATE lanes SET seq = seq - 1 WHERE tenant = $1 AND grp = $2`, b.Tenant, b.Group); err != nil { // no attempt has the number
				return err
			}
			return quarantine(ctx, tx, b.Tenant, b.Group, closedAt)
		}
		a.Quarantined = n == collector.QuarantineAfter
		if a.Heads, err = headsForAttempt(ctx, tx, b.Tenant, b.Group, datasets); err != nil {
			return err
		}
		return openAttempt(ctx, tx, b, a.Seq, datasets)
	})
	if err == nil && !closedAt.IsZero() {
		err = quarantined(b, closedAt)
	}
	if err != nil {
		return nil, fmt.Errorf("begin attempt of %s/%s: %w", b.Tenant, b.Group, err)
	}
	return a, nil
}

// abandoned lists the attempts of a lane that never ended.
func abandoned(ctx context.Context, tx *sql.Tx, tenant, group string) ([]collector.Abandoned, error) {
	return collect(ctx, tx, func(r scanner) (a collector.Abandoned, err error) {
		err = r.Scan(&a.Seq, &a.RunID, &a.Trigger, instant{&a.StartedAt}, &a.Left)
		return a, err
	}, `SELECT seq, run_id, cause, started_at, phase = 'left' FROM attempts WHERE tenant = $1 AND grp = $2 AND phase IN ('running', 'left') ORDER BY seq`, tenant, group)
}

// openAttempt stores attempt seq and its residue, and forgets closed attempts.
func openAttempt(ctx context.Context, tx *sql.Tx, b collector.Begin, seq uint64, datasets []string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM attempts WHERE tenant = $1 AND grp = $2 AND phase NOT IN ('running', 'left')`, b.Tenant, b.Group); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, `
INSERT INTO attempts (tenant, grp, seq, run_id, owner, cause, started_at, phase) VALUES ($1, $2, $3, $4, $5, $6, $7, 'running')`,
		b.Tenant, b.Group, int64(seq), b.RunID.String(), b.Owner, string(b.Trigger), millis(b.StartedAt))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
UPDATE residue SET superseded_at = $4 WHERE tenant = $1 AND grp = $2 AND seq < $3 AND superseded_at = 0`,
		b.Tenant, b.Group, int64(seq), max(millis(b.StartedAt), 1))
	if err != nil {
		return err
	}
	args := make([]any, 0, 4*len(datasets))
	for _, d := range datasets {
		args = append(args, b.Tenant, d, int64(seq), b.Group)
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO residue (tenant, dataset, seq, grp) VALUES `+rowValues(1, len(datasets), 4), args...)
	return err
}

// Decide implements collector.Ledger.
func (s *Store) Decide(ctx context.Context, a *collector.Attempt, heads []collector.Head) error {
	for _, h := range heads {
		begun, asked := a.Heads[h.Dataset]
		switch {
		case h.Tenant != a.Tenant || h.Group != a.Group || !asked:
			return fmt.Errorf("decide attempt %d of %s/%s: the head of %s/%s/%s is none of its datasets", a.Seq, a.Tenant, a.Group, h.Tenant, h.Group, h.Dataset)
		case h.Seq != a.Seq && h.Seq != begun.Seq:
			return fmt.Errorf("decide attempt %d of %s/%s: head of %s has number %d, which is neither the attempt's nor that of the head at its begin (%d)", a.Seq, a.Tenant, a.Group, h.Dataset, h.Seq, begun.Seq)
		}
	}
	return s.closeAttempt(ctx, a, phaseDecided, func(tx *sql.Tx) error {
		for _, h := range heads {
			store := stayHead
			if h.Seq == a.Seq {
				store = moveHead
			}
			if err := store(ctx, tx, h); err != nil {
				return fmt.Errorf("head of %s: %w", h.Dataset, err)
			}
			if err := dropResidue(ctx, tx, a.Tenant, h.Dataset, []uint64{a.Seq}); err != nil {
				return err
			}
		}
		for _, h := range a.Held { // Invariant 8
			if err := putHold(ctx, tx, h); err != nil {
				return err
			}
		}
		for _, d := range a.Passed {
			if err := dropHold(ctx, tx, a.Tenant, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// End implements collector.Ledger.
func (s *Store) End(ctx context.Context, a *collector.Attempt, mismatched []string) error {
	return s.closeAttempt(ctx, a, phaseEnded, func(tx *sql.Tx) error {
		if a.Quarantined {
			if err := quarantine(ctx, tx, a.Tenant, a.Group, a.StartedAt); err != nil {
				return err
			}
		}
		for _, d := range mismatched {
			if _, err := tx.ExecContext(ctx, `UPDATE heads SET mismatches = mismatches + 1 WHERE tenant = $1 AND dataset = $2`, a.Tenant, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// closeAttempt runs fn in the transaction that brings a running attempt to
// phase, if it is the newest of its lane and its owner's. When it is in the
// phase already, an earlier call succeeded and its answer was lost: nothing is
// left to do.
func (s *Store) closeAttempt(ctx context.Context, a *collector.Attempt, phase string, fn func(*sql.Tx) error) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		// Invariant 3: the compare-and-swap. The update changes nothing; it
		// takes the lane's row, so that no Begin can pass while this decides.
		newest, err := affected(ctx, tx, `UPDATE lanes SET seq = seq WHERE tenant = $1 AND grp = $2 AND seq = $3`, a.Tenant, a.Group, int64(a.Seq))
		if err != nil {
			return err
		}
		if newest == 0 {
			return collector.ErrFenced
		}
		const mine = ` WHERE tenant = $1 AND grp = $2 AND seq = $3 AND owner = $4 AND run_id = $5 AND phase = $6`
		id := []any{a.Tenant, a.Group, int64(a.Seq), a.Owner, a.RunID.String()}
		open, err := affected(ctx, tx, `UPDATE attempts SET phase = $7`+mine, append(id, phaseRunning, phase)...)
		if err != nil {
			return err
		}
		if open == 0 {
			var repeated bool
			err := tx.QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM attempts`+mine, append(id, phase)...).Scan(&repeated)
			if err == nil && !repeated {
				err = collector.ErrFenced
			}
			return err
		}
		// This attempt's report has told of the abandoned ones before it.
		if _, err := tx.ExecContext(ctx, `UPDATE attempts SET phase = 'ended' WHERE tenant = $1 AND grp = $2 AND seq < $3`, a.Tenant, a.Group, int64(a.Seq)); err != nil {
			return err
		}
		for _, d := range a.Untouched {
			if err := dropResidue(ctx, tx, a.Tenant, d, []uint64{a.Seq}); err != nil {
				return err
			}
		}
		return fn(tx)
	})
	if err != nil {
		return fmt.Errorf("attempt %d of %s/%s cannot be %s: %w", a.Seq, a.Tenant, a.Group, phase, err)
	}
	return nil
}

// dropResidue takes numbers of a dataset off its void list.
func dropResidue(ctx context.Context, tx *sql.Tx, tenant, dataset string, seqs []uint64) error {
	for _, seq := range seqs {
		if _, err := tx.ExecContext(ctx, `DELETE FROM residue WHERE tenant = $1 AND dataset = $2 AND seq = $3`, tenant, dataset, int64(seq)); err != nil {
			return err
		}
	}
	return nil
}
