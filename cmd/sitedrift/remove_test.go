//go:build linux && !noengine

package main

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// stored counts the rows of all tables of the tenant, seen or not.
func (w *wayWorld) stored() (n int) {
	w.t.Helper()
	for _, table := range append([]string{"heads", "expected", "changes_log", "coverage_log", "runs_log"}, versionTables()...) {
		n += w.count(table)
	}
	return n
}

// erased is how many rows of the tenant its tombstone says were erased.
func (w *wayWorld) erased() int64 {
	w.t.Helper()
	stones, err := w.app.store.Tombstones(w.t.Context())
	if err != nil || len(stones) != 1 {
		w.t.Fatalf("tombstones %+v, %v", stones, err)
	}
	return stones[0].Erased
}

// TestErasureWaitsForTheRun: a tenant is erased while a run of it goes on. The run
// publishes nothing, and no row of it comes in behind the erasure.
func TestErasureWaitsForTheRun(t *testing.T) {
	t.Parallel()
	for _, point := range []string{"run.read", "decide.before", "show.before"} {
		t.Run(point, func(t *testing.T) {
			t.Parallel()
			w := newWayWorld(t)
			w.app.cfg.Tenants = nil // as one that was added by hand
			w.sync(time.Hour)
			if err := w.site.RenameSpace(w.site.Truth().Spaces[0].ID, "renamed"); err != nil {
				t.Fatal(err)
			}
			w.clock.set(w.clock.now().Add(time.Hour))
			reached, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			w.app.runner.Trace = func(p string) {
				if p == point {
					once.Do(func() { close(reached); <-goOn })
				}
			}
			var free sync.Once
			w.app.out.trace = func(p string) {
				if p == "erase.waits" {
					free.Do(func() { close(goOn) })
				}
			}
			var both sync.WaitGroup
			both.Go(func() {
				_, _ = opSync(t.Context(), w.app, syncParams{Tenant: "acme", Datasets: []string{"spaces"}}, func(any) {}) // it fails, however
			})
			<-reached
			res, err := opRemove(t.Context(), w.app, removeParams{ID: "acme", Erase: true}, nil)
			free.Do(func() { close(goOn) })
			both.Wait()
			if err != nil || res.Erased < 100 {
				t.Fatalf("%+v, %v", res, err)
			}
			if n := w.stored(); n > 0 {
				t.Errorf("%d rows are left, or came in behind", n)
			}
			if heads, err := w.app.store.Heads(t.Context(), "acme"); err != nil || len(heads) > 0 {
				t.Errorf("heads %+v, %v", heads, err)
			}
			if n := w.erased(); n != res.Erased {
				t.Errorf("the tombstone tells of %d rows, the answer of %d", n, res.Erased)
			}
		})
	}
}

// TestErasureIsRepeated: an erasure that failed can be asked for again, though the
// tenant is gone by then.
func TestErasureIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.app.cfg.Tenants = nil
	w.sync(time.Hour)
	good := w.app.warehouse
	broken, err := clickhouse.Open(t.Context(), clickhouse.Settings{Options: w.app.engine.Options(), Embedded: true, Datasets: tables()})
	if err == nil {
		err = broken.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	w.app.warehouse = broken
	if _, err := opRemove(t.Context(), w.app, removeParams{ID: "acme", Erase: true}, nil); err == nil {
		t.Fatal("erased without a warehouse")
	}
	w.app.warehouse = good
	if n := w.erased(); n != -1 {
		t.Errorf("the tombstone tells of %d rows", n)
	}
	res, err := opRemove(t.Context(), w.app, removeParams{ID: "acme", Erase: true}, nil)
	if err != nil || res.Erased < 100 || w.stored() > 0 {
		t.Errorf("%+v, %v; %d rows are left", res, err, w.stored())
	}
	if _, err := opRemove(t.Context(), w.app, removeParams{ID: "acmee", Erase: true}, nil); err == nil {
		t.Error("a tenant that never was is erased")
	}
}

// TestLateRowsAreErased: rows that a process sends when it wakes up, after its
// tenant was erased, are erased by the next look, but not if the tenant is back.
func TestLateRowsAreErased(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.app.cfg.Tenants = nil
	w.sync(time.Hour)
	res, err := opRemove(t.Context(), w.app, removeParams{ID: "acme", Erase: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	late := func() {
		t.Helper()
		row := schemas.Run{RunID: uuid.New(), Tenant: "acme", Group: schemas.GroupPosture, Seq: 2, Outcome: schemas.OutcomeAbandoned, StartedAt: w.clock.now(), EndedAt: w.clock.now()}
		if err := w.app.warehouse.Runs(t.Context(), []schemas.Run{row}); err != nil {
			t.Fatal(err)
		}
	}
	look := func() {
		t.Helper()
		if err := w.app.eraseLate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	late()
	look()
	if n := w.stored(); n != 0 || w.erased() != res.Erased+1 {
		t.Errorf("%d rows are left; the tombstone tells of %d, %d were erased before", n, w.erased(), res.Erased)
	}
	back := config.Tenant{ID: "acme", Name: "Acme", Site: w.site.URL(), Deployment: schemas.Cloud}
	if _, err := opPutTenants(t.Context(), w.app, putParams{Tenants: []config.Tenant{back}, New: true}, nil); err != nil {
		t.Fatal(err)
	}
	late()
	n := w.stored()
	if look(); w.stored() != n {
		t.Errorf("%d of %d rows are left of a tenant that came back", w.stored(), n)
	}
	// Nothing keeps its runs away.
	if _, ok, err := w.app.store.Take(t.Context(), "me", "acme", schemas.GroupPosture, nil, w.clock.now(), time.Minute); err != nil || !ok {
		t.Errorf("taken %v, %v", ok, err)
	}
}

// TestRemovedTenantHasNoTiles: a replica that looked at the tenants before one was
// removed, and tells of them afterwards, does not bring its tiles back.
func TestRemovedTenantHasNoTiles(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.app.cfg.Tenants = nil
	now, calls := w.app.out.now, 0
	w.app.out.now = func() time.Time {
		if calls++; calls == 2 { // it has looked
			w.clock.set(w.clock.now().Add(time.Second))
			if _, err := opRemove(t.Context(), w.app, removeParams{ID: "acme"}, nil); err != nil {
				t.Error(err)
			}
			w.clock.set(w.clock.now().Add(time.Second))
		}
		return now()
	}
	if err := w.app.expect(t.Context()); err != nil || calls < 3 {
		t.Fatalf("%d looks at the clock, %v", calls, err)
	}
	w.want("SELECT count() FROM tiles WHERE tenant_id = 'acme'", "0")
}

// TestRunAfterAnUnfinishedErasure: a process dies while it erases a person, and
// another replica runs the group before anybody goes on with the erasure. It does not
// take what was deleted for a loss of the warehouse.
func TestRunAfterAnUnfinishedErasure(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	person := w.site.AddUser(sim.User{DisplayName: "Erika Mustermann", Email: "erika@example.com"})
	if _, err := w.site.AddPermission(w.site.Truth().Spaces[0].ID, sim.Permission{PrincipalType: "user", PrincipalID: person.AccountID, Operation: "read", Target: "space"}); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	w.dies("erase.deleted", func() {
		_, _ = opErasePerson(t.Context(), w.app, eraseParams{ID: "acme", Account: person.AccountID, Yes: true}, nil)
	})
	w.clock.set(w.clock.now().Add(25 * time.Hour)) // its lease has ended
	w.app.runner.Glances = &collector.Glances{}    // as in another process
	if n, err := w.app.scheduler.RunDue(t.Context()); err != nil || n == 0 {
		t.Fatalf("%d runs, %v", n, err)
	}
	w.want("SELECT countIf(outcome = 'baseline_mismatch'), countIf(outcome = 'erased') > 0 FROM runs WHERE tenant_id = 'acme'", "0 1")
	w.want("SELECT dataset, change FROM changes WHERE tenant_id = 'acme' AND change NOT IN ('baseline', 'coverage', 'changed') AND dataset != 'user_activity'")
}
