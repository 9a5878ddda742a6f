package oauth_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

const serviceKind = collector.CredentialKindServiceAccount

// newServiceWorld has a service account's client id and secret stored.
func newServiceWorld(t *testing.T) (*world, collector.Credential) {
	t.Helper()
	w := newWorld(t)
	w.kind = serviceKind
	w.app = w.srv.AddApp(confluencetest.App{ServiceAccount: true, Scopes: confluencetest.AllScopes()})
	return w, w.keep(w.process(), oauth.Static{Kind: serviceKind, ClientID: w.app.ClientID, Secret: vault.NewSecret(w.app.ClientSecret)})
}

// serviceProcess is configured without a 3LO app: the service account needs none.
func (w *world) serviceProcess(change ...func(*oauth.Options)) *oauth.Tokens {
	return w.process(append([]func(*oauth.Options){func(o *oauth.Options) {
		o.Provider = oauth.AtlassianCloud(w.srv.AuthURL(), w.srv.APIURL(), "", vault.Secret{}, "")
	}}, change...)...)
}

func TestServiceAccountGetsTokensAndKeepsThemInMemory(t *testing.T) {
	w, row := newServiceWorld(t)
	tokens := w.serviceProcess()
	first, number := w.mustToken(tokens)
	for range 5 {
		w.clock.Advance(10 * time.Minute)
		if again, n := w.mustToken(tokens); !again.Equal(first) || n != number {
			t.Fatal("a fresh token was replaced")
		}
	}
	if n := w.srv.TokenCalls(); n != 1 {
		t.Errorf("%d token calls in 50 minutes", n)
	}
	w.clock.Advance(5 * time.Minute) // 55 of 60
	second, n := w.mustToken(tokens)
	if second.Equal(first) || n <= number || w.srv.TokenCalls() != 2 {
		t.Errorf("number %d after %d, %d token calls; want a new token before the end", n, number, w.srv.TokenCalls())
	}
	if now := w.row(); now.Generation != row.Generation || !now.IntentAt.IsZero() || now.LeaseOwner != "" {
		t.Errorf("the row changed: %+v", now)
	}
	if header, _ := header(t, w.authorizer(tokens, row)); header != "Bearer "+second.Reveal() {
		t.Error("the authorizer gives another token")
	}
	if err := tokens.ServePendingIntents(t.Context()); err != nil {
		t.Error(err)
	}
	w.clock.Advance(30 * 24 * time.Hour)
	if _, err := tokens.KeepAlive(t.Context()); w.heard(err) != nil || w.srv.TokenCalls() != 2 {
		t.Errorf("an idle service account: %v, %d calls", err, w.srv.TokenCalls())
	}
}

func TestServiceAccountAsksOnceAtATime(t *testing.T) {
	w, row := newServiceWorld(t)
	tokens := w.serviceProcess()
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		time.Sleep(20 * time.Millisecond)
		return forward()
	})
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, _, err := w.authorizer(tokens, row).Authorization(t.Context()); w.heard(err) != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.srv.TokenCalls(); n != 1 || w.wire.maxBusy != 1 {
		t.Errorf("%d token calls, %d at once", n, w.wire.maxBusy)
	}
}

func TestServiceAccountsTokenIsRefused(t *testing.T) {
	w, row := newServiceWorld(t)
	tokens := w.serviceProcess()
	auth := w.authorizer(tokens, row)
	_, number := header(t, auth)
	var group sync.WaitGroup
	for range 8 { // requests in flight are refused together
		group.Go(func() {
			if err := auth.Refused(t.Context(), number); w.heard(err) != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := w.srv.TokenCalls(); n != 2 {
		t.Errorf("%d token calls, want one more", n)
	}
	w.mustToken(tokens)
	_, number = header(t, auth)
	if err := auth.Refused(t.Context(), number); !errors.Is(w.heard(err), oauth.ErrStillRefused) {
		t.Errorf("a fresh token that is refused: %v", err)
	}
	w.clock.Advance(11 * time.Minute)
	if err := auth.Refused(t.Context(), number); w.heard(err) != nil {
		t.Errorf("later: %v", err)
	}
}

func TestAnswersToAServiceAccount(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		class  error
		calls  int64
	}{
		"wrong secret":       {401, `{"error":"access_denied","error_description":"Unauthorized"}`, oauth.ErrClientConfig, 1},
		"wrong client":       {401, `{"error":"invalid_client"}`, oauth.ErrClientConfig, 1},
		"invalid grant":      {403, `{"error":"invalid_grant"}`, oauth.ErrClientConfig, 1},
		"dead, they say":     {403, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`, oauth.ErrClientConfig, 1},
		"not for this app":   {403, `{"error":"unauthorized_client","error_description":"Grant type not allowed for the client."}`, oauth.ErrClientConfig, 1},
		"no such endpoint":   {404, `<html>`, oauth.ErrClientConfig, 1},
		"throttled":          {429, `{"error":"too_many_requests"}`, oauth.ErrTemporary, 4},
		"server error":       {500, ``, oauth.ErrTemporary, 4},
		"page as success":    {200, `<html>`, oauth.ErrTemporary, 4},
		"cut success":        {200, `{"access_token":"eyJ00112233445566`, oauth.ErrTemporary, 4},
		"firewall":           {403, `<html>`, oauth.ErrTemporary, 4},
		"temporarily absent": {400, `{"error":"temporarily_unavailable"}`, oauth.ErrTemporary, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w, row := newServiceWorld(t)
			w.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenStatus, Status: test.status, Body: test.body, Times: int(test.calls)})
			tokens := w.serviceProcess()
			_, _, err := tokens.Token(t.Context(), tenant, serviceKind)
			if !errors.Is(w.heard(err), test.class) || errors.Is(err, oauth.ErrNeedsReconsent) {
				t.Fatalf("err = %v, want %v", err, test.class)
			}
			if errors.Is(test.class, oauth.ErrClientConfig) && test.status != 404 && !strings.Contains(err.Error(), "--credential service_account") {
				t.Errorf("the error does not say what to do: %v", err)
			}
			if n := w.srv.TokenCalls(); n != test.calls {
				t.Errorf("%d calls, want %d", n, test.calls)
			}
			if now := w.row(); now.State != collector.CredentialOK || now.Generation != row.Generation {
				t.Errorf("row: %+v", now)
			}
			w.mustToken(tokens) // the fault is over
		})
	}
}

func TestWrongSecretOfAServiceAccountAndItsReplacement(t *testing.T) {
	w, _ := newServiceWorld(t)
	tokens := w.serviceProcess()
	w.mustToken(tokens)
	good := w.app.ClientSecret
	w.keep(tokens, oauth.Static{Kind: serviceKind, ClientID: w.app.ClientID, Secret: vault.NewSecret("ATOAffeeddccbbaa99887766")})
	if _, _, err := tokens.Token(t.Context(), tenant, serviceKind); !errors.Is(w.heard(err), oauth.ErrClientConfig) {
		t.Errorf("the former secret's token is used on: %v", err)
	}
	row := w.keep(w.process(), oauth.Static{Kind: serviceKind, ClientID: w.app.ClientID, Secret: vault.NewSecret(good)})
	if _, n := w.mustToken(tokens); n>>32 != row.Generation || row.Generation != 3 {
		t.Errorf("number %d of generation %d", n, row.Generation)
	}
	// And a token that works is used on while a bad secret cannot get another, until it ends.
	w.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenStatus, Status: 401, Body: `{"error":"access_denied"}`, Times: -1})
	w.clock.Advance(56 * time.Minute)
	w.mustToken(tokens)
	w.clock.Advance(4 * time.Minute)
	if _, _, err := tokens.Token(t.Context(), tenant, serviceKind); !errors.Is(w.heard(err), oauth.ErrClientConfig) {
		t.Errorf("at the end: %v", err)
	}
}

func TestReplacedServiceAccountIsTakenUp(t *testing.T) {
	w, row := newServiceWorld(t)
	a, b := w.serviceProcess(), w.serviceProcess()
	authA, authB := w.authorizer(a, row), w.authorizer(b, row)
	header(t, authA)
	before, number := header(t, authB)
	other := w.srv.AddApp(confluencetest.App{ServiceAccount: true, Scopes: confluencetest.AllScopes()})
	second := w.keep(a, oauth.Static{Kind: serviceKind, ClientID: other.ClientID, Secret: vault.NewSecret(other.ClientSecret)})
	if h, n := header(t, authA); h == before || n>>32 != second.Generation {
		t.Errorf("the process that stored it uses number %d", n)
	}
	if h, _ := header(t, authB); h != before {
		t.Error("read again for each request")
	}
	calls := w.srv.TokenCalls()
	if err := authB.Refused(t.Context(), number); w.heard(err) != nil || w.srv.TokenCalls() != calls {
		t.Errorf("refused, and another is stored: %v", err)
	}
	if h, n := header(t, authB); h == before || n>>32 != second.Generation {
		t.Errorf("after a refusal: number %d", n)
	}
	third := w.keep(a, oauth.Static{Kind: serviceKind, ClientID: w.app.ClientID, Secret: vault.NewSecret(w.app.ClientSecret)})
	w.clock.Advance(30 * time.Second)
	if _, n := header(t, authB); n>>32 != third.Generation {
		t.Errorf("after 30 s: number %d", n)
	}
}

func TestServiceAccountAndShutdown(t *testing.T) {
	w, row := newServiceWorld(t)
	tokens := w.serviceProcess()
	release, sent := make(chan struct{}), make(chan struct{})
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		close(sent)
		<-release
		return forward()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-sent
		cancel()
	}()
	if _, _, err := w.authorizer(tokens, row).Authorization(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	close(release)
	if err := tokens.Close(t.Context()); err != nil {
		t.Error(err)
	}
	w.clock.Advance(2 * time.Hour)
	if _, _, err := tokens.Token(t.Context(), tenant, serviceKind); !errors.Is(err, oauth.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
