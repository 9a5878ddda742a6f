package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Without a leeway a crash between the provider's answer and the store loses the
// grant. That is found out at boot, and said; crashes elsewhere lose nothing.
func TestCrashAtEveryPointOfDataCenter(t *testing.T) {
	for _, point := range points {
		t.Run(point, func(t *testing.T) {
			w := newDCWorld(t)
			w.connectDC()
			w.clock.Advance(3 * time.Hour)
			crashing := w.dcProcess(func(o *oauth.Options) {
				o.Trace = func(p string) {
					if p == point {
						runtime.Goexit()
					}
				}
			})
			if _, _, err := crashing.Token(t.Context(), tenant, dcKind); !errors.Is(w.heard(err), oauth.ErrTemporary) {
				t.Fatalf("err = %v", err)
			}
			calls := len(w.wire.refreshes())
			rebooted := w.dcProcess()
			w.clock.Advance(61 * time.Second)
			err := rebooted.ServePendingIntents(t.Context())
			if sent := len(w.wire.refreshes()) - calls; sent != map[string]int{"refresh.intent_saved": 1, "refresh.answer_received": 1}[point] {
				t.Errorf("%d calls after the boot", sent)
			}
			if point != "refresh.answer_received" {
				if w.heard(err) != nil {
					t.Fatal(err)
				}
				w.mustToken(rebooted)
				w.alive()
				return
			}
			if row := w.row(); !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) || row.State != collector.CredentialNeedsReconsent || !strings.Contains(row.StateReason, "takes a token once") {
				t.Errorf("err = %v, row %+v", err, row)
			}
		})
	}
}

// TestDataCenterGrantIsLostOnlyWithItsAnswer runs random schedules of crashes,
// lost and late answers, database failures, refusals by the API and restarts
// over two processes and a provider without any leeway. The provider itself is
// the judge: while it still takes the stored refresh token, nobody may be asked
// for consent; when it does not, the row must say so, with the reason, as soon
// as the provider can be asked.
func TestDataCenterGrantIsLostOnlyWithItsAnswer(t *testing.T) {
	w := newDCWorld(t)
	lost, kept := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		w.wire.set(nil)
		w.connectDC()
		var crashAt string
		boot := func() *oauth.Tokens {
			return w.dcProcess(func(o *oauth.Options) {
				o.Trace = func(point string) {
					if point == crashAt {
						runtime.Goexit()
					}
				}
			})
		}
		procs := []*oauth.Tokens{boot(), boot()}
		disturb := func() {
			fault := rapid.SampledFrom([]string{"", "", "drop before", "drop after", "late", "late before", "500", "429", "page", "cut"}).Draw(rt, "answer")
			first := true
			w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				if !first {
					return forward()
				}
				first = false
				return failing(fault, forward)
			})
			crashAt = rapid.SampledFrom(append([]string{"", "", "", ""}, points...)).Draw(rt, "crash at")
			before, after := rapid.IntRange(0, 2).Draw(rt, "saves that fail"), rapid.IntRange(0, 1).Draw(rt, "saves that fail afterwards")
			w.store.fail(before, after)
		}
		calm := func() {
			crashAt = ""
			w.wire.set(nil)
			w.store.fail(0, 0)
		}
		act := func(p *oauth.Tokens) {
			switch rapid.IntRange(0, 3).Draw(rt, "act") {
			case 0:
				_, _, err := p.Token(context.Background(), tenant, dcKind)
				_ = w.heard(err)
			case 1:
				_ = w.heard(p.Refused(context.Background(), tenant, dcKind, w.row().Generation))
			case 2:
				_ = w.heard(p.ServePendingIntents(context.Background()))
			case 3: // a call with whatever token there is, as a run makes it
				if access, generation, err := p.Token(context.Background(), tenant, dcKind); err == nil && w.works(access) == http.StatusUnauthorized {
					_ = w.heard(p.Refused(context.Background(), tenant, dcKind, generation))
				}
			}
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "process")
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				w.clock.Advance(time.Duration(rapid.IntRange(0, 150).Draw(rt, "minutes")) * time.Minute)
			case 1:
				procs[i] = boot()
			default:
				disturb()
				act(procs[i])
				calm()
			}
			// The machine's own loop serves the intent once the lease is over.
			for range 5 {
				if w.row().IntentAt.IsZero() {
					break
				}
				w.clock.Advance(5 * time.Second)
				if until := w.row().LeaseUntil; until.After(w.clock.Now()) {
					w.clock.Advance(until.Sub(w.clock.Now()))
				}
				_ = w.heard(procs[1-i].ServePendingIntents(context.Background()))
			}
			row := w.row()
			if !row.IntentAt.IsZero() {
				rt.Fatalf("an intent stays: %+v", row)
			}
			_, refresh := w.stored()
			if w.usable(refresh) {
				if row.State != collector.CredentialOK {
					rt.Fatalf("the provider takes the stored token, and the row says %s (%s)", row.State, row.StateReason)
				}
				kept++
				continue
			}
			if row.State != collector.CredentialNeedsReconsent || !strings.Contains(row.StateReason, "got no answer that is known here") {
				rt.Fatalf("the provider does not take the stored token, and the row says %s (%s)", row.State, row.StateReason)
			}
			lost++
			for _, p := range procs {
				if _, _, err := p.Token(context.Background(), tenant, dcKind); err != nil && !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) {
					rt.Fatalf("a lost grant: %v", err)
				}
			}
			w.connectDC()
		}
		for i, p := range procs {
			w.clock.Advance(31 * time.Second) // what another process stored is seen
			access, generation, err := p.Token(context.Background(), tenant, dcKind)
			if err == nil && w.works(access) == http.StatusUnauthorized {
				if err = p.Refused(context.Background(), tenant, dcKind, generation); err == nil {
					access, _, err = p.Token(context.Background(), tenant, dcKind)
				}
			}
			// Not the other's: it may have been due to be refreshed in between.
			if stored, _ := w.stored(); w.heard(err) != nil || w.works(access) != http.StatusOK || !access.Equal(vault.NewSecret(stored)) {
				rt.Fatalf("process %d ends with no working token: %v", i, err)
			}
		}
	})
	if lost == 0 || kept == 0 {
		t.Errorf("%d grants lost, %d kept: something was not tried", lost, kept)
	}
}
