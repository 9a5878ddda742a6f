package confluencetest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// dcClient is an OAuth client of a Data Center, written for these tests.
type dcClient struct {
	t      *testing.T
	now    *clock
	dc     *confluencetest.DataCenter
	client confluencetest.DCClient
}

type dcTokenAnswer struct {
	Status      int    `json:"-"`
	Err         error  `json:"-"`
	Access      string `json:"access_token"`
	Refresh     string `json:"refresh_token"`
	ExpiresIn   int    `json:"expires_in"`
	CreatedAt   int64  `json:"created_at"`
	Type        string `json:"token_type"`
	Scope       string `json:"scope"`
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func newDCClient(t *testing.T, s confluencetest.DataCenterSettings, c confluencetest.DCClient) *dcClient {
	t.Helper()
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	dc := srv.AddDataCenter(s)
	c.RedirectURIs = []string{callback, callback + "2"}
	return &dcClient{t: t, now: now, dc: dc, client: dc.AddClient(c)}
}

// post sends fields with a query, a content type and a body as they are.
func (c *dcClient) post(query, contentType, body string, header ...string) dcTokenAnswer {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.dc.URL()+"/rest/oauth2/latest/token?"+query, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return dcTokenAnswer{Err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	a := dcTokenAnswer{Status: resp.StatusCode}
	if err := json.Unmarshal(b, &a); err != nil {
		c.t.Fatalf("token answer %d: %v in %q", resp.StatusCode, err, b)
	}
	return a
}

const formType = "application/x-www-form-urlencoded"

func (c *dcClient) form(fields map[string]string) dcTokenAnswer {
	c.t.Helper()
	return c.post("", formType, encode(fields))
}

func encode(fields map[string]string) string {
	v := url.Values{}
	for name, value := range fields {
		v.Set(name, value)
	}
	return v.Encode()
}

func (c *dcClient) refreshFields(token string) map[string]string {
	return map[string]string{
		"grant_type": "refresh_token", "client_id": c.client.ClientID, "client_secret": c.client.ClientSecret, "redirect_uri": callback, "refresh_token": token,
	}
}

func (c *dcClient) refresh(token string) dcTokenAnswer {
	c.t.Helper()
	return c.form(c.refreshFields(token))
}

func (c *dcClient) connect(scope string) confluencetest.Tokens {
	c.t.Helper()
	tokens, _, err := c.dc.Connect(confluencetest.DCConsent{ClientID: c.client.ClientID, Scope: scope})
	if err != nil {
		c.t.Fatal(err)
	}
	return tokens
}

// status tells how the API answers to a token.
func (c *dcClient) status(token, path string) int {
	c.t.Helper()
	w := walker{t: c.t, base: c.dc.URL(), token: token}
	return w.get(path).status
}

// authorize asks for a code and returns where the answer leads, or its text.
func (c *dcClient) authorize(change map[string]string) (status int, answer url.Values, text string) {
	c.t.Helper()
	fields := map[string]string{
		"client_id": c.client.ClientID, "redirect_uri": callback, "response_type": "code", "state": "st&te", "scope": "ADMIN",
		"code_challenge": challengeOf(verifier), "code_challenge_method": "S256",
	}
	maps.Copy(fields, change)
	maps.DeleteFunc(fields, func(_, v string) bool { return v == "-" })
	w := dcWalker{walker: walker{t: c.t, base: c.dc.URL()}}
	p := w.with("/rest/oauth2/latest/authorize?" + encode(fields))
	if p.status != http.StatusFound {
		return p.status, nil, string(p.body)
	}
	to, err := url.Parse(p.header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), callback) {
		c.t.Fatalf("redirected to %q, %v", p.header.Get("Location"), err)
	}
	return p.status, to.Query(), ""
}

const verifier = "0123456789-abcdefghijklmnopqrstuvwxyz_ABCDEF~."

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

func (c *dcClient) exchangeFields(code string) map[string]string {
	return map[string]string{
		"grant_type": "authorization_code", "client_id": c.client.ClientID, "client_secret": c.client.ClientSecret, "redirect_uri": callback, "code": code, "code_verifier": verifier,
	}
}

func TestDataCenterTokenEndpointIsStrict(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{})
	current := c.connect("").RefreshToken
	other := c.dc.AddClient(confluencetest.DCClient{RedirectURIs: []string{callback}})
	with := func(base map[string]string, pairs ...string) map[string]string {
		m := maps.Clone(base)
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		maps.DeleteFunc(m, func(_, v string) bool { return v == "-" })
		return m
	}
	good := c.refreshFields(current)
	for _, tt := range []struct {
		name   string
		fields map[string]string
		error  string
	}{
		{"no redirect", with(good, "redirect_uri", "-"), "invalid_grant"},
		{"another redirect of the client", with(good, "redirect_uri", callback+"2"), "invalid_grant"},
		{"wrong secret", with(good, "client_secret", "x"), "invalid_client"},
		{"no secret", with(good, "client_secret", "-"), "invalid_client"},
		{"no client", with(good, "client_id", "-"), "invalid_client"},
		{"another client", with(good, "client_id", other.ClientID, "client_secret", other.ClientSecret), "invalid_grant"},
		{"unknown token", with(good, "refresh_token", "x"), "invalid_grant"},
		{"no token", with(good, "refresh_token", "-"), "invalid_request"},
		{"a scope", with(good, "scope", "ADMIN"), "invalid_request"},
		{"a code", with(good, "code", "x"), "invalid_request"},
		{"no grant type", with(good, "grant_type", "-"), "unsupported_grant_type"},
		{"password", with(good, "grant_type", "password"), "unsupported_grant_type"},
		{"unknown code", with(c.exchangeFields("x")), "invalid_grant"},
		{"no code", with(c.exchangeFields("x"), "code", "-"), "invalid_request"},
	} {
		if a := c.form(tt.fields); a.Status != 400 || a.Error != tt.error || a.Description == "" {
			t.Errorf("%s: %+v, want %s", tt.name, a, tt.error)
		}
	}
	body := encode(good)
	for name, a := range map[string]dcTokenAnswer{
		"JSON":             c.post("", "application/json", `{"grant_type":"refresh_token"}`),
		"twice":            c.post("", formType, body+"&refresh_token=x"),
		"in both places":   c.post("grant_type=refresh_token", formType, body),
		"header":           c.post("", formType, body, "Authorization", "Basic eDp5"),
		"no type":          c.post("", "", body),
		"malformed escape": c.post("", formType, "grant_type=%zz"),
	} {
		if a.Status != 400 || a.Error != "invalid_request" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	if a := c.refresh(current); a.Status != 200 {
		t.Errorf("the token is worth nothing after all these refusals: %+v", a)
	}
	stats := c.dc.OAuthStats()
	if stats.Refused != 20 || stats.WrongClient != 3 || stats.WrongRedirect != 2 || stats.RefusedRefreshes != 2 || stats.RefusedExchanges != 1 || stats.Rotations != 1 || stats.TokenCalls != 21 {
		t.Errorf("stats %+v", stats)
	}
}

func TestDataCenterVerifiers(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{Public: true})
	if c.client.ClientSecret != "" {
		t.Fatal("a public client has a secret")
	}
	for name, tt := range map[string]struct {
		challenged, sent string
		status           int
	}{
		"right":        {challengeOf(verifier), verifier, 200},
		"other":        {challengeOf(verifier), strings.ToUpper(verifier), 400},
		"missing":      {challengeOf(verifier), "", 400},
		"the sum":      {challengeOf(verifier), challengeOf(verifier), 400},
		"too short":    {challengeOf("short"), "short", 400},
		"too long":     {challengeOf(strings.Repeat("a", 129)), strings.Repeat("a", 129), 400},
		"strange":      {challengeOf(verifier + "+" + verifier), verifier + "+" + verifier, 400},
		"not expected": {"", verifier, 400},
		"none needed":  {"", "", 200},
	} {
		code, err := c.dc.Consent(confluencetest.DCConsent{ClientID: c.client.ClientID, CodeChallenge: tt.challenged})
		if err != nil {
			t.Fatal(err)
		}
		fields := c.exchangeFields(code)
		delete(fields, "client_secret")
		if fields["code_verifier"] = tt.sent; tt.sent == "" {
			delete(fields, "code_verifier")
		}
		if a := c.form(fields); a.Status != tt.status || tt.status == 400 && a.Error != "invalid_grant" {
			t.Errorf("%s: %+v", name, a)
		}
		delete(fields, "code_verifier")
		if a := c.form(fields); a.Status != 400 {
			t.Errorf("%s: the code works again: %+v", name, a)
		}
	}
	code, err := c.dc.Consent(confluencetest.DCConsent{ClientID: c.client.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	c.now.Add(10 * time.Minute)
	if a := c.form(map[string]string{"grant_type": "authorization_code", "client_id": c.client.ClientID, "redirect_uri": callback, "code": code}); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("an old code: %+v", a)
	}
}

func TestEachDataCenterRefreshEndsBothTokens(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{})
	first := c.connect("ADMIN")
	if got := c.status(first.AccessToken, "/rest/api/permissions"); got != 200 {
		t.Fatalf("a fresh token gets %d", got)
	}
	second := c.refresh(first.RefreshToken)
	if second.Status != 200 || second.Refresh == first.RefreshToken || second.Access == first.AccessToken {
		t.Fatalf("refresh: %+v", second)
	}
	if got := c.status(first.AccessToken, "/rest/api/group"); got != 401 {
		t.Errorf("the old access token gets %d", got)
	}
	if st, ok := c.dc.TokenState(first.RefreshToken); !ok || st.Usable || st.Current || st.Number != 0 {
		t.Errorf("the old refresh token is %+v", st)
	}
	if a := c.refresh(first.RefreshToken); a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("the old refresh token gets %+v", a)
	}
	if got := c.status(second.Access, "/rest/api/permissions"); got != 200 {
		t.Errorf("the new access token gets %d after a reuse of the old one", got)
	}
	third := c.refresh(second.Refresh)
	if st, _ := c.dc.TokenState(third.Refresh); third.Status != 200 || !st.Usable || st.Number != 2 || st.Grant.Rotations != 2 {
		t.Errorf("third: %+v, %+v", third, st)
	}
	if stats := c.dc.OAuthStats(); stats.Rotations != 2 || stats.RefusedRefreshes != 1 || c.dc.TokenCalls() != 3 {
		t.Errorf("stats %+v", stats)
	}
	if n := c.dc.APICalls(); n != 3 {
		t.Errorf("%d REST calls; those of the token endpoint must not count", n)
	}
}

func TestDataCenterGrantsEnd(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{RefreshTokenTTL: 24 * time.Hour}, confluencetest.DCClient{})
	tokens, kept := c.connect(""), c.connect("")
	c.now.Add(2 * time.Hour)
	if got := c.status(tokens.AccessToken, "/rest/api/group"); got != 401 {
		t.Errorf("after two hours the access token gets %d", got)
	}
	again := c.refresh(tokens.RefreshToken)
	if err := c.dc.RevokeGrant(c.dc.Grants()[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := c.status(again.Access, "/rest/api/group"); got != 401 {
		t.Errorf("an access token of a revoked grant gets %d", got)
	}
	if a := c.refresh(again.Refresh); a.Error != "invalid_grant" {
		t.Errorf("a revoked grant: %+v", a)
	}
	user := c.dc.Collector().Username
	if err := c.dc.DeactivateUser(user); err != nil {
		t.Fatal(err)
	}
	if a := c.refresh(kept.RefreshToken); a.Error != "invalid_grant" {
		t.Errorf("a deactivated user: %+v", a)
	}
	if err := c.dc.ChangeUser(user, func(u *confluencetest.DCUser) { u.Active = true }); err != nil {
		t.Fatal(err)
	}
	c.now.Add(22 * time.Hour)
	if a := c.refresh(kept.RefreshToken); a.Error != "invalid_grant" {
		t.Errorf("an old refresh token: %+v", a)
	}
	grants := c.dc.Grants()
	if grants[0].Reason != "revoked" || grants[1].Reason != "expired" || grants[0].Alive || grants[1].Alive {
		t.Errorf("grants %+v", grants)
	}
	c.dc.ExpireAccessTokens()
	if err := c.dc.RevokeGrant("none"); err == nil {
		t.Error("a grant that does not exist can be revoked")
	}
}

func TestDataCenterScopesAreCapped(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{})
	reader, _, err := c.dc.Connect(confluencetest.DCConsent{ClientID: c.client.ClientID, Username: c.dc.Reader().Username, Scope: "SYSTEM_ADMIN"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, token  string
		want         int
		insufficient bool // the scope is what is missing, not the user's right
	}{
		{"READ of an administrator", c.connect("READ").AccessToken, 403, true},
		{"WRITE of an administrator", c.connect("WRITE").AccessToken, 403, true},
		{"ADMIN of an administrator", c.connect("ADMIN").AccessToken, 200, false},
		{"SYSTEM_ADMIN of a reader", reader.AccessToken, 403, false},
	} {
		w := walker{t: t, base: c.dc.URL(), token: tt.token}
		p := w.get("/rest/api/permissions")
		if insufficient := strings.Contains(p.header.Get("WWW-Authenticate"), "insufficient_scope"); p.status != tt.want || insufficient != tt.insufficient {
			t.Errorf("%s: %d %v", tt.name, p.status, p.header)
		}
		if got := w.get("/rest/api/group").status; got != 200 {
			t.Errorf("%s: groups answer %d", tt.name, got)
		}
	}
	if n := c.dc.OAuthStats().ScopeRefusals; n != 2 {
		t.Errorf("%d refusals for the scope", n)
	}
	if _, err := c.dc.Consent(confluencetest.DCConsent{ClientID: c.dc.AddClient(confluencetest.DCClient{Scope: "READ"}).ClientID, Scope: "ADMIN"}); err == nil {
		t.Error("a client is given more than it may ask for")
	}
}

func TestOAuthCanBeKeptFromPermissions(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{OAuthNoPermissions: true}, confluencetest.DCClient{})
	oauth, pat := c.connect("").AccessToken, c.dc.AddPAT(confluencetest.DCPAT{}).Token
	key := url.PathEscape(c.dc.Truth().Spaces[0].Key)
	for _, path := range []string{"/rest/api/permissions", "/rest/api/permissions/anonymous", "/rest/api/permissions/unlicensed", "/rest/api/space/" + key + "/permissions", "/rest/api/space/" + key + "/permissions/anonymous"} {
		if a, b := c.status(oauth, path), c.status(pat, path); a != 403 || b != 200 {
			t.Errorf("%s: OAuth %d, personal token %d", path, a, b)
		}
	}
	if got := c.status(oauth, "/rest/api/user/list"); got != 200 {
		t.Errorf("users answer %d to OAuth", got)
	}
}

func TestDataCenterTokenFaults(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{})
	tokens := c.connect("")
	c.dc.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenStatus, Status: 503, Body: `{"error":"down"}`, RefreshToken: tokens.RefreshToken})
	if a := c.refresh(tokens.RefreshToken); a.Status != 503 || a.Error != "down" {
		t.Errorf("status fault: %+v", a)
	}
	release := make(chan struct{})
	c.dc.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenSlow, Release: release})
	answers := make(chan dcTokenAnswer, 1)
	go func() { answers <- c.refresh(tokens.RefreshToken) }()
	for st, _ := c.dc.TokenState(tokens.RefreshToken); st.Current; st, _ = c.dc.TokenState(tokens.RefreshToken) {
		time.Sleep(time.Millisecond)
	}
	select {
	case a := <-answers:
		t.Fatalf("the slow answer came before its release: %+v", a)
	default:
	}
	close(release)
	slow := <-answers
	if slow.Status != 200 {
		t.Fatalf("slow: %+v", slow)
	}
	c.dc.FailToken(confluencetest.TokenFault{Kind: confluencetest.TokenDropAfterRotation})
	if a := c.refresh(slow.Refresh); a.Err == nil {
		t.Errorf("dropped: %+v", a)
	}
	if a := c.refresh(slow.Refresh); a.Error != "invalid_grant" {
		t.Errorf("the token of the lost answer: %+v", a)
	}
	if got := c.status(slow.Access, "/rest/api/group"); got != 401 {
		t.Errorf("the access token before the lost answer gets %d", got)
	}
	if stats := c.dc.OAuthStats(); stats.AnswersDropped != 1 || stats.Rotations != 2 {
		t.Errorf("stats %+v", stats)
	}
}
