package statetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

func testTenants(t *testing.T, s *state.Store) {
	ctx := t.Context()
	a := collector.Tenant{ID: "acme", Name: "Acme", SiteURL: "https://acme.example", Deployment: schemas.Cloud, CloudID: "c-1", CreatedAt: noon}
	b := collector.Tenant{ID: "a-b.c_d", Name: `Ünï "quoted" 'name'`, SiteURL: "https://b.example", Deployment: schemas.Cloud, Paused: true, CreatedAt: noon.Add(time.Second)}
	ok(t, s.PutTenant(ctx, a))
	ok(t, s.PutTenant(ctx, b))
	equal(t, "tenants", []collector.Tenant{b, a}, must[[]collector.Tenant](t)(s.Tenants(ctx)))

	changed := a
	changed.Name, changed.CloudID, changed.CreatedAt = "Acme 2", "c-2", noon.Add(time.Hour)
	ok(t, s.PutTenant(ctx, changed))
	changed.CreatedAt = a.CreatedAt // stays
	equal(t, "changed tenant", changed, must[collector.Tenant](t)(s.Tenant(ctx, "acme")))

	ok(t, s.SetPaused(ctx, "acme", true))
	ok(t, s.PutTenant(ctx, changed)) // by somebody who had read it before
	if !must[collector.Tenant](t)(s.Tenant(ctx, "acme")).Paused {
		t.Error("acme is not paused")
	}
	ok(t, s.SetPaused(ctx, "acme", false))
	if must[collector.Tenant](t)(s.Tenant(ctx, "acme")).Paused {
		t.Error("acme is still paused")
	}
	for _, id := range []string{"", "Acme", "-x", "a/b", "a b", "a\nb", strings.Repeat("a", 64)} {
		if err := s.PutTenant(ctx, collector.Tenant{ID: id}); err == nil {
			t.Errorf("tenant id %q was accepted", id)
		}
	}
	many := []collector.Tenant{{ID: "one", SiteURL: "https://one.example", CreatedAt: noon}, {ID: "two", SiteURL: "https://two.example", CreatedAt: noon}}
	daily := collector.Schedule{Tenant: "one", Group: "posture", Cron: "@daily", NextAt: noon}
	wrong := collector.Schedule{Tenant: "two", Group: "posture"} // has no cron
	if err := s.PutTenants(ctx, many, []collector.Schedule{daily, wrong}, nil); err == nil || !strings.Contains(err.Error(), "two") {
		t.Errorf("a list with a schedule that cannot be stored: %v", err)
	}
	if n := len(must[[]collector.Tenant](t)(s.Tenants(ctx))); n != 2 {
		t.Errorf("%d tenants after a list of which one cannot be stored, want the 2 from before", n)
	}
	ok(t, s.PutTenants(ctx, many, []collector.Schedule{daily}, nil))
	ok(t, s.PutTenants(ctx, many[1:], nil, []collector.Schedule{daily}))
	if left := must[[]collector.Schedule](t)(s.Schedules(ctx, "one")); len(left) != 0 {
		t.Errorf("schedules that were removed: %+v", left)
	}
	ok(t, s.LearnCloudID(ctx, "one", "https://other.example", "c-9")) // it moved meanwhile
	ok(t, s.LearnCloudID(ctx, "two", "https://two.example", "c-3"))
	ok(t, s.LearnCloudID(ctx, "two", "https://two.example", "c-4"))
	if one, two := must[collector.Tenant](t)(s.Tenant(ctx, "one")), must[collector.Tenant](t)(s.Tenant(ctx, "two")); one.CloudID != "" || two.CloudID != "c-3" {
		t.Errorf("learned cloud ids: %q and %q, want none and the first", one.CloudID, two.CloudID)
	}

	_, err := s.Tenant(ctx, "nobody")
	for what, err := range map[string]error{
		"Tenant": err, "SetPaused": s.SetPaused(ctx, "nobody", true), "RemoveTenant": s.RemoveTenant(ctx, "nobody", noon),
		"PutSchedule": s.PutSchedule(ctx, collector.Schedule{Tenant: "nobody", Group: "posture", Cron: "@hourly", NextAt: noon}),
	} {
		if !errors.Is(err, state.ErrUnknownTenant) || !strings.Contains(err.Error(), "sitedrift tenants list") || !strings.Contains(err.Error(), "nobody") {
			t.Errorf("%s of an unknown tenant: %v", what, err)
		}
	}
}

func testRemoveTenant(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "other")
	for _, id := range []string{"acme", "other"} {
		addSchedule(t, s, id, "posture", noon)
		must[collector.Credential](t)(s.PutConsent(ctx, collector.Credential{Tenant: id, Kind: "3lo", Sealed: []byte("x"), Generation: 1}))
		hold(t, s, collector.Hold{Tenant: id, Dataset: "spaces"})
	}
	jobs := must[[]collector.Job](t)(s.Claim(ctx, "me", noon, time.Minute, 1))
	decided := begun(t, s, jobs[0])
	ok(t, s.Decide(ctx, decided, moved(decided, "spaces")))
	running := begun(t, s, jobs[0])

	ok(t, s.RemoveTenant(ctx, "acme", noon))

	if _, err := s.Tenant(ctx, "acme"); !errors.Is(err, state.ErrUnknownTenant) {
		t.Errorf("the tenant is still there: %v", err)
	}
	if err := s.Renew(ctx, jobs[0], noon, time.Hour); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("its job can still be renewed: %v", err)
	}
	if err := s.Decide(ctx, running, moved(running, "spaces")); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("its run can still decide: %v", err)
	}
	if _, err := s.Begin(ctx, collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces"}, RunID: running.RunID, Owner: running.Owner, Fence: jobs[0].Fence, StartedAt: noon}); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("its run can still begin another attempt: %v", err)
	}
	equal(t, "tombstones", []collector.Tombstone{{Tenant: "acme", Name: "Tenant acme", SiteURL: "https://acme.example", RemovedAt: noon, Erased: -1}},
		must[[]collector.Tombstone](t)(s.Tombstones(ctx)))
	if _, err := s.Credential(ctx, "acme", "3lo"); !errors.Is(err, collector.ErrNoCredential) {
		t.Errorf("its credential is still there: %v", err)
	}
	if n := len(must[[]collector.Schedule](t)(s.Schedules(ctx, "acme"))); n != 0 {
		t.Errorf("%d schedules are still there", n)
	}
	if n := len(must[[]collector.Hold](t)(s.Holds(ctx, "acme"))); n != 0 {
		t.Errorf("%d holds are still there", n)
	}
	// The neighbour keeps everything.
	if n := len(must[[]collector.Hold](t)(s.Holds(ctx, ""))) + len(must[[]collector.Schedule](t)(s.Schedules(ctx, ""))) + len(must[[]collector.Credential](t)(s.Credentials(ctx))); n != 3 {
		t.Errorf("the other tenant has %d things left, not 3", n)
	}
	// The heads stay, and numbers go on.
	heads := must[[]collector.Head](t)(s.Heads(ctx, "acme"))
	if len(heads) != 1 || heads[0].Seq != decided.Seq {
		t.Errorf("heads after the removal: %+v", heads)
	}
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	if early := claim(t, s, "you", noon, 5); len(early) != 1 || early[0].Tenant != "other" {
		t.Errorf("claimed beside the run of before the removal: %+v", early)
	}
	again := claim(t, s, "you", noon.Add(time.Minute), 5)
	if len(again) != 2 || again[0].Tenant != "acme" {
		t.Fatalf("after the lease of that run: %+v", again)
	}
	if a := begun(t, s, again[0]); a.Seq <= running.Seq {
		t.Errorf("a tenant that came back got attempt %d after %d", a.Seq, running.Seq)
	}
	ok(t, s.Finish(ctx, again[0], noon.Add(time.Hour), 0))
	// A removal that stopped half-way is repeated without harm.
	ok(t, s.DeleteCredentials(ctx, "acme"))
	ok(t, s.RemoveTenant(ctx, "acme", noon))
}

// testErase: the runs of a tenant whose rows are being erased are kept away, from
// when the last one has ended until the erasure has, also if it comes back.
func testErase(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	addSchedule(t, s, "acme", "audit", noon)
	jobs := claim(t, s, "me", noon, 3)
	ok(t, s.Finish(ctx, jobs[0], noon, 0))
	job := jobs[1]
	a := begun(t, s, job)
	ok(t, s.Decide(ctx, a, moved(a, "spaces")))
	must[collector.Erasure](t)(s.AskErasure(ctx, "acme", "account", noon))
	ok(t, s.Ended(ctx, job)) // its row is there: nothing happens
	ok(t, s.Renew(ctx, job, noon, lease))
	ok(t, s.RemoveTenant(ctx, "acme", noon))

	occupied := func(want bool, now time.Time) {
		t.Helper()
		if got := must[bool](t)(s.Occupy(ctx, "me", "acme", now, time.Hour)); got != want {
			t.Fatalf("occupied: %v, want %v", got, want)
		}
	}
	occupied(false, noon)
	ok(t, s.Ended(ctx, collector.Job{Tenant: "acme", Group: job.Group, Kind: job.Kind, Owner: "you", Fence: job.Fence})) // another's
	occupied(false, noon)
	ok(t, s.Ended(ctx, job))
	occupied(true, noon)
	occupied(true, noon)
	if got := must[bool](t)(s.Occupy(ctx, "you", "acme", noon, time.Hour)); got {
		t.Error("erased twice at a time")
	}
	ok(t, s.ForgetTenant(ctx, "acme", 7, noon))
	ok(t, s.ForgetTenant(ctx, "acme", 3, noon)) // what came late
	if stones := must[[]collector.Tombstone](t)(s.Tombstones(ctx)); len(stones) != 1 || stones[0].Erased != 10 {
		t.Errorf("tombstones: %+v", stones)
	}
	if heads := must[[]collector.Head](t)(s.Heads(ctx, "acme")); len(heads) > 0 {
		t.Errorf("heads: %+v", heads)
	}
	if e := must[[]collector.Erasure](t)(s.Erasures(ctx)); len(e) != 1 || e[0].Account != "" || e[0].DoneAt.IsZero() {
		t.Errorf("erasures of persons: %+v", e)
	}

	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	if jobs := claim(t, s, "you", noon, 5); len(jobs) > 0 {
		t.Errorf("claimed while its rows are being erased: %+v", jobs)
	}
	ok(t, s.Vacate(ctx, "you", "acme"))
	if jobs := claim(t, s, "you", noon, 5); len(jobs) > 0 {
		t.Errorf("claimed while its rows are being erased by somebody else: %+v", jobs)
	}
	ok(t, s.Vacate(ctx, "me", "acme"))
	if jobs := claim(t, s, "you", noon, 5); len(jobs) != 1 {
		t.Errorf("claimed after that: %+v", jobs)
	}
}
