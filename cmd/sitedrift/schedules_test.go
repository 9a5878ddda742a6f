package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/config"
)

// TestSchedulesFollowTheConfiguration starts with one configuration after the
// other and looks at the next starts: a restart moves nothing and loses no tick
// (Invariant 11).
func TestSchedulesFollowTheConfiguration(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir, cfg.Jitter = t.TempDir(), 0
	cfg.Tenants = []config.Tenant{{ID: "acme", Site: "https://acme.example.com"}}
	day := func(clock string) time.Time {
		at, err := time.Parse(time.DateTime, "2026-03-02 "+clock)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, step := range []struct {
		name, now, posture string
		pause              bool
		next               string // empty: no schedule
		paused             bool
	}{
		{name: "first start", now: "10:00:00", posture: "7 * * * *", next: "10:07:00"},
		{name: "nothing changed", now: "10:05:00", posture: "7 * * * *", next: "10:07:00"},
		{name: "missed", now: "13:30:00", posture: "7 * * * *", next: "10:07:00"},
		{name: "missed, and another schedule", now: "13:31:00", posture: "30 22 * * *", next: "10:07:00"},
		{name: "off", now: "13:32:00", posture: config.Off},
		{name: "on again", now: "13:33:00", posture: "30 22 * * *", next: "22:30:00"},
		{name: "earlier", now: "13:34:00", posture: "45 * * * *", pause: true, next: "13:45:00", paused: false},
		{name: "a pause stays", now: "13:35:00", posture: "50 * * * *", next: "13:50:00", paused: true},
		{name: "later, nothing missed", now: "13:36:00", posture: "0 20 * * *", next: "20:00:00", paused: true},
	} {
		cfg.Schedules = map[string]string{"posture": step.posture, "inventory": config.Off, "audit": config.Off}
		now := day(step.now)
		a, err := open(t.Context(), cfg, outside{now: func() time.Time { return now }}, zap.NewNop(), needs{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.store.Schedules(t.Context(), "acme")
		if err != nil {
			t.Fatal(err)
		}
		var want []collector.Schedule
		if step.next != "" {
			want = []collector.Schedule{{Tenant: "acme", Group: "posture", Cron: step.posture, NextAt: day(step.next), Paused: step.paused}}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
		if step.pause {
			if err := a.store.SetSchedulePaused(t.Context(), "acme", "posture", true); err != nil {
				t.Fatal(err)
			}
		}
		if err := a.close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
