package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// A state database that was restored from a backup knows less than the
// warehouse: it would compare with rows that are long replaced, and give
// attempt numbers out again under which rows lie already, decided ones and such
// as never may be seen (Invariant 3). It is recognized by the numbers that the
// warehouse has seen. What the warehouse shows counts then, since readers have
// seen it, and attempts go on above everything that was seen.

// Lane is a tenant's group, whose attempts follow each other.
type Lane struct{ Tenant, Group string }

// Adoption is what a ledger takes over from a warehouse that is ahead of it.
type Adoption struct {
	Lane
	Was, Seq uint64              // the newest attempt before, and from now on
	Heads    []Head              // that the warehouse shows and the ledger does not know, with their void lists
	Void     map[string][]uint64 // by dataset: attempts above its head that must never be seen
}

// unseen is how many attempts may have begun above the greatest number seen,
// and may still write: each attempt tells of itself when it ends, those that
// die close their group after a few, and a run makes a few to store its delta.
const unseen = QuarantineAfter + 1 + stageTries

// Ahead lists the groups of which the warehouse has seen more than the ledger
// knows. There are none unless the ledger was restored from a backup. The
// warehouse is asked first, so that a run under way is never taken for one.
func Ahead(ctx context.Context, ledger Ledger, warehouse Warehouse) ([]Adoption, error) {
	seen, err := warehouse.Seen(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the warehouse which attempts it has seen: %w", err)
	}
	lanes, err := ledger.Lanes(ctx)
	if err != nil {
		return nil, err
	}
	known, err := ledger.Heads(ctx, "")
	if err != nil {
		return nil, err
	}
	heads := make(map[[2]string]Head, len(known))
	for _, h := range known {
		heads[[2]string{h.Tenant, h.Dataset}] = h
	}
	var all []Adoption
	for _, s := range seen {
		a := Adoption{Lane: Lane{s.Tenant, s.Group}, Void: map[string][]uint64{}}
		a.Was = lanes[a.Lane]
		last := max(a.Was, s.Last)
		a.Seq = last + unseen
		for _, h := range s.Heads {
			own := heads[[2]string{s.Tenant, h.Head.Dataset}]
			if h.Head.Seq > own.Seq {
				own = adopted(own, h)
				a.Heads = append(a.Heads, own)
			}
			void := slices.DeleteFunc(slices.Clone(h.Above), func(n uint64) bool { return n <= own.Seq })
			for n := last + 1; n <= a.Seq; n++ {
				void = append(void, n)
			}
			a.Void[h.Head.Dataset] = void
		}
		if s.Last > a.Was || len(a.Heads) > 0 {
			all = append(all, a)
		}
	}
	return all, nil
}

// adopted is the head that the warehouse shows, with what only the ledger knew.
// Under another epoch than the ledger's nobody knows any more which credential
// read it: the next run starts an epoch (Invariant 4).
func adopted(own Head, shown schemas.SeenHead) Head {
	h := Head{Head: shown.Head, Version: shown.Version, ReadStart: own.ReadStart, Cursor: own.Cursor, Projected: true}
	if own.Epoch == shown.Head.Epoch {
		h.Fingerprint = own.Fingerprint
	}
	return h
}

// Row is the row of runs that tells of the adoption.
func (a Adoption) Row(run schemas.Run, at time.Time) schemas.Run {
	run.Tenant, run.Group, run.Seq, run.Outcome, run.StartedAt, run.EndedAt = a.Tenant, a.Group, a.Seq, schemas.OutcomeRestored, at, at
	for _, h := range a.Heads {
		run.Datasets = append(run.Datasets, h.Dataset)
	}
	run.Error = fmt.Sprintf("the state database is older than the warehouse: it was restored from a backup. It knew attempt %d, the warehouse has seen %d: what the warehouse shows was taken over, and attempts go on above %d",
		a.Was, a.Seq-unseen, a.Seq)
	return run
}
