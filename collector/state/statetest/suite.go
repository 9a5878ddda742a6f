package statetest

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// Run runs the whole suite. open returns a store of an empty database, and
// closes it at the end of the test.
func Run(t *testing.T, open func(t *testing.T) *state.Store) {
	for _, part := range []struct {
		name string
		test func(*testing.T, *state.Store)
	}{
		{"Tenants", testTenants},
		{"RemoveTenant", testRemoveTenant},
		{"Erase", testErase},
		{"Schedules", testSchedules},
		{"Enqueue", testEnqueue},
		{"Claim", testClaim},
		{"LeaseEnds", testLeaseEnds},
		{"OneLeasePerGroup", testOneLeasePerGroup},
		{"TenantsTakeTurns", testTenantsTakeTurns},
		{"Paused", testPaused},
		{"ScheduleChangesWhileRunning", testScheduleChangesWhileRunning},
		{"NextDue", testNextDue},
		{"RecoverLeases", testRecoverLeases},
		{"DeadReplica", testDeadReplica},
		{"Depart", testDepart},
		{"LostClaim", testLostClaim},
		{"LivingIsNoDeath", testLivingIsNoDeath},
		{"SuspectsAcross", testSuspectsAcross},
		{"Take", testTake},
		{"TakeRace", testTakeRace},
		{"Installation", testInstallation},
		{"WorkModel", testWorkModel},
		{"Heads", testHeads},
		{"Fencing", testFencing},
		{"Abandoned", testAbandoned},
		{"Quarantine", testQuarantine},
		{"VoidLists", testVoidLists},
		{"DecideRefuses", testDecideRefuses},
		{"Sweep", testSweep},
		{"Adopt", testAdopt},
		{"Daily", testDaily},
		{"LedgerModel", testLedgerModel},
		{"Holds", testHolds},
		{"Consent", testConsent},
		{"Refresh", testRefresh},
		{"RefreshRace", testRefreshRace},
		{"NeedsReconsent", testNeedsReconsent},
		{"Refusal", testRefusal},
		{"Intents", testIntents},
		{"SameGrantor", testSameGrantor},
		{"Reseal", testReseal},
		{"KeyProof", testKeyProof},
		{"Actions", testActions},
	} {
		t.Run(part.name, func(t *testing.T) { part.test(t, open(t)) })
	}
	t.Run("ClaimRace", func(t *testing.T) { ClaimRace(t, 400, open(t)) })
	t.Run("DecideRace", func(t *testing.T) { DecideRace(t, 15, open(t)) })
}

// noon is when the tests take place; the database's own clock plays no part.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Context() context.Context
}

func ok(t fataler, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must returns a function that unwraps a result: must[T](t)(f()).
func must[T any](t fataler) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

func equal[T any](t fataler, what string, want, got T) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// addTenants stores tenants with these ids.
func addTenants(t fataler, s *state.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		ok(t, s.PutTenant(t.Context(), collector.Tenant{ID: id, Name: "Tenant " + id, SiteURL: "https://" + id + ".example", CreatedAt: noon}))
	}
}

// addSchedule stores an hourly schedule that is due at next.
func addSchedule(t fataler, s *state.Store, tenant, group string, next time.Time) {
	t.Helper()
	ok(t, s.PutSchedule(t.Context(), collector.Schedule{Tenant: tenant, Group: group, Cron: "@hourly", NextAt: next}))
}
