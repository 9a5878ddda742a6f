package confluence

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"

	"github.com/sitedrift/sitedrift/collector/httpx"
)

// answer is what the site replied. The body is lent.
type answer struct {
	body   []byte
	header http.Header
}

// callError says which call failed: method and path as they are documented,
// without host and query.
type callError struct {
	method, path string
	err          error
}

func (e *callError) Error() string { return e.method + " " + e.path + ": " + e.err.Error() }
func (e *callError) Unwrap() error { return e.err }

// get asks and hands over an answer that looks like JSON. The query is that of
// the endpoint; page, if not nil, adds what changes from page to page. Paths
// begin with /wiki and are joined to the one base that the client is pinned to:
// nothing from an answer is ever asked for as it stands (Invariant 10).
func (s *visit) get(ctx context.Context, path string, query url.Values, page func(url.Values), into func(answer) error) error {
	q := maps.Clone(query)
	if page != nil {
		if q == nil {
			q = url.Values{}
		}
		page(q)
	}
	return s.call(ctx, httpx.Request{Op: "read", Method: http.MethodGet, Ref: path, Query: q}, into)
}

// getOne asks for a single object.
func (s *visit) getOne(ctx context.Context, path string, query url.Values, into any) error {
	return s.get(ctx, path, query, nil, func(a answer) error { return decode(a.body, into) })
}

// post asks a question that does not fit into a query; it changes nothing and may
// be repeated.
func (s *visit) post(ctx context.Context, path string, question any, into func(answer) error) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	return s.call(ctx, httpx.Request{Op: "read", Method: http.MethodPost, Ref: path, Body: body, Idempotent: true}, into)
}

func (s *visit) call(ctx context.Context, r httpx.Request, into func(answer) error) error {
	s.asked = append(s.asked, r.Method+" "+r.Ref)
	err := s.way.Client.Call(ctx, r, func(body []byte, h http.Header) error {
		if err := checkJSON(body, h); err != nil {
			return err
		}
		return into(answer{body, h})
	})
	if err != nil {
		s.doubt(ctx, err)
		return &callError{r.Method, r.Ref, err}
	}
	return nil
}

// Weights of objects in rate limit points. Atlassian announced one point for a
// call and some for each object ("Rate limiting", Confluence Cloud); that core
// objects are 1 and people and rights 2 is an estimate from public notes. Where
// answers tell what is left, the client goes by that.
const (
	weightCore     = 1 // spaces
	weightIdentity = 2 // people, groups, rights
)

// spend books the points of the objects of an answer; the call itself is booked
// by the client.
func (s *visit) spend(weight, objects int) {
	if objects > 0 {
		s.way.Client.Charge(weight * objects)
	}
}
