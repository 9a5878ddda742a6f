package schedule

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var expressions = []string{
	"0 * * * *", "* * * * *", "*/7 * * * *", "0,59 0,23 * * *", "5 4 * * *", "0 9 * * 1-5", "0 0 1 * *", "0 0 29 2 *",
	"@hourly", "@daily", "@every 1s", "@every 90s", "@every 7m", "@every 25h",
}

// TestNoTickLostOrDoubled lets a process come and go, and be slow, over a
// schedule, the way the table of work and a run do it: the table keeps the next
// start, a run claims it when it is due and puts the next one there. Each start
// of the plan must be stood for by exactly one run, and none before it was due.
func TestNoTickLostOrDoubled(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		expr := rapid.SampledFrom(expressions).Draw(t, "expr")
		window := time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "window"))
		plan, err := NewPlan(rapid.String().Draw(t, "tenant"), "posture", expr, window)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Unix(rapid.Int64Range(1_500_000_000, 2_500_000_000).Draw(t, "begin"), 0).UTC()
		next := plan.Next(now)
		expected := next // the first start that no run has stood for yet
		unit := plan.Next(next).Sub(next)
		for range rapid.IntRange(1, 30).Draw(t, "runs") {
			// Sleep until the start, or be away for up to three intervals more.
			late := time.Duration(rapid.Float64Range(0, 3).Draw(t, "late") * float64(unit))
			if rapid.Bool().Draw(t, "punctual") {
				late = 0
			}
			claimed := next.Add(late)
			if claimed.Before(now) { // the run before took longer than the interval
				claimed = now
			}
			if !plan.Planned(next) {
				t.Fatalf("%s is no start of the plan", next)
			}
			var missed int
			start := next
			next, missed = plan.Due(start, claimed)

			if !start.Equal(expected) {
				t.Fatalf("run stands for %s, expected %s", start, expected)
			}
			for range missed {
				expected = plan.Next(expected)
				if expected.After(claimed) {
					t.Fatalf("claimed at %s, but stands for %s as well", claimed, expected)
				}
			}
			expected = plan.Next(expected)
			if !next.Equal(expected) {
				t.Fatalf("next is %s, expected %s: %d missed", next, expected, missed)
			}
			if !next.After(claimed) {
				t.Fatalf("next %s is not after the claim at %s", next, claimed)
			}
			now = claimed.Add(time.Duration(rapid.Float64Range(0, 2).Draw(t, "takes") * float64(unit)))
		}
	})
}

// TestStartsMatchTicks: moving by the offset neither drops nor adds a start.
func TestStartsMatchTicks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		plan, err := NewPlan(rapid.StringMatching(`[a-z]{1,8}`).Draw(t, "tenant"), rapid.SampledFrom([]string{"posture", "inventory", "audit"}).Draw(t, "group"),
			rapid.SampledFrom(expressions).Draw(t, "expr"), time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "window")))
		if err != nil {
			t.Fatal(err)
		}
		tick := plan.schedule.Next(time.Unix(rapid.Int64Range(0, 4_000_000_000).Draw(t, "at"), 0))
		start := plan.Next(tick.Add(plan.Offset()).Add(-time.Nanosecond))
		for range 20 {
			if !start.Equal(tick.Add(plan.Offset())) {
				t.Fatalf("start %s does not match tick %s and offset %s", start, tick, plan.Offset())
			}
			tick, start = plan.schedule.Next(tick), plan.Next(start)
		}
	})
}

// TestJitter: deterministic, inside its bounds, off the full hour, and spread.
func TestJitter(t *testing.T) {
	for _, expr := range expressions {
		s, err := Parse(expr)
		if err != nil {
			t.Fatal(err)
		}
		shortest := s.Next(s.Next(reference)).Sub(s.Next(reference))
		for tick, i := s.Next(reference), 0; i < 2000; i++ {
			next := s.Next(tick)
			shortest = min(shortest, next.Sub(tick))
			tick = next
		}
		for _, window := range []time.Duration{0, time.Second, 30 * time.Second, 10 * time.Minute, 3 * time.Hour} {
			spread := min(window, shortest/2)
			for i := range 50 {
				tenant := fmt.Sprintf("tenant-%d", i)
				plan, err := NewPlan(tenant, "posture", expr, window)
				if err != nil {
					t.Fatal(err)
				}
				if again, _ := NewPlan(tenant, "posture", expr, window); again.Offset() != plan.Offset() {
					t.Fatalf("%q: offset of %s is %s, then %s", expr, tenant, plan.Offset(), again.Offset())
				}
				if o := plan.Offset(); o < 0 || o > 0 && o >= spread {
					t.Errorf("%q, window %s: offset %s is not below %s", expr, window, o, spread)
				}
				wholeMinutes := s.every%time.Minute == 0
				if start := plan.Next(reference); spread > Quiet && wholeMinutes && start.Second() < int(Quiet/time.Second) {
					t.Errorf("%q, window %s: %s starts at %s, in the first seconds of a minute", expr, window, tenant, start)
				}
			}
		}
	}
}

// TestJitterSpreads counts 6,000 tenants of an hourly schedule per minute of the
// window: each minute should get 600 of them, give or take six standard deviations.
func TestJitterSpreads(t *testing.T) {
	const tenants, minutes = 6000, 10
	var count [minutes]int
	differ := 0
	for i := range tenants {
		plan, err := NewPlan(fmt.Sprintf("t%d", i), "posture", "0 * * * *", minutes*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		count[plan.Offset()/time.Minute]++
		other, err := NewPlan(fmt.Sprintf("t%d", i), "audit", "0 * * * *", minutes*time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if other.Offset() != plan.Offset() {
			differ++
		}
	}
	for m, n := range count {
		if n < 460 || n > 740 {
			t.Errorf("minute %d gets %d of %d starts: %v", m, n, tenants, count)
		}
	}
	if differ < tenants*9/10 {
		t.Errorf("only %d of %d tenants start their groups at different times", differ, tenants)
	}
}

func TestNextStart(t *testing.T) {
	after := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	got, err := NextStart("acme", "posture", "@hourly", after, 0)
	if want := after.Add(time.Hour); err != nil || !got.Equal(want) {
		t.Errorf("without jitter: %s, %v, want %s", got, err, want)
	}
	got, err = NextStart("acme", "posture", "@hourly", after, 20*time.Minute)
	if err != nil || !got.After(after) || !got.Before(after.Add(80*time.Minute)) {
		t.Errorf("with jitter: %s, %v", got, err)
	}
	if _, err = NextStart("acme", "posture", "@reboot", after, 0); err == nil {
		t.Error("a bad expression was accepted")
	}
}

func TestDueCountsUpToABound(t *testing.T) {
	plan, err := NewPlan("acme", "posture", "@every 1s", 0)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	now := start.AddDate(1, 0, 0)
	next, missed := plan.Due(start, now)
	if want := now.Add(time.Second); missed != maxMissed || !next.Equal(want) {
		t.Errorf("next %s, missed %d; want %s, %d", next, missed, want, maxMissed)
	}
	// A clock that jumped back: the next start still is a later one.
	next, missed = plan.Due(start, start.Add(-time.Hour))
	if want := start.Add(time.Second); missed != 0 || !next.Equal(want) {
		t.Errorf("after a jump back: next %s, missed %d; want %s, 0", next, missed, want)
	}
}

func TestPlannedTellsRetriesApart(t *testing.T) {
	plan, err := NewPlan("acme", "posture", "@hourly", 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	start := plan.Next(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC))
	if !plan.Planned(start) {
		t.Errorf("start %s is not planned", start)
	}
	for _, d := range []time.Duration{-time.Millisecond, time.Millisecond, RetryFirst} {
		if plan.Planned(start.Add(d)) {
			t.Errorf("%s away from a start is planned", d)
		}
	}
}

func TestRetryAt(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	tomorrow := now.Add(24 * time.Hour)
	for _, c := range []struct {
		failures int
		next     time.Time
		want     time.Duration
	}{
		{0, tomorrow, 24 * time.Hour},
		{-1, tomorrow, 24 * time.Hour},
		{1, tomorrow, time.Minute},
		{2, tomorrow, 2 * time.Minute},
		{6, tomorrow, 32 * time.Minute},
		{7, tomorrow, time.Hour},
		{8, tomorrow, time.Hour},
		{100, tomorrow, time.Hour},
		{1 << 40, tomorrow, time.Hour},
		{3, now.Add(2 * time.Minute), 2 * time.Minute},
		{1, now.Add(-time.Minute), -time.Minute},
		{3, time.Time{}, 4 * time.Minute},
	} {
		if got := RetryAt(c.failures, now, c.next); !got.Equal(now.Add(c.want)) {
			t.Errorf("%d failures, next start in %s: in %s, want %s", c.failures, c.next.Sub(now), got.Sub(now), c.want)
		}
	}
}

func BenchmarkNewPlan(b *testing.B) {
	for b.Loop() {
		if _, err := NewPlan("acme", "posture", "17 * * * *", 10*time.Minute); err != nil {
			b.Fatal(err)
		}
	}
}
