package collector_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// die begins attempts that never end, as those of dead processes.
func (w *world) die(group string, times int) {
	w.t.Helper()
	for range times {
		_, err := w.store.Begin(w.t.Context(), collector.Begin{
			Tenant: w.tenant.ID, Group: group, Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: uuid.NewString(), StartedAt: w.clock.now(),
		})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// TestQuarantineReadsNothing is a part of Invariant 7: when three runs in a row
// took the process down, the next one reads nothing, tells of them, and is the
// last one until somebody releases the group. What was published stays.
func TestQuarantineReadsNothing(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	w.equalsTruth(schemas.GroupPosture)
	w.die(schemas.GroupPosture, collector.QuarantineAfter)
	before := len(w.server.Requests())
	row := w.run(schemas.GroupPosture)
	if row.Outcome != schemas.OutcomeQuarantined || row.Calls != 0 || row.Error == "" {
		t.Errorf("the run after three deaths: %+v", row)
	}
	closed := (*collector.QuarantineError)(nil)
	if _, err := w.tryRun(schemas.GroupPosture); !errors.As(err, &closed) {
		t.Errorf("a run in quarantine: %v", err)
	}
	if n := len(w.server.Requests()) - before; n != 0 {
		t.Errorf("%d calls of a quarantined group", n)
	}
	w.want("SELECT outcome, count() FROM sitedrift.runs WHERE tenant_id = $T GROUP BY outcome ORDER BY outcome", "abandoned 3", "changed 1", "quarantined 1")
	w.equalsTruth(schemas.GroupPosture)
	if row := w.run(schemas.GroupInventory); row.Outcome != schemas.OutcomeChanged { // the other group is free
		t.Errorf("the other group: %+v", row)
	}
	if n, err := w.store.Release(t.Context(), w.tenant.ID); n != 1 || err != nil {
		t.Fatalf("released %d: %v", n, err)
	}
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeNoChange {
		t.Errorf("the run after the release: %+v", row)
	}
}

// TestErasureForgetsNoDeaths: the erasure of a person is an attempt like others, and
// not one after which runs that took the process down count no more.
func TestErasureForgetsNoDeaths(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	erase := func() (schemas.Run, error) {
		return w.runner.Erase(t.Context(), collector.Request{Tenant: w.tenant, Group: schemas.GroupPosture, Trigger: collector.TriggerManual, Owner: uuid.NewString()}, "nobody")
	}
	w.die(schemas.GroupPosture, 1)
	if _, err := erase(); err != nil {
		t.Fatal(err)
	}
	w.want("SELECT outcome, count() FROM sitedrift.runs WHERE tenant_id = $T GROUP BY outcome ORDER BY outcome", "abandoned 1", "changed 1", "erased 1")
	w.die(schemas.GroupPosture, collector.QuarantineAfter)
	closed := (*collector.QuarantineError)(nil)
	if row, err := erase(); !errors.As(err, &closed) || row.Outcome != schemas.OutcomeQuarantined {
		t.Errorf("an erasure after three deaths: %+v, %v", row, err)
	}
	w.want("SELECT outcome, count() FROM sitedrift.runs WHERE tenant_id = $T GROUP BY outcome ORDER BY outcome", "abandoned 4", "changed 1", "erased 1", "quarantined 1")
	if all, err := w.store.Quarantines(t.Context(), w.tenant.ID); err != nil || len(all) != 1 {
		t.Errorf("quarantines %v, %v", all, err)
	}
}

// TestWhoLivesOnIsNoDeath: a warehouse that cannot be reached and panics cost the
// process nothing, however often; they are told of later.
func TestWhoLivesOnIsNoDeath(t *testing.T) {
	w := newBareWorld(t, modelled)
	record, broken := w.runner.Record, errors.New("the warehouse is away")
	w.runner.Record = func(context.Context, schemas.Run) error { return broken }
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return scripted{0}, nil
	}
	for range collector.QuarantineAfter {
		w.clock.advance(time.Minute)
		w.runner.Warehouse = &lossy{w.warehouse, 9}
		if _, err := w.tryRun(schemas.GroupPosture); !errors.Is(err, broken) {
			t.Errorf("error %v", err)
		}
	}
	w.runner.Record, w.runner.Warehouse = record, w.warehouse
	open := w.runner.Open
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		panic("broken source")
	}
	for range collector.QuarantineAfter {
		if _, err := w.tryRun(schemas.GroupPosture); err == nil {
			t.Error("no error")
		}
	}
	if n, err := w.store.Deaths(t.Context(), w.tenant.ID, schemas.GroupPosture); n != 0 || err != nil {
		t.Errorf("%d deaths, %v", n, err)
	}
	w.runner.Open = open
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged {
		t.Errorf("the run after them: %+v", row)
	}
	w.want("SELECT outcome, count() > 2 FROM sitedrift.runs WHERE tenant_id = $T GROUP BY outcome ORDER BY outcome", "abandoned 1", "changed 0")
}

// TestSuspectsRunOneAtATime is a part of Invariant 7: of groups in whose runs the
// process died twice, one is run at a time, so that the third death is blamed on
// it; all others are not held up.
func TestSuspectsRunOneAtATime(t *testing.T) {
	w := newBareWorld(t, modelled)
	tenants := []string{w.tenant.ID + "-a", w.tenant.ID + "-b", w.tenant.ID + "-innocent"}
	for i, id := range tenants {
		if err := w.store.PutTenant(t.Context(), collector.Tenant{ID: id, Name: id, CreatedAt: w.clock.now()}); err != nil {
			t.Fatal(err)
		}
		w.tenant.ID = id
		w.die(schemas.GroupPosture, map[bool]int{true: 1, false: 2}[i == 2])
	}
	inside, leave := make(chan struct{}, len(tenants)), make(chan struct{})
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		inside <- struct{}{}
		<-leave
		return scripted{0}, nil
	}
	run := func(id string) error {
		_, err := w.runner.Run(t.Context(), collector.Request{Tenant: collector.Tenant{ID: id}, Group: schemas.GroupPosture, Trigger: collector.TriggerSchedule, Owner: uuid.NewString()})
		return err
	}
	var runs sync.WaitGroup
	for _, id := range []string{tenants[0], tenants[2]} {
		runs.Go(func() {
			if err := run(id); err != nil {
				t.Error(err)
			}
		})
		<-inside
	}
	if err := run(tenants[1]); !errors.Is(err, collector.ErrSuspect) {
		t.Errorf("a second suspect: %v", err)
	}
	if n, err := w.store.Deaths(t.Context(), tenants[1], schemas.GroupPosture); n != 2 || err != nil {
		t.Errorf("it has %d deaths now: %v", n, err)
	}
	close(leave)
	runs.Wait()
	if err := run(tenants[1]); err != nil {
		t.Errorf("the second suspect, when the first has ended: %v", err)
	}
}
