package clickhouse

import (
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// digestSQL adds the digests of the current rows up in the engine: the same sum
// that schemas.Digest keeps, from another implementation. Lengths are below 128
// here, so each takes one byte.
const digestSQL = `
SELECT count(), toString(sum(d)) FROM (
	SELECT reinterpretAsUInt128(reverse(substring(SHA256(concat('sitedrift row\0', char(length(partition_id)), partition_id, key_hash, argMax(row_hash, seq))), 1, 16))) AS d
	FROM spaces_versions GROUP BY tenant_id, partition_id, key_hash HAVING argMax(op, seq) NOT IN ('removed', 'out_of_view'))`

func TestDigest(t *testing.T) {
	w := open(t, nil)
	b := spacesBlock(schemas.OpAdded, space("1", "one"), space("2", "two"), space("3", "three"))
	gone := spacesBlock(schemas.OpRemoved, space("2", "two"))
	h := head("t", confluence.Spaces.Dataset, 1)
	stage(t, w, delta(h, stream(b)))
	h2 := head("t", confluence.Spaces.Dataset, 2)
	stage(t, w, delta(h2, stream(gone)))
	var want schemas.Digest
	var hasher schemas.Hasher
	for _, i := range []int{0, 2} {
		want = want.Add(hasher.RowDigest("", b.Key(i), b.Hash(i)))
	}
	h2.Digest, h2.Rows = want, 2
	show(t, w, h2)
	got := ask(t, w, digestSQL)
	shown := ask(t, w, "SELECT rows, toString(digest) FROM heads FINAL")
	if got[0][0] != shown[0][0] || got[0][1] != shown[0][1] {
		t.Errorf("rows and digest by SQL are %v, of the head %v", got, shown)
	}
}
