package statetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

const lease = time.Minute

func claim(t fataler, s *state.Store, owner string, now time.Time, limit int) []collector.Job {
	t.Helper()
	return must[[]collector.Job](t)(s.Claim(t.Context(), owner, now, lease, limit))
}

func testClaim(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta", "gamma")
	addSchedule(t, s, "acme", "posture", noon.Add(-time.Hour))
	addSchedule(t, s, "beta", "posture", noon)
	addSchedule(t, s, "gamma", "posture", noon.Add(time.Millisecond))
	if jobs := claim(t, s, "me", noon, 0); len(jobs) != 0 {
		t.Errorf("a limit of 0 claimed %+v", jobs)
	}
	first := claim(t, s, "me", noon, 1)
	equal(t, "the oldest first", []collector.Job{{
		Tenant: "acme", Group: "posture", Cron: "@hourly", Tick: noon.Add(-time.Hour),
		Trigger: collector.TriggerSchedule, Kind: "posture", Owner: "me", Fence: 1,
	}}, first)
	once := must[string](t)(s.Enqueue(ctx, "gamma", "audit", nil, noon))
	second := claim(t, s, "you", noon, 10)
	if len(second) != 2 || second[0].Kind != once || second[1].Tenant != "beta" {
		t.Fatalf("a request goes before schedules: %+v", second)
	}
	if jobs := claim(t, s, "me", noon, 10); len(jobs) != 0 {
		t.Errorf("claimed twice: %+v", jobs)
	}

	// A failure makes the next claim a retry, success ends that.
	soon := noon.Add(lease / 2)
	ok(t, s.Finish(ctx, first[0], soon, 1))
	want := first[0]
	want.Tick, want.Trigger, want.Failures, want.Fence = soon, collector.TriggerRetry, 1, 2
	ok(t, s.SetPaused(ctx, "gamma", true))
	retry := claim(t, s, "me", soon, 10)
	equal(t, "after a failure", []collector.Job{want}, retry)
	ok(t, s.Finish(ctx, retry[0], soon, 0))
	want.Trigger, want.Failures, want.Fence = collector.TriggerSchedule, 0, 3
	equal(t, "after a success", []collector.Job{want}, claim(t, s, "me", soon, 10))
	if _, err := s.Claim(ctx, "", noon, lease, 1); err == nil {
		t.Error("a claim by nobody was accepted")
	}
	if _, err := s.Claim(ctx, "me", noon, 0, 1); err == nil {
		t.Error("a lease of no length was accepted")
	}
}

func testLeaseEnds(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	mine := claim(t, s, "me", noon, 1)[0]
	ok(t, s.Renew(ctx, mine, noon, 2*lease))
	if jobs := claim(t, s, "you", noon.Add(2*lease-time.Millisecond), 1); len(jobs) != 0 {
		t.Fatalf("claimed under a renewed lease: %+v", jobs)
	}
	// Over, but not taken: the owner may still go on.
	ok(t, s.Renew(ctx, mine, noon, 3*lease))
	yours := claim(t, s, "you", noon.Add(3*lease), 1)
	if len(yours) != 1 || yours[0].Fence <= mine.Fence || !yours[0].Tick.Equal(noon) {
		t.Fatalf("after the lease: %+v", yours)
	}
	for what, err := range map[string]error{"Renew": s.Renew(ctx, mine, noon, time.Hour), "Finish": s.Finish(ctx, mine, noon.Add(time.Hour), 0)} {
		if !errors.Is(err, collector.ErrFenced) {
			t.Errorf("%s after a take-over: %v", what, err)
		}
	}
	ok(t, s.Finish(ctx, yours[0], noon.Add(time.Hour), 0))
	for what, err := range map[string]error{"Renew": s.Renew(ctx, yours[0], noon, time.Hour), "Finish": s.Finish(ctx, yours[0], noon.Add(time.Hour), 0)} {
		if !errors.Is(err, collector.ErrFenced) {
			t.Errorf("%s after the end: %v", what, err)
		}
	}
	// The same owner again: only the claim number tells its two claims apart.
	again := claim(t, s, "you", noon.Add(time.Hour), 1)[0]
	if err := s.Finish(ctx, yours[0], noon.Add(2*time.Hour), 0); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("an old claim of the same owner: %v", err)
	}
	if err := s.Finish(ctx, again, time.Time{}, 0); err == nil {
		t.Error("a schedule was finished without a next start")
	}
	// A schedule that is removed and put again does not count from the start.
	ok(t, s.RemoveSchedule(ctx, "acme", "posture"))
	if err := s.Renew(ctx, again, noon, 2*time.Hour); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a run of a removed schedule: %v", err)
	}
	addSchedule(t, s, "acme", "posture", noon)
	if jobs := claim(t, s, "you", noon.Add(time.Hour), 1); len(jobs) != 0 {
		t.Fatalf("claimed while the removed schedule's run has its lease: %+v", jobs)
	}
	if j := claim(t, s, "you", noon.Add(time.Hour+lease), 1); len(j) != 1 || j[0].Fence <= again.Fence {
		t.Errorf("after removal and return: %+v", j)
	}
}

func testOneLeasePerGroup(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "acme", "audit", noon)
	addSchedule(t, s, "beta", "posture", noon)
	must[string](t)(s.Enqueue(ctx, "acme", "posture", []string{"spaces"}, noon))
	must[string](t)(s.Enqueue(ctx, "acme", "posture", []string{"groups"}, noon))
	jobs := claim(t, s, "me", noon, 10)
	var got []string
	for _, j := range jobs {
		got = append(got, j.Tenant+"/"+j.Group)
	}
	slices.Sort(got)
	equal(t, "one job per tenant and group", []string{"acme/audit", "acme/posture", "beta/posture"}, got)
	if jobs[0].Trigger != collector.TriggerManual {
		t.Errorf("the request was not first: %+v", jobs)
	}
	for range 2 { // the second request, then the schedule
		if more := claim(t, s, "you", noon, 10); len(more) != 0 {
			t.Fatalf("a second job of a leased group: %+v", more)
		}
		ok(t, s.Finish(ctx, jobs[0], noon.Add(time.Hour), 0))
		jobs = claim(t, s, "me", noon, 10)
		if len(jobs) != 1 || jobs[0].Tenant != "acme" || jobs[0].Group != "posture" {
			t.Fatalf("after the first: %+v", jobs)
		}
	}
	if jobs[0].Kind != "posture" {
		t.Errorf("the schedule was not last: %+v", jobs)
	}
}

// testTenantsTakeTurns: a tenant of which a schedule is run waits with its others
// while tenants wait, and leaves the last free worker to one that comes later
// (Invariant 7).
func testTenantsTakeTurns(t *testing.T, s *state.Store) {
	addTenants(t, s, "slow", "beta", "gamma")
	for i, group := range []string{"posture", "inventory", "audit"} {
		addSchedule(t, s, "slow", group, noon.Add(time.Duration(i-9)*time.Minute))
	}
	addSchedule(t, s, "beta", "posture", noon)
	claimed := func(limit int, want ...string) {
		t.Helper()
		var got []string
		for _, j := range claim(t, s, "me", noon, limit) {
			got = append(got, j.Tenant+"/"+j.Group)
		}
		equal(t, fmt.Sprintf("claimed with %d free workers", limit), want, got)
	}
	claimed(2, "slow/posture", "beta/posture")
	claimed(1)
	addSchedule(t, s, "gamma", "audit", noon)
	claimed(1, "gamma/audit")
	must[string](t)(s.Enqueue(t.Context(), "slow", "audit", nil, noon))
	claimed(1, "slow/audit") // a person waits for it
	claimed(2, "slow/inventory")

	// What a person asked for is the tenant's turn, too.
	addTenants(t, s, "asked", "delta")
	addSchedule(t, s, "asked", "posture", noon.Add(-time.Hour))
	must[string](t)(s.Enqueue(t.Context(), "asked", "audit", nil, noon))
	claimed(1, "asked/audit")
	addSchedule(t, s, "delta", "posture", noon)
	claimed(1, "delta/posture")
	claimed(2, "asked/posture")
}

func testPaused(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon)
	ok(t, s.SetPaused(ctx, "acme", true))
	ok(t, s.SetSchedulePaused(ctx, "beta", "posture", true))
	must[string](t)(s.Enqueue(ctx, "acme", "posture", nil, noon))
	if jobs, due := claim(t, s, "me", noon, 10), must[time.Time](t)(s.NextDue(ctx)); len(jobs) != 0 || !due.IsZero() {
		t.Fatalf("claimed %+v, next due %s", jobs, due)
	}
	ok(t, s.SetSchedulePaused(ctx, "beta", "posture", false))
	if jobs := claim(t, s, "me", noon, 10); len(jobs) != 1 || jobs[0].Tenant != "beta" {
		t.Fatalf("after beta was resumed: %+v", jobs)
	}
	ok(t, s.SetPaused(ctx, "acme", false))
	if jobs := claim(t, s, "me", noon, 10); len(jobs) != 1 || jobs[0].Tenant != "acme" {
		t.Fatalf("after acme was resumed: %+v", jobs)
	}
}

func testScheduleChangesWhileRunning(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	job := claim(t, s, "me", noon, 1)[0]
	changed := collector.Schedule{Tenant: "acme", Group: "posture", Cron: "*/5 * * * *", NextAt: noon.Add(5 * time.Minute)}
	ok(t, s.PutSchedule(ctx, changed))
	if jobs := claim(t, s, "you", noon.Add(lease/2), 1); len(jobs) != 0 {
		t.Fatalf("the change ended the lease: %+v", jobs)
	}
	ok(t, s.Renew(ctx, job, noon, 2*lease))
	ok(t, s.Finish(ctx, job, noon.Add(time.Hour), 0)) // as the old cron would have it
	equal(t, "the new plan stays", []collector.Schedule{changed}, must[[]collector.Schedule](t)(s.Schedules(ctx, "acme")))
	if jobs := claim(t, s, "you", noon.Add(5*time.Minute), 1); len(jobs) != 1 || jobs[0].Cron != "*/5 * * * *" {
		t.Fatalf("claimed %+v", jobs)
	}
}

func testNextDue(t *testing.T, s *state.Store) {
	ctx := t.Context()
	due := func(want time.Time, when string) {
		t.Helper()
		if got := must[time.Time](t)(s.NextDue(ctx)); !got.Equal(want) {
			t.Fatalf("next due %s: %s, want %s", when, got, want)
		}
	}
	due(time.Time{}, "without work")
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon.Add(time.Hour))
	due(noon, "with two schedules")
	job := claim(t, s, "me", noon, 1)[0]
	due(noon.Add(lease), "while one is leased")
	ok(t, s.Renew(ctx, job, noon, 2*time.Hour))
	due(noon.Add(time.Hour), "while one is leased for long")
	ok(t, s.Finish(ctx, job, noon.Add(3*time.Hour), 0))
	ok(t, s.RemoveSchedule(ctx, "beta", "posture"))
	due(noon.Add(3*time.Hour), "after the end")
}

func testRecoverLeases(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "beta", "posture", noon)
	must[collector.Credential](t)(s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: "3lo", Sealed: []byte("x"), Generation: 1}))
	one, two := claim(t, s, "pod-1/a", noon, 1)[0], claim(t, s, "pod_1/b", noon, 1)[0]
	if _, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "pod-1/a", noon, noon.Add(time.Hour)); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	for _, f := range []struct {
		owner string
		want  int
	}{{"pod_1", 0}, {"%", 0}, {"pod_1/b", 1}, {"pod_1/b", 0}} {
		if n := must[int](t)(s.RecoverLeases(ctx, f.owner)); n != f.want {
			t.Fatalf("leases of %q: %d, want %d", f.owner, n, f.want)
		}
	}
	ok(t, s.Renew(ctx, one, noon, lease))
	if err := s.Renew(ctx, two, noon, lease); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a freed job was renewed: %v", err)
	}
	if n := must[int](t)(s.RecoverLeases(ctx, "")); n != 1 {
		t.Fatalf("leases left: %d, want 1", n)
	}
	jobs := claim(t, s, "me", noon, 10)
	if len(jobs) != 2 || jobs[0].Fence != 2 || jobs[1].Fence != 2 {
		t.Fatalf("after the recovery: %+v", jobs)
	}
	c, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "me", noon.Add(time.Second), noon.Add(time.Hour))
	if err != nil || !claimed || !c.IntentAt.Equal(noon) {
		t.Errorf("a refresh after the recovery: claimed %v, intent %s, %v", claimed, c.IntentAt, err)
	}
}
