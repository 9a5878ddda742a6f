// Package diff compares what was read of a partition with what was stored of
// it. It is pure: it knows hashes, and neither the site nor the warehouse.
//
// A Baseline is filled with stored versions, sealed, and then shown every row
// that is read; what it has not been shown by the end is missing. Whether
// missing means removed is not its decision: only a complete reading may say so.
package diff

import (
	"bytes"
	"iter"
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// Verdict is what a row that was read is to the baseline.
type Verdict uint8

// The verdicts.
const (
	Unchanged Verdict = iota + 1
	Changed
	New
	Repeated // the row was shown before; listings may repeat rows across pages
)

type entry struct {
	row  schemas.RowHash
	seq  uint64
	op   schemas.Op
	seen bool
}

// Baseline is the stored state of one partition and, after Seal, the record of
// what has been seen of it. It is not safe for concurrent use. A nil *Baseline
// cannot be used; an empty one stands for a partition never stored.
type Baseline struct {
	entries map[schemas.KeyHash]entry
	fresh   map[schemas.KeyHash]struct{}
}

// NewBaseline returns an empty baseline with room for about n entities.
func NewBaseline(n int) *Baseline {
	return &Baseline{entries: make(map[schemas.KeyHash]entry, n)}
}

// Add records stored versions, in any order: of each entity the one with the
// greatest seq counts.
func (b *Baseline) Add(versions []schemas.BaselineKey) {
	for _, v := range versions {
		if e, ok := b.entries[v.Key]; !ok || e.seq < v.Seq {
			b.entries[v.Key] = entry{row: v.Row, seq: v.Seq, op: v.Op}
		}
	}
}

// Seal drops entities whose last version ended them, and returns the number
// and digest of the rest.
func (b *Baseline) Seal(h *schemas.Hasher, partition string) (rows uint64, digest schemas.Digest) {
	for key, e := range b.entries {
		if e.op.Gone() {
			delete(b.entries, key)
			continue
		}
		digest = digest.Add(h.RowDigest(partition, key, e.row))
	}
	return uint64(len(b.entries)), digest
}

// Len is the number of stored entities, after Seal.
func (b *Baseline) Len() int { return len(b.entries) }

// See records that a row was read, and returns what it is to the baseline and,
// for Changed and Unchanged, the hash that is stored.
func (b *Baseline) See(key schemas.KeyHash, row schemas.RowHash) (Verdict, schemas.RowHash) {
	e, stored := b.entries[key]
	if !stored {
		if _, again := b.fresh[key]; again {
			return Repeated, schemas.RowHash{}
		}
		if b.fresh == nil {
			b.fresh = map[schemas.KeyHash]struct{}{}
		}
		b.fresh[key] = struct{}{}
		return New, schemas.RowHash{}
	}
	if e.seen {
		return Repeated, e.row
	}
	e.seen = true
	b.entries[key] = e
	if e.row == row {
		return Unchanged, e.row
	}
	return Changed, e.row
}

// Keep marks an entity as accounted for without comparing it: nobody knows how
// it is now.
func (b *Baseline) Keep(key schemas.KeyHash) {
	if e, ok := b.entries[key]; ok {
		e.seen = true
		b.entries[key] = e
	}
}

// Missing yields the stored entities that were not seen, in the order of their
// keys, with their stored hashes.
func (b *Baseline) Missing() iter.Seq2[schemas.KeyHash, schemas.RowHash] {
	var keys []schemas.KeyHash
	for key, e := range b.entries {
		if !e.seen {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, c schemas.KeyHash) int { return bytes.Compare(a[:], c[:]) })
	return func(yield func(schemas.KeyHash, schemas.RowHash) bool) {
		for _, key := range keys {
			if !yield(key, b.entries[key].row) {
				return
			}
		}
	}
}
