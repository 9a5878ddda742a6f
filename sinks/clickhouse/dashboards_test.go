package clickhouse

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// dashboard is what a Grafana dashboard says of its SQL.
type dashboard struct {
	Panels []struct {
		Title   string
		Type    string
		Targets []struct {
			RawSQL string `json:"rawSql"`
			Expr   string
			Format any // of the ClickHouse plugin: 0 is a time series, 1 a table
		}
	}
	Templating struct {
		List []struct{ Name, Type, Query string }
	}
}

func readDashboard(t *testing.T, file string) (d dashboard) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d
}

// expand replaces what Grafana and its ClickHouse plugin replace (their
// documentation, "Macros" and "Variables"), for the week up to now.
func expand(t *testing.T, sql, tenant string, now time.Time) string {
	t.Helper()
	from, to := now.Add(-7*24*time.Hour).Unix(), now.Add(time.Hour).Unix()
	sql = regexp.MustCompile(`\$__timeFilter\((\w+)\)`).ReplaceAllString(sql, fmt.Sprintf("$1 >= toDateTime(%d) AND $1 <= toDateTime(%d)", from, to))
	sql = regexp.MustCompile(`\$__timeInterval\((\w+)\)`).ReplaceAllString(sql, "toStartOfInterval(toDateTime($1), INTERVAL 3600 second)")
	sql = strings.ReplaceAll(sql, "${tenant:sqlstring}", text(tenant))
	if strings.Contains(sql, "$") {
		t.Errorf("a macro or variable that this test does not know in: %s", sql)
	}
	return sql
}

// fillDashboards writes what every panel has something to show of: a tenant with
// gains, losses, failures and a hold, and one that was never read.
func fillDashboards(t *testing.T, w *Warehouse, now time.Time) {
	t.Helper()
	for _, tenant := range []string{"acme", "never"} {
		expect(t, w, schemas.Expected{Tenant: tenant, Dataset: "spaces", Group: schemas.GroupPosture, Cadence: time.Hour},
			schemas.Expected{Tenant: tenant, Dataset: "groups", Group: schemas.GroupInventory, Cadence: time.Hour})
	}
	d := confluence.Spaces.Dataset
	h := head("acme", d, 1)
	h.Rows, h.ObservedAt = 12, now.Add(-30*time.Hour)
	first := delta(h, spacesStream("one"))
	first.Run.StartedAt, first.Run.EndedAt, first.Run.Points, first.Run.Calls = h.ObservedAt, h.ObservedAt, 40, 4
	first.Parts[0].Changes = records(schemas.ChangesTable, schemas.Change{
		EventID: runID("acme", 100), Tenant: "acme", Dataset: "spaces", EntityKey: "1", EntityName: "one", Kind: schemas.ChangeVanished,
		Severity: schemas.LevelHigh, ObservedAt: h.ObservedAt, RunID: h.RunID, Seq: 1,
	})
	first.Parts[0].Coverage = records(schemas.CoverageTable, schemas.Coverage{Tenant: "acme", Dataset: "spaces", State: schemas.CoverageComplete, ObservedAt: h.ObservedAt, RunID: h.RunID, Seq: 1})
	stage(t, w, first)
	show(t, w, h)
	covered(t, w, "acme", d, 2, 12, now.Add(-29*time.Hour), false, map[string]schemas.Coverage{
		"": {State: schemas.CoverageHeld, Evidence: "10 of 12 would go", LastCompleteAt: now.Add(-30 * time.Hour)},
	})
	covered(t, w, "acme", confluence.Groups.Dataset, 1, 3, now, true, map[string]schemas.Coverage{"": {State: schemas.CoverageComplete}})
	failed := schemas.Run{RunID: runID("acme", 9), Tenant: "acme", Group: schemas.GroupPosture, Seq: 9, Outcome: schemas.OutcomeFailed, StartedAt: now, EndedAt: now, Datasets: []string{"spaces"}, Error: "no answer", Points: 1}
	if err := w.Runs(t.Context(), []schemas.Run{failed}); err != nil {
		t.Fatal(err)
	}
}

func spacesStream(name string) schemas.Blocks {
	return stream(spacesBlock(schemas.OpBaseline, space("1", name)))
}

// TestDashboards runs the SQL of every panel and variable: it reads contract
// views that cannot show a false zero, has something to show of a warehouse with
// rows, and has the shape that its panel draws.
func TestDashboards(t *testing.T) {
	w := open(t, nil)
	now := time.Now().UTC().Truncate(time.Second)
	files, err := filepath.Glob("../../deployments/grafana/*.json")
	if err != nil || len(files) < 2 {
		t.Fatalf("dashboards: %v, %v", files, err)
	}
	run := func(where, sql string) (*Result, [][]Value) {
		t.Helper()
		r, err := w.Query(t.Context(), sql)
		if err != nil {
			t.Errorf("%s: %v\n%s", where, err, sql)
			return nil, nil
		}
		defer r.Close()
		var rows [][]Value
		for row, err := range r.Rows() {
			if err != nil {
				t.Errorf("%s: %v\n%s", where, err, sql)
				return nil, nil
			}
			rows = append(rows, slices.Clone(row))
		}
		return r, rows
	}
	from := regexp.MustCompile(`(?:FROM|JOIN)\s+(\S+)`)
	views := []string{"sitedrift.tiles", "sitedrift.changes", "sitedrift.runs", "sitedrift.coverage", "sitedrift.coverage_history"}
	panels := 0
	for _, state := range []string{"empty", "with rows"} {
		if state == "with rows" {
			fillDashboards(t, w, now)
		}
		for _, file := range files {
			d := readDashboard(t, file)
			for _, v := range d.Templating.List {
				if v.Type == "query" {
					if _, rows := run(file+": variable "+v.Name, v.Query); state == "with rows" && len(rows) != 2 {
						t.Errorf("%s: variable %s has %d values, want 2 tenants", file, v.Name, len(rows))
					}
				}
			}
			for _, p := range d.Panels {
				where := fmt.Sprintf("%s: %s (%s)", filepath.Base(file), p.Title, state)
				if len(p.Targets) != 1 || (p.Targets[0].RawSQL == "") == (p.Targets[0].Expr == "") {
					t.Errorf("%s: want one target, of SQL or of metrics", where)
					continue
				}
				target := p.Targets[0]
				if target.RawSQL == "" {
					continue // of metrics, which cmd/sitedrift checks
				}
				panels++
				for _, m := range from.FindAllStringSubmatch(target.RawSQL, -1) {
					if !slices.Contains(views, m[1]) {
						t.Errorf("%s reads %s: dashboards count from %v", where, m[1], views)
					}
				}
				r, rows := run(where, expand(t, target.RawSQL, "acme", now))
				if r == nil {
					continue
				}
				if (p.Type == "timeseries") != (target.Format == 0.0) || p.Type == "timeseries" && (r.Columns[0] != "time" || !strings.HasPrefix(r.Types[0], "DateTime")) {
					t.Errorf("%s: %s of format %v with %s %s first", where, p.Type, target.Format, r.Columns[0], r.Types[0])
				}
				switch {
				case state == "with rows" && len(rows) == 0:
					t.Errorf("%s shows nothing:\n%s", where, target.RawSQL)
				case state == "empty" && p.Type == "stat" && p.Title != "Tenants" && !rows[0][0].Null():
					t.Errorf("%s: %s where nothing is known", where, rows[0][0].Text())
				}
			}
		}
	}
	if panels < 40 {
		t.Errorf("ran %d panels only", panels)
	}
	// Rows of a dataset that one tenant was never read of are not a smaller sum.
	fleet := readDashboard(t, "../../deployments/grafana/fleet.json")
	for _, p := range fleet.Panels {
		if p.Title != "Coverage by dataset" {
			continue
		}
		r, rows := run(p.Title, p.Targets[0].RawSQL)
		at := slices.Index(r.Columns, "rows")
		for _, row := range rows {
			if !row[at].Null() {
				t.Errorf("%s shows %s rows, though those of one tenant are unknown", row[0].Text(), row[at].Text())
			}
		}
		return
	}
	t.Error("no panel shows the coverage by dataset")
}
