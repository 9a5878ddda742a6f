package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// stepped is a process that stops at every point of the refresh until it is told
// to go on, or to die there.
type stepped struct {
	tokens *oauth.Tokens
	at     chan string
	goOn   chan bool
	done   chan error
	over   chan struct{} // closed when the model is: whatever stands dies
	point  string        // where it stands; empty: it has nothing to do
}

func (w *world) stepped(over chan struct{}) *stepped {
	p := &stepped{at: make(chan string), goOn: make(chan bool), done: make(chan error, 1), over: over}
	p.tokens = w.process(func(o *oauth.Options) {
		o.Trace = func(point string) {
			select {
			case p.at <- point:
			case <-over:
				runtime.Goexit()
			}
			select {
			case alive := <-p.goOn:
				if alive {
					return
				}
			case <-over:
			}
			runtime.Goexit()
		}
	})
	return p
}

// start begins a call, and wait lets it come to its next point or to its end.
func (p *stepped) start(call func() error) {
	go func() { p.done <- call() }()
	p.wait()
}

func (p *stepped) wait() {
	select {
	case p.point = <-p.at:
	case <-p.done:
		p.point = ""
	}
}

// next lets it go on, or die.
func (p *stepped) next(alive bool) {
	p.goOn <- alive
	p.wait()
}

// TestInterleavedRefreshes is a model of what the database and the provider may
// show while two processes stop, go on and die at any point of a refresh, in any
// order, with lost answers and failing saves, and the clock moves on while they
// stand. Generations only grow, each has one access token, which is stored before
// anybody gets it (Invariant 5), and at rest the provider takes the stored token
// (Invariant 6). An intent gets one undisturbed try inside the leeway, as the
// daemon's own loop gives it.
func TestInterleavedRefreshes(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(rt *rapid.T) {
		w.wire.set(nil)
		w.connect(tenant)
		over := make(chan struct{})
		defer close(over)
		procs := []*stepped{w.stepped(over), w.stepped(over)}
		loop := w.process() // the daemon's own, never disturbed
		generation, handed := w.row().Generation, map[int64]vault.Secret{}
		calm := func() {
			w.wire.set(nil)
			w.store.fail(0, 0)
		}
		disturb := func() {
			faults := rapid.SliceOfN(rapid.SampledFrom([]string{"ok", "ok", "drop before", "drop after", "late", "500"}), 1, 2).Draw(rt, "answers")
			w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				fault := "ok"
				if len(faults) > 0 {
					fault, faults = faults[0], faults[1:]
				}
				return failing(fault, forward)
			})
			before, after := rapid.IntRange(0, 1).Draw(rt, "saves that fail"), rapid.IntRange(0, 1).Draw(rt, "saves that fail afterwards")
			w.store.fail(before, after)
		}
		calls := map[string]func(*stepped) func() error{
			"token": func(p *stepped) func() error {
				return func() error {
					access, g, err := p.tokens.Token(context.Background(), tenant, kind)
					if w.heard(err) != nil {
						return err
					}
					if before, known := handed[g]; known && !access.Equal(before) {
						t.Errorf("generation %d has two access tokens", g)
					}
					handed[g] = access
					if stored, _ := w.stored(); g > w.row().Generation || g == w.row().Generation && !access.Equal(vault.NewSecret(stored)) {
						t.Errorf("a token of generation %d is used and not stored", g)
					}
					return nil
				}
			},
			"refused": func(p *stepped) func() error {
				g := w.row().Generation
				return func() error { return w.heard(p.tokens.Refused(context.Background(), tenant, kind, g)) }
			},
			"intents": func(p *stepped) func() error {
				return func() error { return w.heard(p.tokens.ServePendingIntents(context.Background())) }
			},
		}
		// intentServed lets the daemon's own loop have its try.
		intentServed := func(after time.Duration) {
			for range 6 {
				row := w.row()
				if row.IntentAt.IsZero() || w.clock.Now().Sub(row.IntentAt) < after {
					return
				}
				if row.LeaseUntil.After(w.clock.Now()) {
					w.clock.Advance(row.LeaseUntil.Sub(w.clock.Now()))
				}
				_ = w.heard(loop.ServePendingIntents(context.Background()))
			}
		}
		judge := func(rest bool) {
			row := w.row()
			if row.Generation < generation || row.State != collector.CredentialOK {
				rt.Fatalf("generation %d after %d, state %s (%s)", row.Generation, generation, row.State, row.StateReason)
			}
			generation = row.Generation
			if _, refresh := w.stored(); rest && (!row.IntentAt.IsZero() || !w.usable(refresh)) {
				rt.Fatalf("at rest the provider takes the stored token: %v, intent at %v", w.usable(refresh), row.IntentAt)
			}
		}
		for range rapid.IntRange(4, 16).Draw(rt, "steps") {
			i := rapid.IntRange(0, 1).Draw(rt, "process")
			p := procs[i]
			step := rapid.SampledFrom([]string{"on", "on", "on", "clock", "die"}).Draw(rt, "step")
			disturb()
			switch {
			case step == "clock":
				w.clock.Advance(time.Duration(rapid.SampledFrom([]int{5, 40, 70}).Draw(rt, "seconds")) * time.Second)
			case step == "die" && p.point != "":
				p.next(false)
				procs[i] = w.stepped(over)
			case p.point != "":
				p.next(true)
			default:
				if procs[1-i].point == "" && rapid.Bool().Draw(rt, "long after") {
					calm()
					intentServed(0)
					w.clock.Advance(2 * time.Hour)
					disturb()
				}
				p.start(calls[rapid.SampledFrom([]string{"token", "token", "refused", "intents"}).Draw(rt, "call")](p))
			}
			calm()
			intentServed(3 * time.Minute)
			judge(false)
		}
		for _, p := range procs {
			for p.point != "" {
				p.next(true)
				intentServed(3 * time.Minute)
			}
		}
		intentServed(0)
		judge(true)
	})
	if s := w.srv.ProviderStats(); s.FamiliesKilled != 0 {
		t.Errorf("provider: %+v", s)
	}
}

// TestLateAnswerGivesWayToANewerClaim: a process stands between the provider's
// answer and the store until its lease is over, and another sends the same token,
// as it may inside the leeway, or is about to. What the first one holds is, or will
// be, worth nothing then, and must not be stored in place of what the other gets.
func TestLateAnswerGivesWayToANewerClaim(t *testing.T) {
	for _, name := range []string{"asked and got no answer", "is about to ask"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect(tenant)
			w.clock.Advance(2 * time.Hour)
			over := make(chan struct{})
			defer close(over)
			first, second := w.stepped(over), w.stepped(over)
			get := func(p *stepped) func() error {
				return func() error { _, _, err := p.tokens.Token(context.Background(), tenant, kind); return w.heard(err) }
			}
			to := func(p *stepped, point string) {
				t.Helper()
				if p.point != point {
					t.Fatalf("it stands at %q, not at %q", p.point, point)
				}
			}
			first.start(get(first))
			to(first, "refresh.intent_saved")
			first.next(true)
			to(first, "refresh.answer_received")
			w.clock.Advance(61 * time.Second)
			second.start(get(second))
			to(second, "refresh.intent_saved")
			if name == "asked and got no answer" {
				w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
					if resp, err := forward(); err == nil {
						_ = resp.Body.Close()
					}
					return nil, errors.New("connection reset")
				})
				second.next(true) // and it stands before the next try
				w.wire.set(nil)
				second.next(false)
			}
			for _, p := range []*stepped{first, second} {
				for p.point != "" {
					p.next(true)
				}
			}
			if row := w.row(); !row.IntentAt.IsZero() {
				t.Errorf("an intent stays: %+v", row)
			}
			w.alive()
			w.mustToken(w.process())
		})
	}
}
