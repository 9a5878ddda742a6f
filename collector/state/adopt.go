package state

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// Lanes implements collector.Ledger.
func (s *Store) Lanes(ctx context.Context) (map[collector.Lane]uint64, error) {
	type lane struct {
		collector.Lane
		seq uint64
	}
	all, err := collect(ctx, s.db, func(r scanner) (l lane, err error) {
		err = r.Scan(&l.Tenant, &l.Group, &l.seq)
		return l, err
	}, `SELECT tenant, grp, seq FROM lanes`)
	if err != nil {
		return nil, fmt.Errorf("read attempt numbers: %w", err)
	}
	seqs := make(map[collector.Lane]uint64, len(all))
	for _, l := range all {
		seqs[l.Lane] = l.seq
	}
	return seqs, nil
}

// Adopt implements collector.Ledger. What the restored database noted as
// undecided at or below an adopted head was settled later: the warehouse's void
// list replaces it. Attempts that were under way at the time of the backup are
// no deaths.
func (s *Store) Adopt(ctx context.Context, a collector.Adoption, now time.Time) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `
INSERT INTO lanes (tenant, grp, seq) VALUES ($1, $2, $3)
ON CONFLICT (tenant, grp) DO UPDATE SET seq = CASE WHEN lanes.seq < excluded.seq THEN excluded.seq ELSE lanes.seq END`,
			a.Tenant, a.Group, int64(a.Seq)); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE attempts SET phase = 'left' WHERE tenant = $1 AND grp = $2 AND phase = 'running'`, a.Tenant, a.Group); err != nil {
			return err
		}
		for _, h := range a.Heads {
			if _, err := tx.ExecContext(ctx, `DELETE FROM residue WHERE tenant = $1 AND dataset = $2 AND seq <= $3`, h.Tenant, h.Dataset, int64(h.Seq)); err != nil {
				return err
			}
			if err := moveHead(ctx, tx, h); err != nil {
				return fmt.Errorf("head of %s: %w", h.Dataset, err)
			}
			if err := voidNumbers(ctx, tx, a.Lane, h.Dataset, h.Void, now); err != nil {
				return err
			}
		}
		for dataset, numbers := range a.Void {
			if err := voidNumbers(ctx, tx, a.Lane, dataset, numbers, now); err != nil {
				return err
			}
			if err := dropHold(ctx, tx, a.Tenant, dataset); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take over what the warehouse shows of %s/%s: %w", a.Tenant, a.Group, err)
	}
	return nil
}

// voidNumbers puts numbers on a dataset's void list, as fenced now.
func voidNumbers(ctx context.Context, tx *sql.Tx, l collector.Lane, dataset string, numbers []uint64, now time.Time) error {
	for _, n := range numbers {
		if _, err := tx.ExecContext(ctx, `
INSERT INTO residue (tenant, dataset, seq, grp, superseded_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant, dataset, seq) DO UPDATE SET superseded_at = excluded.superseded_at`, l.Tenant, dataset, int64(n), l.Group, max(millis(now), 1)); err != nil {
			return err
		}
	}
	return nil
}

// SuspectCredentials notes of every usable grant that a refresh of it may have
// happened that nobody here knows of, as after a restored backup: its token is
// tried once, and when the provider knows it no more, consent is asked for. The
// last refresh that is known counts as the time. What is noted already stays.
func (s *Store) SuspectCredentials(ctx context.Context) error {
	_, err := s.vault.ExecContext(ctx, `
UPDATE credentials SET intent_at = CASE WHEN last_ok_at > 0 THEN last_ok_at ELSE 1 END, lease_owner = '', lease_until = 0
WHERE state = 'ok' AND intent_at = 0 AND kind IN ($1, $2)`, collector.CredentialKind3LO, collector.CredentialKindDCOAuth)
	if err != nil {
		return fmt.Errorf("suspect the stored credentials: %w", err)
	}
	return nil
}
