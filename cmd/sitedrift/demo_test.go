//go:build linux && !noengine

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// demoWeeks is the length of the history that is compared with the truth.
const demoWeeks = 4

// demoEnd is when the demo that is compared with the truth ends. At another hour
// other days of the sites' history fall together with the last look, and what is
// held at the end is another: the script says what is seen at this one.
var demoEnd = time.Date(2026, time.November, 22, 14, 0, 0, 0, time.UTC)

// TestDemo plays the demo and holds every number of its report, and all that it
// claims, against the simulator.
func TestDemo(t *testing.T) { //nolint:tparallel // its parts share one witness
	t.Parallel()
	log := &canaryLog{}
	d, err := newDemo(t.Context(), demoDir(t), demoEnd, demoWeeks, log.logger(), []string{program(t), "engine"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	w := watchDemo(t, d)
	if err := d.play(t.Context(), func(time.Time) {}); err != nil {
		t.Fatal(err)
	}
	t.Run("rows", w.checkRows)
	t.Run("audit log", w.checkAudit)
	t.Run("sites", w.checkSites)
	t.Run("API calls", w.checkCalls)
	t.Run("changes", w.checkChanges)
	t.Run("coverage", w.checkCoverage)
	t.Run("unlock", w.checkUnlock)
	t.Run("partial failure", w.checkPartialFailure)
	t.Run("quiet epoch", w.checkQuietEpoch)
	t.Run("incidents", w.checkIncidents)
	t.Run("replay", w.checkReplay)
	t.Run("report", w.checkReport)
	t.Run("secrets", func(t *testing.T) { w.checkSecrets(t, log) })
}

// demoDir is where the data of a demo goes, as the command chooses it.
func demoDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(scratch(), "sitedrift-test-") //nolint:usetesting // the data of a demo lies in memory where there is enough
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ask is the answer to a question, as texts; NULL is killNull.
func (w *demoWitness) ask(t *testing.T, sql string, args ...any) (rows [][]string) {
	t.Helper()
	if len(args) > 0 {
		sql = fmt.Sprintf(sql, args...)
	}
	all, err := w.demo.rows(t.Context(), sql)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	for _, r := range all {
		texts := make([]string, len(r))
		for i, v := range r {
			if texts[i] = v.Text(); v.Null() {
				texts[i] = killNull
			}
		}
		rows = append(rows, texts)
	}
	return rows
}

// shown are the rows of a view of a dataset by tenant; suffix makes another view of
// its name, where a condition.
func (w *demoWitness) shown(t *testing.T, d *schemas.Dataset, suffix, where string) map[string]demoRows {
	t.Helper()
	rows := map[string]demoRows{}
	for _, r := range w.ask(t, "SELECT tenant_id, %s FROM %s%s WHERE %s", killTexts(d), d.Name, suffix, where) {
		if rows[r[0]] == nil {
			rows[r[0]] = demoRows{}
		}
		rows[r[0]].put(d, fieldsOf(d.Name, r[1]))
	}
	return rows
}

// checkRows compares all views with what the sites hold, or held when they could
// be read last.
func (w *demoWitness) checkRows(t *testing.T) {
	for _, d := range tables() {
		if d.Append {
			continue
		}
		want := map[string]demoRows{}
		for lane, rows := range w.last {
			if lane.table == d && len(rows) > 0 {
				want[lane.tenant] = rows
			}
		}
		if diff := cmp.Diff(want, w.shown(t, d, "", "true")); diff != "" {
			t.Errorf("%s by tenant (-want +got):\n%s", d.Name, diff)
		}
	}
	known := map[[2]string]string{}
	for _, r := range w.ask(t, "SELECT tenant_id, dataset, rows_known FROM tiles") {
		known[[2]string{r[0], r[1]}] = r[2]
	}
	for _, s := range w.demo.stories {
		truth := truthOf(s, w.names[s.tenant], w.demo.end)
		for _, d := range tables() {
			want := len(w.last[demoLane{s.tenant, d}])
			if d.Append {
				want = w.auditCount(s)
			}
			if got := known[[2]string{s.tenant, d.Name}]; got != strconv.Itoa(want) {
				t.Errorf("%s of %s has %s rows by its tile, the site %d", d.Name, s.tenant, got, want)
			}
			if s.tenant == "initech" || s.tenant == "globex" && (d.Name == "security_configuration" || d.Name == "user_activity") {
				continue
			}
			for e, row := range truth.rows[d.Name] { // the last look was at the end
				if !cmp.Equal(row, w.last[demoLane{s.tenant, d}][e]) {
					t.Errorf("%s of %s changed after it was read last: %v", d.Name, s.tenant, e)
				}
			}
		}
	}
}

// auditCount is the number of records in the site's log when it was read last: the
// first reading goes back further than the sites do.
func (w *demoWitness) auditCount(s *story) (n int) {
	for _, at := range auditRecords(s) {
		if at.Before(w.audited[s.tenant]) {
			n++
		}
	}
	return n
}

// checkAudit compares the audit log with those of the sites, day by day.
func (w *demoWitness) checkAudit(t *testing.T) {
	want, got := map[[2]string]int{}, map[[2]string]int{}
	for _, s := range w.demo.stories {
		for _, at := range auditRecords(s) {
			if at.Before(w.audited[s.tenant]) {
				want[[2]string{s.tenant, at.UTC().Format(time.DateOnly)}]++
			}
		}
		if (s.tenant == "globex") != w.audited[s.tenant].IsZero() {
			t.Errorf("the audit log of %s was read last at %s", s.tenant, w.audited[s.tenant])
		}
	}
	for _, r := range w.ask(t, "SELECT tenant_id, toDate(at), count() FROM audit_events GROUP BY ALL") {
		got[[2]string{r[0], r[1]}] = number(t, r[2])
	}
	if diff := cmp.Diff(want, got); diff != "" || len(want) < 28 {
		t.Errorf("audit records by tenant and day (-want +got):\n%s", diff)
	}
}

// checkSites compares the report's table of sites with the simulator.
func (w *demoWitness) checkSites(t *testing.T) {
	var want [][]string
	for _, s := range w.demo.stories {
		runs, quiet, calls := 0, 0, int64(0)
		for _, r := range w.demo.runs {
			if r.Tenant == s.tenant {
				runs, calls = runs+1, calls+r.Calls
				if r.Outcome == schemas.OutcomeNoChange {
					quiet++
				}
			}
		}
		line := []string{s.tenant}
		for _, name := range []string{"spaces", "space_permissions", "users"} {
			line = append(line, strconv.Itoa(len(w.last[demoLane{s.tenant, datasetNamed(name)}])))
		}
		want = append(want, append(line, strconv.Itoa(runs), strconv.Itoa(quiet), strconv.FormatInt(calls, 10)))
	}
	if diff := cmp.Diff(want, w.ask(t, sqlSites)); diff != "" {
		t.Errorf("table of sites (-want +got):\n%s", diff)
	}
	if days := 7 * demoWeeks; len(w.demo.runs) < 10*days {
		t.Errorf("%d runs in %d days", len(w.demo.runs), days)
	}
}

// checkCalls compares runs.api_calls with the simulator's own logs. Each request
// counts that reached the API about the tenant's site, on whatever host and
// whatever its answer, repeats included; what connect asks about who consented is
// no part of a run.
func (w *demoWitness) checkCalls(t *testing.T) {
	told := map[string]string{}
	for _, r := range w.ask(t, "SELECT tenant_id, sum(api_calls) FROM runs GROUP BY tenant_id") {
		told[r[0]] = r[1]
	}
	byConnect := map[string]int{"acme": 1, "globex": 1, "initech": 1, "umbrella": 2, "stark": 2} // who consented; on Data Center also whether they administer
	for _, s := range w.demo.stories {
		var counted int64
		var requests []sim.Request
		if s.dc != nil {
			counted, requests = s.dc.APICalls(), s.dc.Requests()
		} else {
			counted, requests = s.site.APICalls()+s.site.SiteCalls(), s.site.Requests()
		}
		if s.org != nil {
			counted += s.org.AdminCalls()
			requests = append(requests, slices.DeleteFunc(w.demo.server.Requests(), func(r sim.Request) bool { return r.Organization != s.org.ID() })...)
		}
		connect := 0
		for _, r := range requests {
			switch {
			case s.site != nil && !r.Gateway && r.Organization == "" && !slices.Contains(s.kinds, schemas.CredentialAPIToken):
				t.Errorf("%s: a request to the site's own host: %+v", s.tenant, r)
			case r.Endpoint == "GET /wiki/rest/api/user/current", s.dc != nil && r.At.Equal(w.demo.start):
				connect++
			}
		}
		if connect != byConnect[s.tenant] || counted != int64(len(requests)) {
			t.Errorf("%s: %d requests by connect, %d in all, the site counts %d", s.tenant, connect, len(requests), counted)
		}
		if told[s.tenant] != strconv.Itoa(len(requests)-connect) {
			t.Errorf("%s: runs.api_calls come to %s, the site was asked %d times", s.tenant, told[s.tenant], len(requests)-connect)
		}
	}
}

// checkChanges compares, run by run, the events with the differences of what the
// site held at this run and at the one before, and the chart with the events.
func (w *demoWitness) checkChanges(t *testing.T) {
	got := map[demoEvents]int{}
	for _, r := range w.ask(t, `SELECT run_id, dataset, multiIf(change IN ('removed', 'vanished'), 'ended', toString(change)) AS kind, count()
FROM changes WHERE change NOT IN ('baseline', 'coverage') GROUP BY run_id, dataset, kind`) {
		got[demoEvents{r[0], r[1], r[2]}] = number(t, r[3])
	}
	if diff := cmp.Diff(w.expected, got); diff != "" {
		t.Errorf("events by run (-want +got):\n%s", diff)
	}
	total, days := 0, w.ask(t, sqlDays)
	for _, r := range days {
		total += number(t, r[2])
	}
	want := 0
	for _, n := range w.expected {
		want += n
	}
	if total != want || want < 50 || len(days) < 7*demoWeeks-3 {
		t.Errorf("the chart has %d changes on %d days, the sites %d", total, len(days), want)
	}
}

// TestDemoSweepsLeftovers: what a killed demo left goes; a running one stays.
func TestDemoSweepsLeftovers(t *testing.T) {
	parent := t.TempDir()
	var dirs []string
	for _, name := range []string{"left", "running", "young"} {
		dir := filepath.Join(parent, demoPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		store, err := state.OpenSQLite(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		if name == "running" {
			t.Cleanup(func() { store.Close() })
		} else if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if hour := time.Now().Add(-time.Hour); name != "young" {
			if err := os.Chtimes(dir, hour, hour); err != nil {
				t.Fatal(err)
			}
		}
		dirs = append(dirs, dir)
	}
	sweepDemos(t.Context(), parent)
	for i, stays := range []bool{false, true, true} {
		if _, err := os.Stat(dirs[i]); (err == nil) != stays {
			t.Errorf("%s: stays %v, want %v", filepath.Base(dirs[i]), err == nil, stays)
		}
	}
}
