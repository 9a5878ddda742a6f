package httpx

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestReferencesStayUnderTheBase(t *testing.T) {
	b, err := parseBase("https://api.atlassian.com/ex/confluence/abc/")
	if err != nil {
		t.Fatal(err)
	}
	const under = "https://api.atlassian.com/ex/confluence/abc"
	for ref, want := range map[string]string{
		"/wiki/api/v2/spaces?limit=250":                 under + "/wiki/api/v2/spaces?limit=250",
		"/wiki/rest/api/group/by%2Fname?x=a%26b":        under + "/wiki/rest/api/group/by%2Fname?x=a%26b",
		under + "/wiki/api/v2/spaces?cursor=x%3D":       under + "/wiki/api/v2/spaces?cursor=x%3D",
		"https://API.atlassian.com/ex/confluence/abc/a": "https://API.atlassian.com/ex/confluence/abc/a",
		"/a..b/...":            under + "/a..b/...",
		"":                     "",
		"wiki/api":             "",
		"?cursor=x":            "",
		"#x":                   "",
		"//evil.example/wiki":  "",
		"///evil.example/wiki": under + "///evil.example/wiki",
		"http://api.atlassian.com/ex/confluence/abc/a":               "",
		"https://api.atlassian.com:444/ex/confluence/abc/a":          "",
		"https://api.atlassian.com.evil.example/ex/confluence/abc/a": "",
		"https://api.atlassian.com@evil.example/ex/confluence/abc/a": "",
		"https://user@api.atlassian.com/ex/confluence/abc/a":         "",
		"https://api.atlassian.com/ex/confluence/other/a":            "",
		"https://api.atlassian.com/ex/confluence/abcd/a":             "",
		"https://api.atlassian.com/ex/confluence/abc":                "",
		"https://api.atlassian.com/ex/confluence/abc/../other/a":     "",
		"/../other/wiki":               "",
		"/wiki/%2e%2e/%2E%2E/other":    "",
		"/./wiki":                      "",
		"\\\\evil.example\\wiki":       "",
		"/\\evil.example":              "",
		"javascript:alert(1)":          "",
		"file:///etc/passwd":           "",
		"/wiki\r\nX-Evil: 1":           "",
		"/wiki?a=b c":                  "",
		"/wiki#fragment":               "",
		"https:/ex/confluence/abc/a":   "",
		"https:///ex/confluence/abc/a": "",
		"/%zz":                         "",
	} {
		got, err := b.resolve(ref)
		if want == "" {
			if err == nil {
				t.Errorf("%q was resolved to %s", ref, got)
			}
			continue
		}
		if err != nil || got.String() != want {
			t.Errorf("%q = %v, %v; want %s", ref, got, err, want)
		}
	}
}

func TestNoReferenceLeavesTheBase(t *testing.T) {
	b, err := parseBase("https://api.atlassian.com/ex/confluence/abc")
	if err != nil {
		t.Fatal(err)
	}
	parts := rapid.SampledFrom([]string{"/", "..", ".", "%2e", "%2F", "\\", ":", "//", "@", "?", "#", "https:", "api.atlassian.com", "evil.example", "ex", "confluence", "abc", "a", " ", "%00", "[", "]"})
	rapid.Check(t, func(t *rapid.T) {
		ref := strings.Join(rapid.SliceOfN(parts, 0, 12).Draw(t, "parts"), "")
		u, err := b.resolve(ref)
		if err != nil {
			return
		}
		// As a server would see it, after cleaning.
		again, err := url.Parse(u.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", ref, u, err)
		}
		if !strings.EqualFold(again.Host, "api.atlassian.com") || again.Scheme != "https" || again.User != nil {
			t.Fatalf("%q leads to %s", ref, u)
		}
		if clean := again.JoinPath("").Path; !strings.HasPrefix(clean, "/ex/confluence/abc") {
			t.Fatalf("%q leads to %s, cleaned %s", ref, u, clean)
		}
	})
}

func TestBadBases(t *testing.T) {
	for _, raw := range []string{"", "example.com", "ftp://example.com", "https://u:c4n4ry@example.com", "https://example.com/?a=b", "https://example.com/#x", "https://example.com/a/../b", "https://", ":"} {
		if _, err := New(Options{Base: raw}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("base %q: %v", raw, err)
		}
	}
}

// TestTokenNeverLeavesTheOrigin lets a server answer with links and redirects to
// another one that listens for the token.
func TestTokenNeverLeavesTheOrigin(t *testing.T) {
	trap := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		t.Errorf("a request reached the other origin, with Authorization %q", r.Header.Get("Authorization"))
		_, _ = io.WriteString(w, good)
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL+"/x", status) })
		c := client(t, srv.URL, newClock())
		if err := c.Get(t.Context(), "list", "/a", nil, nil); ClassOf(err) != ClassWrongOrigin {
			t.Errorf("redirect %d: %v", status, err)
		}
		if err := c.Get(t.Context(), "list", trap.URL+"/a", nil, nil); ClassOf(err) != ClassWrongOrigin {
			t.Errorf("foreign link: %v", err)
		}
		if srv.calls.Load() != 1 {
			t.Errorf("%d calls", srv.calls.Load())
		}
	}
}

func TestPinIsTheLastWordBeforeTheWire(t *testing.T) {
	b, err := parseBase("http://127.0.0.1:1/x")
	if err != nil {
		t.Fatal(err)
	}
	p := pinned{b, refuse{t}}
	for _, raw := range []string{"http://127.0.0.1:2/x/a", "http://evil.example/x/a", "https://127.0.0.1:1/x/a", "http://127.0.0.1:1/y/a"} {
		req, err := http.NewRequest(http.MethodPost, raw, strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.RoundTrip(req); err == nil {
			t.Errorf("%s went through", raw)
		}
	}
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1:1/x/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	if _, err := p.RoundTrip(req); err == nil {
		t.Error("a foreign Host header went through")
	}
}

type refuse struct{ t *testing.T }

func (r refuse) RoundTrip(req *http.Request) (*http.Response, error) {
	r.t.Errorf("%s reached the wire", req.URL)
	return nil, io.EOF
}
