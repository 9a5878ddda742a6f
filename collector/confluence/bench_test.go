package confluence

import (
	"fmt"
	"strings"
	"testing"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// grantsPage is a page of 200 grants as the site writes them.
func grantsPage() []byte {
	var b strings.Builder
	b.WriteString(`{"results":[`)
	operations := []string{"read", "create", "delete", "administer", "export"}
	targets := []string{"space", "page", "comment", "attachment"}
	for i := range 200 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"%d","principal":{"type":"group","id":"c0ffee00-0000-4000-8000-%012d"},"operation":{"key":%q,"targetType":%q}}`,
			9007199254740993+i, i%17, operations[i%5], targets[i%4])
	}
	b.WriteString(`],"_links":{"base":"https://example.atlassian.net/wiki"}}`)
	return []byte(b.String())
}

// BenchmarkSpacePermissions measures what the hot path adds to decoding: compare
// decode with decode+normalize. A row is one grant.
func BenchmarkSpacePermissions(b *testing.B) {
	body := grantsPage()
	run := func(name string, work func() int) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			rows := 0
			for b.Loop() {
				rows += work()
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(testing.AllocsPerRun(3, func() { work() })/200, "allocs/row")
		})
	}
	page := func() []SpacePermissionWire {
		w, err := DecodeSpacePermissions(body)
		if err != nil {
			b.Fatal(err)
		}
		return w.Results
	}
	run("decode", func() int { return len(page()) })
	run("decode+normalize", func() int {
		items := page()
		rows := make([]datasets.SpacePermission, 0, len(items))
		for i := range items {
			row, why := normalizePermission(&items[i], "KEY")
			if why != "" {
				b.Fatal(why)
			}
			rows = append(rows, row)
		}
		return datasets.SpacePermissions.Page(rows).Len()
	})
}
