package oauth_test

import (
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
)

func TestKeepAlive(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	tokens := w.process()
	for week := range 30 {
		w.clock.Advance(7*24*time.Hour + time.Minute)
		if warnings, err := tokens.KeepAlive(t.Context()); w.heard(err) != nil || len(warnings) != 0 {
			t.Fatalf("week %d: %v, %v", week, warnings, err)
		}
	}
	if n := len(w.wire.refreshes()); n != 30 {
		t.Errorf("%d refreshes in 30 idle weeks", n)
	}
	if _, err := tokens.KeepAlive(t.Context()); err != nil || len(w.wire.refreshes()) != 30 {
		t.Errorf("a grant in use was refreshed for nothing: %v", err)
	}
	w.alive()
	w.clock.Advance(130 * 24 * time.Hour)
	warnings, _ := tokens.KeepAlive(t.Context())
	if len(warnings) != 1 || warnings[0].Tenant != tenant || warnings[0].DaysLeft != 24 {
		t.Errorf("warnings = %+v, want 24 days left", warnings)
	}
}

func TestCountdown(t *testing.T) {
	consented := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for age, want := range map[time.Duration]struct {
		left int
		warn bool
	}{
		0: {365, false}, 334 * 24 * time.Hour: {31, false}, 335*24*time.Hour - time.Second: {30, false}, 335 * 24 * time.Hour: {30, true},
		364*24*time.Hour + time.Hour: {0, true}, 400 * 24 * time.Hour: {0, true},
	} {
		left, warn := oauth.Countdown(collector.Credential{ConsentedAt: consented}, consented.Add(age))
		if left != want.left || warn != want.warn {
			t.Errorf("after %v: %d days, warn %v; want %d, %v", age, left, warn, want.left, want.warn)
		}
	}
	if _, warn := oauth.Countdown(collector.Credential{}, consented); warn {
		t.Error("a grant without a day of consent is warned of")
	}
}
