package oauth_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

func TestDataCenterConsentInTheBrowser(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			w := newDCWorld(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			redirect := scheme + "://" + l.Addr().String() + "/callback"
			_ = l.Close()
			w.register(redirect)
			w.dc.AutoConsent(&confluencetest.DCConsent{})
			c, seen := tellingBrowser(t, w)
			var page string
			opened := make(chan struct{})
			res, err := w.dcConsent().Serve(t.Context(), w.dcRequest(), func(start string) {
				go func() {
					defer close(opened)
					if code, _ := open(t, c, redirect+"?state=guess&code=guess"); code != http.StatusBadRequest {
						t.Errorf("a guessed callback got %d", code)
					}
					_, page = open(t, c, start)
				}()
			})
			<-opened
			if w.heard(err) != nil {
				t.Fatal(err)
			}
			if !strings.Contains(page, "Tenant acme is connected with "+w.dc.URL()) || secretForm.MatchString(page) {
				t.Errorf("page: %s", page)
			}
			authorize := (*seen)[0]
			if authorize.Get("code_challenge_method") != "S256" || len(authorize.Get("code_challenge")) != 43 || authorize.Get("scope") != "ADMIN" ||
				authorize.Has("audience") || authorize.Has("prompt") || authorize.Has("code_verifier") {
				t.Errorf("authorize query: %v", authorize)
			}
			if len(res.Warnings)+len(res.Missing)+len(res.Extra) != 0 || res.CloudID != "" || res.SiteURL != w.dc.URL() {
				t.Errorf("result: %+v", res)
			}
			row := w.row()
			if row.AccountID != w.dc.Collector().UserKey || row.ClientID != w.link.ClientID || row.Generation != 1 || row.AccessExpiresAt.Sub(w.clock.Now()) != 2*time.Hour {
				t.Errorf("row: %+v", row)
			}
			if diff := cmp.Diff([]string{"ADMIN", "READ", "WRITE"}, row.Scopes); diff != "" {
				t.Error(diff)
			}
			tokens := w.dcProcess()
			w.mustToken(tokens)
			w.clock.Advance(3 * time.Hour)
			w.mustToken(tokens) // the redirect URL and the app's secret came from the grant
			w.alive()
			if diff := cmp.Diff([]string{"ADMIN", "READ", "WRITE"}, w.row().Scopes); diff != "" {
				t.Error("after a refresh:", diff)
			}
			if s := w.dc.OAuthStats(); s.Rotations != 1 || s.WrongClient+s.WrongRedirect+s.RefusedRefreshes != 0 {
				t.Errorf("provider: %+v", s)
			}
		})
	}
}

// tellingBrowser accepts the loopback certificate, as the person does, and notes
// the queries that the provider is asked with.
func tellingBrowser(t *testing.T, w *world) (*http.Client, *[]url.Values) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []url.Values
	transport := &http.Transport{TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, // checked right below
		VerifyConnection: func(s tls.ConnectionState) error {
			own := s.PeerCertificates[0]
			roots := x509.NewCertPool()
			roots.AddCert(own)
			_, err := own.Verify(x509.VerifyOptions{DNSName: "127.0.0.1", Roots: roots, CurrentTime: w.clock.Now()})
			return err
		},
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/authorize") {
			seen = append(seen, r.URL.Query())
		}
		return transport.RoundTrip(r)
	})}, &seen
}

func TestDataCenterConsentRefused(t *testing.T) {
	w := newDCWorld(t)
	p, err := w.dcConsent().Begin(w.dcRequest())
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, p.StartURL(), nil))
	location, err := url.Parse(rec.Header().Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	cookie := rec.Result().Cookies()[0]
	for _, foreign := range []string{"", "guess"} {
		r := httptest.NewRequest(http.MethodGet, callback+"?code=x&state="+foreign, nil)
		r.AddCookie(cookie)
		rec = httptest.NewRecorder()
		if p.ServeHTTP(rec, r); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "another consent") {
			t.Errorf("state %q: page %d: %s", foreign, rec.Code, rec.Body)
		}
	}
	r := httptest.NewRequest(http.MethodGet, callback+"?error=access_denied&state="+location.Query().Get("state"), nil)
	r.AddCookie(cookie)
	p.ServeHTTP(httptest.NewRecorder(), r)
	if _, err := p.Wait(t.Context()); !errors.Is(w.heard(err), oauth.ErrConsentDenied) || !strings.Contains(err.Error(), "sitedrift connect --tenant acme --credential dc_oauth") {
		t.Errorf("err = %v", err)
	}
}

func TestDataCenterCodeIsBoundToItsVerifier(t *testing.T) {
	w := newDCWorld(t)
	for name, verifier := range map[string]string{"none": "", "another": "9876543210-0123456789-0123456789-0123456789"} {
		code, err := w.dc.Consent(confluencetest.DCConsent{ClientID: w.link.ClientID, CodeChallenge: "XqV1tflYS9pE1bnDmj-YXExN3vTo8j8ECd_IY8HtNUY"})
		if err != nil {
			t.Fatal(err)
		}
		req := w.dcRequest()
		req.Verifier = vault.NewSecret(verifier)
		if _, err := w.dcConsent().CompleteWithCode(t.Context(), req, code); !errors.Is(w.heard(err), oauth.ErrConsentDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.connectDC()
	w.alive()
}

// What the consent finds out about the site, the scope and the account.
func TestDataCenterConsentLooksAtTheSite(t *testing.T) {
	connect := func(t *testing.T, w *world, req confluencetest.DCConsent) (oauth.Result, error) {
		t.Helper()
		req.ClientID = w.link.ClientID
		code, err := w.dc.Consent(req)
		if err != nil {
			t.Fatal(err)
		}
		res, err := w.dcConsent().CompleteWithCode(t.Context(), w.dcRequest(), code)
		return res, w.heard(err)
	}
	plain := func(s *confluencetest.DataCenterSettings) { s.AllowNoPKCE = true }
	t.Run("less scope", func(t *testing.T) {
		w := newDCWorld(t, plain)
		res, err := connect(t, w, confluencetest.DCConsent{Scope: "READ"})
		if err != nil || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "not granted: ADMIN") {
			t.Errorf("result %+v, %v", res, err)
		}
		if diff := cmp.Diff([]string{"READ"}, w.row().Scopes); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("no administrator", func(t *testing.T) {
		w := newDCWorld(t, plain)
		res, err := connect(t, w, confluencetest.DCConsent{Username: w.dc.Reader().Username})
		if err != nil || len(res.Missing) != 0 || len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "only administrators see") || res.Credential.AccountID != w.dc.Reader().UserKey {
			t.Errorf("result %+v, %v", res, err)
		}
	})
	t.Run("another account later", func(t *testing.T) {
		w := newDCWorld(t, plain)
		w.connectDC()
		res, err := connect(t, w, confluencetest.DCConsent{Username: w.dc.Reader().Username})
		if err != nil || len(res.Warnings) == 0 || !strings.Contains(strings.Join(res.Warnings, " "), "another account than before") {
			t.Errorf("result %+v, %v", res, err)
		}
	})
	answers := map[string]struct {
		status int
		body   string
		err    error // nil: stored, with a warning
	}{
		"no such path":   {404, `{"message":"null for uri"}`, oauth.ErrWrongSite},
		"redirect":       {302, ``, oauth.ErrWrongSite},
		"a web page":     {200, `<html>sign in</html>`, oauth.ErrWrongSite},
		"anonymous":      {200, `{"type":"anonymous"}`, oauth.ErrStillRefused},
		"token refused":  {401, `{}`, oauth.ErrStillRefused},
		"down":           {503, ``, nil},
		"forbidden":      {403, ``, nil},
		"without a name": {200, `{"type":"known"}`, nil},
	}
	for name, test := range answers {
		t.Run(name, func(t *testing.T) {
			w := newDCWorld(t, plain)
			code, err := w.dc.Consent(confluencetest.DCConsent{ClientID: w.link.ClientID})
			if err != nil {
				t.Fatal(err)
			}
			consent := w.dcConsent()
			consent.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if strings.HasSuffix(r.URL.Path, "/user/current") {
					return answer(test.status, test.body), nil
				}
				return w.wire.RoundTrip(r)
			})
			res, err := consent.CompleteWithCode(t.Context(), w.dcRequest(), code)
			if !errors.Is(w.heard(err), test.err) {
				t.Fatalf("err = %v, want %v", err, test.err)
			}
			_, missing := w.store.Credential(t.Context(), tenant, dcKind)
			if stored := missing == nil; stored != (test.err == nil) {
				t.Errorf("stored: %v", stored)
			}
			if test.err == nil && (len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "which account consented is not known")) {
				t.Errorf("warnings: %v", res.Warnings)
			}
		})
	}
	t.Run("another site", func(t *testing.T) {
		w := newDCWorld(t, plain)
		code, err := w.dc.Consent(confluencetest.DCConsent{ClientID: w.link.ClientID})
		if err != nil {
			t.Fatal(err)
		}
		req := w.dcRequest()
		req.SiteURL = "https://wiki.example"
		if _, err := w.dcConsent().CompleteWithCode(t.Context(), req, code); !errors.Is(w.heard(err), oauth.ErrWrongSite) {
			t.Errorf("err = %v", err)
		}
	})
}

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
