package oauth

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// FuzzTokenAnswer: whatever a token endpoint answers, a pair comes with 200 alone,
// a grant is dead by a named error of a refusal alone (Invariant 6), and what is
// told of the answer holds nothing that steers a terminal (Invariant 10).
func FuzzTokenAnswer(f *testing.F) {
	for _, body := range []string{
		`{"access_token":"a","refresh_token":"r","expires_in":3600,"scope":"a b a"}`, `{"access_token":"a","expires_in":"3600"}`, `{"access_token":"a","expires_in":1e400}`,
		`{"error":"invalid_grant","error_description":"Unknown or invalid refresh token."}`, `{"error":"unauthorized_client","error_description":"refresh_token is invalid"}`,
		`{"error":"invalid_client"}`, `{"error":"slow_down"}`, `{"error":["invalid_grant"]}`, `{"error":"\u001b[2J\u202e"}`, `<html>`, ``, `null`, `{"access_token":"a","error":"invalid_grant"}`,
	} {
		for _, status := range []uint16{200, 302, 400, 401, 403, 404, 429, 500} {
			f.Add(status, []byte(body), "1")
		}
	}
	f.Add(uint16(276), []byte(`{"error":"invalid_grant"}`), "")
	f.Add(uint16(429), []byte(`{}`), "-99999999999999999999")
	f.Add(uint16(503), []byte(`{}`), "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, status uint16, body []byte, after string) {
		resp := &http.Response{StatusCode: int(status), Header: http.Header{"Retry-After": {after}}}
		got, v, failed := Provider{}.judge(resp, body)
		if (failed == nil) != (v == rotated) || got.access.IsZero() == (v == rotated) {
			t.Fatalf("verdict %d with %v, %v", v, got, failed)
		}
		if v == rotated {
			if status != http.StatusOK || got.lifetime <= 0 || got.lifetime > 365*24*time.Hour {
				t.Fatalf("status %d gave a pair for %v", status, got.lifetime)
			}
			return
		}
		if named := failed.Code == "invalid_grant" || failed.Code == "unauthorized_client"; v == dead && (!named || status < 400 || status >= 500 || status == http.StatusTooManyRequests) {
			t.Fatalf("status %d and error %q prove a grant dead", status, failed.Code)
		}
		if errors.Is(failed.Class, ErrNeedsReconsent) != (v == dead) || failed.RetryAfter < 0 || failed.RetryAfter > time.Hour {
			t.Fatalf("verdict %d with %+v", v, failed)
		}
		plain(t, failed.Error())
	})
}

// plain fails for a text that could steer a terminal.
func plain(t *testing.T, text string) {
	t.Helper()
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
		t.Fatalf("steers a terminal: %q", text)
	}
}

// FuzzSites: of whatever list of sites, the one that is picked is the tenant's, and
// its id can be part of a URL.
func FuzzSites(f *testing.F) {
	for _, body := range []string{
		`[{"id":"c1","url":"https://acme.atlassian.net","scopes":["a"]},{"id":"c1","url":"https://acme.atlassian.net","scopes":["b"]}]`,
		`[{"id":"../..","url":"https://acme.atlassian.net"}]`, `[{"id":"c1","url":"https://ACME.atlassian.net/wiki/"},{"id":"c2","url":"https://acme.atlassian.net"}]`,
		`[{"id":"c1","url":"\u202ehttps:\u001b//"}]`, `[]`, `null`, `{}`, `[null]`, `[{"id":1}]`,
	} {
		f.Add([]byte(body), "https://acme.atlassian.net", "c1")
		f.Add([]byte(body), "", "c1")
		f.Add([]byte(body), "", "")
	}
	f.Fuzz(func(t *testing.T, body []byte, siteURL, cloudID string) {
		var listed []site
		if json.Unmarshal(body, &listed) != nil {
			return
		}
		got, err := pick(merge(listed), Request{Tenant: "acme", SiteURL: siteURL, CloudID: cloudID})
		if err != nil {
			if !errors.Is(err, ErrWrongSite) {
				t.Fatal(err)
			}
			plain(t, err.Error())
			return
		}
		if siteURL != "" && address(got.URL) != address(siteURL) || cloudID != "" && got.ID != cloudID || strings.ContainsAny(got.ID, "/.?#%: ") || got.ID == "" {
			t.Fatalf("picked %+v for %q, %q", got, siteURL, cloudID)
		}
	})
}

// FuzzOpenGrant: whatever is sealed in a row opens as the grant that it is, or as
// an error that does not quote it (Invariant 9).
func FuzzOpenGrant(f *testing.F) {
	v, err := vault.Ephemeral()
	if err != nil {
		f.Fatal(err)
	}
	for _, plain := range []string{`{"access":"a","refresh":"r"}`, `{"secret":"s"}`, `{"access":1}`, `[]`, `null`, ``, `secret-in-the-clear`, `{"access":"a"`} {
		f.Add([]byte(plain))
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		row := collector.Credential{Tenant: "acme", Kind: collector.CredentialKind3LO, Generation: 4}
		if row.Sealed, err = v.Seal(plain, vault.AssociatedData(row.Tenant, row.Kind, row.Generation)); err != nil {
			t.Fatal(err)
		}
		g, err := openGrant(v, row)
		if err != nil {
			if len(plain) > 8 && strings.Contains(err.Error(), string(plain)) {
				t.Fatalf("quoted: %v", err)
			}
			return
		}
		row.Generation++
		if row.Sealed, err = sealGrant(v, row, g); err != nil {
			t.Fatal(err)
		}
		again, err := openGrant(v, row)
		if err != nil || !again.Access.Equal(g.Access) || !again.Refresh.Equal(g.Refresh) || !again.Secret.Equal(g.Secret) || again.Redirect != g.Redirect {
			t.Fatalf("sealed and opened: %v", err)
		}
	})
}

// FuzzCallback: whatever address a browser is sent to, no consent ends without its
// state and its cookie, and no page holds markup of the address.
func FuzzCallback(f *testing.F) {
	c := &Consent{Provider: AtlassianCloud("https://auth.example", "https://api.example", "client", vault.NewSecret("secret"), "http://127.0.0.1:8917/callback"), Transport: noTransport{}}
	for _, query := range []string{"", "code=a&state=b", "error=access_denied&error_description=<script>alert(1)</script>", "error=<b>", "state=%00&code=%zz", "key=", "state=a&state=b&code=c"} {
		f.Add("/callback", query, "", false)
		f.Add("/callback", query, "cookie", true)
	}
	f.Add(startPath, "key=x", "", false)
	f.Add("/../callback", "", "", true)
	f.Fuzz(func(t *testing.T, path, query, cookie string, ours bool) {
		p, err := c.Begin(Request{Tenant: "acme", SiteURL: "https://acme.atlassian.net"})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8917/", http.NoBody)
		r.URL.Path, r.URL.RawQuery, r.Host = path, query, p.host
		if ours { // from the browser that began, with the state that it was given
			cookie = p.cookie
			r.URL.RawQuery = "state=" + p.state + "&" + query
		}
		if !strings.ContainsAny(cookie, ";\r\n\"\\, ") {
			r.AddCookie(&http.Cookie{Name: cookieName, Value: cookie})
		}
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if p.over() != (ours && path == p.path) {
			t.Fatalf("%s?%s: the consent is over: %v", path, query, p.over())
		}
		page := w.Body.String()
		if w.Code == http.StatusOK || w.Code == http.StatusFound {
			t.Fatalf("status %d:\n%s", w.Code, page)
		}
		_, text, _ := strings.Cut(page, "<h1>")
		text = strings.NewReplacer("</h1>", "", "<p>", "", "</p>", "", "</html>", "").Replace(text)
		if strings.ContainsAny(text, "<>") {
			t.Fatalf("markup in the page:\n%s", page)
		}
	})
}

// noTransport answers nothing.
type noTransport struct{}

func (noTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}
