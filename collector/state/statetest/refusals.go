package statetest

import (
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

func testRefusal(t *testing.T, s *state.Store) {
	ctx := t.Context()
	first, other := consent(t, s, "acme"), consent(t, s, "globex")
	put := func(generation int64, r collector.Refusal) (bool, collector.Refusal) {
		t.Helper()
		noted := must[bool](t)(s.PutRefusal(ctx, "acme", "3lo", generation, r))
		return noted, must[collector.Credential](t)(s.Credential(ctx, "acme", "3lo")).Refusal
	}
	refused := collector.Refusal{}.Again(noon, "GET /x: 401")
	if noted, now := put(first.Generation, refused); !noted || now != refused {
		t.Errorf("a refusal: %v, %+v", noted, now)
	}
	// Another process saw it, too, and knows nothing of the first.
	later := collector.Refusal{}.Again(noon.Add(time.Hour), "GET /y: 401")
	want := refused.Again(later.At, later.Evidence)
	if noted, now := put(first.Generation, later); !noted || now != want || !now.Settled() {
		t.Errorf("refused again: %v, %+v, want %+v", noted, now, want)
	}
	equal(t, "another tenant's", other, must[collector.Credential](t)(s.Credential(ctx, "globex", "3lo")))

	// Answers about a secret that was replaced meanwhile count for nothing.
	next := first
	next.Generation, next.Sealed = 2, []byte("new")
	stored := must[collector.Credential](t)(s.PutConsent(ctx, next))
	if stored.Refusal.Stands() {
		t.Errorf("a new credential begins refused: %+v", stored.Refusal)
	}
	if noted, now := put(first.Generation, later); noted || now.Stands() {
		t.Errorf("an old secret's refusal: %v, %+v", noted, now)
	}
	if noted, _ := put(stored.Generation, refused); !noted {
		t.Error("the new one's refusal is not noted")
	}
	if noted, now := put(stored.Generation, collector.Refusal{}); !noted || now.Stands() || now.Evidence != "" {
		t.Errorf("taken again: %v, %+v", noted, now)
	}
	if noted, err := s.PutRefusal(ctx, "nobody", "3lo", 1, refused); noted || err != nil {
		t.Errorf("nobody's: %v, %v", noted, err)
	}
}
