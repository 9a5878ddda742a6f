package confluencetest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// client is an OAuth client written for these tests.
type client struct {
	t   *testing.T
	srv *confluencetest.Server
	app confluencetest.App
}

type tokenAnswer struct {
	Status      int    `json:"-"`
	Err         error  `json:"-"`
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	ExpiresIn   int    `json:"expires_in"`
	Type        string `json:"token_type"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func (c *client) post(contentType, body string) tokenAnswer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.srv.AuthURL()+"/oauth/token", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return tokenAnswer{Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := tokenAnswer{Status: resp.StatusCode}
	if err := json.Unmarshal(b, &a); err != nil {
		c.t.Fatalf("token answer %d: %v in %q", resp.StatusCode, err, b)
	}
	return a
}

// call sends fields as JSON, with the client's own credentials.
func (c *client) call(fields map[string]string) tokenAnswer {
	c.t.Helper()
	all := map[string]string{"client_id": c.app.ClientID, "client_secret": c.app.ClientSecret}
	maps.Copy(all, fields)
	b, err := json.Marshal(all)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.post("application/json", string(b))
}

func (c *client) refresh(token string) tokenAnswer {
	c.t.Helper()
	return c.call(map[string]string{"grant_type": "refresh_token", "refresh_token": token})
}

const callback = "http://127.0.0.1:9/callback"

func newClient(t *testing.T, s confluencetest.Settings) *client {
	t.Helper()
	srv := start(t, s)
	srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
	app := srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes(), RedirectURIs: []string{callback}})
	return &client{t: t, srv: srv, app: app}
}

func (c *client) connect() (confluencetest.Tokens, confluencetest.Grant) {
	c.t.Helper()
	tokens, grant, err := c.srv.Connect(confluencetest.ConsentRequest{ClientID: c.app.ClientID, Sites: []string{"acme"}})
	if err != nil {
		c.t.Fatal(err)
	}
	return tokens, grant
}

// wantError compares an answer with a line of the table of documented errors.
func wantError(t *testing.T, what string, a tokenAnswer, status int, code, description string) {
	t.Helper()
	if a.Status != status || a.Error != code || a.Description != description {
		t.Errorf("%s: got %d %q %q, want %d %q %q", what, a.Status, a.Error, a.Description, status, code, description)
	}
}

func TestRotation(t *testing.T) {
	c := newClient(t, confluencetest.Settings{})
	tokens, _ := c.connect()
	seen := map[string]bool{tokens.RefreshToken: true}
	current := tokens.RefreshToken
	for range 5 {
		a := c.refresh(current)
		if a.Status != http.StatusOK || a.Access == "" || a.Type != "Bearer" || a.ExpiresIn != 3600 || seen[a.Refresh] {
			t.Fatalf("refresh: %+v", a)
		}
		if !strings.Contains(a.Scope, "read:space:confluence") {
			t.Errorf("scope is %q", a.Scope)
		}
		seen[a.Refresh] = true
		current = a.Refresh
	}
	if st, ok := c.srv.Family(current); !ok || !st.Current || !st.Usable || st.Number != 5 {
		t.Errorf("family state of the newest token: %+v, %v", st, ok)
	}
	if st := c.srv.ProviderStats(); st.Rotations != 5 || st.TokenCalls != 5 || st.FamiliesKilled != 0 || st.LeewayReuses != 0 {
		t.Errorf("stats: %+v", st)
	}
}

func TestLeewayAndReuse(t *testing.T) {
	for _, tt := range []struct {
		name   string
		leeway time.Duration
		wait   time.Duration
		// back is how many rotations ago the token that is used again was current.
		back int
		dies bool
	}{
		{"previous inside the leeway", 0, 10 * time.Minute, 1, false},
		{"previous outside of the leeway", 0, 10*time.Minute + time.Second, 1, true},
		{"older inside the leeway", 0, time.Second, 2, true},
		{"previous without leeway", -1, 0, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := newClock()
			c := newClient(t, confluencetest.Settings{Now: now.Now, Leeway: tt.leeway})
			tokens, grant := c.connect()
			chain := []string{tokens.RefreshToken}
			for range 3 {
				chain = append(chain, c.refresh(chain[len(chain)-1]).Refresh)
			}
			now.Add(tt.wait)
			used := chain[len(chain)-1-tt.back]
			if st, _ := c.srv.Family(used); st.Usable == tt.dies || st.Current {
				t.Errorf("Family says %+v of the token before it is used", st)
			}
			a := c.refresh(used)
			stats := c.srv.ProviderStats()
			if !tt.dies {
				if a.Status != http.StatusOK || stats.LeewayReuses != 1 {
					t.Fatalf("reuse: %+v, stats %+v", a, stats)
				}
				// Again and again, for the second answer may be lost as well.
				b := c.refresh(used)
				if b.Status != http.StatusOK || b.Refresh == a.Refresh {
					t.Fatalf("second reuse: %+v", b)
				}
				// The newest pair works, the one that it replaced is history.
				if d := c.refresh(b.Refresh); d.Status != http.StatusOK {
					t.Errorf("refresh with the newest token: %+v", d)
				}
				wantError(t, "a replaced token", c.refresh(a.Refresh), 403, "unauthorized_client", "refresh_token is invalid")
				return
			}
			wantError(t, "the old token", a, 403, "unauthorized_client", "refresh_token is invalid")
			wantError(t, "the newest token of the killed family", c.refresh(chain[len(chain)-1]), 403, "invalid_grant", "Unknown or invalid refresh token.")
			if stats.FamiliesKilled != 1 {
				t.Errorf("stats: %+v", stats)
			}
			if g := c.srv.Grants()[0]; g.ID != grant.ID || g.Alive || g.Reason != "reuse" {
				t.Errorf("grant: %+v", g)
			}
		})
	}
}

func TestTokenErrors(t *testing.T) {
	now := newClock()
	c := newClient(t, confluencetest.Settings{Now: now.Now})
	tokens, grant := c.connect()
	token := tokens.RefreshToken
	refreshFields := map[string]string{"grant_type": "refresh_token", "refresh_token": token}
	with := func(name, value string) map[string]string {
		m := map[string]string{name: value}
		for k, v := range refreshFields {
			if k != name {
				m[k] = v
			}
		}
		return m
	}
	wantError(t, "unknown token", c.refresh("eyRunknown"), 403, "unauthorized_client", "refresh_token is invalid")
	wantError(t, "wrong secret", c.call(with("client_secret", "x")), 401, "access_denied", "Unauthorized")
	wantError(t, "unknown client", c.call(with("client_id", "x")), 401, "access_denied", "Unauthorized")
	wantError(t, "left-over code", c.call(with("code", "abc")), 400, "invalid_request", "refresh_token is invalid")
	wantError(t, "extra field", c.call(with("redirect_uri", callback)), 400, "invalid_request", "unexpected parameter redirect_uri")
	wantError(t, "service grant of a 3LO app", c.call(map[string]string{"grant_type": "client_credentials"}), 403, "unauthorized_client", "Grant type 'client_credentials' not allowed for the client.")
	wantError(t, "no grant type", c.call(nil), 400, "invalid_request", "Missing required parameter: grant_type")
	other := c.srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes()})
	wantError(t, "another app's token", (&client{t: t, srv: c.srv, app: other}).refresh(token), 403, "unauthorized_client", "refresh_token is invalid")
	if st, _ := c.srv.Family(token); !st.Usable {
		t.Fatal("refused calls must not touch the family")
	}
	// Both encodings work.
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "client_id": {c.app.ClientID}, "client_secret": {c.app.ClientSecret}}
	a := c.post("application/x-www-form-urlencoded", form.Encode())
	if a.Status != http.StatusOK {
		t.Fatalf("form body: %+v", a)
	}
	if err := c.srv.Revoke(grant.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, "revoked", c.refresh(a.Refresh), 403, "invalid_grant", "Unknown or invalid refresh token.")
	w := &walker{t: t, base: c.srv.APIURL() + "/ex/confluence/" + c.srv.Site("acme").CloudID(), token: a.Access}
	if p := w.get("/wiki/api/v2/spaces"); p.status != http.StatusUnauthorized {
		t.Errorf("access token of a revoked grant: status %d", p.status)
	}
}

func TestLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name  string
		every time.Duration // between refreshes
		times int
		ends  string
	}{
		{"idle too long", 90 * day, 1, "idle"},
		{"kept alive, but too old", 80 * day, 5, "expired"},
		{"kept alive", 80 * day, 4, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := newClock()
			c := newClient(t, confluencetest.Settings{Now: now.Now})
			tokens, _ := c.connect()
			a := tokenAnswer{Refresh: tokens.RefreshToken, Status: http.StatusOK}
			for range tt.times {
				if a.Status != http.StatusOK {
					t.Fatalf("the grant ended early: %+v", a)
				}
				now.Add(tt.every)
				a = c.refresh(a.Refresh)
			}
			if tt.ends == "" {
				if a.Status != http.StatusOK {
					t.Errorf("refresh: %+v", a)
				}
				return
			}
			wantError(t, "end", a, 403, "invalid_grant", "Unknown or invalid refresh token.")
			if g := c.srv.Grants()[0]; g.Reason != tt.ends {
				t.Errorf("grant ended as %q, want %q", g.Reason, tt.ends)
			}
		})
	}
}

func TestAccessTokensExpire(t *testing.T) {
	now := newClock()
	c := newClient(t, confluencetest.Settings{Now: now.Now})
	tokens, _ := c.connect()
	w := &walker{t: t, base: c.srv.APIURL() + "/ex/confluence/" + c.srv.Site("acme").CloudID(), token: tokens.AccessToken}
	now.Add(time.Hour - time.Second)
	if p := w.get("/wiki/api/v2/spaces"); p.status != http.StatusOK {
		t.Errorf("before the hour is over: %d", p.status)
	}
	now.Add(time.Second)
	if p := w.get("/wiki/api/v2/spaces"); p.status != http.StatusUnauthorized {
		t.Errorf("after the hour: %d", p.status)
	}
}

func TestSecondConsentKillsTheFirst(t *testing.T) {
	for _, keep := range []bool{false, true} {
		c := newClient(t, confluencetest.Settings{KeepOlderGrants: keep})
		first, _ := c.connect()
		second, _ := c.connect()
		if st, _ := c.srv.Family(first.RefreshToken); st.Usable != keep {
			t.Errorf("keep %v: the first grant's token is usable: %v", keep, st.Usable)
		}
		if st, _ := c.srv.Family(second.RefreshToken); !st.Usable {
			t.Errorf("keep %v: the second grant's token is not usable", keep)
		}
	}
}

func TestTokenFaults(t *testing.T) {
	c := newClient(t, confluencetest.Settings{})
	tokens, _ := c.connect()
	token := tokens.RefreshToken

	c.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenStatus, Status: 500, Body: `{"error":"server_error"}`})
	wantError(t, "scripted status", c.refresh(token), 500, "server_error", "")
	if st, _ := c.srv.Family(token); !st.Current {
		t.Error("a 500 rotated")
	}
	c.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenDropAfterRotation, RefreshToken: token})
	if a := c.refresh(token); a.Err == nil {
		t.Errorf("the answer was not dropped: %+v", a)
	}
	if st, _ := c.srv.Family(token); st.Current || !st.Usable {
		t.Errorf("after the dropped answer the old token is %+v, want usable but not current", st)
	}
	a := c.refresh(token)
	if a.Status != http.StatusOK {
		t.Fatalf("refresh inside the leeway: %+v", a)
	}
	release := make(chan struct{})
	c.srv.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenSlow, Release: release})
	done := make(chan tokenAnswer)
	go func() { done <- c.refresh(a.Refresh) }()
	for { // the rotation happens before the answer
		if st, _ := c.srv.Family(a.Refresh); !st.Current {
			break
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case <-done:
		t.Error("the slow answer came before it was released")
	default:
	}
	close(release)
	if b := <-done; b.Status != http.StatusOK {
		t.Errorf("slow answer: %+v", b)
	}
	if st := c.srv.ProviderStats(); st.AnswersDropped != 1 {
		t.Errorf("stats: %+v", st)
	}
}

func (c *client) authorize(change func(url.Values)) *http.Response {
	c.t.Helper()
	q := url.Values{
		"audience": {"api.atlassian.com"}, "client_id": {c.app.ClientID}, "scope": {"offline_access read:space:confluence read:user:confluence"},
		"redirect_uri": {callback}, "state": {"s&1"}, "response_type": {"code"}, "prompt": {"consent"},
	}
	if change != nil {
		change(q)
	}
	return c.send(http.MethodGet, "/authorize?"+q.Encode(), "")
}

func (c *client) send(method, path, body string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.srv.AuthURL()+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestAuthorizeIsStrict(t *testing.T) {
	c := newClient(t, confluencetest.Settings{})
	c.srv.AutoConsent(&confluencetest.ConsentRequest{})
	for _, name := range []string{"audience", "client_id", "scope", "redirect_uri", "state", "response_type", "prompt"} {
		for what, change := range map[string]func(url.Values){
			"missing":  func(q url.Values) { q.Del(name) },
			"repeated": func(q url.Values) { q.Add(name, q.Get(name)) },
		} {
			if resp := c.authorize(change); resp.StatusCode != http.StatusBadRequest {
				t.Errorf("%s %s: status %d", name, what, resp.StatusCode)
			}
		}
	}
	for name, value := range map[string]string{
		"audience": "x", "client_id": "x", "redirect_uri": callback + "/", "response_type": "token", "prompt": "none", "scope": "write:everything", "unknown": "x",
	} {
		if resp := c.authorize(func(q url.Values) { q.Set(name, value) }); resp.StatusCode != http.StatusBadRequest {
			t.Errorf("%s=%s: status %d", name, value, resp.StatusCode)
		}
	}
}

func TestConsent(t *testing.T) {
	c := newClient(t, confluencetest.Settings{})
	location := func(resp *http.Response) url.Values {
		t.Helper()
		to, err := url.Parse(resp.Header.Get("Location"))
		if resp.StatusCode != http.StatusFound || err != nil || !strings.HasPrefix(to.String(), callback+"?") {
			t.Fatalf("status %d to %q, %v", resp.StatusCode, to, err)
		}
		if got := to.Query().Get("state"); got != "s&1" {
			t.Errorf("state came back as %q", got)
		}
		return to.Query()
	}
	exchange := func(code, redirect string) tokenAnswer {
		return c.call(map[string]string{"grant_type": "authorization_code", "code": code, "redirect_uri": redirect})
	}
	t.Run("page and form", func(t *testing.T) {
		resp := c.authorize(nil)
		page, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
		for _, part := range []string{"acme", "bravo", "read:space:confluence", `value="allow"`, `value="deny"`} {
			if !strings.Contains(string(page), part) {
				t.Errorf("the consent page lacks %q", part)
			}
		}
		query := resp.Request.URL.RawQuery
		q := location(c.send(http.MethodPost, "/authorize?"+query, "decision=allow&site=bravo"))
		a := exchange(q.Get("code"), callback)
		if a.Status != http.StatusOK || a.Refresh == "" || a.Scope != "offline_access read:space:confluence read:user:confluence" {
			t.Fatalf("exchange: %+v", a)
		}
		if g := c.srv.Grants(); len(g) != 1 || !slices.Equal(g[0].Sites, []string{"bravo"}) {
			t.Errorf("grants: %+v", g)
		}
		wantError(t, "the same code again", exchange(q.Get("code"), callback), 403, "invalid_grant", "Invalid authorization code")
		if q := location(c.send(http.MethodPost, "/authorize?"+query, "decision=deny")); q.Get("error") != "access_denied" || q.Has("code") {
			t.Errorf("denied: %v", q)
		}
	})
	t.Run("fewer scopes than asked for, no refresh token", func(t *testing.T) {
		c.srv.AutoConsent(&confluencetest.ConsentRequest{Scopes: []string{"read:space:confluence"}})
		a := exchange(location(c.authorize(nil)).Get("code"), callback)
		if a.Status != http.StatusOK || a.Refresh != "" || a.Scope != "read:space:confluence" {
			t.Errorf("exchange: %+v", a)
		}
	})
	t.Run("another redirect address", func(t *testing.T) {
		code := location(c.authorize(nil)).Get("code")
		wantError(t, "exchange", exchange(code, "http://127.0.0.1:9/other"), 403, "invalid_grant", "Invalid authorization code")
	})
	t.Run("accessible resources", func(t *testing.T) {
		c.srv.AutoConsent(&confluencetest.ConsentRequest{})
		a := exchange(location(c.authorize(nil)).Get("code"), callback)
		w := &walker{t: t, base: c.srv.APIURL(), token: a.Access}
		var got []struct {
			ID, Name, URL string
			Scopes        []string
		}
		w.json("/oauth/token/accessible-resources", &got)
		var lines []string
		for _, r := range got {
			lines = append(lines, fmt.Sprint(r.ID, r.Name, r.URL, r.Scopes))
		}
		var want []string
		for _, s := range c.srv.Sites() {
			want = append(want, fmt.Sprint(s.CloudID(), s.Name(), s.URL(), []string{"read:space:confluence", "read:user:confluence"}))
		}
		if diff := cmp.Diff(want, lines); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("service account", func(t *testing.T) {
		app := c.srv.AddApp(confluencetest.App{ServiceAccount: true, Scopes: confluencetest.AllScopes(), ServiceSites: []string{"acme"}})
		a := (&client{t: t, srv: c.srv, app: app}).call(map[string]string{"grant_type": "client_credentials"})
		if a.Status != http.StatusOK || a.Refresh != "" {
			t.Fatalf("client credentials: %+v", a)
		}
		for name, want := range map[string]int{"acme": 200, "bravo": 404} {
			w := &walker{t: t, base: c.srv.APIURL() + "/ex/confluence/" + c.srv.Site(name).CloudID(), token: a.Access}
			if p := w.get("/wiki/api/v2/spaces"); p.status != want {
				t.Errorf("%s: status %d, want %d", name, p.status, want)
			}
		}
	})
}

func TestUnknownThingsAreErrors(t *testing.T) {
	srv := confluencetest.New(confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{})
	for what, err := range map[string]error{
		"space": site.RemoveSpace("1"), "permission": site.RemovePermission(site.Truth().Spaces[0].ID, "1"),
		"group": site.RemoveGroup("x"), "user": site.RenameUser("x", "y"), "member": site.RemoveMember(site.Truth().Groups[0].ID, "x"),
	} {
		if _, missing := errors.AsType[*confluencetest.NotFoundError](err); !missing {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := srv.Revoke("x"); err == nil {
		t.Error("an unknown grant was revoked")
	}
}
