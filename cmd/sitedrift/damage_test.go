//go:build linux && !noengine

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// TestDamagedPart: the engine cannot read a part that it has stored, as after a full
// disk. It is started again by itself and gives the part up; what was in it is
// missing then, which runs notice, and they read it anew. Nothing is told as removed.
func TestDamagedPart(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	rows, err := w.rows(t.Context(), "SELECT path FROM system.parts WHERE table = 'users_versions' AND active")
	if err != nil || len(rows) == 0 {
		t.Fatalf("%v, %v", rows, err)
	}
	known, err := w.rows(t.Context(), "SELECT toString(rows_known) FROM tiles WHERE tenant_id = 'acme' AND dataset = 'users'") // of the head: the part is not read yet
	if err != nil || known[0][0].Text() == "0" {
		t.Fatalf("%v, %v", known, err)
	}
	for _, r := range rows {
		lose(t, filepath.Join(r[0].Text(), "*.*mrk*"))
	}
	if err := w.site.RenameUser(w.site.Truth().Users[0].AccountID, "Somebody else"); err != nil { // so that the rows are compared
		t.Fatal(err)
	}
	outcome := func() string {
		t.Helper()
		w.clock.set(w.clock.now().Add(time.Hour))
		runs, err := opSync(t.Context(), w.app, syncParams{Tenant: "acme", Datasets: datasetsOf(schemas.GroupInventory)}, func(any) {})
		if err != nil || len(runs) != 1 {
			t.Fatalf("%+v, %v", runs, err)
		}
		return runs[0].Run.Outcome + " " + runs[0].Error
	}
	if got := outcome(); !strings.Contains(got, "cannot read what it stored") {
		t.Fatalf("the part is not damaged: %s", got)
	}
	w.restarted()
	var seen []string
	for range 5 {
		got := outcome()
		seen = append(seen, got)
		if strings.HasPrefix(got, string(schemas.OutcomeNoChange)) {
			break
		}
	}
	t.Logf("the runs after that: %q", seen)
	w.want("SELECT argMax(outcome, started_at) FROM runs WHERE tenant_id = 'acme' AND dataset_group = 'inventory'", "no_change")
	w.want("SELECT dataset, change, entity_name, before, after FROM changes WHERE tenant_id = 'acme' AND dataset = 'users' AND change IN ('added', 'removed', 'vanished')")
	w.want("SELECT toString(count()) FROM users WHERE tenant_id = 'acme'", known[0][0].Text())
}

// lose takes the contents of files, as an engine does that writes to a full disk.
func lose(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// restarted waits until the engine was started again.
func (w *wayWorld) restarted() {
	w.t.Helper()
	for deadline := time.Now().Add(patience); w.app.engine.Restarts() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("the engine is not started again")
		}
	}
}

// TestBrokenMerge: what a merge has made cannot be read. That is noticed while the
// parts before the merge are still there, and nothing is lost.
func TestBrokenMerge(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	for range 3 {
		w.sync(time.Hour)
	}
	runs := func() string {
		t.Helper()
		rows, err := w.rows(t.Context(), "SELECT toString(count()) FROM runs")
		if err != nil {
			return err.Error()
		}
		return rows[0][0].Text()
	}
	known := runs()
	if err := w.app.warehouse.CheckParts(t.Context()); err != nil {
		t.Fatalf("nothing is broken: %v", err)
	}
	conn, err := ch.Open(w.app.engine.Options())
	if err == nil {
		err = errors.Join(conn.Exec(t.Context(), "OPTIMIZE TABLE sitedrift.runs_log FINAL"), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	merged, err := w.rows(t.Context(), "SELECT path FROM system.parts WHERE table = 'runs_log' AND active")
	if err != nil || len(merged) != 1 {
		t.Fatalf("%v, %v", merged, err)
	}
	lose(t, filepath.Join(merged[0][0].Text(), "*"))
	if err := w.app.warehouse.CheckParts(t.Context()); err == nil || !strings.Contains(err.Error(), "runs_log") {
		t.Fatalf("a part of files of no bytes: %v", err)
	}
	w.restarted()
	for deadline := time.Now().Add(patience); runs() != known; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("of %s runs are left: %s", known, runs())
		}
	}
	if err := w.app.warehouse.CheckParts(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestEmptyAnswersRemoveNothing: a site answers everything with 200 and nothing in it,
// as one whose index is built anew. Of three rows and more nothing is told as gone, and
// what is shown stays; when it is itself again, nothing has changed (Invariant 1).
func TestEmptyAnswersRemoveNothing(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	// Activity is the site's own of these hours; the others have one row and two here.
	const but = "tenant_id = 'acme' AND dataset NOT IN ('audit_events', 'user_activity', 'data_policies', 'external_collaborators')"
	const shown = "SELECT dataset, rows_known FROM tiles WHERE " + but + " ORDER BY dataset"
	const told = "SELECT dataset, change, count() FROM changes WHERE " + but + " AND change NOT IN ('baseline', 'coverage') GROUP BY ALL ORDER BY ALL"
	before, err := w.rows(t.Context(), shown)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, r := range before {
		rows = append(rows, r[0].Text()+" "+r[1].Text())
	}
	for _, body := range []string{`{"results":[],"_links":{}}`, `{"results":[],"size":0,"start":0,"limit":200,"_links":{}}`, `{}`, `[]`} {
		w.site.Fail(sim.Fault{Kind: sim.FaultStatus, Status: 200, Body: body, Times: -1})
		w.sync(time.Hour)
		w.sync(time.Hour) // what was held is not published by a second look either
		w.want(told)
		w.want(shown, rows...)
		w.site.ClearFaults()
	}
	w.sync(time.Hour)
	w.want(told)
	w.want(shown, rows...)
}
