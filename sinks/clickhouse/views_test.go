package clickhouse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// attempt is what a test's run writes about spaces: rows, a change for each, the
// coverage of the whole.
type attempt struct {
	tenant string
	seq    uint64
	void   []uint64
	ops    []schemas.Op
	spaces []confluence.Space
	state  schemas.CoverageState
}

func (a attempt) head() schemas.Head {
	h := head(a.tenant, confluence.Spaces.Dataset, a.seq)
	h.Void, h.Rows = a.void, 7
	return h
}

func (a attempt) delta() *schemas.Delta {
	h := a.head()
	var blocks []*schemas.Block
	var changes []schemas.Change
	for i, s := range a.spaces {
		b := spacesBlock(a.ops[i], s)
		blocks = append(blocks, b)
		changes = append(changes, schemas.Change{
			EventID: schemas.EventID(a.tenant, "spaces", "", b.Key(0), a.seq, schemas.ChangeAdded, b.Hash(0)), Tenant: a.tenant, Dataset: "spaces",
			EntityKey: s.SpaceID, EntityName: s.Name, Kind: schemas.ChangeAdded, Fields: []string{"name"}, After: `{"name":"x"}`, Severity: schemas.LevelLow,
			ObservedAt: h.ObservedAt, RunID: h.RunID, Epoch: 1, Seq: a.seq,
		})
	}
	d := delta(h, stream(blocks...))
	d.Parts[0].Changes = records(schemas.ChangesTable, changes...)
	if a.state != "" {
		d.Parts[0].Coverage = records(schemas.CoverageTable, schemas.Coverage{Tenant: a.tenant, Dataset: "spaces", State: a.state, ObservedAt: h.ObservedAt, RunID: h.RunID, Seq: a.seq})
	}
	return d
}

func records[R any](table *schemas.Typed[R], rows ...R) schemas.Blocks {
	b := schemas.NewBlock(table.Dataset)
	page := table.Page(rows)
	for i := range rows {
		page.AppendColumns(b, i)
		b.N++
	}
	return stream(b)
}

func space(id, name string) confluence.Space {
	return confluence.Space{SpaceID: id, Key: "K" + id, Name: name, Type: "global", Status: "current", Alias: new("alias " + name), CreatedAt: epoch}
}

// contract lists the views that the tests look at as a whole.
var contract = []string{"spaces", "spaces_at(at = '2100-01-01 00:00:00')", "spaces_history", "changes", "coverage", "coverage_history", "runs", "tiles"}

// picture is the content of all views.
func picture(t *testing.T, w *Warehouse) map[string][][]string {
	t.Helper()
	p := map[string][][]string{}
	for _, v := range contract {
		p[v] = ask(t, w, "SELECT * FROM "+v+" ORDER BY ALL")
	}
	return p
}

// TestOnlyDecidedRows: rows of void attempts, and of attempts above the head,
// are in no view (Invariants 2 and 3).
func TestOnlyDecidedRows(t *testing.T) {
	w := open(t, nil)
	expect(t, w, schemas.Expected{Tenant: "t", Dataset: "spaces", Group: schemas.GroupPosture, Cadence: time.Hour})
	first := attempt{tenant: "t", seq: 1, ops: []schemas.Op{schemas.OpBaseline, schemas.OpBaseline}, spaces: []confluence.Space{space("1", "one"), space("2", "two")}, state: schemas.CoverageComplete}
	void := attempt{tenant: "t", seq: 2, ops: []schemas.Op{schemas.OpRemoved, schemas.OpAdded}, spaces: []confluence.Space{space("1", "one"), space("3", "void")}, state: schemas.CoverageForbidden}
	next := attempt{tenant: "t", seq: 3, void: []uint64{2}, ops: []schemas.Op{schemas.OpChanged, schemas.OpAdded}, spaces: []confluence.Space{space("1", "uno"), space("4", "four")}, state: schemas.CoveragePartial}
	empty := picture(t, w)
	stage(t, w, first.delta())
	if diff := cmp.Diff(empty, picture(t, w)); diff != "" {
		t.Fatalf("staged rows are visible before Show:\n%s", diff)
	}
	show(t, w, first.head())
	shown := picture(t, w)
	for v, rows := range shown {
		if len(rows) == 0 {
			t.Errorf("%s is empty after Show", v)
		}
	}
	stage(t, w, void.delta())
	stage(t, w, next.delta())
	if diff := cmp.Diff(shown, picture(t, w)); diff != "" {
		t.Fatalf("attempts above the head are visible:\n%s", diff)
	}
	show(t, w, next.head())
	after := picture(t, w)
	if got := ask(t, w, "SELECT name FROM spaces ORDER BY name"); !cmp.Equal(got, [][]string{{"four"}, {"two"}, {"uno"}}) {
		t.Errorf("spaces after the third attempt: %v", got)
	}
	for v, rows := range after {
		if strings.Contains(fmt.Sprint(rows), runID("t", 2).String()) || strings.Contains(fmt.Sprint(rows), "forbidden") {
			t.Errorf("%s shows rows of the void attempt: %v", v, rows)
		}
		if !strings.HasPrefix(v, "tiles") && !strings.Contains(fmt.Sprint(rows), runID("t", 3).String()) {
			t.Errorf("%s does not show the third attempt: %v", v, rows)
		}
	}
	// An older head, or the same one again, changes nothing.
	show(t, w, first.head())
	show(t, w, next.head(), first.head())
	exec(t, w, "OPTIMIZE TABLE sitedrift.heads FINAL")
	if diff := cmp.Diff(after, picture(t, w)); diff != "" {
		t.Errorf("an older head changed what is shown:\n%s", diff)
	}
	// Staging the same delta once more doubles nothing.
	stage(t, w, next.delta())
	if diff := cmp.Diff(after, picture(t, w)); diff != "" {
		t.Errorf("a repeated Stage changed what is shown:\n%s", diff)
	}
	// The sweep takes the void rows off and leaves the others.
	if err := w.Sweep(t.Context(), []schemas.Head{next.head()}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, picture(t, w)); diff != "" {
		t.Errorf("the sweep changed what is shown:\n%s", diff)
	}
	for table, want := range map[string]string{"spaces_versions": "4", "changes_log": "4", "coverage_log": "2", "runs_log": "2"} {
		if got := ask(t, w, "SELECT countIf(seq = 2), countIf(seq != 2) FROM "+table); got[0][0] != "0" || got[0][1] != want {
			t.Errorf("after the sweep %s has %s void and %s other rows, want 0 and %s", table, got[0][0], got[0][1], want)
		}
	}
}

func TestHistory(t *testing.T) {
	w := open(t, nil)
	null := space("1", "uno")
	null.Alias = nil
	steps := []attempt{
		{seq: 1, ops: []schemas.Op{schemas.OpBaseline, schemas.OpBaseline}, spaces: []confluence.Space{space("1", "one"), space("2", "two")}},
		{seq: 2, ops: []schemas.Op{schemas.OpChanged}, spaces: []confluence.Space{null}},
		{seq: 3, ops: []schemas.Op{schemas.OpRemoved, schemas.OpOutOfView}, spaces: []confluence.Space{null, space("2", "two")}},
		{seq: 4, ops: []schemas.Op{schemas.OpAdded}, spaces: []confluence.Space{space("1", "again")}},
	}
	for _, a := range steps {
		a.tenant = "t"
		stage(t, w, a.delta())
		show(t, w, a.head())
	}
	got := ask(t, w, "SELECT space_id, name, alias, change, toString(valid_from), toString(valid_to), toString(run_id) FROM spaces_history ORDER BY space_id, valid_from")
	at := func(seq int) string { return fmt.Sprintf("2026-03-01 %d:00:00.000", 12+seq) }
	run := func(seq uint64) string { return runID("t", seq).String() }
	want := [][]string{
		{"1", "one", "alias one", "baseline", at(1), at(2), run(1)},
		{"1", "uno", "NULL", "changed", at(2), at(3), run(2)},
		{"1", "uno", "NULL", "removed", at(3), at(4), run(3)},
		{"1", "again", "alias again", "added", at(4), "NULL", run(4)},
		{"2", "two", "alias two", "baseline", at(1), at(3), run(1)},
		{"2", "two", "alias two", "out_of_view", at(3), "NULL", run(3)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		at   string
		want [][]string
	}{
		{"2026-03-01 12:59:59.999", [][]string{}},
		{"2026-03-01 13:00:00", [][]string{{"one", "alias one"}, {"two", "alias two"}}},
		// A value that became null stays null: the last one that was not is no answer.
		{"2026-03-01 14:30:00", [][]string{{"two", "alias two"}, {"uno", "NULL"}}},
		{"2026-03-01 15:00:00.000", [][]string{}},
		{"2026-03-02", [][]string{{"again", "alias again"}}},
	} {
		if got := ask(t, w, "SELECT name, alias FROM spaces_at(at = '"+c.at+"') ORDER BY name"); !cmp.Equal(got, c.want) {
			t.Errorf("at %s: %v, want %v", c.at, got, c.want)
		}
	}
	if got := ask(t, w, "SELECT name, toString(first_seen_at), toString(observed_at) FROM spaces"); !cmp.Equal(got, [][]string{{"again", at(4), at(4)}}) {
		t.Errorf("now: %v", got)
	}
}

func TestRunsAndTheirGates(t *testing.T) {
	w := open(t, nil)
	alone := func(seq uint64, o schemas.Outcome) schemas.Run {
		h := head("t", confluence.Spaces.Dataset, seq)
		return schemas.Run{RunID: h.RunID, Tenant: "t", Group: h.Group, Seq: seq, Outcome: o, StartedAt: h.ObservedAt, EndedAt: h.ObservedAt, Datasets: []string{"spaces"}, Error: "it's \x00 over"}
	}
	runs := func(list ...schemas.Run) {
		t.Helper()
		if err := w.Runs(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	runs(alone(1, schemas.OutcomeFailed), alone(2, schemas.OutcomeNoChange))
	runs(alone(2, schemas.OutcomeNoChange))                                    // tried again, grouped otherwise
	runs(alone(2, schemas.OutcomeNoChange), alone(3, schemas.OutcomeNoChange)) // and again
	if got := ask(t, w, "SELECT seq, outcome, error FROM runs ORDER BY seq"); !cmp.Equal(got, [][]string{{"1", "failed", "it's \x00 over"}, {"2", "no_change", "it's \x00 over"}, {"3", "no_change", "it's \x00 over"}}) {
		t.Errorf("runs: %q", got)
	}
	// The process died between the row of attempt 3 and the end of it, and in attempt 5.
	runs(alone(3, schemas.OutcomeAbandoned), alone(5, schemas.OutcomeAbandoned))
	if got := ask(t, w, "SELECT seq, outcome FROM runs WHERE seq > 2 ORDER BY seq"); !cmp.Equal(got, [][]string{{"3", "no_change"}, {"5", "abandoned"}}) {
		t.Errorf("runs that were cut off: %q", got)
	}
	gated := alone(4, schemas.OutcomeChanged)
	gated.Gate = "spaces"
	if err := w.Runs(t.Context(), []schemas.Run{gated}); err == nil {
		t.Error("Runs took a row that must wait for its head")
	}
	if err := w.Runs(t.Context(), nil); err != nil {
		t.Errorf("no runs: %v", err)
	}
}

func expect(t *testing.T, w *Warehouse, list ...schemas.Expected) {
	t.Helper()
	if err := w.Expect(t.Context(), w.now(), list); err != nil {
		t.Fatal(err)
	}
}

// TestExamples runs the SQL of the data dictionary on an empty warehouse and on
// one with rows.
func TestExamples(t *testing.T) {
	w := open(t, nil)
	run := func(state string) {
		for _, d := range confluence.All() {
			for _, e := range d.Examples {
				r, err := w.Query(t.Context(), e.SQL)
				if err != nil {
					t.Errorf("%s, %s: %s: %v", state, d.Name, e.Question, err)
					continue
				}
				for _, err := range r.Rows() {
					if err != nil {
						t.Errorf("%s, %s: %s: %v", state, d.Name, e.Question, err)
					}
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
	run("empty")
	a := attempt{tenant: "t", seq: 1, ops: []schemas.Op{schemas.OpAdded}, spaces: []confluence.Space{space("1", "one")}, state: schemas.CoverageComplete}
	stage(t, w, a.delta())
	g := head("t", confluence.GroupMembers.Dataset, 1)
	stage(t, w, delta(g, stream(block(confluence.GroupMembers, "g1", schemas.OpAdded, confluence.GroupMember{AccountID: "a", GroupName: "site-admins"}))))
	show(t, w, a.head(), g)
	run("with rows")
	if got := ask(t, w, confluence.GroupMembers.Examples[0].SQL); len(got) != 1 {
		t.Errorf("administrators: %v", got)
	}

	// A tenant that was never read is no safe one.
	for i, d := range map[int]*schemas.Dataset{1: confluence.SitePermissions.Dataset, 0: confluence.PublicLinkSpaces.Dataset} {
		expect(t, w, schemas.Expected{Tenant: "dark", Dataset: d.Name, Group: d.Group})
		if got := fmt.Sprint(ask(t, w, d.Examples[i].SQL)); !strings.Contains(got, "dark") || !strings.Contains(got, "never_run") {
			t.Errorf("%s: a tenant that was never read is told of as %s", d.Name, got)
		}
	}
	// What the organization told once is not what it tells.
	activity := confluence.UserActivities
	for seq, evidence := range map[uint64]string{1: "read by admin with admin_key", 2: "read by rest with 3lo"} {
		h := head("u", activity.Dataset, seq)
		told := delta(h, stream(block(activity, "", schemas.OpAdded, confluence.UserActivity{AccountID: "a", Product: "confluence", Source: "organization"})))
		told.Parts[0].Coverage = records(schemas.CoverageTable, schemas.Coverage{Tenant: "u", Dataset: h.Dataset, State: schemas.CoverageComplete, Evidence: evidence, ObservedAt: h.ObservedAt, RunID: h.RunID, Seq: seq})
		stage(t, w, told)
	}
	for seq, want := range []int{1, 0} {
		show(t, w, head("u", activity.Dataset, uint64(seq+1)))
		if got := ask(t, w, activity.Examples[0].SQL); len(got) != want {
			t.Errorf("after run %d: unused seats %v, want %d", seq+1, got, want)
		}
	}
}
