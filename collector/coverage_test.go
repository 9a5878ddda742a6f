package collector_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// TestDeadCredentialsAreCoverage: a tenant that cannot be read at all has a
// state and a reason, and keeps its rows.
func TestDeadCredentialsAreCoverage(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	open := w.runner.Open
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return nil, &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the grant is dead", Unlock: "consent again"}
	}
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeFailed || row.Calls != 0 {
		t.Errorf("outcome %s, %d calls", row.Outcome, row.Calls)
	}
	w.equalsTruth(schemas.GroupPosture)
	w.want("SELECT state, rows_or_null IS NOT NULL FROM sitedrift.tiles WHERE tenant_id = $T AND dataset = 'spaces'", "forbidden 1")
	w.want("SELECT state, rows_or_null FROM sitedrift.tiles WHERE tenant_id = $T AND dataset = 'users'", "never_run NULL")
	w.want("SELECT change, severity, JSONExtractString(after, 'unlock') FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'spaces' AND change = 'coverage'", "coverage medium consent again")

	// Coverage is written on a change of state only; a run tells what it found itself.
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return nil, &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the account is locked"}
	}
	w.clock.advance(time.Hour)
	var found collector.Found
	if _, err := w.runner.Run(t.Context(), collector.Request{
		Tenant: w.tenant, Group: schemas.GroupPosture, Trigger: collector.TriggerManual, Owner: "test", Listener: collector.Listener{Found: func(f collector.Found) { found = f }},
	}); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(found.Coverage, func(c schemas.Coverage) bool { return c.Dataset == "spaces" && c.Partition == schemas.Whole })
	if i < 0 || found.Coverage[i].Evidence != "the account is locked" || len(found.Epochs) > 0 {
		t.Errorf("the run found %+v", found)
	}
	w.want("SELECT evidence FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'spaces' AND partition_id = ''", "the grant is dead")
	w.runner.Open = open
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged {
		t.Errorf("outcome %s", row.Outcome)
	}
	// What was never open is no loss: neither its refusal nor that it is as before.
	w.want("SELECT JSONExtractString(after, 'state'), severity FROM sitedrift.changes WHERE tenant_id = $T AND dataset = 'space_roles' AND change = 'coverage' ORDER BY observed_at", "forbidden info", "not_exposed info")
	w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change NOT IN ('baseline', 'coverage')", "0")
}
