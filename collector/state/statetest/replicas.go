package statetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// beat lets replicas say that they are alive.
func beat(t *testing.T, s *state.Store, now time.Time, owners ...string) {
	t.Helper()
	for _, o := range owners {
		must[bool](t)(s.Beat(t.Context(), o, now))
	}
}

// begun begins an attempt as a run under the job does.
func begun(t *testing.T, s *state.Store, j collector.Job) *collector.Attempt {
	t.Helper()
	a := must[*collector.Attempt](t)(s.Begin(t.Context(), collector.Begin{
		Tenant: j.Tenant, Group: j.Group, Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: j.Claim(), Fence: j.Fence, StartedAt: noon,
	}))
	return a
}

// testLostClaim: whoever lost a lane and does not know it, as a process that was
// frozen, begins nothing there: a Begin would fence the attempt of its new owner.
func testLostClaim(t *testing.T, s *state.Store) {
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	refused := func(when string, j collector.Job) {
		t.Helper()
		_, err := s.Begin(t.Context(), collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: "x", Fence: j.Fence, StartedAt: noon})
		if !errors.Is(err, collector.ErrFenced) {
			t.Errorf("%s: %v", when, err)
		}
	}
	beat(t, s, noon, "frozen")
	lost := claim(t, s, "frozen", noon, 1)[0]
	refused("without a claim, beside one", collector.Job{})
	now := noon.Add(collector.DeadAfter)
	must[[]string](t)(s.Bury(t.Context(), now))
	refused("before the lane is taken over", lost)
	taken := claim(t, s, "alive", now, 1)[0]
	a := begun(t, s, taken)
	refused("while its new owner runs", lost)
	ok(t, decided(t, s, a))
	ok(t, s.Finish(t.Context(), taken, now, 0))
	refused("after its new owner has ended", taken)
	begin(t, s, "acme", "posture", "spaces") // by somebody who needs no claim

	// A lease that has ended and that nobody took over is as good as before.
	late := claim(t, s, "slow", now, 1)[0]
	ok(t, s.Renew(t.Context(), late, noon, -time.Hour))
	begun(t, s, late)
}

// decided tries to publish an attempt.
func decided(t *testing.T, s *state.Store, a *collector.Attempt) error {
	t.Helper()
	h := a.Heads["spaces"]
	h.Tenant, h.Group, h.Dataset, h.Seq, h.RunID = a.Tenant, a.Group, "spaces", a.Seq, a.RunID
	return s.Decide(t.Context(), a, []collector.Head{h})
}

// testDeadReplica: what a replica had leased is free as soon as its heart has been
// silent for long enough, and it can publish nothing any more.
func testDeadReplica(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon)
	for _, kind := range []string{collector.CredentialKind3LO, collector.CredentialKindDCOAuth} {
		must[collector.Credential](t)(s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: kind, Sealed: []byte("x"), Generation: 1}))
	}
	beat(t, s, noon, "frozen", "alive")
	theirs, mine := claim(t, s, "frozen", noon, 1)[0], claim(t, s, "alive", noon, 1)[0]
	late, mineBegun := begun(t, s, theirs), begun(t, s, mine)
	for _, kind := range []string{collector.CredentialKind3LO, collector.CredentialKindDCOAuth} {
		if _, claimed, err := s.ClaimRefresh(ctx, "acme", kind, "frozen", noon, noon.Add(time.Minute)); err != nil || !claimed {
			t.Fatal(claimed, err)
		}
	}
	now := noon.Add(collector.DeadAfter - time.Millisecond)
	beat(t, s, now, "alive")
	if dead := must[[]string](t)(s.Bury(ctx, now)); len(dead) > 0 {
		t.Fatalf("buried %v too early", dead)
	}
	if n := must[int](t)(s.Alive(ctx, now)); n != 2 {
		t.Errorf("%d replicas, want 2", n)
	}
	now = noon.Add(collector.DeadAfter)
	equal(t, "the dead", []string{"frozen"}, must[[]string](t)(s.Bury(ctx, now)))
	if n := must[int](t)(s.Alive(ctx, now)); n != 1 {
		t.Errorf("%d replicas, want 1", n)
	}

	// It wakes before anybody has taken the work over.
	if err := decided(t, s, late); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a replica that was taken for dead published: %v", err)
	}
	if err := s.Renew(ctx, theirs, now, lease); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("and renewed its lease: %v", err)
	}
	if known := must[bool](t)(s.Beat(ctx, "frozen", now)); known {
		t.Error("it is not told that it was taken for dead")
	}
	ok(t, decided(t, s, mineBegun)) // nobody else is fenced
	ok(t, s.Renew(ctx, mine, now, lease))

	taken := claim(t, s, "alive", now, 10)
	if len(taken) != 1 || taken[0].Tenant != theirs.Tenant || !taken[0].Tick.Equal(theirs.Tick) || taken[0].Fence <= theirs.Fence {
		t.Fatalf("taken over: %+v", taken)
	}
	a := begun(t, s, taken[0])
	if a.Seq <= late.Seq || len(a.Abandoned) != 1 {
		t.Errorf("the attempt after it: %+v", a)
	}
	ok(t, decided(t, s, a))
	if c, claimed, err := s.ClaimRefresh(ctx, "acme", collector.CredentialKind3LO, "alive", now, now.Add(time.Minute)); err != nil || !claimed || !c.IntentAt.Equal(noon) {
		t.Errorf("its refresh: claimed %v, intent %s, %v", claimed, c.IntentAt, err)
	}
	// A provider that takes a token once answers the first call or none.
	if _, claimed, err := s.ClaimRefresh(ctx, "acme", collector.CredentialKindDCOAuth, "alive", now, now.Add(time.Minute)); err != nil || claimed {
		t.Errorf("its refresh on Data Center: claimed %v, %v", claimed, err)
	}
}

// testDepart: a replica that ends in order leaves everything to the others at once.
func testDepart(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon)
	beat(t, s, noon, "one", "two")
	jobs := claim(t, s, "one", noon, 2)
	ok(t, s.GiveBack(ctx, jobs[0]))
	if err := s.GiveBack(ctx, jobs[0]); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("given back twice: %v", err)
	}
	again := claim(t, s, "two", noon, 2)
	if len(again) != 1 || again[0].Tenant != jobs[0].Tenant || !again[0].Tick.Equal(noon) || again[0].Trigger != jobs[0].Trigger {
		t.Fatalf("after it was given back: %+v", again)
	}
	a := begun(t, s, again[0])
	ok(t, decided(t, s, a))
	ok(t, s.Depart(ctx, "one"))
	if more := claim(t, s, "two", noon, 2); len(more) != 1 || more[0].Tenant != jobs[1].Tenant {
		t.Errorf("after it left: %+v", more)
	}
	ok(t, s.Renew(ctx, again[0], noon, lease))
	if n := must[int](t)(s.Alive(ctx, noon)); n != 1 {
		t.Errorf("%d replicas are left, want 1", n)
	}
	// A replica that was silent gives its jobs back, and is not gone.
	ok(t, s.FreeJobs(ctx, "two"))
	if jobs := claim(t, s, "three", noon, 5); len(jobs) != 2 {
		t.Errorf("after a silence: %+v", jobs)
	}
	if known := must[bool](t)(s.Beat(ctx, "two", noon)); !known {
		t.Error("a replica that was silent is gone")
	}
}

// testLivingIsNoDeath: an attempt whose end could not be told, since the database
// was away, is no death while its process lives (Invariant 7).
func testLivingIsNoDeath(t *testing.T, s *state.Store) {
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	deaths := func() int { return must[int](t)(s.Deaths(t.Context(), "acme", "posture")) }
	now := noon
	for range 2 {
		beat(t, s, now, "me")
		begun(t, s, claim(t, s, "me", now, 1)[0])
		now = now.Add(lease)
	}
	if n := deaths(); n != 0 {
		t.Errorf("%d deaths of a replica that lives", n)
	}
	must[[]string](t)(s.Bury(t.Context(), now))
	if n := deaths(); n != 2 {
		t.Errorf("%d deaths after the end of the replica, want 2", n)
	}
}

// testSuspectsAcross: of suspects one at a time is run, whichever replica has it.
func testSuspectsAcross(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon)
	jobs := slices.Concat(claim(t, s, "one", noon, 1), claim(t, s, "two", noon, 1))
	alone := func(j collector.Job) bool { return must[bool](t)(s.RunAlone(ctx, j.Claim(), noon)) }
	for range 2 { // asking again changes nothing
		if !alone(jobs[0]) {
			t.Fatal("the only suspect may not run")
		}
	}
	if alone(jobs[1]) {
		t.Fatal("a second suspect may run beside it")
	}
	ok(t, s.Finish(ctx, jobs[0], noon, 0))
	if !alone(jobs[1]) {
		t.Error("the second may not run after the first")
	}
	again := claim(t, s, "one", noon, 1)[0]
	if alone(again) {
		t.Error("the first may run beside the second")
	}
	if !must[bool](t)(s.RunAlone(ctx, again.Claim(), noon.Add(lease))) {
		t.Error("a suspect whose lease has ended is in the way")
	}
}

// DatabaseClock checks that leases go by the clock of the database, whatever the clocks of
// the replicas say.
func DatabaseClock(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	must[collector.Credential](t)(s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: "3lo", Sealed: []byte("x"), Generation: 1}))
	ahead := noon.Add(1000 * time.Hour)
	beat(t, s, noon, "behind")
	jobs := must[[]collector.Job](t)(s.Claim(ctx, "behind", noon, time.Hour, 1))
	if len(jobs) != 1 {
		t.Fatalf("claimed %+v", jobs)
	}
	if _, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "behind", noon, noon.Add(time.Hour)); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	try := func(what string) {
		t.Helper()
		if more := must[[]collector.Job](t)(s.Claim(ctx, "ahead", ahead, time.Hour, 1)); len(more) > 0 {
			t.Errorf("%s: a clock that is ahead ended a lease: %+v", what, more)
		}
		if _, got, err := s.Take(ctx, "ahead", "acme", "posture", nil, ahead, time.Hour); err != nil || got {
			t.Errorf("%s: taken %v, %v", what, got, err)
		}
		if _, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "ahead", ahead, ahead.Add(time.Hour)); err != nil || claimed {
			t.Errorf("%s: refresh claimed %v, %v", what, claimed, err)
		}
		if dead := must[[]string](t)(s.Bury(ctx, ahead)); len(dead) > 0 {
			t.Errorf("%s: buried %v", what, dead)
		}
	}
	try("claimed")
	ok(t, s.Renew(ctx, jobs[0], noon, time.Hour))
	try("renewed")
	// A lease whose time is up by the database's clock is free to a clock that is behind.
	ok(t, s.Renew(ctx, jobs[0], ahead, -time.Millisecond))
	if more := must[[]collector.Job](t)(s.Claim(ctx, "ahead", noon, time.Hour, 1)); len(more) != 1 {
		t.Errorf("after the lease: %+v", more)
	}
}
