package collector_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// approving is a ledger whose holds are approved as soon as they were looked at.
type approving struct{ *state.Store }

func (a approving) Holds(ctx context.Context, tenant string) ([]collector.Hold, error) {
	holds, err := a.Store.Holds(ctx, tenant)
	if err == nil {
		_, err = a.Approve(ctx, tenant)
	}
	return holds, err
}

// TestMassRemovalsAreHeld is Invariant 8.
func TestMassRemovalsAreHeld(t *testing.T) {
	hide := func(w *world) []string {
		var ids []string
		for _, s := range w.site.Truth().Spaces[:5] {
			w.site.HideSpace(s.ID)
			ids = append(ids, s.ID)
		}
		return ids
	}
	held := func(t *testing.T, w *world) {
		t.Helper()
		if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeHeld || row.Written != 0 {
			t.Fatalf("outcome %s, %d rows written; want held and none", row.Outcome, row.Written)
		}
		w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change IN ('removed', 'vanished')", "0")
		w.want("SELECT state FROM sitedrift.tiles WHERE tenant_id = $T AND dataset = 'space_permissions'", "held")
	}
	published := func(t *testing.T, w *world) {
		t.Helper()
		if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged || row.Vanished == 0 {
			t.Fatalf("outcome %s, %d vanished: %s", row.Outcome, row.Vanished, row.Error)
		}
		w.equalsTruth(schemas.GroupPosture)
		w.want("SELECT state FROM sitedrift.tiles WHERE tenant_id = $T AND dataset = 'space_permissions'", "complete")
		if holds, err := w.store.Holds(t.Context(), w.tenant.ID); err != nil || len(holds) != 0 {
			t.Errorf("holds after publishing: %v %v", holds, err)
		}
	}
	t.Run("confirmed by the next run", func(t *testing.T) {
		w := newWorld(t, small())
		first := w.run(schemas.GroupPosture)
		hide(w)
		held(t, w)
		w.clock.advance(-time.Hour + 5*time.Minute) // too early to confirm
		held(t, w)
		published(t, w)
		// The held runs told nothing, so it happened after the run before them.
		w.want("SELECT DISTINCT not_before FROM sitedrift.changes WHERE tenant_id = $T AND change = 'vanished'", first.StartedAt.Format("2006-01-02 15:04:05.000"))
	})
	t.Run("approved", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupPosture)
		hide(w)
		held(t, w)
		if n, err := w.store.Approve(t.Context(), w.tenant.ID); err != nil || n == 0 {
			t.Fatalf("approved %d: %v", n, err)
		}
		w.clock.advance(-55 * time.Minute)
		published(t, w)
	})
	t.Run("approved while the next run goes on", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupPosture)
		hide(w)
		held(t, w)
		w.runner.Ledger = approving{w.store}
		w.clock.advance(-55 * time.Minute)
		held(t, w) // it had asked before
		w.runner.Ledger = w.store
		w.clock.advance(-55 * time.Minute)
		published(t, w)
	})
	t.Run("an approval is used up", func(t *testing.T) {
		settings := small()
		settings.Exact = true
		w := newWorld(t, settings)
		w.run(schemas.GroupPosture)
		spaces := w.site.Truth().Spaces
		for _, s := range spaces[:3] {
			w.site.HideSpace(s.ID)
		}
		held(t, w)
		if n, err := w.store.Approve(t.Context(), w.tenant.ID); err != nil || n == 0 {
			t.Fatalf("approved %d: %v", n, err)
		}
		w.runner.Trace = func(point string) {
			if point == "decide.after" {
				runtime.Goexit() // its process dies there
			}
		}
		died := make(chan struct{})
		go func() { defer close(died); _, _ = w.tryRun(schemas.GroupPosture) }()
		<-died
		w.runner.Trace = nil
		for _, s := range spaces[3:6] {
			w.site.HideSpace(s.ID)
		}
		if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeHeld {
			t.Errorf("the run after the approved one: %s, %d vanished", row.Outcome, row.Vanished)
		}
		w.want("SELECT count() FROM sitedrift.spaces WHERE tenant_id = $T", "5")
	})
	t.Run("the tenant is removed meanwhile", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupPosture)
		hide(w)
		w.runner.Trace = func(point string) {
			if point == "run.read" {
				if err := w.store.RemoveTenant(t.Context(), w.tenant.ID, w.clock.now()); err != nil {
					t.Error(err)
				}
			}
		}
		if _, err := w.tryRun(schemas.GroupPosture); !errors.Is(err, collector.ErrFenced) {
			t.Errorf("the run ended with %v", err)
		}
		if holds, err := w.store.Holds(t.Context(), w.tenant.ID); err != nil || len(holds) > 0 {
			t.Errorf("%d holds of a tenant that is gone, %v", len(holds), err)
		}
	})
	t.Run("they came back", func(t *testing.T) {
		w := newWorld(t, small())
		w.run(schemas.GroupPosture)
		ids := hide(w)
		held(t, w)
		for _, id := range ids {
			w.site.ShowSpace(id)
		}
		if row := w.run(schemas.GroupPosture); row.Vanished != 0 {
			t.Errorf("%d vanished", row.Vanished)
		}
		w.equalsTruth(schemas.GroupPosture)
		w.want("SELECT count() FROM sitedrift.changes WHERE tenant_id = $T AND change IN ('removed', 'vanished', 'added')", "0")
	})
	t.Run("others than those held", func(t *testing.T) {
		settings := small()
		settings.Exact = true
		w := newWorld(t, settings)
		w.run(schemas.GroupPosture)
		ids := hide(w)
		held(t, w)
		for _, id := range ids {
			w.site.ShowSpace(id)
		}
		for _, s := range w.site.Truth().Spaces[5:] {
			w.site.HideSpace(s.ID)
		}
		held(t, w) // it says nothing of these
	})
}
