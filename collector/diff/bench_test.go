package diff_test

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
)

// stored are n versions as the warehouse keeps them, ordered by key.
func stored(n int) []schemas.BaselineKey {
	list := make([]schemas.BaselineKey, n)
	for i := range list {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i)))
		list[i] = schemas.BaselineKey{Key: schemas.KeyHash(sum[:16]), Row: sum, Seq: 1, Op: schemas.OpBaseline}
	}
	slices.SortFunc(list, func(a, b schemas.BaselineKey) int { return slices.Compare(a.Key[:], b.Key[:]) })
	return list
}

// TestHashesAreFound looks for keys that are spread as hashes are, stored and
// not, in baselines of all sizes.
func TestHashesAreFound(t *testing.T) {
	all := stored(2000)
	for _, n := range []int{0, 1, 2, 3, 10, 200, 1000} {
		base := diff.NewBaseline(n)
		var want []schemas.KeyHash
		for i := range n {
			base.Add(all[2*i : 2*i+1])
			want = append(want, all[2*i].Key)
		}
		base.Seal(&schemas.Hasher{}, "")
		var missing []schemas.KeyHash
		for k := range base.Missing() {
			missing = append(missing, k)
		}
		if !slices.Equal(missing, want) {
			t.Fatalf("%d stored: %d missing before anything was seen", n, len(missing))
		}
		for i := range 2 * n {
			wanted := diff.New
			if i%2 == 0 {
				wanted = diff.Unchanged
			}
			if got, _ := base.See(all[i].Key, all[i].Row); got != wanted {
				t.Fatalf("%d stored: key %d is %d, want %d", n, i, got, wanted)
			}
		}
		for k := range base.Missing() {
			t.Fatalf("%d stored: %x is missing although it was seen", n, k)
		}
	}
}

// BenchmarkUnchanged compares a space of 200 rows with itself.
func BenchmarkUnchanged(b *testing.B) {
	versions := stored(200)
	seen := slices.Clone(versions)
	slices.SortFunc(seen, func(a, c schemas.BaselineKey) int { return slices.Compare(a.Row[16:], c.Row[16:]) }) // in no order
	b.ReportAllocs()
	var h schemas.Hasher
	for b.Loop() {
		base := diff.NewBaseline(len(versions))
		base.Add(versions)
		base.Seal(&h, "98304")
		for i := range seen {
			if v, _ := base.See(seen[i].Key, seen[i].Row); v != diff.Unchanged {
				b.Fatal(v)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(versions)), "ns/row")
}
