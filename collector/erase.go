package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
)

// Erase erases a person from what is stored of a tenant's group, and moves the
// heads to the rows that are left: as an attempt of its own, so that nothing
// else can decide meanwhile, and the next run finds what the ledger knows. A
// dataset of which present rows were erased begins an epoch with its next run: a
// person who is still on the site is read again, and told of in one baseline
// change (Invariant 4). After three deaths in a row nothing is erased, and the group
// is quarantined: a *QuarantineError. A failure leaves an attempt that decided nothing; the
// erasure can be repeated. The row that is returned, and recorded, says nothing
// of the person; its Written is how many rows there were.
func (r *Runner) Erase(ctx context.Context, req Request, account string) (schemas.Run, error) {
	tables, err := r.scope(req.Group, nil)
	if err != nil {
		return schemas.Run{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return schemas.Run{}, fmt.Errorf("make a run id: %w", err)
	}
	row := schemas.Run{RunID: id, Tenant: req.Tenant.ID, Group: req.Group, Outcome: schemas.OutcomeErased, Trigger: string(req.Trigger), StartedAt: r.Now().UTC(), Error: "what was stored about a person was erased"}
	a, err := r.Ledger.Begin(ctx, Begin{Tenant: row.Tenant, Group: row.Group, Datasets: names(tables), RunID: id, Owner: req.Owner, Fence: req.Fence, Trigger: req.Trigger, StartedAt: row.StartedAt})
	if err != nil {
		return row, fmt.Errorf("begin an erasure from %s/%s: %w", row.Tenant, row.Group, err)
	}
	a.Untouched, row.Seq = names(tables), a.Seq
	leave := func(err error) (schemas.Run, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = r.Ledger.Leave(ctx, a) // it is told as abandoned by the next attempt
		return row, err
	}
	if err := r.tellAbandoned(ctx, a); err != nil {
		return leave(err)
	}
	if a.Quarantined { // Invariant 7: to go on would forget the deaths before
		closed := &QuarantineError{Quarantine{row.Tenant, row.Group, row.StartedAt}}
		row.Outcome, row.EndedAt, row.Error = schemas.OutcomeQuarantined, row.StartedAt, closed.Error()
		if err := r.Record(ctx, row); err != nil {
			return leave(err)
		}
		return row, errors.Join(closed, r.Ledger.End(ctx, a, nil))
	}
	if row.Written, err = r.Warehouse.ErasePerson(ctx, tables, row.Tenant, account); err != nil {
		return leave(err)
	}
	r.trace("erase.deleted")
	var all, moved []Head
	for _, t := range tables {
		h := a.Heads[t.Name]
		if h.Seq == 0 {
			continue
		}
		rows, digest, err := r.recount(ctx, t, h.Head)
		if err != nil {
			return leave(err)
		}
		if rows != h.Rows || digest != h.Digest {
			h.Seq, h.RunID, h.Rows, h.Digest, h.Projected, h.Mismatches = a.Seq, id, rows, digest, false, 0
			if !t.Append {
				h.Fingerprint = "" // nobody knows what the next run will find again: an epoch starts
			}
			moved = append(moved, h)
			row.Datasets = append(row.Datasets, t.Name)
		}
		all = append(all, h)
	}
	if err := r.Ledger.Decide(ctx, a, all); err != nil {
		return leave(fmt.Errorf("decide the erasure: %w", err))
	}
	if err := Show(ctx, r.Ledger, append([]Sink{r.Warehouse}, r.Sinks...), moved, r.trace); err != nil {
		return row, err
	}
	row.EndedAt = r.Now().UTC()
	if err := r.Record(ctx, row); err != nil {
		return row, fmt.Errorf("record the erasure: %w", err)
	}
	return row, nil
}

// recount adds up the rows that the warehouse holds at a head. Of a dataset that
// only grows only their number is kept.
func (r *Runner) recount(ctx context.Context, t *schemas.Dataset, h schemas.Head) (rows uint64, digest schemas.Digest, err error) {
	known, err := r.Warehouse.Partitions(ctx, t, h)
	if err != nil {
		return 0, digest, fmt.Errorf("list the stored partitions of %s: %w", t.Name, err)
	}
	if t.Append {
		for _, k := range known {
			rows += k.Versions
		}
		return rows, h.Digest, nil
	}
	hasher := &schemas.Hasher{}
	for _, part := range ranges(known, nil, r.RangeKeys) {
		bases := map[string]*diff.Baseline{}
		err := r.Warehouse.Baseline(ctx, t, h, part.known[0].Partition, part.known[len(part.known)-1].Partition, func(p string, keys []schemas.BaselineKey) error {
			if bases[p] == nil {
				bases[p] = diff.NewBaseline(len(keys))
			}
			bases[p].Add(keys)
			return nil
		})
		if err != nil {
			return 0, digest, fmt.Errorf("read the baseline of %s: %w", t.Name, err)
		}
		for p, b := range bases {
			n, sum := b.Seal(hasher, p)
			rows, digest = rows+n, digest.Add(sum)
		}
	}
	return rows, digest, nil
}
