package httpx

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// errOffOrigin names no host: the link comes from an answer.
var errOffOrigin = errors.New("the link leads off the pinned origin and is not followed")

// base is the pinned origin with the path prefix under which all requests stay.
type base struct {
	scheme, host string
	prefix       string // unescaped, without a slash at the end
}

func parseBase(raw string) (base, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return base{}, fmt.Errorf("base URL %q: it must look like https://example.atlassian.net", clean(raw))
	case u.User != nil:
		return base{}, errors.New("the base URL must not hold a name or password")
	case u.RawQuery != "" || u.Fragment != "":
		return base{}, fmt.Errorf("base URL %q: query and fragment are not allowed", clean(raw))
	case hasDots(u.Path):
		return base{}, fmt.Errorf("base URL %q: dots in the path are not allowed", clean(raw))
	}
	return base{scheme: u.Scheme, host: strings.ToLower(u.Host), prefix: strings.TrimRight(u.Path, "/")}, nil
}

// resolve turns a reference from code or from an answer into a URL under the
// base. Relative references begin with a slash and are joined to the base,
// prefix included; absolute ones must lie under it (Invariant 10).
func (b base) resolve(ref string) (*url.URL, error) {
	if strings.ContainsAny(ref, "\\\r\n\t ") {
		return nil, errors.New("the link holds characters that no link may hold")
	}
	u, err := url.Parse(ref)
	if err != nil {
		return nil, errors.New("the link is not a URL")
	}
	switch {
	case u.Opaque != "" || u.User != nil || u.Fragment != "":
		return nil, errOffOrigin
	case u.Scheme != "" || u.Host != "": // also //host/path
		if !b.holds(u) {
			return nil, errOffOrigin
		}
		return u, nil
	case !strings.HasPrefix(u.Path, "/") || hasDots(u.Path):
		return nil, errors.New("the link is not a path from the root")
	}
	joined := url.URL{Scheme: b.scheme, Host: b.host, Path: b.prefix + u.Path, RawQuery: u.RawQuery}
	if u.RawPath != "" { // the prefix is escaped by default
		joined.RawPath = (&url.URL{Path: b.prefix}).EscapedPath() + u.RawPath
	}
	return &joined, nil
}

// holds tells whether u lies under the base.
func (b base) holds(u *url.URL) bool {
	rest, under := strings.CutPrefix(u.Path, b.prefix)
	return u.Scheme == b.scheme && strings.EqualFold(u.Host, b.host) && u.User == nil && u.Opaque == "" &&
		under && strings.HasPrefix(rest, "/") && !hasDots(u.Path)
}

// hasDots tells whether a path has a segment that a server would walk up by.
func hasDots(path string) bool {
	for seg := range strings.SplitSeq(path, "/") {
		if seg == "." || seg == ".." {
			return true
		}
	}
	return false
}

// pinned refuses whatever is not under the base, as the last stage before the
// wire: no header of ours ever goes elsewhere (Invariants 9 and 10).
type pinned struct {
	base base
	next http.RoundTripper
}

func (p pinned) RoundTrip(r *http.Request) (*http.Response, error) {
	if !p.base.holds(r.URL) || r.Host != "" && !strings.EqualFold(r.Host, p.base.host) {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, errOffOrigin
	}
	return p.next.RoundTrip(r)
}
