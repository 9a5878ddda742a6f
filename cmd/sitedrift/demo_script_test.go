//go:build linux && !noengine

package main

import (
	order "cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// checkCoverage compares the matrix, and what is said of what is not seen, with
// the script.
func (w *demoWitness) checkCoverage(t *testing.T) {
	want := [][]string{}
	for _, d := range tables() {
		for _, s := range w.demo.stories {
			state, absent := w.stateOf(s, d)
			want = append(want, []string{d.Name, s.tenant, state, absent})
		}
	}
	slices.SortFunc(want, slices.Compare)
	if diff := cmp.Diff(want, w.ask(t, sqlCoverage)); diff != "" {
		t.Errorf("matrix (-want +got):\n%s", diff)
	}
	unseen := w.ask(t, sqlUnseen)
	if len(unseen) != 2 {
		t.Errorf("%d things are wrong, the script has 2", len(unseen))
	}
	for _, r := range unseen {
		switch tenant, parts, what, state, evidence, unlock := r[0], r[1], r[2], r[3], r[4], r[5]; {
		case tenant == "globex" && what == "audit_events, security_configuration audit_retention, user_activity" && state == "forbidden" &&
			strings.Contains(unlock, "read:audit-log:confluence") && strings.Contains(evidence, "read:audit-log:confluence"):
		case tenant == "initech" && parts == strconv.Itoa(len(tables())) && state == "forbidden" && strings.Contains(evidence, "the grant is dead") && unlock == "sitedrift connect --tenant initech":
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

// stateOf is the state that a dataset ends in, and whether there is no such thing.
func (w *demoWitness) stateOf(s *story, d *schemas.Dataset) (state, absent string) {
	deployment := schemas.Cloud
	if s.dc != nil {
		deployment = schemas.DataCenter
	}
	reached := slices.ContainsFunc(d.Sources, func(a schemas.Access) bool { return w.opens(s, a) })
	switch {
	case s.tenant == "initech":
		return "forbidden", "0"
	case !d.On(deployment):
		return "not_exposed", "1"
	case strings.HasPrefix(d.Name, "space_role") && s.site != nil && s.site.Truth().Settings.RoleMode == "PRE_ROLES":
		return "not_exposed", "1"
	case !reached:
		return "not_exposed", "0"
	case s.tenant == "globex" && (d.Name == "audit_events" || d.Name == "user_activity"):
		return "forbidden", "0"
	case s.site != nil && d.Name == "security_configuration": // nobody has every credential
		return "partial", "0"
	default:
		return "complete", "0"
	}
}

// opens reports whether a story's credentials are of the kind that an access is for.
func (w *demoWitness) opens(s *story, a schemas.Access) bool {
	return !a.Closed && slices.Contains(s.kinds, a.Credential)
}

// checkUnlock compares what other credentials are said to open with the
// declarations.
func (w *demoWitness) checkUnlock(t *testing.T) {
	var want [][]string
	for _, s := range w.demo.stories {
		if s.dc != nil || s.tenant == "initech" {
			continue
		}
		closed, by := map[string]bool{}, map[string]map[string]bool{}
		for _, d := range tables() {
			for _, section := range append(d.SectionsOf(schemas.Cloud), "") {
				var kinds []string
				open, any := false, false
				for _, a := range d.Sources {
					if a.Deployment != schemas.Cloud || a.Section != section {
						continue
					}
					any, open = true, open || w.opens(s, a)
					if !a.Closed {
						kinds = append(kinds, a.Credential)
					}
				}
				if !any || open {
					continue
				}
				closed[d.Name] = true
				for _, kind := range kinds {
					if by[kind] == nil {
						by[kind] = map[string]bool{}
					}
					by[kind][d.Name] = true
				}
			}
		}
		kinds := slices.SortedFunc(maps.Keys(by), func(a, b string) int {
			return order.Or(len(by[b])-len(by[a]), strings.Compare(a, b))
		})
		var would []string
		for i, kind := range kinds {
			verb := " would open "
			if i > 0 {
				verb = " "
			}
			would = append(would, kind+verb+strconv.Itoa(len(by[kind])))
		}
		present := slices.Sorted(slices.Values(s.kinds))
		want = append(want, []string{s.tenant, strings.Join(present, " and "), strconv.Itoa(len(closed)), strings.Join(would, ", ")})
	}
	if diff := cmp.Diff(want, w.ask(t, sqlUnlock)); diff != "" {
		t.Errorf("what other credentials would open (-want +got):\n%s", diff)
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
		if began.Before(w.demo.day(10.1)) || began.After(w.demo.day(10.65)) || ended.Before(w.demo.day(12.1)) || ended.After(w.demo.day(12.65)) {
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
	for name := range truthOf(w.demo.story("umbrella"), w.names["umbrella"], w.demo.end).rows {
		want = append(want, name)
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
		for _, c := range d.story(tenant).site.Log() {
			if c.Kind == kind && c.At.Sub(d.day(day)).Abs() < time.Second {
				return c
			}
		}
		t.Fatalf("%s: no %s at %s in the site's log", tenant, kind, d.day(day))
		return sim.Change{}
	}
	anonymous, admin := near("acme", 8.4, sim.PermissionAdded), near("acme", 13.6, sim.PermissionAdded)
	guest, hidden := near("acme", 17.3, sim.UserChanged), near("acme", 22.5, sim.SpaceHidden)
	link := near("acme", 27.45, sim.PublicLinkChanged)
	retention := near("umbrella", 24.2, sim.SettingsChanged)
	before, after := retention.Before.(sim.SiteConfiguration), retention.After.(sim.SiteConfiguration)
	for _, i := range []struct {
		tenant, dataset, partition, key, change string
		at                                      time.Time
		before, after                           []string // that these texts hold
	}{
		{"acme", "space_permissions", anonymous.SpaceID, anonymous.PermissionID, "added", anonymous.At, nil, []string{`"anonymous-users"`, `"read"`}},
		{"acme", "space_permissions", admin.SpaceID, admin.PermissionID, "added", admin.At, nil, []string{`"administer"`, admin.After.(sim.Permission).PrincipalID}},
		{"acme", "external_collaborators", "", guest.AccountID, "added", guest.At, nil, []string{`"account_id":"` + guest.AccountID + `"`}},
		{"acme", "public_links", link.SpaceID, link.Key, "added", link.At, nil, []string{`"title":"Salary review"`, `"status":"ON"`}},
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
	if !slices.ContainsFunc(gravest, func(r []string) bool { return r[1] == "acme" && strings.HasSuffix(r[4], "Salary review") }) {
		t.Errorf("what only the classic token sees is not among the gravest: %v", gravest)
	}
	if len(gravest) != 5 || !slices.IsSortedFunc(gravest, func(a, b []string) int { return -strings.Compare(a[0], b[0]) }) {
		t.Errorf("the five gravest: %v", gravest)
	}
}

// checkReplay starts with the last baseline of each dataset, follows the events,
// and must end at the view.
func (w *demoWitness) checkReplay(t *testing.T) {
	type base struct{ at, seq string }
	bases, events := map[[2]string]base{}, map[[2]string][]killEvent{}
	for _, r := range w.ask(t, "SELECT tenant_id, dataset, max(observed_at), max(seq) FROM changes WHERE change = 'baseline' AND partition_id = '' GROUP BY tenant_id, dataset") {
		bases[[2]string{r[0], r[1]}] = base{r[2], r[3]}
	}
	for _, r := range w.ask(t, "SELECT tenant_id, dataset, partition_id, entity_key, change, before, after, seq FROM changes WHERE change NOT IN ('baseline', 'coverage') ORDER BY seq") {
		lane := [2]string{r[0], r[1]}
		if number(t, r[7]) > number(t, bases[lane].seq) {
			events[lane] = append(events[lane], killEvent{tenant: r[0], dataset: r[1], partition: r[2], key: r[3], change: r[4], before: r[5], after: r[6]})
		}
	}
	for lane, want := range w.last {
		d, key := lane.table, [2]string{lane.tenant, lane.table.Name}
		state := w.shown(t, d, fmt.Sprintf("_at(at = '%s')", bases[key].at), "tenant_id = '"+lane.tenant+"'")[lane.tenant]
		if state == nil {
			state = demoRows{}
		}
		for _, e := range events[key] {
			entity := demoEntity{e.partition, e.key}
			fields, there := state[entity]
			switch schemas.ChangeKind(e.change) {
			case schemas.ChangeRemoved, schemas.ChangeVanished:
				if e.key == e.partition && strings.HasPrefix(e.before, `{"rows":`) { // with all that it had; a grant may have the id of its space
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
