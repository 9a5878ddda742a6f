package confluence_test

import (
	"cmp"
	goflag "flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

//go:generate go test -count=1 -run ^TestFaultTable$ -update .

var update = goflag.Bool("update", false, "write the page of faults anew")

// faultRow is a call of a dataset with the outcome of each fault.
type faultRow struct {
	deployment, dataset, api, name, call string
	outcomes                             map[string][]string // faults by outcome
	cells                                int
}

func (r *faultRow) put(outcome, fault string) {
	r.outcomes[outcome] = append(r.outcomes[outcome], fault)
	r.cells++
}

func faultRows() (rows []*faultRow) {
	for _, x := range targets() {
		r := &faultRow{schemas.Cloud, x.table.Name, cmp.Or(x.api, schemas.APIRest), x.name, cmp.Or(x.field, x.endpoint), map[string][]string{}, 0}
		for _, c := range faultCases() {
			if outcome, ok := x.outcome(c); ok {
				r.put(outcome, c.name)
			}
		}
		rows = append(rows, r)
	}
	for _, x := range dcTargets() {
		r := &faultRow{schemas.DataCenter, x.table.Name, "", x.name, x.endpoint, map[string][]string{}, 0}
		for _, c := range dcFaultCases() {
			r.put(x.outcome(c), c.name)
		}
		rows = append(rows, r)
	}
	return rows
}

// TestEveryCallIsFaulted: each call that a source declares is one that faults are
// tried on, in its own dataset or in one that this leans on.
func TestEveryCallIsFaulted(t *testing.T) {
	t.Parallel()
	rows := faultRows()
	for _, d := range datasets.All() {
		within := append([]string{d.Name, d.Parent}, d.Needs...)
		for _, a := range d.Sources {
			for _, call := range a.Calls {
				if !slices.ContainsFunc(rows, func(r *faultRow) bool { return r.of(a, call) && slices.Contains(within, r.dataset) }) {
					t.Errorf("%s on %s: no faults are tried on %s %s", d.Name, a.Deployment, a.API, call)
				}
			}
		}
	}
}

// of reports whether the row is about a call of a source.
func (r *faultRow) of(a schemas.Access, call string) bool {
	if r.deployment != a.Deployment || r.api != "" && r.api != a.API {
		return false
	}
	if a.API == schemas.APIGraphQL {
		return r.call == call || strings.HasPrefix(r.call, call+".")
	}
	return strings.HasSuffix(call, r.call)
}

// TestFaultTable holds the page for people against what is tested.
func TestFaultTable(t *testing.T) {
	t.Parallel()
	page, file := faultPage(faultRows()), filepath.Join("..", "..", "docs", "faults.md")
	if *update {
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if diff := gocmp.Diff(page, string(got)); err != nil || diff != "" {
		t.Errorf("%s: %v; run make generate (-want +got):\n%s", file, err, diff)
	}
}

const faultIntro = `<!-- Generated from the tests by ` + "`make generate`" + `. Do not edit. -->

# What a fault of a site comes to

Every call of every dataset is tried with every fault that its kind of answer can have: %d cells, each run by ` + "`TestFaults`" + ` or
` + "`TestDataCenterFaults`" + ` against the simulator. None is untested: the page is made of the same list as the tests, and ` + "`TestEveryCallIsFaulted`" + `
fails for a declared call that is not in it. Whatever the outcome, each row that is handed over is true and none comes twice; only
` + "`complete`" + ` lets a row end, so no fault makes a removal. A call that a dataset shares with one it leans on stands there once.

The outcomes are the states of ` + "`coverage`" + `. ` + "`complete*`" + ` means that the site itself says that nothing is there, in an answer without a
flaw: the brake on mass removals and a second look at each vanished parent stand behind it.
`

func faultPage(rows []*faultRow) string {
	var b strings.Builder
	total := 0
	for _, r := range rows {
		total += r.cells
	}
	fmt.Fprintf(&b, faultIntro, total)
	for _, deployment := range []string{schemas.Cloud, schemas.DataCenter} {
		fmt.Fprintf(&b, "\n## %s\n", map[string]string{schemas.Cloud: "Cloud", schemas.DataCenter: "Data Center"}[deployment])
		// Calls with the same outcomes share a table.
		var order []string
		alike := map[string][]*faultRow{}
		for _, r := range rows {
			if r.deployment != deployment {
				continue
			}
			table := r.table()
			if alike[table] == nil {
				order = append(order, table)
			}
			alike[table] = append(alike[table], r)
		}
		for _, table := range order {
			b.WriteString("\n")
			for _, r := range alike[table] {
				title := r.name
				if r.name != r.dataset {
					title = r.dataset + ", " + r.name
				}
				fmt.Fprintf(&b, "- %s: `%s`\n", title, r.call)
			}
			b.WriteString("\n| outcome | of |\n|---|---|\n" + table)
		}
	}
	return b.String()
}

// table lists the outcomes with their faults.
func (r *faultRow) table() string {
	var b strings.Builder
	for _, outcome := range slices.Sorted(maps.Keys(r.outcomes)) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", outcome, strings.Join(r.outcomes[outcome], "; "))
	}
	return b.String()
}
