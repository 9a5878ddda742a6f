package statetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// consent stores a first grant of a tenant.
func consent(t fataler, s *state.Store, tenant string) collector.Credential {
	t.Helper()
	return must[collector.Credential](t)(s.PutConsent(t.Context(), collector.Credential{
		Tenant: tenant, Kind: collector.CredentialKind3LO,
		Sealed: []byte("sealed for " + tenant), Generation: 1, AccessExpiresAt: noon.Add(time.Hour), ConsentedAt: noon,
		ClientID: "app", AccountID: "person", Scopes: []string{"a:b", `c"d`},
	}))
}

func testConsent(t *testing.T, s *state.Store) {
	ctx := t.Context()
	if _, err := s.Credential(ctx, "acme", "3lo"); !errors.Is(err, collector.ErrNoCredential) {
		t.Errorf("a credential of nobody: %v", err)
	}
	if _, err := s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: "3lo", Sealed: []byte("x"), Generation: 2}); !errors.Is(err, state.ErrGenerationMoved) {
		t.Errorf("a first consent sealed for generation 2: %v", err)
	}
	if _, err := s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: "3lo", Generation: 1}); err == nil {
		t.Error("a consent without tokens was stored")
	}
	c := consent(t, s, "acme")
	equal(t, "stored consent", collector.Credential{
		Tenant: "acme", Kind: "3lo", Sealed: []byte("sealed for acme"), Generation: 1, State: collector.CredentialOK,
		AccessExpiresAt: noon.Add(time.Hour), LastOKAt: noon, ConsentedAt: noon, ClientID: "app", AccountID: "person", Scopes: []string{"a:b", `c"d`},
	}, c)
	equal(t, "read again", c, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))

	// Granted again while dead and leased: everything is fresh.
	if _, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "me", noon, noon.Add(time.Minute)); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	again := c
	again.Generation, again.Sealed, again.ConsentedAt, again.LastOKAt, again.Scopes = 2, []byte{0, 255, 1}, noon.Add(time.Hour), time.Time{}, nil
	stored := must[collector.Credential](t)(s.PutConsent(ctx, again))
	again.LastOKAt, again.Claims = again.ConsentedAt, 1
	equal(t, "granted again", again, stored)
	for _, g := range []int64{0, 1, 2, 4} {
		again.Generation = g
		if _, err := s.PutConsent(ctx, again); !errors.Is(err, state.ErrGenerationMoved) {
			t.Errorf("a third consent sealed for generation %d: %v", g, err)
		}
	}
	equal(t, "after refused consents", stored, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))
	b := consent(t, s, "aaa")
	equal(t, "all", []collector.Credential{b, stored}, must[[]collector.Credential](t)(s.Credentials(ctx)))
	ok(t, s.DeleteCredentials(ctx, "acme"))
	equal(t, "after erasing", []collector.Credential{b}, must[[]collector.Credential](t)(s.Credentials(ctx)))
	ok(t, s.DeleteCredentials(ctx, "acme"))
}

func testRefresh(t *testing.T, s *state.Store) {
	ctx := t.Context()
	if _, _, err := s.ClaimRefresh(ctx, "acme", "3lo", "me", noon, noon.Add(time.Minute)); !errors.Is(err, collector.ErrNoCredential) {
		t.Errorf("a claim of nothing: %v", err)
	}
	first := consent(t, s, "acme")
	claim := func(owner string, now time.Time) (collector.Credential, bool) {
		t.Helper()
		c, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", owner, now, now.Add(time.Minute))
		ok(t, err)
		return c, claimed
	}
	mine, claimed := claim("me", noon)
	want := first
	want.LeaseOwner, want.LeaseUntil, want.IntentAt, want.Claims = "me", noon.Add(time.Minute), noon, 1
	if !claimed {
		t.Fatal("a free credential was not claimed")
	}
	equal(t, "claimed", want, mine)
	if c, claimed := claim("you", noon.Add(time.Minute-time.Millisecond)); claimed || c.LeaseOwner != "me" {
		t.Errorf("a leased credential was claimed: %+v", c)
	}
	if c, claimed := claim("me", noon.Add(time.Second)); claimed {
		t.Errorf("its owner, whose call may still be under way, claimed it again: %+v", c)
	}
	yours, claimed := claim("you", noon.Add(61*time.Second))
	if !claimed || !yours.IntentAt.Equal(noon) {
		t.Errorf("after the lease: claimed %v, intent %s, want that of the first try", claimed, yours.IntentAt)
	}
	// The lease was lost: where a token may be sent twice, the last claim counts.
	// Elsewhere the tokens are the only ones: first come, first stored.
	mine.Sealed, mine.AccessExpiresAt, mine.LastOKAt, mine.Scopes = []byte("second"), noon.Add(2*time.Hour), noon.Add(time.Minute), []string{"new"}
	if must[bool](t)(s.SaveRotation(ctx, mine, 1, "me", true)) {
		t.Error("a rotation was stored after somebody else's claim")
	}
	equal(t, "after the claim that counts", yours, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))
	if !must[bool](t)(s.SaveRotation(ctx, mine, 1, "me", false)) {
		t.Fatal("a rotation was not stored")
	}
	want = mine
	want.Generation, want.LeaseOwner, want.LeaseUntil, want.IntentAt, want.Claims = 2, "you", noon.Add(121*time.Second), time.Time{}, 2
	equal(t, "after the rotation", want, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))
	yours.Sealed = []byte("another second")
	if must[bool](t)(s.SaveRotation(ctx, yours, 1, "you", false)) {
		t.Error("a rotation of an older generation was stored")
	}
	ok(t, s.ReleaseRefresh(ctx, "acme", "3lo", "me", true)) // not his any more
	equal(t, "after a stranger's release", want, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))
	ok(t, s.ReleaseRefresh(ctx, "acme", "3lo", "you", false))

	third, claimed := claim("you", noon.Add(time.Hour))
	third.Sealed = []byte("third")
	if !claimed || !must[bool](t)(s.SaveRotation(ctx, third, 2, "you", true)) {
		t.Fatal("the second rotation was not stored")
	}
	got := must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo"))
	if got.Generation != 3 || string(got.Sealed) != "third" || got.LeaseOwner != "" || !got.LeaseUntil.IsZero() || !got.IntentAt.IsZero() {
		t.Errorf("after the second rotation: %+v", got)
	}
	third.Sealed = nil
	if _, err := s.SaveRotation(ctx, third, 3, "you", false); err == nil {
		t.Error("a rotation without tokens was stored")
	}
	if must[bool](t)(s.SaveRotation(ctx, collector.Credential{Tenant: "nobody", Kind: "3lo", Sealed: []byte("x")}, 1, "me", false)) {
		t.Error("a rotation of nobody's credential was stored")
	}
}

// testRefreshRace: of many who want to refresh one gets to, round after round,
// and each rotation builds on the one before.
func testRefreshRace(t *testing.T, s *state.Store) { RefreshRace(t, s) }

// RefreshRace does that through the given stores of one database.
func RefreshRace(t *testing.T, stores ...*state.Store) {
	const workers, rotations = 8, 40
	ctx := t.Context()
	consent(t, stores[0], "acme")
	var mu sync.Mutex
	inside := 0
	rotated := 0
	var wg sync.WaitGroup
	for w := range workers {
		s, owner := stores[w%len(stores)], fmt.Sprintf("w%d", w)
		wg.Go(func() {
			for {
				mu.Lock()
				done := rotated >= rotations
				mu.Unlock()
				if done {
					return
				}
				c, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", owner, noon, noon.Add(time.Minute))
				if err != nil {
					t.Error(err)
					return
				}
				if !claimed {
					continue
				}
				mu.Lock()
				if inside++; inside > 1 {
					t.Error("two refreshes at a time")
				}
				mu.Unlock()
				if want := fmt.Sprintf("sealed %d", c.Generation); c.Generation > 1 && string(c.Sealed) != want {
					t.Errorf("generation %d holds %q", c.Generation, c.Sealed)
				}
				c.Sealed = fmt.Appendf(nil, "sealed %d", c.Generation+1)
				mu.Lock()
				inside--
				mu.Unlock()
				saved, err := s.SaveRotation(ctx, c, c.Generation, owner, true)
				if err != nil || !saved {
					t.Errorf("rotation to %d: saved %v, %v", c.Generation+1, saved, err)
					return
				}
				mu.Lock()
				rotated++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	c := must[collector.Credential](t)(stores[0].Credential(ctx, "acme", "3lo"))
	if c.Generation != int64(rotated)+1 || string(c.Sealed) != fmt.Sprintf("sealed %d", c.Generation) {
		t.Errorf("after %d rotations: generation %d, %q", rotated, c.Generation, c.Sealed)
	}
}

func testNeedsReconsent(t *testing.T, s *state.Store) {
	ctx := t.Context()
	c := consent(t, s, "acme")
	if _, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "me", noon, noon.Add(time.Minute)); err != nil || !claimed {
		t.Fatal(claimed, err)
	}
	for _, g := range []int64{0, 2} {
		if must[bool](t)(s.MarkNeedsReconsent(ctx, "acme", "3lo", g, "dead")) {
			t.Errorf("marked by a proof about generation %d", g)
		}
	}
	if !must[bool](t)(s.MarkNeedsReconsent(ctx, "acme", "3lo", 1, "the grant was revoked")) {
		t.Fatal("not marked")
	}
	dead := c
	dead.State, dead.StateReason, dead.Claims = collector.CredentialNeedsReconsent, "the grant was revoked", 1
	equal(t, "marked", dead, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")))
	if got, claimed, err := s.ClaimRefresh(ctx, "acme", "3lo", "me", noon, noon.Add(time.Minute)); err != nil || claimed || got.State != collector.CredentialNeedsReconsent {
		t.Errorf("a dead grant was claimed: %v, %+v, %v", claimed, got, err)
	}
	if n := len(must[[]collector.Credential](t)(s.PendingIntents(ctx))); n != 0 {
		t.Errorf("%d intents of a dead grant", n)
	}
	// A refresh that worked all the same proves that it lives.
	c.Sealed = []byte("alive")
	if !must[bool](t)(s.SaveRotation(ctx, c, 1, "me", false)) {
		t.Fatal("the rotation was not stored")
	}
	if got := must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")); got.State != collector.CredentialOK || got.StateReason != "" {
		t.Errorf("after a rotation: %+v", got)
	}
}

func testIntents(t *testing.T, s *state.Store) {
	ctx := t.Context()
	for _, id := range []string{"a", "b", "c", "d"} {
		consent(t, s, id)
	}
	for i, id := range []string{"c", "a", "b"} {
		if _, claimed, err := s.ClaimRefresh(ctx, id, "3lo", "me", noon.Add(time.Duration(i)*time.Second), noon.Add(time.Minute)); err != nil || !claimed {
			t.Fatal(claimed, err)
		}
	}
	pending := func() (ids []string) {
		for _, c := range must[[]collector.Credential](t)(s.PendingIntents(ctx)) {
			ids = append(ids, c.Tenant)
		}
		return ids
	}
	equal(t, "the oldest first", []string{"c", "a", "b"}, pending())
	ok(t, s.ReleaseRefresh(ctx, "c", "3lo", "me", false))
	equal(t, "an unknown outcome stays", []string{"c", "a", "b"}, pending())
	ok(t, s.ReleaseRefresh(ctx, "a", "3lo", "me", true))
	equal(t, "a known one does not", []string{"c", "b"}, pending())
}

func testSameGrantor(t *testing.T, s *state.Store) {
	ctx := t.Context()
	for _, id := range []string{"b", "a", "c"} {
		consent(t, s, id)
	}
	for i, c := range []collector.Credential{{ClientID: "app", AccountID: "other"}, {ClientID: "app2", AccountID: "person"}, {}} {
		c.Tenant, c.Kind, c.Sealed, c.Generation = fmt.Sprintf("x%d", i), "3lo", []byte("x"), 1
		must[collector.Credential](t)(s.PutConsent(ctx, c))
	}
	equal(t, "others of the same person", []string{"a", "c"}, must[[]string](t)(s.SameGrantor(ctx, "app", "person", "b")))
	equal(t, "nobody", nil, must[[]string](t)(s.SameGrantor(ctx, "", "", "b")))
}
