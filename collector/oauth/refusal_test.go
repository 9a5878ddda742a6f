package oauth_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
)

func TestRefusedByTheAPI(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	a, b := w.process(), w.process()
	_, generation := w.mustToken(a)
	w.mustToken(b)
	w.srv.ExpireAccessTokens()
	for range 2 { // the second time the generation has moved
		if err := a.Refused(t.Context(), tenant, kind, generation); w.heard(err) != nil {
			t.Fatal(err)
		}
	}
	if err := b.Refused(t.Context(), tenant, kind, generation); w.heard(err) != nil {
		t.Fatal(err)
	}
	if n := len(w.wire.refreshes()); n != 1 {
		t.Fatalf("%d refreshes for one dead access token", n)
	}
	_, ga := w.mustToken(a)
	_, gb := w.mustToken(b)
	if ga != generation+1 || gb != generation+1 {
		t.Fatalf("generations %d and %d, want %d", ga, gb, generation+1)
	}
	if err := a.Refused(t.Context(), tenant, kind, ga); !errors.Is(w.heard(err), oauth.ErrStillRefused) {
		t.Errorf("a refused fresh token: %v, want ErrStillRefused", err)
	}
	w.clock.Advance(11 * time.Minute)
	if err := a.Refused(t.Context(), tenant, kind, ga); w.heard(err) != nil {
		t.Errorf("later: %v", err)
	}
	source := a.Source(tenant, kind)
	header, g, err := source.Authorization(t.Context())
	if err != nil || !strings.HasPrefix(header, "Bearer eyJ") || g != ga+1 {
		t.Errorf("authorization of generation %d: %v", g, err)
	}
	if text := fmt.Sprintf("%v %+v %#v", source, source, source); secretForm.MatchString(text) {
		t.Error("a printed Source shows a token")
	}
}

func TestRefusalWhileAnotherProcessMovedOnIsNoProof(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	fast := w.process()
	slow := w.process(func(o *oauth.Options) {
		o.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			// This process was frozen for longer than its lease.
			w.clock.Advance(2 * time.Minute)
			w.mustToken(fast)
			return answer(403, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`), nil
		})
	})
	w.mustToken(slow)
	w.alive()
	if c := w.row(); c.Generation != 2 || !c.IntentAt.IsZero() {
		t.Errorf("row: %+v", c)
	}
}

func TestLateSaveIsDropped(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	fast := w.process()
	slow := w.process(func(o *oauth.Options) {
		o.Trace = func(point string) {
			if point == "refresh.answer_received" {
				w.clock.Advance(2 * time.Minute)
				w.mustToken(fast)
			}
		}
	})
	a, _ := w.mustToken(slow)
	b, _ := w.mustToken(fast)
	if !a.Equal(b) {
		t.Error("the frozen process hands out a token that is not the stored one")
	}
	w.alive()
}

func TestOldIntentUsesUpTheAccessTokenFirst(t *testing.T) {
	for name, rotated := range map[string]bool{"the lost call never arrived": false, "the lost call rotated": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect(tenant)
			w.clock.Advance(45 * time.Minute)
			w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				if rotated {
					if resp, err := forward(); err == nil {
						_ = resp.Body.Close()
					}
				}
				return nil, errors.New("connection reset")
			})
			crashed := w.process()
			if err := crashed.Refused(t.Context(), tenant, kind, 1); !errors.Is(w.heard(err), oauth.ErrTemporary) {
				t.Fatal(err)
			}
			w.wire.set(nil)
			calls := len(w.wire.refreshes())
			w.clock.Advance(10 * time.Minute) // the machine was off

			tokens := w.process()
			if err := tokens.ServePendingIntents(t.Context()); w.heard(err) != nil {
				t.Fatal(err)
			}
			w.mustToken(tokens)
			if n := len(w.wire.refreshes()); n != calls {
				t.Fatalf("the old token was sent while the access token lives (%d calls)", n-calls)
			}
			w.clock.Advance(10 * time.Minute) // now it does not
			err := tokens.ServePendingIntents(t.Context())
			if n := len(w.wire.refreshes()); n != calls+1 {
				t.Fatalf("%d calls, want one", n-calls)
			}
			if !rotated {
				if w.heard(err) != nil {
					t.Fatal(err)
				}
				w.mustToken(tokens)
				w.alive()
				return
			}
			if !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) || w.row().State != collector.CredentialNeedsReconsent {
				t.Errorf("err = %v, state %s", err, w.row().State)
			}
		})
	}
}

// TestFrozenProcessSendsNothing: one that stood still between its claim and the call
// does not send a token that was used up meanwhile, with its successor (Invariant 5).
func TestFrozenProcessSendsNothing(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	fast := w.process()
	var calls int
	frozen := false
	slow := w.process(func(o *oauth.Options) {
		o.Trace = func(point string) {
			if point != "refresh.intent_saved" || frozen {
				return
			}
			frozen = true
			for range 2 {
				w.clock.Advance(2 * time.Hour)
				w.mustToken(fast)
			}
			calls = len(w.wire.refreshes())
		}
	})
	w.mustToken(slow)
	if n := len(w.wire.refreshes()); n != calls {
		t.Errorf("%d calls by the frozen process", n-calls)
	}
	w.alive()
	if s := w.srv.ProviderStats(); s.FamiliesKilled != 0 || w.row().Generation != 3 {
		t.Errorf("generation %d, provider: %+v", w.row().Generation, s)
	}
}
