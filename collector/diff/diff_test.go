package diff_test

import (
	"encoding/binary"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
)

func key(n uint64) (k schemas.KeyHash) {
	binary.BigEndian.PutUint64(k[:], n)
	return k
}

func row(n uint64) (r schemas.RowHash) {
	binary.BigEndian.PutUint64(r[:], n)
	return r
}

// state draws a small set of entities with their hashes.
func state(t *rapid.T, label string) map[schemas.KeyHash]schemas.RowHash {
	m := map[schemas.KeyHash]schemas.RowHash{}
	for k, v := range rapid.MapOf(rapid.Uint64Range(1, 12), rapid.Uint64Range(1, 4)).Draw(t, label) {
		m[key(k)] = row(v)
	}
	return m
}

// TestApplyingTheDifferenceGivesTheNewState stores a as a random history of
// versions, reads b with repeats, and applies what the comparison says to a.
func TestApplyingTheDifferenceGivesTheNewState(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := state(t, "a"), state(t, "b")
		base := diff.NewBaseline(0)
		var versions []schemas.BaselineKey
		for k := range a {
			seq := uint64(rapid.IntRange(2, 5).Draw(t, "seq"))
			versions = append(versions,
				schemas.BaselineKey{Key: k, Row: row(99), Seq: seq - 1, Op: schemas.OpAdded},
				schemas.BaselineKey{Key: k, Row: a[k], Seq: seq, Op: schemas.OpChanged})
		}
		for _, n := range rapid.SliceOfDistinct(rapid.Uint64Range(100, 110), func(n uint64) uint64 { return n }).Draw(t, "gone") {
			versions = append(versions,
				schemas.BaselineKey{Key: key(n), Row: row(1), Seq: 1, Op: schemas.OpBaseline},
				schemas.BaselineKey{Key: key(n), Row: row(1), Seq: 2, Op: rapid.SampledFrom([]schemas.Op{schemas.OpRemoved, schemas.OpOutOfView}).Draw(t, "end")})
		}
		base.Add(rapid.Permutation(versions).Draw(t, "order"))

		h := &schemas.Hasher{}
		rows, digest := base.Seal(h, "p")
		if rows != uint64(len(a)) || digest != sum(h, a) {
			t.Fatalf("sealed %d rows with digest %v, want %d with %v", rows, digest, len(a), sum(h, a))
		}

		got := maps.Clone(a)
		read := func() {
			for k, r := range b {
				switch v, stored := base.See(k, r); v {
				case diff.New, diff.Changed:
					if v == diff.Changed && stored != a[k] {
						t.Fatalf("the stored hash of a changed row is %x, want %x", stored, a[k])
					}
					digest = digest.Add(h.RowDigest("p", k, r))
					if v == diff.Changed {
						digest = digest.Sub(h.RowDigest("p", k, stored))
					}
					got[k] = r
				}
			}
		}
		read()
		before := digest
		read() // a listing that repeats itself changes nothing
		if digest != before {
			t.Fatal("a repeated row counted twice")
		}
		for k, stored := range base.Missing() {
			delete(got, k)
			digest = digest.Sub(h.RowDigest("p", k, stored))
		}
		if d := cmp.Diff(b, got); d != "" {
			t.Fatalf("applying the difference (-want +got):\n%s", d)
		}
		if digest != sum(h, b) {
			t.Fatal("the digest kept along the way differs from the digest of the new state")
		}
	})
}

func sum(h *schemas.Hasher, m map[schemas.KeyHash]schemas.RowHash) (d schemas.Digest) {
	for k, r := range m {
		d = d.Add(h.RowDigest("p", k, r))
	}
	return d
}

func TestKeptEntitiesAreNotMissing(t *testing.T) {
	base := diff.NewBaseline(0)
	base.Add([]schemas.BaselineKey{{Key: key(1), Row: row(1), Seq: 1, Op: schemas.OpAdded}, {Key: key(2), Row: row(1), Seq: 1, Op: schemas.OpAdded}})
	base.Seal(&schemas.Hasher{}, "")
	base.Keep(key(1))
	base.Keep(key(7)) // never stored: nothing to keep
	var missing []schemas.KeyHash
	for k := range base.Missing() {
		missing = append(missing, k)
	}
	if d := cmp.Diff([]schemas.KeyHash{key(2)}, missing); d != "" {
		t.Error(d)
	}
}
