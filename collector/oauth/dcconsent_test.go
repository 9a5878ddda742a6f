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
