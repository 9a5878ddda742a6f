package schemas_test

import (
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
)

// TestCutSpoolsAreRefused: no beginning of a spooled block, nor one with a tail,
// passes for a block.
func TestCutSpoolsAreRefused(t *testing.T) {
	rows := []thing{{Text: "first"}, {Text: "second"}}
	page, b := things.Page(rows), schemas.NewBlock(things.Dataset)
	for i := range rows {
		b.Version("p", schemas.KeyHash{byte(i)}, schemas.RowHash{byte(i)}, schemas.OpAdded, int64(i))
		page.AppendColumns(b, i)
	}
	data, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if err := schemas.NewBlock(things.Dataset).UnmarshalBinary(data[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes passed", n, len(data))
		}
	}
	if err := schemas.NewBlock(things.Dataset).UnmarshalBinary(append(data, 0)); err == nil {
		t.Fatal("a tail passed")
	}
	if err := schemas.NewBlock(schemas.RunsTable.Dataset).UnmarshalBinary(data); err == nil {
		t.Fatal("a block of another table passed")
	}
}
