package collector_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/schedule"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// started is what a scheduler started.
type started struct {
	at      time.Time
	tenant  string
	trigger collector.Trigger
}

// desk is a scheduler over a real table of work, with runs that only note that
// they were started.
type desk struct {
	*collector.Scheduler
	t     *testing.T
	clock *clock
	store *state.Store
	mu    sync.Mutex
	runs  []started
	fail  bool
}

func newDesk(t *testing.T, tenants ...string) *desk {
	t.Helper()
	d := &desk{t: t, clock: &clock{}}
	d.clock.ms.Store(time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC).UnixMilli())
	var err error
	if d.store, err = state.OpenSQLite(t.Context(), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.store.Close() })
	d.Scheduler = &collector.Scheduler{
		Work: d.store, Tenant: d.store.Tenant, Run: d.note, Owner: "desk", Workers: 4, Lease: time.Minute,
		Jitter: 5 * time.Minute, Grace: time.Second, Now: d.clock.now, Log: zap.NewNop(),
	}
	for _, id := range tenants {
		if err := d.store.PutTenant(t.Context(), collector.Tenant{ID: id, Name: id, CreatedAt: d.clock.now()}); err != nil {
			t.Fatal(err)
		}
		next, err := schedule.NextStart(id, schemas.GroupPosture, "@hourly", d.clock.now(), d.Jitter)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.store.PutSchedule(t.Context(), collector.Schedule{Tenant: id, Group: schemas.GroupPosture, Cron: "@hourly", NextAt: next}); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *desk) note(_ context.Context, r collector.Request) (schemas.Run, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.runs = append(d.runs, started{d.clock.now(), r.Tenant.ID, r.Trigger})
	if d.fail {
		return schemas.Run{}, context.DeadlineExceeded
	}
	return schemas.Run{}, nil
}

// until moves the clock from due start to due start, as the demo does.
func (d *desk) until(t time.Time) {
	d.t.Helper()
	for {
		due, err := d.store.NextDue(d.t.Context())
		if err != nil {
			d.t.Fatal(err)
		}
		if due.IsZero() || due.After(t) {
			d.clock.ms.Store(t.UnixMilli())
			return
		}
		if due.After(d.clock.now()) {
			d.clock.ms.Store(due.UnixMilli())
		}
		if _, err := d.RunDue(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *desk) triggers() (all []collector.Trigger) {
	for _, r := range d.runs {
		all = append(all, r.trigger)
	}
	return all
}

// TestEveryTickRunsOnceAndDowntimeIsMadeUpForOnce is Invariant 11.
func TestEveryTickRunsOnceAndDowntimeIsMadeUpForOnce(t *testing.T) {
	d := newDesk(t, "acme")
	day := d.clock.now()
	d.until(day.Add(5 * time.Hour))
	if len(d.runs) != 5 {
		t.Fatalf("%d runs in five hours of an hourly schedule", len(d.runs))
	}
	for i, r := range d.runs {
		if off := r.at.Sub(r.at.Truncate(time.Hour)); off < schedule.Quiet || off > d.Jitter {
			t.Errorf("run %d starts %s after the hour; want off it and within the jitter", i, off)
		}
	}
	d.runs = nil
	d.clock.advance(7*time.Hour + 30*time.Minute) // nothing was running
	if _, err := d.RunDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]collector.Trigger{collector.TriggerCatchUp}, d.triggers()); diff != "" {
		t.Error(diff)
	}
	d.until(d.clock.now().Add(2 * time.Hour))
	if diff := gocmp.Diff([]collector.Trigger{collector.TriggerCatchUp, collector.TriggerSchedule, collector.TriggerSchedule}, d.triggers()); diff != "" {
		t.Error(diff)
	}
}

// fullTable cannot be written for a moment, when a job is finished.
type fullTable struct {
	*state.Store
	fails int
}

func (f *fullTable) Finish(ctx context.Context, job collector.Job, next time.Time, failures int) error {
	if f.fails--; f.fails >= 0 {
		return errors.New("the disk is full")
	}
	return f.Store.Finish(ctx, job, next, failures)
}

// TestFinishIsTriedAgain lets the end of a run be told at the second try. The
// group does not wait for the end of its lease.
func TestFinishIsTriedAgain(t *testing.T) {
	d := newDesk(t, "acme")
	d.Work = &fullTable{d.store, 1}
	d.until(d.clock.now().Add(time.Hour))
	if len(d.runs) != 1 {
		t.Fatalf("%d runs in an hour of an hourly schedule", len(d.runs))
	}
	due, err := d.store.NextDue(t.Context())
	if err != nil || due.Before(d.clock.now().Add(d.Lease)) {
		t.Errorf("the group is due at %s, after a run at %s: %v", due, d.runs[0].at, err)
	}
}

func TestTenantsStartSpreadOut(t *testing.T) {
	d := newDesk(t, "a", "b", "c", "d", "e", "f", "g", "h")
	d.until(d.clock.now().Add(time.Hour))
	minutes := map[time.Time]int{}
	for _, r := range d.runs {
		minutes[r.at.Truncate(10*time.Second)]++
	}
	if len(d.runs) != 8 || len(minutes) < 5 {
		t.Errorf("%d runs in %d different ten seconds", len(d.runs), len(minutes))
	}
}

func TestFailuresAreRetriedBeforeTheNextTick(t *testing.T) {
	d := newDesk(t, "acme")
	d.fail = true
	d.until(d.clock.now().Add(50 * time.Minute))
	if len(d.runs) < 3 || d.runs[0].trigger != collector.TriggerSchedule || d.runs[1].trigger != collector.TriggerRetry {
		t.Fatalf("started %v", d.runs)
	}
	if gap, next := d.runs[1].at.Sub(d.runs[0].at), d.runs[2].at.Sub(d.runs[1].at); next <= gap {
		t.Errorf("retries after %s and %s: want longer and longer", gap, next)
	}
	d.fail, d.runs = false, nil
	d.until(d.clock.now().Add(90 * time.Minute))
	if last := d.runs[len(d.runs)-1]; last.trigger != collector.TriggerSchedule {
		t.Errorf("after it worked again the trigger is %s", last.trigger)
	}
}

// TestDormantTenantsWakeOnceADay: only a person can help them.
func TestDormantTenantsWakeOnceADay(t *testing.T) {
	d := newDesk(t, "acme")
	d.Dormant = func(context.Context, string) bool { return true }
	d.until(d.clock.now().Add(72 * time.Hour))
	if len(d.runs) != 3 {
		t.Errorf("%d runs in three days", len(d.runs))
	}
}

// TestPauseAndNewSchedulesNeedNoRestart changes the table under a scheduler.
func TestPauseAndNewSchedulesNeedNoRestart(t *testing.T) {
	d := newDesk(t, "acme", "globex")
	if err := d.store.SetPaused(t.Context(), "acme", true); err != nil {
		t.Fatal(err)
	}
	d.until(d.clock.now().Add(2 * time.Hour))
	for _, r := range d.runs {
		if r.tenant == "acme" {
			t.Errorf("a paused tenant ran at %s", r.at)
		}
	}
	if err := d.store.SetPaused(t.Context(), "acme", false); err != nil {
		t.Fatal(err)
	}
	if err := d.store.PutSchedule(t.Context(), collector.Schedule{Tenant: "globex", Group: schemas.GroupPosture, Cron: "@every 10m", NextAt: d.clock.now().Add(time.Minute)}); err != nil {
		t.Fatal(err)
	}
	d.runs = nil
	d.until(d.clock.now().Add(time.Hour))
	count := map[string]int{}
	for _, r := range d.runs {
		count[r.tenant]++
	}
	if count["acme"] != 2 || count["globex"] < 6 { // acme: the tick that the pause held back, and the next
		t.Errorf("runs after the change: %v", count)
	}
}

// TestStopLetsRunsEnd: a stop starts nothing more, waits, and cuts off what
// takes too long.
func TestStopLetsRunsEnd(t *testing.T) {
	d := newDesk(t, "acme")
	d.clock.advance(time.Hour)
	running, cut := make(chan struct{}), make(chan error, 1)
	d.Run = func(ctx context.Context, _ collector.Request) (schemas.Run, error) {
		close(running)
		<-ctx.Done() // a run that takes for ever
		cut <- context.Cause(ctx)
		return schemas.Run{}, context.Cause(ctx)
	}
	d.Grace = 10 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, time.Millisecond) }()
	<-running
	stop()
	if err := <-cut; err == nil || err.Error() != "sitedrift is stopping" {
		t.Errorf("cut off with %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// TestStopGivesWorkBack: a run that a stop cuts off is due as before, for the next
// process to run at once, and is no failure (Invariant 11).
func TestStopGivesWorkBack(t *testing.T) {
	d := newDesk(t, "acme")
	d.clock.advance(time.Hour)
	running := make(chan struct{})
	d.Run = func(ctx context.Context, _ collector.Request) (schemas.Run, error) {
		close(running)
		<-ctx.Done()
		return schemas.Run{}, context.Cause(ctx)
	}
	d.Grace = time.Millisecond
	due, err := d.store.NextDue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, time.Millisecond) }()
	<-running
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	jobs, err := d.store.Claim(t.Context(), "another", d.clock.now(), time.Minute, 5)
	if err != nil || len(jobs) != 1 || !jobs[0].Tick.Equal(due) || jobs[0].Failures != 0 {
		t.Errorf("another process claims %+v, %v; want the tick of %s", jobs, err, due)
	}
}

// TestClaimDuringAStopIsGivenBack: what a claim got while the stop came is not begun.
func TestClaimDuringAStopIsGivenBack(t *testing.T) {
	d := newDesk(t, "acme")
	d.clock.advance(time.Hour)
	ctx, stop := context.WithCancel(t.Context())
	d.Work = stopper{d.store, stop}
	if err := d.Serve(ctx, time.Millisecond); err != nil {
		t.Error(err)
	}
	if len(d.runs) != 0 {
		t.Errorf("begun after the stop: %v", d.runs)
	}
	if jobs, err := d.store.Claim(t.Context(), "another", d.clock.now(), time.Minute, 5); err != nil || len(jobs) != 1 {
		t.Errorf("another process claims %+v, %v", jobs, err)
	}
}

// stopper stops the process while it claims.
type stopper struct {
	*state.Store
	stop func()
}

func (s stopper) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, limit int) ([]collector.Job, error) {
	s.stop()
	return s.Store.Claim(ctx, owner, now, lease, limit)
}

// TestProjectorShowsWhatWasLeft: a head that stays unshown from one look to the next
// is shown; one that was just decided is left to its run.
func TestProjectorShowsWhatWasLeft(t *testing.T) {
	d := newDesk(t, "acme")
	decide := func() {
		t.Helper()
		a, err := d.store.Begin(t.Context(), collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: "dead", StartedAt: d.clock.now()})
		if err != nil {
			t.Fatal(err)
		}
		h := a.Heads["spaces"]
		h.Tenant, h.Group, h.Dataset, h.Seq, h.RunID = "acme", "posture", "spaces", a.Seq, a.RunID
		if err := d.store.Decide(t.Context(), a, []collector.Head{h}); err != nil {
			t.Fatal(err)
		}
	}
	p := &collector.Projector{Ledger: d.store, Trace: func(string) {}}
	look := func(want int) {
		t.Helper()
		if n, err := p.Look(t.Context()); n != want || err != nil {
			t.Errorf("showed %d heads, want %d: %v", n, want, err)
		}
	}
	decide()
	look(0)
	decide() // a newer one, by somebody who lives
	look(0)
	look(1)
	look(0)
}

// TestNothingIsClaimedInVain: while runs could not be stored, due rows wait; then one
// run stands for all that was missed (Invariant 11).
func TestNothingIsClaimedInVain(t *testing.T) {
	d := newDesk(t, "acme")
	d.until(d.clock.now().Add(time.Hour))
	d.runs = nil
	d.clock.advance(3 * time.Hour)
	asked := make(chan struct{})
	var usable atomic.Bool
	d.Usable = func(ctx context.Context) bool {
		select {
		case asked <- struct{}{}:
		case <-ctx.Done():
		}
		return usable.Load()
	}
	ran := make(chan struct{})
	d.Run = func(ctx context.Context, r collector.Request) (schemas.Run, error) {
		defer close(ran)
		return d.note(ctx, r)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx, time.Millisecond) }()
	for range 3 {
		select {
		case <-asked:
		case <-ran:
			t.Fatal("a run was begun in vain")
		}
	}
	usable.Store(true)
	for begun := false; !begun; {
		select {
		case <-asked:
		case <-ran:
			begun = true
		}
	}
	stop()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]collector.Trigger{collector.TriggerCatchUp}, d.triggers()); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestSilenceBeforeTheRunIsNoFailure: a replica that falls silent between a claim and
// its run begins nothing, and the job goes back as it was (Invariant 11).
func TestSilenceBeforeTheRunIsNoFailure(t *testing.T) {
	d := newDesk(t, "acme")
	d.clock.advance(2 * time.Hour)
	jobs, err := d.store.Claim(t.Context(), d.Owner, d.clock.now(), time.Minute, 1)
	if err != nil || len(jobs) != 1 {
		t.Fatalf("%+v, %v", jobs, err)
	}
	d.Heartbeat = &collector.Heartbeat{Replicas: d.store, Owner: d.Owner, Now: d.clock.now, Log: zap.NewNop()} // nobody knows that it lives
	d.Scheduler.Tenant = func(ctx context.Context, id string) (collector.Tenant, error) {
		<-ctx.Done()
		return collector.Tenant{}, ctx.Err()
	}
	if _, err := d.RunNow(t.Context(), jobs[0], collector.Listener{}); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("the job ended with %v", err)
	}
	if err := d.store.FreeJobs(t.Context(), d.Owner); err != nil {
		t.Fatal(err)
	}
	again, err := d.store.Claim(t.Context(), d.Owner, d.clock.now(), time.Minute, 1)
	if err != nil || len(again) != 1 || again[0].Failures != 0 || !again[0].Tick.Equal(jobs[0].Tick) {
		t.Errorf("after the silence: %+v, %v", again, err)
	}
}

// TestWorkOfARemovedTenantIsLetGo: a run that ends after its tenant was removed, or
// that finds it gone, leaves the group free at once.
func TestWorkOfARemovedTenantIsLetGo(t *testing.T) {
	for _, when := range []string{"before the run", "in the run", "after the run"} {
		t.Run(when, func(t *testing.T) {
			d := newDesk(t, "acme")
			d.clock.advance(2 * time.Hour)
			jobs, err := d.store.Claim(t.Context(), d.Owner, d.clock.now(), time.Minute, 1)
			if err != nil || len(jobs) != 1 {
				t.Fatalf("%+v, %v", jobs, err)
			}
			remove := func() {
				if err := d.store.RemoveTenant(t.Context(), "acme", d.clock.now()); err != nil {
					t.Error(err)
				}
			}
			d.Scheduler.Run = func(context.Context, collector.Request) (schemas.Run, error) {
				switch when {
				case "in the run":
					remove()
					return schemas.Run{}, collector.ErrFenced
				case "after the run":
					remove()
				}
				return schemas.Run{}, nil
			}
			if when == "before the run" {
				remove()
			}
			_, _ = d.RunNow(t.Context(), jobs[0], collector.Listener{})
			if free, err := d.store.Occupy(t.Context(), "somebody", "acme", d.clock.now(), time.Hour); err != nil || !free {
				t.Errorf("the group is free: %v, %v", free, err)
			}
		})
	}
}
