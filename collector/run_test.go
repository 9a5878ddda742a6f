package collector_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

func small() sim.SiteSettings {
	return sim.SiteSettings{Spaces: 8, PermissionsPerSpace: 9, Groups: 4, Users: 14, Guests: 2}
}

// TestFirstRunIsABaseline is Invariant 4: rows, and one change a dataset.
func TestFirstRunIsABaseline(t *testing.T) {
	w := newWorld(t, small())
	for _, group := range []string{schemas.GroupPosture, schemas.GroupInventory} {
		if row := w.run(group); row.Outcome != schemas.OutcomeChanged || row.Incomplete != 0 || row.Error != "" {
			t.Errorf("%s: outcome %s, complete %v of %v: %s", group, row.Outcome, row.Complete, row.Datasets, row.Error)
		}
	}
	w.equalsTruth(schemas.GroupPosture, schemas.GroupInventory)
	w.want("SELECT dataset, change, count() FROM sitedrift.changes WHERE tenant_id = $T GROUP BY ALL ORDER BY dataset",
		"classification_levels baseline 1", "data_policies baseline 1", "external_collaborators baseline 1", "group_members baseline 1", "groups baseline 1", "security_configuration baseline 1",
		"space_permissions baseline 1", "spaces baseline 1", "user_activity baseline 1", "users baseline 1")
	w.want("SELECT DISTINCT change FROM sitedrift.space_permissions_history WHERE tenant_id = $T", "baseline")
	w.want("SELECT setting, value FROM sitedrift.security_configuration WHERE tenant_id = $T AND setting IN ('audit_retention', 'space_role_mode') ORDER BY setting",
		"audit_retention 1 YEARS", "space_role_mode PRE_ROLES")
}

// TestQuietRunWritesOneRow: no version, change, coverage or head, and exactly
// one row of runs; the calls in it are those that the site counted.
func TestQuietRunWritesOneRow(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	w.run(schemas.GroupInventory)
	for _, group := range []string{schemas.GroupPosture, schemas.GroupInventory} {
		before, calls := w.stored(), w.site.APICalls()
		row := w.run(group)
		if row.Outcome != schemas.OutcomeNoChange || row.Calls != w.site.APICalls()-calls {
			t.Errorf("%s: outcome %s with %d calls, the site counted %d", group, row.Outcome, row.Calls, w.site.APICalls()-calls)
		}
		before["runs_log"] = strconv.Itoa(len(w.ask("SELECT run_id FROM sitedrift.runs_log WHERE tenant_id = $T")))
		after := w.stored()
		if d := gocmp.Diff(before, after); d != "" {
			t.Errorf("%s: rows stored by a quiet run (-before +after):\n%s", group, d)
		}
		w.want("SELECT outcome, api_calls FROM sitedrift.runs WHERE run_id = '"+row.RunID.String()+"'", fmt.Sprintf("no_change %d", row.Calls))
	}
	w.want("SELECT count(), uniqExact(run_id) FROM sitedrift.runs WHERE tenant_id = $T", "4 4")
}

// TestChangesTellFieldsBeforeAndAfter: added, changed and removed entities with
// their names and severities.
func TestChangesTellFieldsBeforeAndAfter(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	started := w.clock.now()
	space := mostGranted(w.site.Truth())
	rows := w.site.Truth().Permissions[space.ID]
	w.site.RenameSpace(space.ID, "Quarterly \"plans\"\n\u202eq3")
	w.site.RemovePermission(space.ID, rows[0].ID)
	w.site.ChangePermission(space.ID, rows[1].ID, sim.Permission{PrincipalType: rows[1].PrincipalType, PrincipalID: rows[1].PrincipalID, Operation: "administer", Target: "space"})
	open, err := w.site.AddPermission(space.ID, sim.Permission{PrincipalType: "access-class", PrincipalID: "anonymous-users", Operation: "read", Target: "space"})
	if err != nil {
		t.Fatal(err)
	}
	w.run(schemas.GroupPosture)
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT change, fields, before, after, severity FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces' AND change != 'baseline'",
		fmt.Sprintf(`changed ["name"] {"name":%s} {"name":%s} low`, inJSON(t, space.Name), inJSON(t, "Quarterly \"plans\"\n\u202eq3")))
	w.want("SELECT change, entity_key, severity FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'space_permissions' AND change != 'baseline' ORDER BY change",
		"added "+open.ID+" high", "changed "+rows[1].ID+" high", "removed "+rows[0].ID+" low")
	w.want("SELECT entity_name FROM sitedrift.changes WHERE tenant_id = $T AND entity_key = '"+open.ID+"'", space.Key+" access-class anonymous-users read space")
	w.want("SELECT JSONExtractString(before, 'operation'), after FROM sitedrift.changes WHERE tenant_id = $T AND change = 'removed'", rows[0].Operation+" ")
	// It happened after the start of the run before.
	w.want("SELECT DISTINCT not_before FROM sitedrift.changes WHERE tenant_id = $T AND change != 'baseline'", started.Format("2006-01-02 15:04:05.000"))
	// As of the first run everything is as it was.
	w.want("SELECT name = "+sqlQuote(space.Name)+" FROM sitedrift.spaces_at(at = '"+started.Add(time.Minute).Format("2006-01-02 15:04:05")+"') WHERE tenant_id = $T AND space_id = '"+space.ID+"'", "1")
}

// TestUnreadablePartitionYieldsNoRemoval is Invariant 1: however a space fails
// to be read, nothing of it is removed and coverage says why; what changed
// meanwhile is told once it can be read again.
func TestUnreadablePartitionYieldsNoRemoval(t *testing.T) {
	for name, tc := range map[string]struct {
		fault sim.Fault
		state schemas.CoverageState
	}{
		"not found":      {sim.Fault{Kind: sim.FaultStatus, Status: 404}, schemas.CoverageForbidden},
		"forbidden":      {sim.Fault{Kind: sim.FaultStatus, Status: 403}, schemas.CoverageForbidden},
		"server error":   {sim.Fault{Kind: sim.FaultStatus, Status: 500}, schemas.CoverageFailed},
		"timeout":        {sim.Fault{Kind: sim.FaultStall}, schemas.CoverageFailed},
		"truncated page": {sim.Fault{Kind: sim.FaultTruncated, Page: 2}, schemas.CoverageFailed},
		"throttled":      {sim.Fault{Kind: sim.FaultRateLimited}, schemas.CoverageFailed},
		"endless cursor": {sim.Fault{Kind: sim.FaultEndless, Page: 2}, schemas.CoverageFailed},
	} {
		t.Run(name, func(t *testing.T) {
			settings := small()
			w := newWorld(t, settings)
			space := mostGranted(w.site.Truth()) // it has two pages
			w.run(schemas.GroupPosture)
			rows := w.site.Truth().Permissions[space.ID]
			last := rows[len(rows)-1]
			w.site.RemovePermission(space.ID, last.ID)
			tc.fault.Endpoint, tc.fault.Object, tc.fault.Times = "/spaces/{id}/permissions", space.ID, -1
			w.site.Fail(tc.fault)
			w.attempt = 300 * time.Millisecond
			row := w.run(schemas.GroupPosture)
			if row.Removed+row.Vanished != 0 || row.Incomplete != 1 {
				t.Errorf("removed %d, vanished %d, incomplete %d; want 0, 0, 1", row.Removed, row.Vanished, row.Incomplete)
			}
			w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change IN ('removed', 'vanished')", "0")
			w.want("SELECT count() FROM sitedrift.space_permissions WHERE tenant_id = $T AND permission_id = '"+last.ID+"'", "1")
			w.want("SELECT state, evidence != '' FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'space_permissions' AND partition_id = '"+space.ID+"'", string(tc.state)+" 1")
			w.want("SELECT state, partitions_unreadable FROM sitedrift.tiles WHERE tenant_id = $T AND dataset = 'space_permissions'", "partial 1")

			before := w.stored()
			w.run(schemas.GroupPosture) // fails in the same way: nothing new to tell
			after := w.stored()
			after["runs_log"] = before["runs_log"]
			if d := gocmp.Diff(before, after); d != "" {
				t.Errorf("a failure that goes on was stored again:\n%s", d)
			}

			w.site.ClearFaults()
			w.attempt = 20 * time.Second
			w.run(schemas.GroupPosture)
			w.want("SELECT change, entity_key FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'space_permissions' AND change NOT IN ('baseline', 'coverage')", "removed "+last.ID)
			w.want("SELECT state FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'space_permissions' AND partition_id = '"+space.ID+"'", "complete")
			w.equalsTruth(schemas.GroupPosture)
		})
	}
}

// TestBrokenListingStoresNothing lets the list of spaces break off after its first
// answer. What came by then has changed, and the next run tells of it.
func TestBrokenListingStoresNothing(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	space := w.site.Truth().Spaces[0]
	w.site.RenameSpace(space.ID, "Other name")
	listing := func(r *sim.Request) bool { return strings.HasSuffix(r.Endpoint, "/spaces") }
	w.site.Fail(sim.Fault{Kind: sim.FaultShortWithNext, Match: listing, Page: 1, Times: -1})
	w.site.Fail(sim.Fault{Kind: sim.FaultStatus, Match: listing, Status: 403, Page: 2, Times: -1})
	if row := w.run(schemas.GroupPosture); row.Changed != 0 || row.Error == "" {
		t.Errorf("changed %d, error %q; want 0, and an error", row.Changed, row.Error)
	}
	w.site.ClearFaults()
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged {
		t.Errorf("outcome %s: %s", row.Outcome, row.Error)
	}
	w.want("SELECT change, entity_key FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces' AND change NOT IN ('baseline', 'coverage')", "changed "+space.ID)
	w.equalsTruth(schemas.GroupPosture)
}

// TestEmptyReadingNeedsAWitness is the other half of Invariant 1.
func TestEmptyReadingNeedsAWitness(t *testing.T) {
	t.Run("empty once", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupPosture)
		w.site.Fail(sim.Fault{Kind: sim.FaultEmptyPage, Endpoint: "/spaces/{id}/permissions", Object: mostGranted(w.site.Truth()).ID, Times: 1})
		if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeNoChange {
			t.Errorf("outcome %s: %s", row.Outcome, row.Error)
		}
		w.equalsTruth(schemas.GroupPosture)
	})
	t.Run("empty, and the group is gone", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupInventory)
		group := largest(w.site.Truth())
		w.site.Fail(sim.Fault{Kind: sim.FaultEmptyPage, Endpoint: "/group/{groupId}/membersByGroupId", Object: group, Times: -1})
		w.site.Fail(sim.Fault{Kind: sim.FaultStatus, Status: 404, Endpoint: "/group/by-id", Times: -1})
		row := w.run(schemas.GroupInventory)
		if row.Removed+row.Vanished != 0 {
			t.Errorf("%d removed, %d vanished without a witness", row.Removed, row.Vanished)
		}
		w.equalsTruth(schemas.GroupInventory)
		w.want("SELECT state FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'group_members' AND partition_id = '"+group+"'", "gone")
	})
	t.Run("empty, and the group answers", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupInventory)
		group := largest(w.site.Truth())
		for _, m := range w.site.Truth().Members[group] {
			w.site.RemoveMember(group, m)
		}
		if row := w.run(schemas.GroupInventory); row.Removed == 0 {
			t.Errorf("outcome %s: a group that was emptied still has members: %s", row.Outcome, row.Error)
		}
		w.equalsTruth(schemas.GroupInventory)
	})
}

func mostGranted(truth sim.Truth) sim.Space {
	best := truth.Spaces[0]
	for _, s := range truth.Spaces {
		if len(truth.Permissions[s.ID]) > len(truth.Permissions[best.ID]) {
			best = s
		}
	}
	return best
}

// ordinary is a space with some grants, and not so many that losing them all
// would be held.
func ordinary(truth sim.Truth) sim.Space {
	for _, s := range truth.Spaces {
		if n := len(truth.Permissions[s.ID]); n > 3 && n < 20 {
			return s
		}
	}
	panic("the site has no ordinary space")
}

func largest(truth sim.Truth) string {
	id := ""
	for g, m := range truth.Members {
		if id == "" || len(m) > len(truth.Members[id]) {
			id = g
		}
	}
	return id
}

// TestChildrenOfAVanishedParentAreOutOfView is Invariant 12.
func TestChildrenOfAVanishedParentAreOutOfView(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	space := ordinary(w.site.Truth())
	n := len(w.site.Truth().Permissions[space.ID])
	w.site.HideSpace(space.ID)
	row := w.run(schemas.GroupPosture)
	if row.Removed != 0 || row.Vanished != int64(n+1) {
		t.Errorf("removed %d, vanished %d; want 0 and %d", row.Removed, row.Vanished, n+1)
	}
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT dataset, change, severity, count() FROM sitedrift.changes WHERE tenant_id = $T AND change NOT IN ('baseline', 'coverage') GROUP BY ALL ORDER BY dataset",
		"space_permissions vanished high 1", "spaces vanished high 1")
	w.want("SELECT DISTINCT change FROM sitedrift.space_permissions_history WHERE tenant_id = $T AND space_id = '"+space.ID+"' AND valid_to IS NULL", "out_of_view")
	w.want("SELECT state FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'space_permissions' AND partition_id = '"+space.ID+"'", "gone")

	w.site.ShowSpace(space.ID)
	w.run(schemas.GroupPosture)
	w.equalsTruth(schemas.GroupPosture)
}

// TestOtherCredentialsStartAQuietEpoch is Invariant 4: the difference is kept,
// and told as one change a dataset.
func TestOtherCredentialsStartAQuietEpoch(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	truth := w.site.Truth()
	w.site.HideSpace(truth.Spaces[0].ID) // the other person cannot see it
	w.site.AddSpace(sim.Space{Name: "Only they can see it"}, 5)
	w.site.RenameSpace(truth.Spaces[1].ID, "Renamed")
	w.principal = "another-person"
	row := w.run(schemas.GroupPosture)
	if row.Outcome != schemas.OutcomeChanged || row.Removed != 0 {
		t.Errorf("outcome %s with %d removed", row.Outcome, row.Removed)
	}
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT dataset, change, epoch, count() FROM sitedrift.changes WHERE tenant_id = $T AND epoch = 2 AND change != 'coverage' GROUP BY ALL ORDER BY dataset",
		"classification_levels baseline 2 1", "data_policies baseline 2 1", "security_configuration baseline 2 1", "space_permissions baseline 2 1", "spaces baseline 2 1")
	w.want("SELECT JSONExtractString(after, 'reason'), JSONExtractInt(after, 'added'), JSONExtractInt(after, 'changed'), JSONExtractInt(after, 'out_of_view') FROM sitedrift.changes WHERE tenant_id = $T AND epoch = 2 AND dataset = 'spaces'",
		"credentials changed 1 1 1")
	w.want("SELECT change, count() FROM sitedrift.spaces_history WHERE tenant_id = $T AND run_id = '"+row.RunID.String()+"' GROUP BY change ORDER BY change", "baseline 1", "changed 1", "out_of_view 1")
	w.site.RenameSpace(truth.Spaces[2].ID, "Renamed as well")
	w.run(schemas.GroupPosture)
	w.want("SELECT change, epoch FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces' AND change = 'changed'", "changed 2")
}

// TestForeignBaselineStopsTheRun: what the warehouse returns must be what the
// ledger committed, else nothing is published; the second time an epoch starts.
func TestForeignBaselineStopsTheRun(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	lost := w.site.Truth().Spaces[0].ID
	if err := enginetest.Open(t, enginetest.Shared(t)).Exec(t.Context(), "DELETE FROM sitedrift.spaces_versions WHERE tenant_id = '"+w.tenant.ID+"' AND space_id = '"+lost+"'"); err != nil {
		t.Fatal(err)
	}
	w.runner.Glances = &collector.Glances{} // as in a process that starts on an old backup
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeMismatch || row.Written != 0 {
		t.Fatalf("outcome %s, %d written", row.Outcome, row.Written)
	}
	w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change = 'added'", "0")
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged {
		t.Fatalf("outcome %s: %s", row.Outcome, row.Error)
	}
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT change, startsWith(JSONExtractString(after, 'reason'), 'recovered') FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces' AND epoch = 2", "baseline 1")
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeNoChange {
		t.Fatalf("outcome %s: %s", row.Outcome, row.Error)
	}
}

// TestPanicEndsOneRun is part of Invariant 7.
func TestPanicEndsOneRun(t *testing.T) {
	w := newWorld(t, small())
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		panic("broken source")
	}
	if _, err := w.tryRun(schemas.GroupPosture); err == nil || !strings.Contains(err.Error(), "broken source") {
		t.Errorf("error %v", err)
	}
}

// lossy loses the answer of the first Stage: the rows are there, and the caller
// does not know it.
type lossy struct {
	collector.Warehouse
	lose int
}

func (l *lossy) Stage(ctx context.Context, d *schemas.Delta) error {
	if err := l.Warehouse.Stage(ctx, d); err != nil || l.lose == 0 {
		return err
	}
	l.lose--
	return errors.New("the answer was lost")
}

// TestUnknownInsertVoidsItsAttempt is Invariant 3.
func TestUnknownInsertVoidsItsAttempt(t *testing.T) {
	w := newWorld(t, small())
	w.runner.Warehouse = &lossy{w.warehouse, 1}
	row := w.run(schemas.GroupPosture)
	if row.Outcome != schemas.OutcomeChanged || row.Seq != 2 {
		t.Errorf("outcome %s under attempt %d; want changed under 2", row.Outcome, row.Seq)
	}
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT void FROM sitedrift.heads FINAL WHERE tenant_id = $T AND dataset = 'spaces'", "[1]")
	w.want("SELECT uniqExact(seq) FROM sitedrift.spaces_versions WHERE tenant_id = $T", "2")
	w.want("SELECT count() FROM sitedrift.runs WHERE tenant_id = $T", "1")
	w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces'", "1")
	w.site.RenameSpace(w.site.Truth().Spaces[0].ID, "Renamed")
	w.runner.Warehouse = &lossy{w.warehouse, 9}
	w.clock.advance(time.Hour)
	if _, err := w.tryRun(schemas.GroupPosture); err == nil {
		t.Error("a warehouse that never answers was believed")
	}
	w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change = 'changed'", "0")
	w.runner.Warehouse = w.warehouse
	w.run(schemas.GroupPosture)
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change = 'changed'", "1")
}

// TestSpoolingToDiskChangesNothing: the delta of a big run goes through a file.
func TestSpoolingToDiskChangesNothing(t *testing.T) {
	settings := small()
	settings.Spaces, settings.PermissionsPerSpace = 30, 60
	w := newWorld(t, settings)
	w.runner.SpoolMemory = 0
	w.run(schemas.GroupPosture)
	w.equalsTruth(schemas.GroupPosture)
}

func inJSON(t *testing.T, s string) string {
	t.Helper()
	var w strings.Builder
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(w.String())
}

func sqlQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
