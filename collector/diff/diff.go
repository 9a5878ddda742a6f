// Package diff compares what was read of a partition with what was stored of
// it. It is pure: it knows hashes, and neither the site nor the warehouse.
//
// A Baseline is filled with stored versions, sealed, and then shown every row
// that is read; what it has not been shown by the end is missing. Whether
// missing means removed is not its decision: only a complete reading may say so.
package diff

import (
	"cmp"
	"encoding/binary"
	"iter"
	"math/bits"
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
	key  schemas.KeyHash
	row  schemas.RowHash
	seq  uint64
	op   schemas.Op
	seen bool
}

// Baseline is the stored state of one partition and, after Seal, the record of
// what has been seen of it. It is not safe for concurrent use. A nil *Baseline
// cannot be used; an empty one stands for a partition never stored.
type Baseline struct {
	entries []entry // after Seal: ordered by key, one each
	fresh   map[schemas.KeyHash]struct{}
}

// NewBaseline returns an empty baseline with room for about n versions.
func NewBaseline(n int) *Baseline {
	return &Baseline{entries: make([]entry, 0, n)}
}

// Add records stored versions, in any order: of each entity the one with the
// greatest seq counts. The order in which the warehouse keeps them is the
// cheapest.
func (b *Baseline) Add(versions []schemas.BaselineKey) {
	for _, v := range versions {
		e := entry{key: v.Key, row: v.Row, seq: v.Seq, op: v.Op}
		// Versions of an entity mostly come one after the other: a long history
		// then takes the room of one version.
		if n := len(b.entries); n > 0 && b.entries[n-1].key == v.Key {
			if b.entries[n-1].seq < v.Seq {
				b.entries[n-1] = e
			}
			continue
		}
		b.entries = append(b.entries, e)
	}
}

// Seal orders the entities, drops those whose last version ended them, and
// returns the number and digest of the rest. See, Keep and Missing come after it.
func (b *Baseline) Seal(h *schemas.Hasher, partition string) (rows uint64, digest schemas.Digest) {
	all := b.entries
	for i := 1; i < len(all); i++ {
		if all[i].before(&all[i-1]) {
			slices.SortFunc(all, func(a, c entry) int { return cmp.Or(compareKeys(&a.key, &c.key), cmp.Compare(a.seq, c.seq)) })
			break
		}
	}
	n := 0
	for i := range all {
		e := &all[i]
		if e.op.Gone() || i+1 < len(all) && all[i+1].key == e.key {
			continue
		}
		digest = digest.Add(h.RowDigest(partition, e.key, e.row))
		if n < i {
			all[n] = *e
		}
		n++
	}
	b.entries = all[:n]
	return uint64(n), digest
}

// before orders by key, then by seq: of each key the last one counts.
func (e *entry) before(o *entry) bool {
	c := compareKeys(&e.key, &o.key)
	return c < 0 || c == 0 && e.seq < o.seq
}

// compareKeys orders like bytes.Compare.
func compareKeys(a, c *schemas.KeyHash) int {
	if d := cmp.Compare(front(a), front(c)); d != 0 {
		return d
	}
	return cmp.Compare(binary.BigEndian.Uint64(a[8:]), binary.BigEndian.Uint64(c[8:]))
}

func front(k *schemas.KeyHash) uint64 { return binary.BigEndian.Uint64(k[:8]) }

// Len is the number of stored entities, after Seal.
func (b *Baseline) Len() int { return len(b.entries) }

// find returns the entity with the key, or nil. Keys are cut from cryptographic
// hashes and so spread evenly: the first guess, by proportion, is a few places
// off. From there the distance doubles until the key is passed, so that keys
// which somebody made to lie together cost a binary search and no more.
func (b *Baseline) find(key *schemas.KeyHash) *entry {
	n := len(b.entries)
	if n == 0 {
		return nil
	}
	guess, _ := bits.Mul64(front(key), uint64(n))
	low, high := int(guess), int(guess)+1 // the key is in [low, high) if it is stored
	if compareKeys(key, &b.entries[low].key) < 0 {
		high = low
		for step := 1; low > 0; step *= 2 {
			low = max(low-step, 0)
			if compareKeys(key, &b.entries[low].key) >= 0 {
				break
			}
			high = low
		}
	} else {
		for step := 1; high < n; step *= 2 {
			if compareKeys(key, &b.entries[high].key) < 0 {
				break
			}
			low, high = high, min(high+step, n)
		}
	}
	for low < high {
		middle := int(uint(low+high) / 2)
		switch c := compareKeys(key, &b.entries[middle].key); {
		case c == 0:
			return &b.entries[middle]
		case c < 0:
			high = middle
		default:
			low = middle + 1
		}
	}
	return nil
}

// See records that a row was read, and returns what it is to the baseline and,
// for Changed and Unchanged, the hash that is stored.
func (b *Baseline) See(key schemas.KeyHash, row schemas.RowHash) (Verdict, schemas.RowHash) {
	e := b.find(&key)
	if e == nil {
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
	if e.row == row {
		return Unchanged, e.row
	}
	return Changed, e.row
}

// Keep marks an entity as accounted for without comparing it: nobody knows how
// it is now.
func (b *Baseline) Keep(key schemas.KeyHash) {
	if e := b.find(&key); e != nil {
		e.seen = true
	}
}

// Missing yields the stored entities that were not seen, in the order of their
// keys, with their stored hashes.
func (b *Baseline) Missing() iter.Seq2[schemas.KeyHash, schemas.RowHash] {
	return func(yield func(schemas.KeyHash, schemas.RowHash) bool) {
		for i := range b.entries {
			if e := &b.entries[i]; !e.seen && !yield(e.key, e.row) {
				return
			}
		}
	}
}
