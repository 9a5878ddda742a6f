package collector_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// leaky is a database that can be away: calls then fail, or hang until they are
// given up.
type leaky struct {
	*state.Store
	away, hangs atomic.Bool
}

func (l *leaky) Beat(ctx context.Context, owner string, now time.Time) (bool, error) {
	switch {
	case l.away.Load() && l.hangs.Load():
		<-ctx.Done()
		return false, ctx.Err()
	case l.away.Load():
		return false, errors.New("the database is away")
	}
	return l.Store.Beat(ctx, owner, now)
}

// ward is a few replicas on one database.
type ward struct {
	t     *testing.T
	db    *leaky
	stop  context.CancelFunc
	beats sync.WaitGroup
}

func newWard(t *testing.T) *ward {
	t.Helper()
	store, err := state.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &ward{t: t, db: &leaky{Store: store}}
}

// serve starts the heartbeats of the given replicas.
func (w *ward) serve(owners ...string) (all []*collector.Heartbeat) {
	w.t.Helper()
	var ctx context.Context
	ctx, w.stop = context.WithCancel(w.t.Context())
	for _, o := range owners {
		h := &collector.Heartbeat{Replicas: w.db, Owner: o, Now: time.Now, Log: zap.NewNop()}
		if err := h.Start(ctx); err != nil {
			w.t.Fatal(err)
		}
		w.beats.Go(func() { h.Serve(ctx) })
		all = append(all, h)
	}
	return all
}

func (w *ward) close() {
	w.stop()
	w.beats.Wait()
	if err := w.db.Close(); err != nil {
		w.t.Error(err)
	}
}

// TestSilentReplicaStopsItsRuns before the others may take it for dead, and gives
// its jobs back when it is heard again (Invariant 3).
func TestSilentReplicaStopsItsRuns(t *testing.T) {
	for name, hangs := range map[string]bool{"refused": false, "no answer": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWard(t)
				me := w.serve("me")[0]
				defer w.close()
				store := w.db.Store
				if err := errors.Join(store.PutTenant(t.Context(), collector.Tenant{ID: "acme"}),
					store.PutSchedule(t.Context(), collector.Schedule{Tenant: "acme", Group: "posture", Cron: "@hourly", NextAt: time.Now()})); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
				if jobs, err := store.Claim(t.Context(), "me", time.Now(), time.Hour, 1); err != nil || len(jobs) != 1 {
					t.Fatal(jobs, err)
				}
				run, cancel := context.WithCancelCause(t.Context())
				defer me.Guard(cancel)()

				heard := time.Now() // the last beat was a moment ago at most
				w.db.hangs.Store(hangs)
				w.db.away.Store(true)
				<-run.Done()
				if silent := time.Since(heard); !errors.Is(context.Cause(run), collector.ErrFenced) || silent > collector.SilentAfter {
					t.Errorf("stopped after %s by %v", silent, context.Cause(run))
				}
				if dead, err := store.Bury(t.Context(), time.Now()); err != nil || len(dead) > 0 {
					t.Errorf("the others buried %v before its runs were stopped: %v", dead, err)
				}
				if me.Beats() {
					t.Error("it goes on to claim work")
				}
				late, cancelLate := context.WithCancelCause(t.Context())
				defer me.Guard(cancelLate)()
				if late.Err() == nil {
					t.Error("a run that begins now is not stopped")
				}
				if jobs, err := store.Claim(t.Context(), "you", time.Now(), time.Hour, 1); err != nil || len(jobs) != 0 {
					t.Errorf("its job was claimed under its lease: %v, %v", jobs, err)
				}

				w.db.away.Store(false)
				time.Sleep(collector.BeatEvery + collector.SilentAfter)
				if !me.Beats() {
					t.Fatal("it stays silent")
				}
				if jobs, err := store.Claim(t.Context(), "you", time.Now(), time.Hour, 1); err != nil || len(jobs) != 1 {
					t.Errorf("the job that was stopped is not given back: %v, %v", jobs, err)
				}
			})
		})
	}
}

// TestNobodyIsBuriedAfterAnOutage: when the database was away for all, the first
// one to come back does not take the others for dead; a dead one is found.
func TestNobodyIsBuriedAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWard(t)
		all := w.serve("one", "two", "three")
		defer w.close()
		time.Sleep(time.Minute)
		if n := all[0].Peers(); n != 3 {
			t.Errorf("%d replicas, want 3", n)
		}
		w.db.away.Store(true)
		time.Sleep(time.Minute)
		w.db.away.Store(false)
		if _, err := w.db.Beat(t.Context(), "dead", time.Now()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(collector.BeatEvery) // the first beats after it
		synctest.Wait()
		if n, err := w.db.Alive(t.Context(), time.Now()); err != nil || n != 4 {
			t.Errorf("%d replicas are known after an outage, want 4: %v", n, err)
		}
		time.Sleep(2 * collector.DeadAfter)
		synctest.Wait()
		known, err := w.db.Beat(t.Context(), "dead", time.Now())
		if err != nil || known {
			t.Errorf("a dead replica was not buried: %v", err)
		}
		for _, h := range all {
			if !h.Beats() {
				t.Error("a replica stays silent after the outage")
			}
		}
	})
}

// TestNoHeartbeat: with one process there is nobody to tell.
func TestNoHeartbeat(t *testing.T) {
	var none *collector.Heartbeat
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	none.Guard(cancel)()
	if !none.Beats() || none.Peers() != 1 || ctx.Err() != nil {
		t.Errorf("beats %v, peers %d, %v", none.Beats(), none.Peers(), ctx.Err())
	}
}
