//go:build linux && !noengine

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
)

// version is a row of D_history.
type killVersion struct {
	dataset, tenant, partition, key string
	change, from, to, run           string
	texts                           string
}

func (v killVersion) entity() [4]string { return [4]string{v.dataset, v.tenant, v.partition, v.key} }

func keyColumn(d *schemas.Dataset) string {
	i := slices.IndexFunc(d.Columns, func(c schemas.ColumnInfo) bool { return c.Role == schemas.RoleKey })
	return d.Columns[i].Name
}

func (d *daemon) history(t testing.TB) []killVersion {
	t.Helper()
	rows := d.mustAll(t, each(killTables(), func(table *schemas.Dataset) string {
		partition := table.PartitionColumn
		if partition == "" {
			partition = "''"
		}
		return fmt.Sprintf(`SELECT '%s' AS dataset, toString(tenant_id) AS tenant, %s AS p, %s AS k, toString(change) AS c,
toString(valid_from) AS f, ifNull(toString(valid_to), '') AS u, toString(run_id) AS r, %s AS x FROM %s_history`,
			table.Name, partition, keyColumn(table), killTexts(table), table.Name)
	}))
	all := make([]killVersion, len(rows))
	for i, r := range rows {
		all[i] = killVersion{r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]}
	}
	slices.SortFunc(all, func(a, b killVersion) int { return strings.Compare(a.from, b.from) })
	return all
}

// checkHistory checks that the versions of each entity follow each other: they
// do not overlap, an entity is added when it is not there, and changes and ends
// when it is; what is there in the end is what the view shows. Of datasets that a
// new release renewed, what was there is a baseline once more.
func checkHistory(t testing.TB, versions []killVersion, want killRows, renewed ...string) {
	t.Helper()
	byEntity := map[[4]string][]killVersion{}
	for _, v := range versions {
		byEntity[v.entity()] = append(byEntity[v.entity()], v)
	}
	present := killRows{}
	for dataset := range want {
		present[dataset] = nil
	}
	for entity, all := range byEntity {
		live := false
		for i, v := range all {
			switch v.change {
			case "baseline", "added":
				if live && !(v.change == "baseline" && slices.Contains(renewed, v.dataset)) {
					t.Errorf("%v is %s at %s and was there already", entity, v.change, v.from)
				}
				live = true
			case "changed":
				if !live {
					t.Errorf("%v changed at %s and was not there", entity, v.from)
				}
			case "removed", "out_of_view":
				if !live {
					t.Errorf("%v ended at %s and was not there", entity, v.from)
				}
				live = false
			default:
				t.Errorf("%v: change %q", entity, v.change)
			}
			next := ""
			if i+1 < len(all) {
				next = all[i+1].from
				if next <= v.from {
					t.Errorf("%v has two versions at %s", entity, v.from)
				}
			}
			if v.to != next {
				t.Errorf("%v: the version of %s is valid to %q, the next begins at %q", entity, v.from, v.to, next)
			}
		}
		if live {
			last := all[len(all)-1]
			present[last.dataset] = append(present[last.dataset], last.texts)
		}
	}
	if diff := cmp.Diff(want, present.sorted()); diff != "" {
		t.Errorf("the last versions are not the truth (-want +got):\n%s", diff)
	}
}

// killRun is a row of runs.
type killRun struct {
	tenant, group, id, outcome     string
	seq                            int
	written, added, changed, ended int
}

// runs are the rows of runs. A run whose row was stored and that was then cut off
// must not be told of as cut off.
func (d *daemon) runs(t testing.TB) (all []killRun) {
	t.Helper()
	for _, r := range d.mustRows(t, `SELECT toString(run_id), outcome FROM runs WHERE outcome = 'abandoned'
AND run_id IN (SELECT run_id FROM sitedrift.runs_log WHERE gate = '' AND outcome != 'abandoned')`) {
		t.Errorf("run %s stored its row and is told of as %s", r[0], r[1])
	}
	for _, r := range d.mustRows(t, `SELECT tenant_id, dataset_group, toString(run_id), outcome, seq, rows_written, added, changed, removed + vanished FROM runs ORDER BY tenant_id, dataset_group, seq`) {
		n := make([]int, 5)
		for i := range n {
			n[i], _ = strconv.Atoi(r[4+i])
		}
		all = append(all, killRun{r[0], r[1], r[2], r[3], n[0], n[1], n[2], n[3], n[4]})
	}
	return all
}

// checkRuns checks that each attempt is told of once, none is missing, and that
// each published run is whole: the versions that readers see of it, over all
// datasets, are as many as it says that it wrote. It returns how many runs were
// cut off. What a new release wrote anew of renewed datasets was not added.
func (d *daemon) checkRuns(t testing.TB, versions []killVersion, renewed ...string) (abandoned int) {
	t.Helper()
	type tally struct{ written, added, changed, ended int }
	seen, live := map[string]*tally{}, map[[4]string]bool{}
	for _, v := range versions {
		n := seen[v.run]
		if n == nil {
			n = &tally{}
			seen[v.run] = n
		}
		n.written++
		switch v.change {
		case "baseline", "added":
			if !live[v.entity()] || !slices.Contains(renewed, v.dataset) {
				n.added++
			}
			live[v.entity()] = true
		case "changed":
			n.changed++
		default:
			n.ended++
			live[v.entity()] = false
		}
	}
	ids, last := map[string]bool{}, map[[2]string]int{}
	for _, r := range d.runs(t) {
		if ids[r.id] {
			t.Errorf("run %s is told of twice", r.id)
		}
		ids[r.id] = true
		lane := [2]string{r.tenant, r.group}
		if r.seq != last[lane]+1 && !(d.world.gaps && r.seq > last[lane]) {
			t.Errorf("%v: attempt %d is followed by %d", lane, last[lane], r.seq)
		}
		last[lane] = r.seq
		if r.outcome == string(schemas.OutcomeAbandoned) {
			abandoned++
		}
		n := seen[r.id]
		if n == nil {
			n = &tally{}
		}
		if *n != (tally{r.written, r.added, r.changed, r.ended}) {
			t.Errorf("run %s (%v, attempt %d, %s) says that it wrote %+v, and readers see %+v", r.id, lane, r.seq, r.outcome, tally{r.written, r.added, r.changed, r.ended}, *n)
		}
		switch schemas.Outcome(r.outcome) {
		case schemas.OutcomeChanged, schemas.OutcomeNoChange, schemas.OutcomeAbandoned:
		case schemas.OutcomeFailed, schemas.OutcomeHeld:
			if !d.world.faults {
				t.Errorf("run %s (%v, attempt %d) ended as %s", r.id, lane, r.seq, r.outcome)
			}
		default:
			t.Errorf("run %s (%v, attempt %d) ended as %s", r.id, lane, r.seq, r.outcome)
		}
	}
	for id := range seen {
		if !ids[id] {
			t.Errorf("readers see versions of run %s, which runs does not know", id)
		}
	}
	return abandoned
}

// killEvent is a row of changes.
type killEvent struct{ id, tenant, dataset, partition, key, change, before, after, run string }

func (d *daemon) events(t testing.TB) (all []killEvent) {
	t.Helper()
	for _, r := range d.mustRows(t, `SELECT event_id, tenant_id, dataset, partition_id, entity_key, change, before, after, toString(run_id) FROM changes
ORDER BY tenant_id, dataset, seq, change != 'baseline'`) {
		all = append(all, killEvent{r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8]})
	}
	return all
}

// checkEvents checks that no event is told twice, that a dataset begins with its
// baseline, and that whoever starts there and follows the events ends at the truth.
// Renewed datasets have two, and what changed in between is told by versions alone
// (Invariant 4).
func checkEvents(t testing.TB, events []killEvent, versions []killVersion, want killRows, renewed ...string) {
	t.Helper()
	state := map[[4]string]map[string]string{}
	ids, baselines := map[string]bool{}, map[[3]string]int{}
	byRun := map[string][]killVersion{}
	for _, v := range versions {
		byRun[v.run] = append(byRun[v.run], v)
	}
	for _, e := range events {
		if ids[e.id] {
			t.Errorf("event %s is told twice: %+v", e.id, e)
		}
		ids[e.id] = true
		entity := [4]string{e.dataset, e.tenant, e.partition, e.key}
		_, there := state[entity]
		if kind := schemas.ChangeKind(e.change); kind != schemas.ChangeBaseline && kind != schemas.ChangeCoverage && baselines[[3]string{e.tenant, e.dataset}] == 0 {
			t.Errorf("told before the baseline: %+v", e)
		}
		switch schemas.ChangeKind(e.change) {
		case schemas.ChangeBaseline:
			of := [3]string{e.tenant, e.dataset, e.partition}
			if baselines[of]++; baselines[of] > 1 && !(baselines[of] == 2 && slices.Contains(renewed, e.dataset)) {
				t.Errorf("another baseline: %+v", e)
			}
			for _, v := range byRun[e.run] { // a partition has one of its own if it could not be read at first
				if v.dataset != e.dataset || v.tenant != e.tenant || e.partition != "" && v.partition != e.partition {
					continue
				}
				if state[v.entity()] = fieldsOf(v.dataset, v.texts); v.change == "removed" || v.change == "out_of_view" {
					delete(state, v.entity())
				}
			}
		case schemas.ChangeCoverage:
		case schemas.ChangeVanished, schemas.ChangeRemoved:
			if e.partition != "" && e.key == e.partition { // a space or group went with all it had
				maps.DeleteFunc(state, func(k [4]string, _ map[string]string) bool {
					return k[0] == e.dataset && k[1] == e.tenant && k[2] == e.partition
				})
				continue
			}
			if !there {
				t.Errorf("an entity ends that was not there: %+v", e)
			}
			delete(state, entity)
		case schemas.ChangeAdded, schemas.ChangeChanged:
			if there != (e.change == string(schemas.ChangeChanged)) {
				t.Errorf("an entity is %s that is there: %v: %+v", e.change, there, e)
			}
			if !there {
				state[entity] = map[string]string{}
			}
			maps.Copy(state[entity], eventFields(t, e))
		default:
			t.Errorf("change %q: %+v", e.change, e)
		}
	}
	for of, n := range baselines {
		if n == 1 && slices.Contains(renewed, of[1]) {
			t.Errorf("no baseline of the new version of %q", of)
		}
	}
	got := killRows{}
	for dataset := range want {
		got[dataset] = nil
	}
	for entity, fields := range state {
		texts := []string{entity[1]}
		for _, d := range tables() {
			if d.Name == entity[0] {
				for _, c := range killColumns(d) {
					texts = append(texts, fields[c])
				}
			}
		}
		got[entity[0]] = append(got[entity[0]], strings.Join(texts, killSep))
	}
	if diff := cmp.Diff(want, got.sorted()); diff != "" {
		t.Errorf("who follows the events does not end at the truth (-want +got):\n%s", diff)
	}
}

// fieldsOf are the values of a text of killTexts by column.
func fieldsOf(dataset, texts string) map[string]string {
	fields := map[string]string{}
	for _, d := range tables() {
		if d.Name == dataset {
			values := strings.Split(texts, killSep)
			for i, c := range killColumns(d) {
				fields[c] = values[i+1]
			}
		}
	}
	return fields
}

// eventFields are the values that an event tells, as the views write them.
func eventFields(t testing.TB, e killEvent) map[string]string {
	t.Helper()
	var after map[string]any
	decoder := json.NewDecoder(strings.NewReader(e.after))
	decoder.UseNumber()
	if err := decoder.Decode(&after); err != nil {
		t.Errorf("event %+v: %v", e, err)
	}
	fields := map[string]string{}
	for _, d := range tables() {
		if d.Name != e.dataset {
			continue
		}
		if d.PartitionColumn != "" {
			fields[d.PartitionColumn] = e.partition
		}
		for _, c := range d.Columns {
			value, told := after[c.Name]
			switch {
			case !told:
			case value == nil:
				fields[c.Name] = killNull
			case c.Kind == schemas.KindTime:
				fields[c.Name] = strings.TrimSuffix(strings.Replace(fmt.Sprint(value), "T", " ", 1), "Z")
			case c.Kind == schemas.KindStrings:
				list := value.([]any)
				texts := make([]string, len(list))
				for i := range list {
					texts[i] = fmt.Sprint(list[i])
				}
				fields[c.Name] = strings.Join(texts, " ")
			default:
				fields[c.Name] = fmt.Sprint(value)
			}
		}
	}
	return fields
}

// checkTenants checks that no grant was lost and nothing is held.
func (d *daemon) checkTenants(t testing.TB) {
	t.Helper()
	raw, err := d.ask(t.Context(), "tenants", tenantsParams{}, nil)
	var all []tenantInfo
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1+d.world.others {
		t.Errorf("%d tenants, expected %d", len(all), 1+d.world.others)
	}
	for _, tenant := range all {
		if len(tenant.Credentials) == 0 || tenant.Credentials[0].State != "ok" || len(tenant.Holds) > 0 {
			t.Errorf("tenant %s: credential %+v, holds %+v", tenant.ID, tenant.Credentials, tenant.Holds)
		}
	}
	if stats := d.world.provider.ProviderStats(); stats.FamiliesKilled > 0 {
		t.Errorf("the provider killed %d grants for reuse of old tokens", stats.FamiliesKilled)
	}
	for _, g := range d.world.provider.Grants() {
		if !g.Alive {
			t.Errorf("the grant of %v is dead: %s", g.Sites, g.Reason)
		}
	}
}

// storedSQL asks what lies in the warehouse, whether a head shows it or not: rows
// by table, tenant, dataset and attempt, and the heads themselves, with their
// void attempts in the place of the count.
func storedSQL() []string {
	count := func(table, dataset, where string) string {
		return fmt.Sprintf("SELECT '%s' AS tab, toString(tenant_id) AS tenant, toString(%s) AS d, toString(seq) AS n, toString(count()) AS x FROM sitedrift.%s%s GROUP BY tenant, d, n",
			table, dataset, table, where)
	}
	all := []string{
		`SELECT 'heads' AS tab, toString(tenant_id) AS tenant, toString(dataset) AS d, toString(committed_seq) AS n, arrayStringConcat(void, ' ') AS x FROM sitedrift.heads FINAL`,
		count("changes_log", "dataset", ""), count("coverage_log", "dataset", ""), count("runs_log", "gate", " WHERE gate != ''"),
	}
	for _, d := range killTables() {
		all = append(all, count(d.Name+"_versions", "'"+d.Name+"'", ""))
	}
	return all
}

// storedRow is a row of storedSQL.
type storedRow struct {
	Table   string `json:"tab"`
	Tenant  string `json:"tenant"`
	Dataset string `json:"d"`
	Seq     string `json:"n"`
	Text    string `json:"x"`
}

// hiddenRows counts the rows that no head shows, by table, tenant and attempt.
func hiddenRows(stored []storedRow) map[string]int {
	type head struct {
		seq  int
		void []string
	}
	heads, hidden := map[[2]string]head{}, map[string]int{}
	for _, r := range stored {
		if r.Table == "heads" {
			seq, _ := strconv.Atoi(r.Seq)
			heads[[2]string{r.Tenant, r.Dataset}] = head{seq, strings.Fields(r.Text)}
		}
	}
	for _, r := range stored {
		seq, _ := strconv.Atoi(r.Seq)
		h := heads[[2]string{r.Tenant, r.Dataset}]
		if r.Table != "heads" && (seq > h.seq || slices.Contains(h.void, r.Seq)) {
			rows, _ := strconv.Atoi(r.Text)
			hidden[r.Table+" "+r.Tenant+" "+r.Seq] += rows
		}
	}
	return hidden
}

// hidden are the hiddenRows of the warehouse.
func (d *daemon) hidden(t testing.TB) map[string]int {
	t.Helper()
	var stored []storedRow
	for _, r := range d.mustAll(t, storedSQL()) {
		stored = append(stored, storedRow{r[0], r[1], r[2], r[3], r[4]})
	}
	return hiddenRows(stored)
}
