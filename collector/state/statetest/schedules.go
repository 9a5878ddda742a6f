package statetest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

func testSchedules(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	rows := []collector.Schedule{
		{Tenant: "acme", Group: "audit", Cron: "*/10 * * * *", NextAt: noon},
		{Tenant: "acme", Group: "posture", Cron: "@hourly", NextAt: noon.Add(time.Minute), Paused: true},
		{Tenant: "beta", Group: "posture", Cron: "@daily", NextAt: noon.Add(1234 * time.Millisecond)},
	}
	for _, r := range rows {
		ok(t, s.PutSchedule(ctx, r))
	}
	must[string](t)(s.Enqueue(ctx, "acme", "inventory", nil, noon)) // no schedule
	equal(t, "all schedules", rows, must[[]collector.Schedule](t)(s.Schedules(ctx, "")))
	equal(t, "schedules of beta", rows[2:], must[[]collector.Schedule](t)(s.Schedules(ctx, "beta")))

	// Without a next start: kept while the cron is the same, else refused.
	same := rows[0]
	same.NextAt, same.Paused = time.Time{}, true
	ok(t, s.PutSchedule(ctx, same))
	rows[0].Paused = true
	other := same
	other.Cron = "@daily"
	if err := s.PutSchedule(ctx, other); err == nil || !strings.Contains(err.Error(), "next start") {
		t.Errorf("a changed cron without a next start: %v", err)
	}
	equal(t, "schedules of acme", rows[:2], must[[]collector.Schedule](t)(s.Schedules(ctx, "acme")))

	ok(t, s.SetSchedulePaused(ctx, "acme", "audit", false))
	rows[0].Paused = false
	ok(t, s.RemoveSchedule(ctx, "acme", "posture"))
	equal(t, "schedules left", []collector.Schedule{rows[0], rows[2]}, must[[]collector.Schedule](t)(s.Schedules(ctx, "")))

	for what, err := range map[string]error{
		"RemoveSchedule": s.RemoveSchedule(ctx, "acme", "posture"), "SetSchedulePaused": s.SetSchedulePaused(ctx, "nobody", "audit", true),
	} {
		if !errors.Is(err, state.ErrUnknownSchedule) {
			t.Errorf("%s of an unknown schedule: %v", what, err)
		}
	}
	for _, bad := range []collector.Schedule{{Group: "posture", NextAt: noon}, {Group: "", Cron: "@hourly", NextAt: noon}, {Group: "once/x", Cron: "@hourly", NextAt: noon}} {
		bad.Tenant = "acme"
		if err := s.PutSchedule(ctx, bad); err == nil {
			t.Errorf("schedule %+v was accepted", bad)
		}
	}
}

func testEnqueue(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	if _, err := s.Enqueue(ctx, "nobody", "posture", nil, noon); !errors.Is(err, state.ErrUnknownTenant) {
		t.Errorf("a run for an unknown tenant: %v", err)
	}
	if _, err := s.Enqueue(ctx, "acme", "", nil, noon); err == nil {
		t.Error("a run of no group was accepted")
	}
	first := must[string](t)(s.Enqueue(ctx, "acme", "posture", []string{"spaces", "groups"}, noon))
	if !strings.HasPrefix(first, "once/") {
		t.Errorf("kind of a one-off: %q", first)
	}
	if same := must[string](t)(s.Enqueue(ctx, "acme", "posture", []string{"groups", "spaces"}, noon.Add(time.Second))); same != first {
		t.Errorf("an equal request that waits was not joined: %q, %q", first, same)
	}
	all := must[string](t)(s.Enqueue(ctx, "acme", "posture", nil, noon))
	if all == first {
		t.Error("a request for all datasets joined one for two")
	}
	jobs := must[[]collector.Job](t)(s.Claim(ctx, "me", noon.Add(time.Minute), time.Minute, 10))
	equal(t, "claimed", []collector.Job{{
		Tenant: "acme", Group: "posture", Datasets: []string{"groups", "spaces"}, Tick: noon,
		Trigger: collector.TriggerManual, Kind: first, Owner: "me", Fence: 1,
	}}, jobs)
	again := must[string](t)(s.Enqueue(ctx, "acme", "posture", []string{"groups", "spaces"}, noon.Add(time.Minute)))
	if again == first {
		t.Error("a request joined a run that had begun before it")
	}
	ok(t, s.Finish(ctx, jobs[0], time.Time{}, 1))
	seen := map[string]bool{first: true}
	for range 2 {
		jobs = must[[]collector.Job](t)(s.Claim(ctx, "me", noon.Add(time.Minute), time.Minute, 10))
		if len(jobs) != 1 || seen[jobs[0].Kind] {
			t.Fatalf("claimed %+v", jobs)
		}
		seen[jobs[0].Kind] = true
		ok(t, s.Finish(ctx, jobs[0], time.Time{}, 0))
	}
	if due := must[time.Time](t)(s.NextDue(ctx)); !seen[all] || !seen[again] || !due.IsZero() {
		t.Errorf("finished %v; next due %s", seen, due)
	}
}
