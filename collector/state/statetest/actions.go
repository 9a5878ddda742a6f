package statetest

import (
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// testActions adds to the audit trail and reads it, by tenant and in order; it
// outlives its tenants. What began and did not end stays in sight.
func testActions(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme", "beta")
	entry := func(after time.Duration, tenant, detail string) collector.Action {
		return collector.Action{At: noon.Add(after), Actor: "alice (uid 1000)", Name: "tenants pause", Tenant: tenant, Detail: detail}
	}
	first, second, third := entry(0, "acme", "one"), entry(0, "beta", "two"), entry(0, "acme", "three")
	began := entry(0, "acme", "begun")
	operation := must[string](t)(s.BeginActions(ctx, began, entry(0, "beta", "begun")))
	ok(t, s.EndActions(ctx, operation, first, second, third))
	last := entry(time.Minute, "acme", "")
	last.Failure = "the database does not answer"
	operation = must[string](t)(s.BeginActions(ctx, began))
	cut := entry(2*time.Minute, "beta", "of a process that dies")
	must[string](t)(s.BeginActions(ctx, cut))
	cut.Unfinished, began.Unfinished = true, true
	equal(t, "what is under way", []collector.Action{first, second, third, began, cut}, must[[]collector.Action](t)(s.Actions(ctx, "", 100)))
	ok(t, s.EndActions(ctx, operation, last))
	changesNothing := must[string](t)(s.BeginActions(ctx, began))
	ok(t, s.EndActions(ctx, changesNothing))
	ok(t, s.RemoveTenant(ctx, "acme", noon))
	ok(t, s.RemoveTenant(ctx, "beta", noon))
	equal(t, "of all", []collector.Action{first, second, third, last, cut}, must[[]collector.Action](t)(s.Actions(ctx, "", 100)))
	equal(t, "of one", []collector.Action{first, third, last}, must[[]collector.Action](t)(s.Actions(ctx, "acme", 100)))
	equal(t, "the last", []collector.Action{last, cut}, must[[]collector.Action](t)(s.Actions(ctx, "", 2)))
	equal(t, "of nobody", 0, len(must[[]collector.Action](t)(s.Actions(ctx, "nobody", 100))))
}

// testReseal encrypts a credential anew: only as it was read, and so that nothing
// but the encryption is another.
func testReseal(t *testing.T, s *state.Store) {
	ctx := t.Context()
	before := consent(t, s, "acme")
	other := consent(t, s, "beta")
	claimed, _, err := s.ClaimRefresh(ctx, "acme", before.Kind, "me", noon, noon.Add(time.Minute))
	ok(t, err)
	equal(t, "while it is being refreshed", true, must[bool](t)(s.Reseal(ctx, claimed, []byte("under a new key"))))
	want := claimed
	want.Sealed = []byte("under a new key")
	equal(t, "resealed", want, must[collector.Credential](t)(s.Credential(ctx, "acme", before.Kind)))
	equal(t, "of another encryption", false, must[bool](t)(s.Reseal(ctx, before, []byte("x"))))
	stale := want
	stale.Generation++
	equal(t, "of another generation", false, must[bool](t)(s.Reseal(ctx, stale, []byte("x"))))
	equal(t, "unchanged", want, must[collector.Credential](t)(s.Credential(ctx, "acme", before.Kind)))
	equal(t, "of another tenant", other, must[collector.Credential](t)(s.Credential(ctx, "beta", other.Kind)))
}
