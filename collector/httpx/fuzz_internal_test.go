package httpx

import (
	"net/http"
	"strings"
	"testing"
)

// FuzzResolve: whatever a link in an answer looks like, where it leads is under the
// base, for us and for whoever reads the request from the wire (Invariant 10).
func FuzzResolve(f *testing.F) {
	for _, ref := range []string{
		"/wiki/api/v2/spaces?cursor=a", "https://acme.atlassian.net/wiki/x", "//evil.example/wiki", "/wiki/../../x", "/wiki/%2e%2e/x", "/wiki/%2F%2Fevil", "https://acme.atlassian.net@evil.example/wiki/",
		"https://acme.atlassian.net:443/wiki/x", "HTTPS://ACME.atlassian.net/wiki/x", "javascript:alert(1)", "/wiki\\..\\x", "?cursor=a", "", "/wiki/x#y", "/wiki/x\r\nHost: evil", "https:/wiki/x", "/%00", "/wiki/;/..", "http://acme.atlassian.net/wiki/x",
	} {
		f.Add(ref)
	}
	var bases []base
	for _, raw := range []string{"https://acme.atlassian.net/wiki", "https://acme.atlassian.net"} {
		b, err := parseBase(raw)
		if err != nil {
			f.Fatal(err)
		}
		bases = append(bases, b)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		for _, b := range bases {
			u, err := b.resolve(ref)
			if err != nil {
				continue
			}
			r, err := http.NewRequest(http.MethodGet, u.String(), http.NoBody)
			if err != nil {
				continue // it cannot be sent
			}
			if r.URL.Scheme != "https" || !strings.EqualFold(r.URL.Host, "acme.atlassian.net") || r.URL.User != nil || !strings.HasPrefix(r.URL.Path, b.prefix+"/") || !b.holds(r.URL) {
				t.Fatalf("%q leads to %s", ref, u)
			}
			for segment := range strings.SplitSeq(strings.ReplaceAll(strings.ToLower(r.URL.EscapedPath()), "%2e", "."), "/") {
				if segment == ".." || segment == "." {
					t.Fatalf("%q walks up: %s", ref, u)
				}
			}
		}
	})
}
