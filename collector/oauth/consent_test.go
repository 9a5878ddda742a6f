package oauth_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// browser follows redirects and keeps cookies, as the person's does.
func browser(t testing.TB) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Jar: jar, Transport: transport, Timeout: 20 * time.Second}
}

func open(t testing.TB, c *http.Client, address string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	return send(t, c, req)
}

func send(t testing.TB, c *http.Client, req *http.Request) (int, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(page)
}

// freeCallback returns a redirect URL on a port that is free now, known to the app.
func (w *world) freeCallback() string {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.Close()
	u := "http://" + l.Addr().String() + "/callback"
	w.app = w.srv.AddApp(confluencetest.App{RedirectURIs: []string{u}, Scopes: confluencetest.AllScopes()})
	return u
}

func TestConsentInTheBrowser(t *testing.T) {
	w := newWorld(t)
	redirect := w.freeCallback()
	w.srv.AutoConsent(&confluencetest.ConsentRequest{Scopes: []string{"offline_access", "read:space:confluence", "read:confluence-user"}})
	consent := w.consent()
	consent.Provider.RedirectURL = redirect
	req := w.request()
	req.Scopes = []string{"read:space:confluence", "read:audit-log:confluence", "read:confluence-user"}
	var status int
	var page string
	opened := make(chan struct{})
	res, err := consent.Serve(t.Context(), req, func(start string) {
		go func() {
			defer close(opened)
			if code, _ := open(t, browser(t), redirect+"?state=guess&code=guess"); code != http.StatusBadRequest {
				t.Errorf("a guessed callback got %d", code)
			}
			status, page = open(t, browser(t), start)
		}()
	})
	<-opened
	if w.heard(err) != nil {
		t.Fatal(err)
	}
	if status != http.StatusOK || !strings.Contains(page, "Tenant acme is connected") || !strings.Contains(page, "not granted: read:audit-log:confluence") || secretForm.MatchString(page) {
		t.Errorf("page %d: %s", status, page)
	}
	if diff := cmp.Diff([]string{"read:audit-log:confluence"}, res.Missing); diff != "" {
		t.Error("missing", diff)
	}
	if res.CloudID != w.site.CloudID() || res.SiteURL != w.site.URL() || len(res.Extra) != 0 || !slices.Contains(res.Granted, "read:space:confluence") {
		t.Errorf("result: %+v", res)
	}
	c := w.row()
	if c.AccountID != w.srv.Collector().AccountID || c.ClientID != w.app.ClientID || c.Generation != 1 || !c.ConsentedAt.Equal(w.clock.Now()) {
		t.Errorf("row: %+v", c)
	}
	w.mustToken(w.process())
}

func TestRepliesOfTheBrowser(t *testing.T) {
	const evil = `<script>alert(1)</script>`
	type reply struct {
		query  func(state string) url.Values
		cookie bool
		later  time.Duration
		host   string
		method string
	}
	values := func(pairs ...string) url.Values {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v
	}
	tests := map[string]struct {
		reply  reply
		status int
		page   string
		ends   bool
		err    error
	}{
		"cancel": {reply{query: func(s string) url.Values { return values("state", s, "error", "access_denied") }, cookie: true}, 400, "pressed Cancel", true, oauth.ErrConsentDenied},
		"other error": {reply{query: func(s string) url.Values {
			return values("state", s, "error", "invalid_scope", "error_description", evil)
		}, cookie: true}, 400, "invalid_scope (&lt;script&gt;", true, oauth.ErrClientConfig},
		"evil error":      {reply{query: func(s string) url.Values { return values("state", s, "error", evil) }, cookie: true}, 400, "&lt;script&gt;", true, oauth.ErrClientConfig},
		"no code":         {reply{query: func(s string) url.Values { return values("state", s) }, cookie: true}, 400, "neither a code nor an error", true, oauth.ErrConsentDenied},
		"unknown code":    {reply{query: func(s string) url.Values { return values("state", s, "code", "guess") }, cookie: true}, 400, "nothing was stored: run sitedrift connect --tenant acme again", true, oauth.ErrConsentDenied},
		"foreign state":   {reply{query: func(string) url.Values { return values("state", "guess", "code", "x") }, cookie: true}, 400, "another consent", false, nil},
		"no state":        {reply{query: func(string) url.Values { return values("code", "x") }, cookie: true}, 400, "another consent", false, nil},
		"foreign browser": {reply{query: func(s string) url.Values { return values("state", s, "code", "x") }}, 400, "did not begin", false, nil},
		"too late":        {reply{query: func(s string) url.Values { return values("state", s, "code", "x") }, cookie: true, later: 10 * time.Minute}, 400, "ten minutes", false, nil},
		"foreign name":    {reply{query: func(s string) url.Values { return values("state", s, "code", "x") }, cookie: true, host: "evil.example:8765"}, 421, "under its own name", false, nil},
		"post":            {reply{query: func(s string) url.Values { return values("state", s, "code", "x") }, cookie: true, method: http.MethodPost}, 405, "Open the address", false, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p, err := w.consent().Begin(w.request())
			if err != nil {
				t.Fatal(err)
			}
			state, cookie := begin(t, p)
			w.clock.Advance(test.reply.later)
			method := test.reply.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequest(method, callback+"?"+test.reply.query(state).Encode(), nil)
			if test.reply.host != "" {
				r.Host = test.reply.host
			}
			if test.reply.cookie {
				r.AddCookie(cookie)
			}
			rec := httptest.NewRecorder()
			p.ServeHTTP(rec, r)
			if rec.Code != test.status || !strings.Contains(rec.Body.String(), test.page) || strings.Contains(rec.Body.String(), evil) {
				t.Errorf("page %d: %s", rec.Code, rec.Body)
			}
			if csp := rec.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
				t.Errorf("Content-Security-Policy = %q", csp)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if !test.ends {
				cancel()
			}
			defer cancel()
			_, err = p.Wait(ctx)
			want := test.err
			if !test.ends {
				want = oauth.ErrConsentExpired
			}
			if !errors.Is(w.heard(err), want) {
				t.Errorf("err = %v, want %v", err, want)
			}
			if !test.ends && test.status == 400 && !strings.Contains(err.Error(), test.page) {
				t.Errorf("the caller is not told why: %v", err)
			}
			if _, err := w.store.Credential(t.Context(), tenant, kind); !errors.Is(err, collector.ErrNoCredential) {
				t.Error("a grant was stored")
			}
			if !test.ends || test.ends && name == "cancel" {
				return
			}
			// A state works once.
			r = httptest.NewRequest(http.MethodGet, callback+"?"+values("state", state, "code", "x").Encode(), nil)
			r.AddCookie(cookie)
			rec = httptest.NewRecorder()
			p.ServeHTTP(rec, r)
			if rec.Code != 400 || !strings.Contains(rec.Body.String(), "used already") {
				t.Errorf("replay: page %d: %s", rec.Code, rec.Body)
			}
		})
	}
}

// begin opens the start page and returns the state that the provider would get and the cookie.
func begin(t *testing.T, p *oauth.Pending) (state string, cookie *http.Cookie) {
	t.Helper()
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, p.StartURL(), nil))
	location, err := url.Parse(rec.Header().Get("Location"))
	if rec.Code != http.StatusFound || err != nil || len(rec.Result().Cookies()) != 1 {
		t.Fatalf("start page: %d %v", rec.Code, rec.Header())
	}
	q := location.Query()
	if q.Get("audience") != "api.atlassian.com" || q.Get("prompt") != "consent" || !strings.Contains(q.Get("scope"), "offline_access") || q.Get("response_type") != "code" {
		t.Errorf("authorize URL: %v", location)
	}
	cookie = rec.Result().Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || len(cookie.Value) < 40 || len(q.Get("state")) < 40 {
		t.Errorf("cookie: %v, state of %d characters", cookie, len(q.Get("state")))
	}
	return q.Get("state"), cookie
}

func TestStartPageNeedsItsKey(t *testing.T) {
	w := newWorld(t)
	p, err := w.consent().Begin(w.request())
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]int{
		"http://127.0.0.1:8765/start":           403,
		"http://127.0.0.1:8765/start?key=guess": 403,
		"http://127.0.0.1:8765/else":            404,
		p.StartURL():                            302,
	} {
		rec := httptest.NewRecorder()
		p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, address, nil))
		if rec.Code != want || want != 302 && rec.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: %d %v, want %d", address, rec.Code, rec.Header(), want)
		}
	}
	w.clock.Advance(10 * time.Minute)
	rec := httptest.NewRecorder()
	p.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, p.StartURL(), nil))
	if rec.Code != http.StatusGone {
		t.Errorf("an old start page: %d", rec.Code)
	}
}

func TestRedirectURLMustBeServedHere(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{"https://example.com:8765/cb", "ftp://127.0.0.1:8765/cb", "http://example.com:8765/cb", "http://127.0.0.1/cb", "", "http://127.0.0.1:8765/start", "http://[::1:80", "http://10.0.0.1:80/cb"} {
		c := w.consent()
		c.Provider.RedirectURL = bad
		if _, err := c.Begin(w.request()); err == nil {
			t.Errorf("redirect URL %q was taken", bad)
		}
	}
	for _, good := range []string{"http://localhost:8765/cb", "http://[::1]:8765/cb", "http://127.0.0.1:8765", "https://127.0.0.1:8765/cb"} {
		c := w.consent()
		c.Provider.RedirectURL = good
		if _, err := c.Begin(w.request()); err != nil {
			t.Errorf("redirect URL %q: %v", good, err)
		}
	}
}

func TestWrongSiteIsRefused(t *testing.T) {
	w := newWorld(t)
	other := w.srv.AddSite(confluencetest.SiteSettings{Name: "globex", Spaces: 1, Users: 1, Groups: 1})
	for name, test := range map[string]struct {
		sites []string
		req   oauth.Request
		says  string
	}{
		"another site":        {[]string{"globex"}, oauth.Request{SiteURL: w.site.URL()}, other.URL()},
		"several sites":       {nil, oauth.Request{}, "more than one"},
		"known by another id": {[]string{"acme"}, oauth.Request{SiteURL: w.site.URL(), CloudID: other.CloudID()}, "mixed with another site's"},
		"unknown cloud id":    {[]string{"acme"}, oauth.Request{CloudID: other.CloudID()}, w.site.CloudID()},
		"another host":        {nil, oauth.Request{SiteURL: "https://acme.atlassian.net.evil.example"}, other.URL()},
	} {
		t.Run(name, func(t *testing.T) {
			consent := w.consent()
			code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID, Sites: test.sites})
			if err != nil {
				t.Fatal(err)
			}
			test.req.Tenant = tenant
			_, err = consent.CompleteWithCode(t.Context(), test.req, code)
			if !errors.Is(w.heard(err), oauth.ErrWrongSite) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("err = %v, want ErrWrongSite that says %q", err, test.says)
			}
			if _, err := w.store.Credential(t.Context(), tenant, kind); !errors.Is(err, collector.ErrNoCredential) {
				t.Error("the grant was stored")
			}
		})
	}
	t.Run("the only site", func(t *testing.T) {
		consent := w.consent()
		code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID, Sites: []string{"globex"}})
		if err != nil {
			t.Fatal(err)
		}
		res, err := consent.CompleteWithCode(t.Context(), oauth.Request{Tenant: tenant}, code)
		if w.heard(err) != nil || res.CloudID != other.CloudID() {
			t.Errorf("result %+v, %v", res, err)
		}
	})
}

func TestSameAccountForTwoTenantsIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	first := w.connect("globex")
	if len(first.Warnings) != 0 {
		t.Errorf("warnings of the first: %v", first.Warnings)
	}
	second := w.connect(tenant)
	if len(second.Warnings) != 1 || !strings.Contains(second.Warnings[0], "tenant globex") {
		t.Errorf("warnings of the second: %v", second.Warnings)
	}
	// And it is true: the first one is dead by now.
	w.clock.Advance(2 * time.Hour)
	_, _, err := w.process().Token(t.Context(), "globex", kind)
	if !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) {
		t.Errorf("err = %v", err)
	}
}

func TestConsentAgainRevivesATenant(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	tokens := w.process()
	w.mustToken(tokens)
	for _, g := range w.srv.Grants() {
		if err := w.srv.Revoke(g.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := tokens.Refused(t.Context(), tenant, kind, 1); !errors.Is(w.heard(err), oauth.ErrNeedsReconsent) {
		t.Fatalf("a revoked grant: %v", err)
	}
	person := w.srv.AddPerson(confluencetest.Person{Name: "Second"})
	w.site.AddUser(confluencetest.User{AccountID: person.AccountID})
	code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID, AccountID: person.AccountID})
	if err != nil {
		t.Fatal(err)
	}
	res, err := w.consent().CompleteWithCode(t.Context(), w.request(), code)
	if w.heard(err) != nil {
		t.Fatal(err)
	}
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "another account") || res.Credential.Generation != 2 {
		t.Errorf("result: %+v", res)
	}
	w.mustToken(tokens)
	w.alive()
}

func TestAuthorizerNeverGivesTheGrantBefore(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	tokens := w.process()
	before, _ := header(t, w.authorizer(tokens, w.row()))
	w.connect(tenant) // by another process: this one holds the former token
	if h, _ := header(t, tokens.Source(tenant, kind)); h != before {
		t.Fatal("the store is read for each request")
	}
	if h, g := header(t, w.authorizer(tokens, w.row())); h == before || g != 2 {
		t.Errorf("an authorizer of the new grant gives a token of generation %d", g)
	}
}

func TestUnreadableAccountDoesNotLoseTheGrant(t *testing.T) {
	w := newWorld(t)
	w.site.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Endpoint: "/user/current", Status: 500})
	res := w.connect(tenant)
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], "the API answered 500") || res.Credential.AccountID != "" {
		t.Errorf("result: %v %q", res.Warnings, res.Credential.AccountID)
	}
	w.mustToken(w.process())
}

func TestGrantWithoutRefreshTokenIsRefused(t *testing.T) {
	w := newWorld(t)
	code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID, Scopes: []string{"read:space:confluence"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.consent().CompleteWithCode(t.Context(), w.request(), code); w.heard(err) == nil || !strings.Contains(err.Error(), "offline_access") {
		t.Errorf("err = %v, want one that names offline_access", err)
	}
}

func TestWrongSecretAtConsent(t *testing.T) {
	w := newWorld(t)
	consent := w.consent()
	consent.Provider.ClientSecret = vault.NewSecret("ATOA00112233445566778899")
	code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consent.CompleteWithCode(t.Context(), w.request(), code); !errors.Is(w.heard(err), oauth.ErrClientConfig) || !strings.Contains(err.Error(), "oauth.client_secret") {
		t.Errorf("err = %v", err)
	}
}

// Of an exchange that fails it is told where the answer came from, which setting
// leads there, and that nothing was stored; never what the answer held.
func TestBrokenAnswerAtConsentIsNotQuoted(t *testing.T) {
	for _, body := range []string{`{"access_token":"eyJ0123456789abcdef0123","refr`, `eyR0123456789abcdef0123`, `<html>eyJ0123456789abcdef0123</html>`, ``} {
		w := newWorld(t)
		for _, status := range []int{200, 302, 400, 403, 404, 500, 0} {
			w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
				if status == 0 {
					return nil, timeoutError{}
				}
				return answer(status, body), nil
			})
			_, err := w.consent().CompleteWithCode(t.Context(), w.request(), "code")
			if w.heard(err) == nil {
				t.Errorf("%d %q was taken", status, body)
				continue
			}
			host := strings.TrimPrefix(w.srv.AuthURL(), "http://")
			host, _, _ = strings.Cut(host, "/")
			for _, part := range []string{host, "endpoints.auth", "nothing was stored: run sitedrift connect --tenant acme again"} {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%d %q: the error does not say %q: %v", status, body, part, err)
				}
			}
			if strings.Contains(err.Error(), "client_secret") || errors.Is(err, oauth.ErrClientConfig) != (status == 302 || status == 404) {
				t.Errorf("%d %q: %v", status, body, err)
			}
			if silent := strings.Contains(err.Error(), "did not answer within"); silent != (status == 0) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d: %v", status, err)
			}
		}
	}
}

func TestGrantThatReachesMoreIsWarnedOf(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"b", "c", "d", "e"} {
		w.srv.AddSite(confluencetest.SiteSettings{Name: name, Spaces: 1, Users: 1, Groups: 1})
	}
	res := w.connect(tenant)
	if len(res.Warnings) != 1 || !strings.Contains(res.Warnings[0], w.srv.Site("d").URL()+" and 1 more; consent again for this site alone") || strings.Contains(res.Warnings[0], w.site.URL()+",") {
		t.Errorf("warnings: %v", res.Warnings)
	}
}
