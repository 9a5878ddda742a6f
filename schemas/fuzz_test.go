package schemas_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sitedrift/sitedrift/schemas"
)

// FuzzSpool: whatever a spool file holds, it is refused, or is a block that is
// written and read again as the same.
func FuzzSpool(f *testing.F) {
	rows := []thing{{A: "a", Text: "first", Set: []string{"x", "y"}}, {B: "b", At: time.UnixMilli(1)}}
	page, b := things.Page(rows), schemas.NewBlock(things.Dataset)
	for i := range rows {
		b.Version("p", schemas.KeyHash{byte(i)}, schemas.RowHash{byte(i)}, schemas.OpAdded, int64(i))
		page.AppendColumns(b, i)
	}
	good, err := b.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 12))
	f.Fuzz(func(t *testing.T, data []byte) {
		got := schemas.NewBlock(things.Dataset)
		if got.UnmarshalBinary(data) != nil {
			return
		}
		written, err := got.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		again := schemas.NewBlock(things.Dataset)
		if err := again.UnmarshalBinary(written); err != nil || again.N != got.N || again.Size() != got.Size() {
			t.Fatalf("%d rows became %d, %v", got.N, again.N, err)
		}
	})
}

// FuzzKeys: two entities have one key hash, or one key for people, exactly when
// their keys are the same, and JSON that names them is JSON (Invariant 10).
func FuzzKeys(f *testing.F) {
	f.Add("a", "bc", "ab", "c", "x")
	f.Add("", "", "\x00", "", "\xff")
	f.Add(`a","b`, "c", "a", `b","c`, "é")
	f.Add("0", "\xaa", "0", "\xc8", "")
	f.Add("\x01a", "\x01", "\x01", "a\x01\x01", "\u202e")
	f.Fuzz(func(t *testing.T, a, b, c, d, text string) {
		page := things.Page([]thing{{A: a, B: b, Text: text, Set: []string{a, text}}, {A: c, B: d, Text: text, Set: []string{text, a}}})
		h, block := &schemas.Hasher{}, schemas.NewBlock(things.Dataset)
		key1, row1 := page.Hash(h, 0, 2)
		key2, row2 := page.Hash(h, 1, 2)
		if same := a == c && b == d; same != (key1 == key2) || row1 != row2 {
			t.Fatalf("%q %q and %q %q: one key hash: %v, one row hash: %v", a, b, c, d, key1 == key2, row1 == row2)
		}
		for i := range 2 {
			block.Version("", key1, row1, schemas.OpAdded, 0)
			page.AppendColumns(block, i)
		}
		for i := range 2 {
			if !json.Valid([]byte(block.EntityKey(i))) {
				t.Fatalf("the key %q", block.EntityKey(i))
			}
			for col := range block.Cols {
				if value := block.Cols[col].AppendJSON(nil, i); !json.Valid(value) {
					t.Fatalf("%s: %q", things.Columns[col].Name, value)
				}
			}
		}
		// What is no UTF-8 never comes here: rows are made of decoded JSON.
		if valid := utf8.ValidString(a + "|" + b + "|" + c + "|" + d); valid && (block.EntityKey(0) == block.EntityKey(1)) != (a == c && b == d) {
			t.Fatalf("%q %q and %q %q read alike: %s", a, b, c, d, block.EntityKey(0))
		}
	})
}
