package statetest

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// testQuarantine lets attempts die: the third in a row closes the group, one
// that ends starts the count anew, and a person's release forgives.
func testQuarantine(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	try := func(group string) (*collector.Attempt, error) {
		return s.Begin(ctx, collector.Begin{
			Tenant: "acme", Group: group, Datasets: []string{"of " + group}, RunID: uuid.New(), Owner: "me", Trigger: collector.TriggerSchedule, StartedAt: noon,
		})
	}
	open := func(group string, deaths int) *collector.Attempt {
		t.Helper()
		equal(t, "deaths", deaths, must[int](t)(s.Deaths(ctx, "acme", group)))
		a := must[*collector.Attempt](t)(try(group))
		equal(t, "quarantined", deaths >= collector.QuarantineAfter, a.Quarantined)
		return a
	}
	open("posture", 0)
	open("posture", 1)
	ok(t, s.End(ctx, open("posture", 2), nil))
	for range 2 * collector.QuarantineAfter { // whoever lives on is no death
		ok(t, s.Leave(ctx, open("posture", 0)))
	}
	left := open("posture", 0)
	if n := len(left.Abandoned); n != 2*collector.QuarantineAfter || !left.Abandoned[0].Left {
		t.Errorf("%d attempts are told of: %+v", n, left.Abandoned)
	}
	ok(t, s.Leave(ctx, left))
	if err := s.Decide(ctx, left, nil); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("an attempt that was left was decided: %v", err)
	}
	ok(t, s.End(ctx, open("posture", 0), nil))
	for n := range collector.QuarantineAfter {
		open("posture", n)
	}
	ok(t, s.End(ctx, open("posture", collector.QuarantineAfter), nil))

	for range 2 {
		_, err := try("posture")
		closed := (*collector.QuarantineError)(nil)
		if !errors.As(err, &closed) || !closed.Since.Equal(noon) || closed.Tenant != "acme" || closed.Group != "posture" {
			t.Fatalf("a begin in quarantine: %v", err)
		}
	}
	ok(t, s.End(ctx, open("inventory", 0), nil)) // the tenant's other group is free
	all := []collector.Quarantine{{Tenant: "acme", Group: "posture", Since: noon}}
	equal(t, "quarantines", all, must[[]collector.Quarantine](t)(s.Quarantines(ctx, "")))
	equal(t, "quarantines of acme", all, must[[]collector.Quarantine](t)(s.Quarantines(ctx, "acme")))
	equal(t, "quarantines of beta", nil, must[[]collector.Quarantine](t)(s.Quarantines(ctx, "beta")))

	equal(t, "released of beta", 0, must[int](t)(s.Release(ctx, "beta")))
	equal(t, "released", 1, must[int](t)(s.Release(ctx, "acme")))
	for n := range collector.QuarantineAfter {
		open("posture", n)
	}
	open("posture", collector.QuarantineAfter) // and dies as well, before it could tell
	equal(t, "quarantines before the next begin", nil, must[[]collector.Quarantine](t)(s.Quarantines(ctx, "")))
	if _, err := try("posture"); err == nil {
		t.Error("one death more than the limit, and it goes on")
	}
	equal(t, "released", 1, must[int](t)(s.Release(ctx, "acme")))
	a := open("posture", 0) // forgiven
	equal(t, "abandoned that nobody told of", 4, len(a.Abandoned))
	ok(t, s.Decide(ctx, a, nil))

	for n := range collector.QuarantineAfter {
		open("posture", n)
	}
	ok(t, s.End(ctx, open("posture", collector.QuarantineAfter), nil))
	ok(t, s.RemoveTenant(ctx, "acme", noon))
	equal(t, "quarantines of a removed tenant", nil, must[[]collector.Quarantine](t)(s.Quarantines(ctx, "")))
	addTenants(t, s, "acme")
	if _, err := try("posture"); err != nil {
		t.Errorf("a tenant that came back: %v", err)
	}
}
