package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Without a leeway a lost answer may have been the only one: the token is tried
// once more, and what is then refused is dead, and says why.
func TestLostAnswerOfDataCenter(t *testing.T) {
	for name, test := range map[string]struct {
		rotated bool
		lose    func(forward func() (*http.Response, error)) (*http.Response, error)
	}{
		"lost on the way there": {false, func(func() (*http.Response, error)) (*http.Response, error) {
			return nil, errors.New("connection reset")
		}},
		"lost on the way back": {true, func(forward func() (*http.Response, error)) (*http.Response, error) {
			if resp, err := forward(); err == nil {
				_ = resp.Body.Close()
			}
			return nil, errors.New("connection reset")
		}},
		"never came": {true, func(forward func() (*http.Response, error)) (*http.Response, error) {
			if resp, err := forward(); err == nil {
				_ = resp.Body.Close()
			}
			return nil, timeoutError{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDCWorld(t)
			w.connectDC()
			_, refresh := w.stored()
			w.clock.Advance(3 * time.Hour)
			calls := 0
			w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
				if calls++; calls == 1 {
					return test.lose(forward)
				}
				return forward()
			})
			tokens := w.dcProcess()
			_, _, err := tokens.Token(t.Context(), tenant, dcKind)
			if sent := w.wire.refreshes(); len(sent) != 2 || sent[0] != refresh || sent[1] != refresh {
				t.Fatalf("%d calls, want the same token twice", len(sent))
			}
			if !test.rotated {
				if w.heard(err) != nil {
					t.Fatal(err)
				}
				w.alive()
				return
			}
			row := w.row()
			if !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) || row.State != collector.CredentialNeedsReconsent || !row.IntentAt.IsZero() {
				t.Fatalf("err = %v, row %+v", err, row)
			}
			if !strings.Contains(row.StateReason, "invalid_grant") || !strings.Contains(row.StateReason, "a refresh begun at 2026-03-02 13:17:00 UTC got no answer") || !strings.Contains(row.StateReason, "takes a token once") {
				t.Errorf("reason: %s", row.StateReason)
			}
			if !strings.Contains(err.Error(), "sitedrift connect --tenant acme --credential dc_oauth") {
				t.Errorf("err = %v", err)
			}
			w.connectDC() // a person consents, and all is well
			w.mustToken(tokens)
		})
	}
}

func TestDataCenterThatDoesNotAnswerIsNoProof(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	w.clock.Advance(3 * time.Hour)
	tokens := w.dcProcess()
	w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
		return answer(503, "upgrading"), nil
	})
	for range 20 { // an upgrade of an hour
		_ = w.heard(tokens.ServePendingIntents(t.Context()))
		if _, _, err := tokens.Token(t.Context(), tenant, dcKind); !errors.Is(w.heard(err), oauth.ErrTemporary) {
			t.Fatal(err)
		}
		w.clock.Advance(3 * time.Minute)
	}
	w.wire.set(nil)
	if err := tokens.ServePendingIntents(t.Context()); w.heard(err) != nil {
		t.Fatal(err)
	}
	w.mustToken(tokens)
	w.alive()
}

func TestDataCenterAppIsMisconfigured(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	w.clock.Advance(3 * time.Hour)
	for name, test := range map[string]struct {
		change func(*oauth.Options)
		class  error
		says   string
	}{
		"wrong secret": {func(o *oauth.Options) {
			o.ProviderFor = fixedProvider(oauth.DataCenter(w.dc.URL(), "", vault.NewSecret("ATOA99aa99bb99cc99dd99ee99ff"), ""), nil)
		}, oauth.ErrClientConfig, "client secret of the site's incoming link"},
		"another app": {func(o *oauth.Options) {
			o.ProviderFor = fixedProvider(oauth.DataCenter(w.dc.URL(), "another", vault.Secret{}, ""), nil)
		}, oauth.ErrClientConfig, `"another" is configured`},
		"another site": {func(o *oauth.Options) {
			o.ProviderFor = fixedProvider(oauth.DataCenter(w.srv.URL()+"/nothing", "", vault.Secret{}, ""), nil)
		}, oauth.ErrClientConfig, "the tenant's site address"},
		"unknown site": {func(o *oauth.Options) { o.ProviderFor = fixedProvider(oauth.Provider{}, errors.New("no such tenant")) }, oauth.ErrTemporary, "no such tenant"},
		"no provider":  {func(o *oauth.Options) { o.ProviderFor = nil }, oauth.ErrClientConfig, "nothing here uses"},
	} {
		t.Run(name, func(t *testing.T) {
			tokens := w.dcProcess(test.change)
			if _, _, err := tokens.Token(t.Context(), tenant, dcKind); !errors.Is(w.heard(err), test.class) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("err = %v, want %v that says %q", err, test.class, test.says)
			}
			if row := w.row(); row.State != collector.CredentialOK || !row.IntentAt.IsZero() || row.LeaseOwner != "" {
				t.Errorf("row: %+v", row)
			}
		})
	}
	w.mustToken(w.dcProcess())
	w.alive()
}

func TestPublicClientOfDataCenter(t *testing.T) {
	w := newDCWorld(t)
	w.link = w.dc.AddClient(confluencetest.DCClient{RedirectURIs: []string{callback}, Public: true})
	w.connectDC()
	w.clock.Advance(3 * time.Hour)
	w.mustToken(w.dcProcess())
	w.alive()
}

func TestImportOfADataCenterRefreshToken(t *testing.T) {
	w := newDCWorld(t)
	given, _, err := w.dc.Connect(confluencetest.DCConsent{ClientID: w.link.ClientID, Scope: "ADMIN"})
	if err != nil {
		t.Fatal(err)
	}
	tokens := w.dcProcess()
	res, err := w.dcConsent().ImportRefreshToken(t.Context(), w.dcRequest(), tokens, vault.NewSecret(given.RefreshToken), false)
	if w.heard(err) != nil {
		t.Fatal(err)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "does not say which scope") || res.Credential.AccountID != w.dc.Collector().UserKey {
		t.Errorf("result: %+v", res)
	}
	w.clock.Advance(3 * time.Hour)
	w.mustToken(tokens)
	w.alive()
}

// The idle grant of a site is kept alive, too, and has no yearly end.
func TestKeepAliveOfDataCenter(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	tokens := w.dcProcess()
	for week := range 60 {
		w.clock.Advance(7*24*time.Hour + time.Minute)
		if warnings, err := tokens.KeepAlive(t.Context()); w.heard(err) != nil || len(warnings) != 0 {
			t.Fatalf("week %d: %v, %v", week, warnings, err)
		}
	}
	w.alive()
	if n := len(w.wire.refreshes()); n != 60 {
		t.Errorf("%d refreshes in 60 idle weeks", n)
	}
	if _, known := oauth.EndsAt(w.row()); known {
		t.Error("a Data Center grant ends by age")
	}
}
