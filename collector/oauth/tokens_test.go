package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

func TestTokenIsReusedAndThenRefreshedEarly(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	tokens := w.process()
	first, generation := w.mustToken(tokens)
	for range 5 {
		w.clock.Advance(10 * time.Minute)
		if again, g := w.mustToken(tokens); !again.Equal(first) || g != generation {
			t.Fatal("a fresh token was replaced")
		}
	}
	if n := len(w.wire.refreshes()); n != 0 {
		t.Fatalf("%d refreshes of a fresh token", n)
	}
	w.clock.Advance(5 * time.Minute) // 55 minutes of 60
	second, g := w.mustToken(tokens)
	if second.Equal(first) || g != generation+1 || len(w.wire.refreshes()) != 1 {
		t.Fatalf("generation %d after %d, %d refreshes; want one refresh", g, generation, len(w.wire.refreshes()))
	}
	if c := w.row(); !c.IntentAt.IsZero() || c.LeaseOwner != "" || c.Generation != g || !c.LastOKAt.Equal(w.clock.Now()) {
		t.Errorf("row after the refresh: %+v", c)
	}
	w.alive()
}

func TestAnswersOfTheTokenEndpoint(t *testing.T) {
	tests := map[string]struct {
		status     int
		body       string
		retryAfter string
		class      error
		dead       bool
		intent     bool // stays
		calls      int
	}{
		"rotated out":               {403, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`, "", oauth.ErrNeedsReconsent, true, false, 1},
		"rotated out, other case":   {403, `{"error":"unauthorized_client","error_description":"Refresh_token is invalid."}`, "", oauth.ErrNeedsReconsent, true, false, 1},
		"expired or revoked":        {403, `{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}`, "", oauth.ErrNeedsReconsent, true, false, 1},
		"expired, by RFC 6749":      {400, `{"error":"invalid_grant"}`, "", oauth.ErrNeedsReconsent, true, false, 1},
		"wrong secret":              {401, `{"error":"access_denied","error_description":"Unauthorized"}`, "", oauth.ErrClientConfig, false, false, 1},
		"wrong client":              {401, `{"error":"invalid_client"}`, "", oauth.ErrClientConfig, false, false, 1},
		"bare unauthorized_client":  {403, `{"error":"unauthorized_client"}`, "", oauth.ErrClientConfig, false, false, 1},
		"unauthorized_client, else": {403, `{"error":"unauthorized_client","error_description":"Grant type not allowed for the client."}`, "", oauth.ErrClientConfig, false, false, 1},
		"extra field":               {400, `{"error":"invalid_request","error_description":"refresh_token is invalid"}`, "", oauth.ErrClientConfig, false, false, 1},
		"not a token endpoint":      {404, `<html>nothing here</html>`, "", oauth.ErrClientConfig, false, false, 1},
		"redirect":                  {302, ``, "", oauth.ErrClientConfig, false, false, 1},
		"throttled":                 {429, `{"error":"too_many_requests"}`, "7", oauth.ErrTemporary, false, true, 4},
		"throttled, invalid_grant":  {429, `{"error":"invalid_grant"}`, "", oauth.ErrTemporary, false, true, 4},
		"server error":              {500, `{"error":"invalid_grant"}`, "", oauth.ErrTemporary, false, true, 4},
		"maintenance page":          {503, `<html>back soon</html>`, "3600", oauth.ErrTemporary, false, true, 4},
		"firewall":                  {403, `<html>blocked</html>`, "", oauth.ErrTemporary, false, true, 4},
		"page as success":           {200, `<html>sign in</html>`, "", oauth.ErrTemporary, false, true, 4},
		"cut success":               {200, `{"access_token":"eyJ0123456789abcdef0123456789","refr`, "", oauth.ErrTemporary, false, true, 4},
		"error as success":          {200, `{"error":"invalid_grant"}`, "", oauth.ErrTemporary, false, true, 4},
		"error as another success":  {201, `{"error":"invalid_grant"}`, "", oauth.ErrTemporary, false, true, 4},
		"empty success":             {200, ``, "", oauth.ErrTemporary, false, true, 4},
		"no token in success":       {200, `{"refresh_token":"eyR0123456789abcdef0123456789"}`, "", oauth.ErrTemporary, false, true, 4},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.connect(tenant)
			_, refresh := w.stored()
			w.srv.FailToken(confluencetest.TokenFault{
				Kind: confluencetest.TokenStatus, RefreshToken: refresh, Status: test.status, Body: test.body,
				RetryAfter: test.retryAfter, Times: test.calls,
			})
			w.clock.Advance(2 * time.Hour)
			tokens := w.process()
			_, _, err := tokens.Token(t.Context(), tenant, kind)
			if !errors.Is(w.heard(err), test.class) {
				t.Fatalf("err = %v, want %v", err, test.class)
			}
			for _, other := range []error{oauth.ErrNeedsReconsent, oauth.ErrClientConfig, oauth.ErrTemporary} {
				if !errors.Is(test.class, other) && errors.Is(err, other) {
					t.Errorf("err is %v too", other)
				}
			}
			if errors.Is(test.class, oauth.ErrClientConfig) && test.status/100 == 4 && test.status != 404 && !strings.Contains(err.Error(), "oauth.client_secret") {
				t.Errorf("the error names no configuration key: %v", err)
			}
			c := w.row()
			if dead := c.State == collector.CredentialNeedsReconsent; dead != test.dead {
				t.Errorf("state = %s", c.State)
			}
			if test.dead && (!strings.Contains(c.StateReason, "the provider answered") || !strings.Contains(err.Error(), "sitedrift connect --tenant acme")) {
				t.Errorf("reason %q, error %v", c.StateReason, err)
			}
			if c.IntentAt.IsZero() == test.intent || c.LeaseOwner != "" {
				t.Errorf("intent at %v, lease of %q; intent stays = %v", c.IntentAt, c.LeaseOwner, test.intent)
			}
			sent := w.wire.refreshes()
			if len(sent) != test.calls {
				t.Errorf("%d calls, want %d", len(sent), test.calls)
			}
			for _, s := range sent {
				if s != refresh {
					t.Error("another token was sent")
				}
			}
			if test.dead {
				if _, _, err := tokens.Token(t.Context(), tenant, kind); !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) {
					t.Errorf("second time: %v", err)
				}
				if len(w.wire.refreshes()) != test.calls {
					t.Error("a dead grant was sent again")
				}
				return
			}
			w.mustToken(tokens) // the fault is over
			w.alive()
		})
	}
}

func TestProviderThatCannotBeReached(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
		return nil, errors.New("connection refused")
	})
	tokens := w.process()
	w.clock.Advance(56 * time.Minute)
	access, _, err := tokens.Token(t.Context(), tenant, kind)
	if w.heard(err) != nil {
		t.Fatalf("a token with minutes to live was held back: %v", err)
	}
	if w.works(access) != http.StatusOK {
		t.Error("the token does not work")
	}
	w.clock.Advance(5 * time.Minute)
	_, _, err = tokens.Token(t.Context(), tenant, kind)
	if !errors.Is(w.heard(err), oauth.ErrTemporary) || strings.Contains(err.Error(), w.srv.URL()) {
		t.Errorf("err = %v, want ErrTemporary without the URL", err)
	}
}

func TestLostAnswerIsAskedForAgainWithTheSameToken(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	_, refresh := w.stored()
	w.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenDropAfterRotation, RefreshToken: refresh})
	w.clock.Advance(2 * time.Hour)
	w.mustToken(w.process())
	if sent := w.wire.refreshes(); len(sent) != 2 || sent[0] != refresh || sent[1] != refresh {
		t.Fatalf("%d refresh calls, want the same token twice", len(sent))
	}
	if s := w.srv.ProviderStats(); s.AnswersDropped != 1 || s.LeewayReuses != 1 || s.FamiliesKilled != 0 {
		t.Fatalf("provider: %+v", s)
	}
	w.alive()
}

func TestCallWithoutAnswerKeepsTheLeaseToItsEnd(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	var times []time.Time
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		times = append(times, w.clock.Now())
		if len(times) > 1 {
			return forward()
		}
		resp, err := forward() // the provider rotates and nobody hears of it
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, timeoutError{}
	})
	w.mustToken(w.process())
	if len(times) != 2 || times[1].Sub(times[0]) < time.Minute || times[1].Sub(times[0]) > 2*time.Minute {
		t.Errorf("calls at %v, want the second after the lease of a minute", times)
	}
	w.alive()
}

func TestNobodyAsksWhileACallIsUnanswered(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	var times []time.Time
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		if times = append(times, w.clock.Now()); len(times) == 1 {
			return nil, timeoutError{}
		}
		return forward()
	})
	other := w.process()
	waits := 0
	first := w.process(func(o *oauth.Options) {
		o.Sleep = func(ctx context.Context, d time.Duration) error {
			if waits++; waits == 1 {
				w.mustToken(other)
			}
			return w.clock.Sleep(ctx, d)
		}
	})
	w.mustToken(first)
	if len(times) != 2 || times[1].Sub(times[0]) < time.Minute {
		t.Errorf("calls at %v, want two, a minute or more apart", times)
	}
	// The process itself keeps to its lease too when it gave up on the call.
	w.clock.Advance(2 * time.Hour)
	times = nil
	gaveUp := w.process(func(o *oauth.Options) {
		o.Provider.Leeway = 0
		o.Sleep = func(context.Context, time.Duration) error { return context.Canceled }
	})
	for range 2 {
		if _, _, err := gaveUp.Token(t.Context(), tenant, kind); w.heard(err) == nil {
			t.Error("a token without an answer")
		}
	}
	if len(times) != 1 {
		t.Errorf("%d calls under one lease", len(times))
	}
}

func TestSecretsDoNotFollowARedirect(t *testing.T) {
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached the other host", r.Method, r.URL)
	}))
	defer trap.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		w := newWorld(t)
		w.connect(tenant)
		w.clock.Advance(2 * time.Hour)
		w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
			resp := answer(status, "")
			resp.Header.Set("Location", trap.URL)
			return resp, nil
		})
		if _, _, err := w.process().Token(t.Context(), tenant, kind); !errors.Is(w.heard(err), oauth.ErrClientConfig) || !strings.Contains(err.Error(), "endpoints.auth") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestCancelledCallerDoesNotLoseTheToken(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	release := make(chan struct{})
	w.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenSlow, Release: release})
	w.clock.Advance(2 * time.Hour)
	saved := make(chan struct{})
	sent := make(chan struct{})
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		close(sent)
		return forward()
	})
	tokens := w.process(func(o *oauth.Options) {
		o.Trace = func(point string) {
			if point == "refresh.saved" {
				close(saved)
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-sent
		cancel()
	}()
	if _, _, err := tokens.Token(ctx, tenant, kind); !errors.Is(err, context.Canceled) {
		t.Fatalf("err = %v, want context.Canceled", err)
	}
	closed := make(chan error, 1)
	go func() { closed <- tokens.Close(context.Background()) }()
	select {
	case <-closed:
		t.Fatal("Close did not wait for the refresh")
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	<-saved
	if w.row().Generation != 2 {
		t.Fatal("the new token is not stored")
	}
	w.alive()
	if _, _, err := tokens.Token(t.Context(), tenant, kind); err != nil {
		t.Errorf("a fresh token after Close: %v", err)
	}
	w.clock.Advance(2 * time.Hour)
	if _, _, err := tokens.Token(t.Context(), tenant, kind); !errors.Is(err, oauth.ErrClosed) {
		t.Errorf("a refresh after Close: %v, want ErrClosed", err)
	}
}

func TestCloseGivesUpInTheEnd(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	w.store.mu.Lock()
	w.store.before = 1 << 30
	w.store.mu.Unlock()
	answered := make(chan struct{})
	tokens := oauth.NewTokens(oauth.Options{
		Provider: w.provider(), Store: w.store, Vault: w.vault, Transport: w.wire, Log: w.log, Now: w.clock.Now,
		Trace: func(point string) {
			if point == "refresh.answer_received" {
				close(answered)
			}
		},
	})
	failed := make(chan error, 1)
	go func() {
		_, _, err := tokens.Token(context.Background(), tenant, kind)
		failed <- err
	}()
	<-answered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tokens.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Close = %v, want context.Canceled", err)
	}
	if err := <-failed; !errors.Is(w.heard(err), oauth.ErrClosed) {
		t.Errorf("Token = %v, want ErrClosed", err)
	}
	// The intent stayed, so the next start gets the token by asking again.
	w.store.mu.Lock()
	w.store.before = 0
	w.store.mu.Unlock()
	w.clock.Advance(61 * time.Second)
	next := w.process()
	if err := next.ServePendingIntents(t.Context()); w.heard(err) != nil {
		t.Fatal(err)
	}
	w.alive()
}

func TestNothingIsUsedBeforeItIsStored(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	gate := make(chan struct{})
	w.store.mu.Lock()
	w.store.before, w.store.after, w.store.gate = 4, 1, gate
	w.store.mu.Unlock()
	answered := make(chan struct{})
	tokens := w.process(func(o *oauth.Options) {
		o.Trace = func(point string) {
			if point == "refresh.answer_received" {
				close(answered)
			}
		}
	})
	got := make(chan error, 1)
	go func() {
		_, _, err := tokens.Token(context.Background(), tenant, kind)
		got <- err
	}()
	<-answered
	select {
	case err := <-got:
		t.Fatalf("Token returned (%v) while the pair was not stored", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(gate)
	if err := <-got; w.heard(err) != nil {
		t.Fatal(err)
	}
	if n := len(w.wire.refreshes()); n != 1 {
		t.Errorf("%d refreshes, want 1: only the store was down", n)
	}
	if c := w.row(); c.Generation != 2 {
		t.Errorf("generation = %d, want 2: a save with unknown outcome was made twice", c.Generation)
	}
	w.mustToken(tokens)
	w.alive()
}

func TestGrantOfAnotherAppIsNotSent(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	tokens := w.process(func(o *oauth.Options) { o.Provider.ClientID = "another" })
	_, _, err := tokens.Token(t.Context(), tenant, kind)
	if !errors.Is(w.heard(err), oauth.ErrClientConfig) || !strings.Contains(err.Error(), "oauth.client_id") {
		t.Errorf("err = %v", err)
	}
	if len(w.wire.refreshes()) != 0 {
		t.Error("the token was sent for another app")
	}
}

func TestForeignKeyFileIsAMatterOfConfiguration(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	other, err := vault.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	tokens := w.process(func(o *oauth.Options) { o.Vault = other })
	if _, _, err := tokens.Token(t.Context(), tenant, kind); !errors.Is(w.heard(err), vault.ErrUnknownKey) || !errors.Is(err, oauth.ErrClientConfig) {
		t.Errorf("err = %v, want ErrUnknownKey", err)
	}
	if c := w.row(); c.State != collector.CredentialOK || !c.IntentAt.IsZero() {
		t.Errorf("row: %+v", c)
	}
	if _, _, err := tokens.Token(t.Context(), "globex", kind); !errors.Is(w.heard(err), collector.ErrNoCredential) || !strings.Contains(err.Error(), "sitedrift connect") {
		t.Errorf("unknown tenant: %v", err)
	}
}

func TestProviderWithoutLeewayIsAskedOnceMore(t *testing.T) {
	w := newWorld(t, func(s *confluencetest.Settings) { s.Leeway = -1 })
	w.connect(tenant)
	w.clock.Advance(2 * time.Hour)
	calls := 0
	w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
		calls++
		return answer(502, "bad gateway"), nil
	})
	tokens := w.process(func(o *oauth.Options) { o.Provider.Leeway = 0 })
	if _, _, err := tokens.Token(t.Context(), tenant, kind); !errors.Is(w.heard(err), oauth.ErrTemporary) || calls != 2 {
		t.Errorf("%d calls, err = %v; want 2 calls", calls, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
