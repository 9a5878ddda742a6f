package confluence

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// sameEndpoint parses a link to a next page and returns its query. It must be
// relative and lead to the very endpoint that answered (Invariant 10): a link to
// elsewhere is not followed, and says that the answer is not to be trusted.
func sameEndpoint(link, path string) (url.Values, error) {
	u, err := url.Parse(link)
	if err != nil {
		return nil, malformedf("next link %q cannot be parsed", shown(link))
	}
	if u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || strings.HasPrefix(link, "//") {
		return nil, malformedf("next link leads off the site: %q", shown(link))
	}
	// v1 links are relative to the context path, v2 links contain it.
	want, err := url.PathUnescape(path)
	if err != nil || u.Path != want && "/wiki"+u.Path != want {
		return nil, malformedf("next link leads to another endpoint: %q", shown(link))
	}
	q, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, malformedf("next link %q has no readable query", shown(link))
	}
	return q, nil
}

// shown is a link as an error shows it: cut, escaped, and without its query.
func shown(link string) string {
	link, _, _ = strings.Cut(link, "?")
	return cut(link, 120)
}

// nextCursor takes the cursor out of a v2 next link. It is the only part of the
// link that is used.
func nextCursor(link, path string) (string, error) {
	q, err := sameEndpoint(link, path)
	if err != nil {
		return "", err
	}
	if len(q["cursor"]) != 1 || q.Get("cursor") == "" {
		return "", malformedf("next link without a cursor: %q", shown(link))
	}
	return q.Get("cursor"), nil
}

// nextStart takes the start number out of a v1 next link: at least start, where
// this page began, and at most start plus what one page can hold.
func nextStart(link, path string, start, page int) (int, error) {
	q, err := sameEndpoint(link, path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(q.Get("start"))
	if err != nil || len(q["start"]) != 1 {
		return 0, malformedf("next link without a start: %q", shown(link))
	}
	if n < start || n > start+page {
		return 0, malformedf("next link jumps from %d to %d, a page holds %d", start, n, page)
	}
	return n, nil
}

// linkHeader finds the target with rel="next" in Link headers (RFC 8288). v2 sends
// it beside _links.next.
func linkHeader(h http.Header) string {
	for _, line := range h["Link"] {
		for line != "" {
			_, rest, ok := strings.Cut(line, "<")
			if !ok {
				break
			}
			target, params, ok := strings.Cut(rest, ">")
			if !ok {
				break
			}
			end := strings.Index(params, "<")
			if end < 0 {
				end = len(params)
			}
			line = params[end:]
			for p := range strings.SplitSeq(strings.TrimRight(params[:end], ", "), ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
				if strings.EqualFold(name, "rel") && strings.EqualFold(strings.Trim(value, `"`), "next") {
					return target
				}
			}
		}
	}
	return ""
}
