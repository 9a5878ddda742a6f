package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// voidPerQuery bounds the list of attempts in one statement of Sweep.
const voidPerQuery = 2_000

// Sweep deletes the rows of void attempts. It asks first whether there are any:
// a DELETE rewrites marks of every part it touches, and most sweeps find
// nothing. The void entries themselves stay in the ledger for a while, because
// an insert of a process that woke up late may still come.
func (w *Warehouse) Sweep(ctx context.Context, heads []schemas.Head) error {
	pairs := map[sweepTarget][]string{} // (tenant, seq)
	for _, h := range heads {
		dataset := text(h.Dataset)
		targets := []sweepTarget{
			{h.Dataset + "_versions", "true"},
			{changesName, "dataset = " + dataset},
			{coverageName, "dataset = " + dataset},
			{runsName, "gate = " + dataset},
		}
		for _, seq := range h.Void {
			for _, t := range targets {
				pairs[t] = append(pairs[t], fmt.Sprintf("(%s, %d)", text(h.Tenant), seq))
			}
		}
	}
	order := func(a, b sweepTarget) int {
		return cmp.Or(cmp.Compare(a.table, b.table), cmp.Compare(a.cond, b.cond))
	}
	for _, t := range slices.SortedFunc(maps.Keys(pairs), order) {
		for chunk := range slices.Chunk(pairs[t], voidPerQuery) {
			if err := w.sweep(ctx, t.table, fmt.Sprintf("(tenant_id, seq) IN (%s) AND %s", strings.Join(chunk, ", "), t.cond)); err != nil {
				return fmt.Errorf("sweep %s: %w", t.table, err)
			}
		}
	}
	return nil
}

// sweepTarget is a table and which of its rows belong to a dataset.
type sweepTarget struct{ table, cond string }

func (w *Warehouse) sweep(ctx context.Context, table, cond string) error {
	var n uint64
	if err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE %s", w.layout.object(table), cond)).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	// Without ON CLUSTER: replicas take a mutation over from each other.
	return w.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE %s", w.layout.object(table), cond))
}
