package schemas_test

import (
	"strconv"
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
)

// BenchmarkSpool writes a block and reads it back.
func BenchmarkSpool(b *testing.B) {
	const n = 8192
	block := schemas.NewBlock(things.Dataset)
	page := things.Page([]thing{{Text: "c0ffee00-0000-4000-8000-000000000017"}})
	for i := range n {
		block.Version(strconv.Itoa(98304+i/200), schemas.KeyHash{byte(i)}, schemas.RowHash{byte(i)}, schemas.OpBaseline, 0)
		page.AppendColumns(block, 0)
	}
	for b.Loop() {
		data, err := block.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		if err := schemas.NewBlock(things.Dataset).UnmarshalBinary(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/row")
}
