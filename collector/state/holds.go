package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
)

// putHold stores the hold of a dataset in the place of an earlier one. Who approved
// that one after the run had looked at it approved of the next run, which this was not.
func putHold(ctx context.Context, tx *sql.Tx, h collector.Hold) error {
	keys := h.Keys
	if keys == nil {
		keys = []byte{}
	}
	_, err := tx.ExecContext(ctx, `
INSERT INTO holds (tenant, dataset, fingerprint, run_id, held_at, removed, row_count, sample, key_prefixes, approved, reason)
VALUES `+rowValues(1, 1, 11)+`
ON CONFLICT (tenant, dataset) DO UPDATE SET fingerprint = excluded.fingerprint, run_id = excluded.run_id, held_at = excluded.held_at,
  removed = excluded.removed, row_count = excluded.row_count, sample = excluded.sample, key_prefixes = excluded.key_prefixes,
  approved = excluded.approved OR holds.approved AND holds.fingerprint = excluded.fingerprint, reason = excluded.reason`,
		h.Tenant, h.Dataset, h.Fingerprint, h.RunID.String(), millis(h.HeldAt), int64(h.Removed), int64(h.Rows), listText(h.Sample), keys, h.Approved, h.Reason)
	if err != nil {
		return fmt.Errorf("hold of %s: %w", h.Dataset, err)
	}
	return nil
}

// Holds implements collector.Ledger; the holds are ordered by tenant and dataset.
func (s *Store) Holds(ctx context.Context, tenant string) ([]collector.Hold, error) {
	holds, err := collect(ctx, s.db, func(r scanner) (h collector.Hold, err error) {
		err = r.Scan(&h.Tenant, &h.Dataset, &h.Fingerprint, &h.RunID, instant{&h.HeldAt}, &h.Removed, &h.Rows, list{&h.Sample}, &h.Keys, &h.Approved, &h.Reason)
		return h, err
	}, `
SELECT tenant, dataset, fingerprint, run_id, held_at, removed, row_count, sample, key_prefixes, approved, reason
FROM holds WHERE ($1 = '' OR tenant = $1)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read holds: %w", err)
	}
	slices.SortFunc(holds, func(a, b collector.Hold) int {
		return strings.Compare(a.Tenant+"\x00"+a.Dataset, b.Tenant+"\x00"+b.Dataset)
	})
	return holds, nil
}

// dropHold takes back that a dataset waits.
func dropHold(ctx context.Context, tx *sql.Tx, tenant, dataset string) error {
	_, err := tx.ExecContext(ctx, `DELETE FROM holds WHERE tenant = $1 AND dataset = $2`, tenant, dataset)
	return err
}

// Approve implements collector.Ledger.
func (s *Store) Approve(ctx context.Context, tenant string) (int, error) {
	n, err := affected(ctx, s.db, `UPDATE holds SET approved = TRUE WHERE tenant = $1`, tenant)
	if err != nil {
		return 0, fmt.Errorf("approve holds of %s: %w", tenant, err)
	}
	return n, nil
}
