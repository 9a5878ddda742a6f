//go:build linux && !noengine

package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// demoWeeks is the length of the history that is compared with the truth.
const demoWeeks = 4

// TestDemo plays the demo and holds every number of its report, and all that it
// claims, against the simulator.
func TestDemo(t *testing.T) {
	d, err := newDemo(t.Context(), t.TempDir(), time.Now(), demoWeeks, zap.NewNop(), []string{program(t), "engine"})
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
	t.Run("sites", w.checkSites)
	t.Run("API calls", w.checkCalls)
	t.Run("changes", w.checkChanges)
	t.Run("coverage", w.checkCoverage)
	t.Run("partial failure", w.checkPartialFailure)
	t.Run("quiet epoch", w.checkQuietEpoch)
	t.Run("incidents", w.checkIncidents)
	t.Run("replay", w.checkReplay)
	t.Run("report", w.checkReport)
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

// shown are the rows of a view of a tenant's dataset; suffix makes another view
// of its name.
func (w *demoWitness) shown(t *testing.T, tenant string, d *schemas.Dataset, suffix string) demoRows {
	t.Helper()
	rows := demoRows{}
	for _, r := range w.ask(t, "SELECT %s FROM %s%s WHERE tenant_id = '%s'", killTexts(d), d.Name, suffix, tenant) {
		rows.put(d, fieldsOf(d.Name, r[0]))
	}
	return rows
}

// checkRows compares all views with what the sites hold, or held when they could
// be read last.
func (w *demoWitness) checkRows(t *testing.T) {
	for lane, want := range w.last {
		if diff := cmp.Diff(want, w.shown(t, lane.tenant, lane.table, "")); diff != "" {
			t.Errorf("%s of %s (-want +got):\n%s", lane.table.Name, lane.tenant, diff)
		}
	}
	for _, s := range w.demo.stories { // the last look was at the end
		for d, now := range truthOf(s.site) {
			if s.tenant != "initech" && (s.tenant != "globex" || d.Name != "security_configuration") && !cmp.Equal(now, w.last[demoLane{s.tenant, d}]) {
				t.Errorf("%s of %s changed after it was read last", d.Name, s.tenant)
			}
		}
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
			line = append(line, strconv.Itoa(len(w.last[demoLane{s.tenant, tableNamed(t, name)}])))
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

// checkCalls compares runs.api_calls with the simulator's own log. Each request
// that reached the API under the site's cloud id counts, whatever its answer,
// repeats included; what connect asks about who consented is no part of a run.
func (w *demoWitness) checkCalls(t *testing.T) {
	told := map[string]string{}
	for _, r := range w.ask(t, "SELECT tenant_id, sum(api_calls) FROM runs GROUP BY tenant_id") {
		told[r[0]] = r[1]
	}
	for _, s := range w.demo.stories {
		asked, byConnect := 0, 0
		for _, r := range s.site.Requests() {
			switch {
			case !r.Gateway:
				t.Errorf("%s: a request to the site's own host: %+v", s.tenant, r)
			case r.Endpoint == "GET /wiki/rest/api/user/current":
				byConnect++
			default:
				asked++
			}
		}
		consents := 1
		if s.tenant == "umbrella" {
			consents = 2
		}
		if byConnect != consents || s.site.APICalls() != int64(asked+byConnect) {
			t.Errorf("%s: %d requests by connect for %d consents, %d in all, the site counts %d", s.tenant, byConnect, consents, asked+byConnect, s.site.APICalls())
		}
		if told[s.tenant] != strconv.Itoa(asked) {
			t.Errorf("%s: runs.api_calls come to %s, the site was asked %d times", s.tenant, told[s.tenant], asked)
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

// checkCoverage compares the matrix, and what is said of what is not seen, with
// the script.
func (w *demoWitness) checkCoverage(t *testing.T) {
	want := [][]string{}
	for _, d := range tables() {
		for _, s := range w.demo.stories {
			state := "complete"
			switch {
			case s.tenant == "initech":
				state = "forbidden"
			case s.tenant == "globex" && d.Name == "security_configuration":
				state = "partial"
			}
			want = append(want, []string{d.Name, s.tenant, state})
		}
	}
	slices.SortFunc(want, slices.Compare)
	if diff := cmp.Diff(want, w.ask(t, sqlCoverage)); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	for _, r := range w.ask(t, sqlUnseen) {
		switch tenant, what, state, evidence, unlock := r[0], r[1], r[2], r[3], r[4]; {
		case tenant == "globex" && what == "security_configuration audit_retention" && state == "forbidden" &&
			strings.Contains(unlock, "read:audit-log:confluence") && strings.Contains(evidence, "read:audit-log:confluence"):
		case tenant == "initech" && state == "forbidden" && strings.Contains(evidence, "the grant is dead") && unlock == "sitedrift connect --tenant initech":
		default:
			t.Errorf("not in the script: %q", r)
		}
	}
	for _, r := range w.ask(t, "SELECT dataset, min(observed_at) FROM coverage_history WHERE tenant_id = 'initech' AND state = 'forbidden' GROUP BY dataset") {
		if at := moment(t, r[1]); at.Before(w.demo.day(16.2)) || at.After(w.demo.day(17.3)) {
			t.Errorf("%s of initech is forbidden from %s on; its grant died at %s", r[0], at, w.demo.day(16.2))
		}
	}
}

// checkPartialFailure follows the space that could not be read for two days.
func (w *demoWitness) checkPartialFailure(t *testing.T) {
	const history = "SELECT state, observed_at, evidence FROM coverage_history WHERE tenant_id = 'umbrella' AND dataset = 'space_permissions' AND partition_id = '%s' ORDER BY seq"
	for partition, states := range map[string][]string{w.broken: {"complete", "failed", "complete"}, "": {"complete", "partial", "complete"}} {
		rows := w.ask(t, history, partition)
		var got []string
		for _, r := range rows {
			got = append(got, r[0])
		}
		if diff := cmp.Diff(states, got); diff != "" {
			t.Fatalf("states of %q (-want +got):\n%s", partition, diff)
		}
		began, ended := moment(t, rows[1][1]), moment(t, rows[2][1])
		if began.Before(w.demo.day(10.1)) || began.After(w.demo.day(10.5)) || ended.Before(w.demo.day(12.1)) || ended.After(w.demo.day(12.5)) {
			t.Errorf("%q could not be read from %s to %s; the script says %s to %s", partition, began, ended, w.demo.day(10.1), w.demo.day(12.1))
		}
		if !strings.Contains(rows[1][2], "500") {
			t.Errorf("%q: the evidence does not tell the status: %s", partition, rows[1][2])
		}
	}
	if rows := w.ask(t, "SELECT change, entity_key FROM changes WHERE tenant_id = 'umbrella' AND dataset = 'space_permissions' AND partition_id = '%s' AND change != 'coverage' AND observed_at BETWEEN '%s' AND '%s'",
		w.broken, clickTime(w.demo.day(10.1)), clickTime(w.demo.day(12.1))); len(rows) != 0 {
		t.Errorf("events of a space that could not be read (Invariant 1): %v", rows)
	}
}

// checkQuietEpoch checks that the second administrator's view began with one
// baseline change for each dataset, and no flood.
func (w *demoWitness) checkQuietEpoch(t *testing.T) {
	rows := w.ask(t, sqlQuiet)
	var datasets, want []string
	for _, r := range rows {
		if at := moment(t, r[0]); r[1] != "umbrella" || r[3] != "credentials changed" || at.Before(w.demo.day(19.2)) || at.After(w.demo.day(20.5)) {
			t.Errorf("not in the script: %q", r)
		}
		datasets = append(datasets, r[2])
	}
	for _, d := range tables() {
		want = append(want, d.Name)
	}
	slices.Sort(datasets)
	slices.Sort(want)
	if diff := cmp.Diff(want, datasets); diff != "" {
		t.Errorf("datasets whose epoch began (-want +got):\n%s", diff)
	}
	if rows := w.ask(t, `SELECT c.dataset, c.change, count() FROM changes AS c INNER JOIN (SELECT run_id, dataset FROM changes WHERE change = 'baseline') AS b ON b.run_id = c.run_id AND b.dataset = c.dataset
WHERE c.change NOT IN ('baseline', 'coverage') GROUP BY c.dataset, c.change`); len(rows) != 0 {
		t.Errorf("runs that begin an epoch tell more than its beginning (Invariant 4): %v", rows)
	}
	if rows := w.ask(t, "SELECT tenant_id, dataset, count() FROM changes WHERE change = 'baseline' AND JSONExtractString(after, 'reason') = 'first run' GROUP BY tenant_id, dataset HAVING count() != 1"); len(rows) != 0 {
		t.Errorf("more than one first run: %v", rows)
	}
}

// checkIncidents finds each scripted incident among the changes of high severity,
// with what was before and after, between the two runs around it.
func (w *demoWitness) checkIncidents(t *testing.T) {
	d := w.demo
	near := func(tenant string, day float64, kind sim.ChangeKind) sim.Change {
		t.Helper()
		i := slices.IndexFunc(d.stories, func(s *story) bool { return s.tenant == tenant })
		for _, c := range d.stories[i].site.Log() {
			if c.Kind == kind && c.At.Sub(d.day(day)).Abs() < time.Second {
				return c
			}
		}
		t.Fatalf("%s: no %s at %s in the site's log", tenant, kind, d.day(day))
		return sim.Change{}
	}
	anonymous, admin := near("acme", 8.4, sim.PermissionAdded), near("acme", 13.6, sim.PermissionAdded)
	guest, hidden := near("acme", 17.3, sim.UserChanged), near("acme", 22.5, sim.SpaceHidden)
	retention := near("umbrella", 24.2, sim.SettingsChanged)
	before, after := retention.Before.(sim.SiteConfiguration), retention.After.(sim.SiteConfiguration)
	for _, i := range []struct {
		tenant, dataset, partition, key, change string
		at                                      time.Time
		before, after                           []string // that these texts hold
	}{
		{"acme", "space_permissions", anonymous.SpaceID, anonymous.PermissionID, "added", anonymous.At, nil, []string{`"anonymous-users"`, `"read"`}},
		{"acme", "space_permissions", admin.SpaceID, admin.PermissionID, "added", admin.At, nil, []string{`"administer"`, admin.After.(sim.Permission).PrincipalID}},
		{"acme", "external_collaborators", "", guest.AccountID, "added", guest.At, nil, []string{`"account_id":"` + guest.AccountID + `"`, `"account_status":"active"`}},
		{"acme", "spaces", "", hidden.SpaceID, "vanished", hidden.At, []string{`"space_key":"` + hidden.Before.(sim.Space).Key + `"`}, nil},
		{
			"umbrella", "security_configuration", "audit_retention", "audit_retention", "changed",
			retention.At,
			[]string{fmt.Sprintf("%d %s", before.RetentionNumber, before.RetentionUnits)},
			[]string{fmt.Sprintf("%d %s", after.RetentionNumber, after.RetentionUnits)},
		},
	} {
		rows := w.ask(t, "SELECT severity, observed_at, ifNull(not_before, observed_at), before, after FROM changes WHERE tenant_id = '%s' AND dataset = '%s' AND partition_id = '%s' AND entity_key = '%s' AND change = '%s' AND observed_at >= '%s' ORDER BY observed_at LIMIT 1",
			i.tenant, i.dataset, i.partition, i.key, i.change, clickTime(i.at))
		if len(rows) != 1 {
			t.Errorf("%s %s %s at %s: not told", i.tenant, i.dataset, i.change, i.at)
			continue
		}
		r := rows[0]
		if r[0] != "high" || moment(t, r[1]).Before(i.at) || moment(t, r[2]).After(i.at) {
			t.Errorf("%s %s %s at %s: severity %s, seen between %s and %s", i.tenant, i.dataset, i.change, i.at, r[0], r[2], r[1])
		}
		for _, part := range i.before {
			if !strings.Contains(r[3], part) {
				t.Errorf("%s %s %s: before is %s without %s", i.tenant, i.dataset, i.change, r[3], part)
			}
		}
		for _, part := range i.after {
			if !strings.Contains(r[4], part) {
				t.Errorf("%s %s %s: after is %s without %s", i.tenant, i.dataset, i.change, r[4], part)
			}
		}
	}
	gravest := w.ask(t, sqlGravest)
	if len(gravest) != 5 || !slices.IsSortedFunc(gravest, func(a, b []string) int { return -strings.Compare(a[0], b[0]) }) {
		t.Errorf("the five gravest: %v", gravest)
	}
}

// checkReplay starts with the last baseline of each dataset, follows the events,
// and must end at the view.
func (w *demoWitness) checkReplay(t *testing.T) {
	for lane, want := range w.last {
		d := lane.table
		base := w.ask(t, "SELECT max(observed_at), max(seq) FROM changes WHERE tenant_id = '%s' AND dataset = '%s' AND change = 'baseline' AND partition_id = ''", lane.tenant, d.Name)[0]
		state := w.shown(t, lane.tenant, d, fmt.Sprintf("_at(at = '%s')", base[0]))
		for _, r := range w.ask(t, "SELECT partition_id, entity_key, change, before, after FROM changes WHERE tenant_id = '%s' AND dataset = '%s' AND seq > %s AND change NOT IN ('baseline', 'coverage') ORDER BY seq",
			lane.tenant, d.Name, base[1]) {
			e := killEvent{tenant: lane.tenant, dataset: d.Name, partition: r[0], key: r[1], change: r[2], before: r[3], after: r[4]}
			entity := demoEntity{e.partition, e.key}
			fields, there := state[entity]
			switch schemas.ChangeKind(e.change) {
			case schemas.ChangeRemoved, schemas.ChangeVanished:
				if e.partition != "" && e.key == e.partition { // with all that it had
					maps.DeleteFunc(state, func(k demoEntity, _ map[string]string) bool { return k.partition == e.partition })
				} else if !there {
					t.Errorf("ends and was not there: %+v", e)
				}
				delete(state, entity)
			default:
				if there != (e.change == string(schemas.ChangeChanged)) {
					t.Errorf("there: %v: %+v", there, e)
				}
				changed := maps.Clone(fields)
				if !there {
					changed = map[string]string{}
				}
				for column, value := range eventFields(t, e) {
					if slices.Contains(killColumns(d), column) { // names as of then are no part of the row's state
						changed[column] = value
					}
				}
				state[entity] = changed
			}
		}
		if diff := cmp.Diff(want, state); diff != "" {
			t.Errorf("%s of %s: who follows the events does not end at the truth (-want +got):\n%s", d.Name, lane.tenant, diff)
		}
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
