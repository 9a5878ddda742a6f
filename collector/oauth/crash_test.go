package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

var points = []string{"refresh.intent_saved", "refresh.answer_received", "refresh.saved"}

func TestCrashAtEveryPointIsRecoveredAtBoot(t *testing.T) {
	for _, point := range points {
		for name, die := range map[string]func(){"exit": runtime.Goexit, "panic": func() { panic("eyJ0123456789abcdef0123") }} {
			t.Run(point+" "+name, func(t *testing.T) {
				w := newWorld(t)
				w.connect(tenant)
				w.clock.Advance(2 * time.Hour)
				crashing := w.process(func(o *oauth.Options) {
					o.Trace = func(p string) {
						if p == point {
							die()
						}
					}
				})
				_, _, err := crashing.Token(t.Context(), tenant, kind)
				if !errors.Is(w.heard(err), oauth.ErrTemporary) {
					t.Fatalf("err = %v, want ErrTemporary", err)
				}
				saved := point == "refresh.saved"
				if c := w.row(); c.IntentAt.IsZero() != saved || (c.LeaseOwner == "") != saved {
					t.Fatalf("after the crash: intent at %v, lease of %q", c.IntentAt, c.LeaseOwner)
				}
				calls := len(w.wire.refreshes())
				rebooted := w.process()
				if err := rebooted.ServePendingIntents(t.Context()); w.heard(err) != nil {
					t.Fatal(err)
				}
				if len(w.wire.refreshes()) != calls {
					t.Fatal("a refresh was sent under another process's lease")
				}
				w.clock.Advance(61 * time.Second)
				if err := rebooted.ServePendingIntents(t.Context()); w.heard(err) != nil {
					t.Fatal(err)
				}
				if c := w.row(); !c.IntentAt.IsZero() {
					t.Fatalf("the intent is still pending: %+v", c)
				}
				if s := w.srv.ProviderStats(); s.FamiliesKilled != 0 {
					t.Fatalf("provider: %+v", s)
				}
				w.alive()
				w.mustToken(rebooted)
			})
		}
	}
}

func TestRunServesIntentsAndKeepsAlive(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(8 * 24 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var laps int
	tokens := w.process(func(o *oauth.Options) {
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			if d == 5*time.Second {
				if laps++; laps == 3 {
					cancel()
				}
			}
			return w.clock.Sleep(ctx, d)
		}
	})
	tokens.Run(ctx)
	if n := len(w.wire.refreshes()); n != 1 {
		t.Errorf("%d refreshes of an idle grant, want 1", n)
	}
	w.alive()
}

// TestProcessesNeverRefreshAtOnce races two processes, with several callers
// each, on real time.
func TestProcessesNeverRefreshAtOnce(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	began, base := time.Now(), w.clock.Now()
	var mu sync.Mutex
	var jumped time.Duration
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return base.Add(time.Since(began) + jumped)
	}
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		time.Sleep(5 * time.Millisecond) // room for a second one
		return resp, err
	})
	onRealTime := func(o *oauth.Options) { o.Now, o.Sleep = now, nil }
	processes := []*oauth.Tokens{w.process(onRealTime), w.process(onRealTime)}
	const rounds = 12
	for round := range rounds {
		mu.Lock()
		jumped += 2 * time.Hour
		mu.Unlock()
		var wg sync.WaitGroup
		var seen sync.Map
		for caller := range 8 {
			wg.Go(func() {
				access, generation, err := processes[caller%2].Token(t.Context(), tenant, kind)
				if w.heard(err) != nil {
					t.Errorf("round %d: %v", round, err)
					return
				}
				if before, loaded := seen.LoadOrStore(generation, access); loaded && !access.Equal(before.(vault.Secret)) {
					t.Errorf("round %d: two tokens of one generation", round)
				}
			})
		}
		wg.Wait()
	}
	if n := len(w.wire.refreshes()); n != rounds {
		t.Errorf("%d refreshes in %d rounds, want one each", n, rounds)
	}
	if w.wire.maxBusy != 1 {
		t.Errorf("%d refreshes at once", w.wire.maxBusy)
	}
	if s := w.srv.ProviderStats(); s.LeewayReuses != 0 || s.FamiliesKilled != 0 {
		t.Errorf("provider: %+v", s)
	}
	w.alive()
}

// failing answers a call of the token endpoint as a fault has it: ok, or none, is
// the provider's own answer.
func failing(fault string, forward func() (*http.Response, error)) (*http.Response, error) {
	switch fault {
	case "drop after", "late", "page", "cut": // what the provider answered is lost
		if resp, err := forward(); err == nil {
			_ = resp.Body.Close()
		}
	}
	switch fault {
	case "drop before", "drop after":
		return nil, errors.New("connection reset")
	case "late", "late before":
		return nil, timeoutError{}
	case "500":
		return answer(500, `{"error":"invalid_grant"}`), nil
	case "429":
		return answer(429, `{}`), nil
	case "page":
		return answer(200, `<html>`), nil
	case "cut":
		return answer(200, `{"access_token":"eyJ`), nil
	}
	return forward()
}

// TestNoGrantIsLost runs random schedules of crashes, lost and late answers,
// refusals, database failures, restores of processes and moves of the clock over
// two processes. As long as an intent gets one undisturbed try inside the
// leeway, the grant must live and nobody may be asked for consent.
func TestNoGrantIsLost(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		w.wire.set(nil)
		w.connect(tenant)
		var crashAt string
		boot := func() *oauth.Tokens {
			return w.process(func(o *oauth.Options) {
				o.Trace = func(point string) {
					if point == crashAt {
						runtime.Goexit()
					}
				}
			})
		}
		procs := []*oauth.Tokens{boot(), boot()}
		calm := func() {
			crashAt = ""
			w.wire.set(nil)
			w.store.fail(0, 0)
		}
		disturb := func() {
			faults := rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "drop before", "drop after", "late", "500", "429", "page", "cut"}), 1, 5).Draw(rt, "answers")
			call := 0
			w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				fault := faults[min(call, len(faults)-1)]
				call++
				return failing(fault, forward)
			})
			crashAt = rapid.SampledFrom(append([]string{"", "", ""}, points...)).Draw(rt, "crash at")
			before, after := rapid.IntRange(0, 3).Draw(rt, "saves that fail"), rapid.IntRange(0, 1).Draw(rt, "saves that fail afterwards")
			w.store.fail(before, after)
		}
		act := func(p *oauth.Tokens) {
			switch rapid.IntRange(0, 2).Draw(rt, "act") {
			case 0:
				_, _, err := p.Token(context.Background(), tenant, kind)
				_ = w.heard(err)
			case 1:
				_ = w.heard(p.Refused(context.Background(), tenant, kind, w.row().Generation))
			case 2:
				_ = w.heard(p.ServePendingIntents(context.Background()))
			}
		}
		// The machine's own loop: the intent gets its undisturbed try in time.
		settle := func(p *oauth.Tokens) {
			for range 5 {
				if w.row().IntentAt.IsZero() {
					break
				}
				w.clock.Advance(5 * time.Second)
				if until := w.row().LeaseUntil; until.After(w.clock.Now()) {
					w.clock.Advance(until.Sub(w.clock.Now()))
				}
				_ = w.heard(p.ServePendingIntents(context.Background()))
			}
			if c := w.row(); !c.IntentAt.IsZero() || c.State != collector.CredentialOK {
				rt.Fatalf("state %s (%s), intent at %v, now %v", c.State, c.StateReason, c.IntentAt, w.clock.Now())
			}
		}
		// Whatever is drawn, each schedule has an answer that is lost.
		w.clock.Advance(2 * time.Hour)
		lost := false
		w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
			resp, err := forward()
			if !lost && err == nil {
				lost, err = true, errors.New("connection reset")
				_ = resp.Body.Close()
			}
			return resp, err
		})
		_, _, err := procs[0].Token(context.Background(), tenant, kind)
		_ = w.heard(err)
		calm()
		settle(procs[1])
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "process")
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0:
				w.clock.Advance(time.Duration(rapid.IntRange(0, 120).Draw(rt, "minutes")) * time.Minute)
			case 1:
				procs[i] = boot()
			default:
				disturb()
				act(procs[i])
				calm()
			}
			settle(procs[1-i])
		}
		for _, p := range procs {
			if _, _, err := p.Token(context.Background(), tenant, kind); err != nil {
				rt.Fatal(err)
			}
		}
		_, refresh := w.stored()
		if st, ok := w.srv.Family(refresh); !ok || !st.Usable {
			rt.Fatalf("the stored refresh token is worth nothing: %+v", st)
		}
	})
	if s := w.srv.ProviderStats(); s.FamiliesKilled != 0 || s.LeewayReuses == 0 {
		t.Errorf("provider: %s; want no family killed, and some reuses, or nothing was tested", fmt.Sprintf("%+v", s))
	}
}
