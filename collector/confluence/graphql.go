package confluence

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
)

// The GraphQL gateway has no versions: fields are renamed and taken away. A
// question marks fields that rows can do without with a question mark. When the
// gateway says that such a field is undefined, the question is asked again without
// it, and the rows count as unknown, so that what was known of them stays.

// question is a GraphQL document whose optional fields are written ?field.
type question struct {
	field string // top-level field that it is about, for people
	text  string
}

// graphError is one entry of errors in an answer (GraphQL specification, "Errors").
type graphError struct {
	Message    string            `json:"message"`
	Path       []json.RawMessage `json:"path"`
	Extensions struct {
		Classification string `json:"classification"`
		StatusCode     int    `json:"statusCode"`
	} `json:"extensions"`
}

// graphReply is the answer to a question.
type graphReply struct {
	missing []string // optional fields that the gateway does not have
	failed  error    // parts of the answer are missing; nil: it is whole
	// badRequest: the gateway did not understand an argument, such as a cursor.
	badRequest bool
}

// undefined finds the field in "Field 'x' in type 'Y' is undefined" and "Cannot
// query field "x" on type "Y"", as the two common GraphQL libraries write it.
var undefined = regexp.MustCompile(`(?:Field|Cannot query field) ['"]([_A-Za-z][_0-9A-Za-z]*)['"] (?:in|on) type ['"]([_A-Za-z][_0-9A-Za-z]*)['"]`)

// query asks the gateway and decodes data. The reply says what is missing from it.
func (s *visit) query(ctx context.Context, table *schemas.Dataset, q question, variables map[string]any, into any) (graphReply, error) {
	gateway := s.way.GraphQL
	if gateway == nil {
		return graphReply{}, &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no GraphQL gateway takes a credential of the kind " + s.way.Kind}
	}
	where := "GraphQL " + q.field
	s.asked = append(s.asked, where)
	for {
		missing := s.undefinedFields(q.field)
		body, err := json.Marshal(map[string]any{"query": render(q.text, missing), "variables": variables})
		if err != nil {
			return graphReply{}, err
		}
		var data json.RawMessage
		var errs []graphError
		err = gateway.Client.Call(ctx, httpx.Request{
			Op: "read", Method: http.MethodPost, Ref: gateway.Path, Body: body, Idempotent: true,
			// Fields without an argument for the site take it from here (name of the
			// header from public programs; not in a reference).
			Header: http.Header{"X-Query-Context": {siteARI(s.site)}},
		}, func(body []byte, h http.Header) error {
			if err := checkJSON(body, h); err != nil {
				return err
			}
			var err error
			data, errs, err = decodeReply(body)
			return err
		})
		if err != nil {
			s.doubt(ctx, err)
			return graphReply{}, s.readError(table, "", &callError{"POST", gateway.Path, err})
		}
		if s.learn(q, errs) {
			continue // without the fields that the gateway just disowned
		}
		reply := graphReply{missing: missing, failed: s.graphFailure(where, errs)}
		reply.badRequest = slices.ContainsFunc(errs, func(e graphError) bool { return e.Extensions.Classification == "BAD_REQUEST" })
		if len(data) == 0 {
			if reply.failed == nil {
				reply.failed = &collector.ReadError{State: schemas.CoverageFailed, Evidence: where + ": the answer has no data"}
			}
			return reply, reply.failed
		}
		if err := decode(data, into); err != nil {
			return reply, &collector.ReadError{State: schemas.CoverageFailed, Evidence: where + ": " + err.Error(), Err: err}
		}
		return reply, nil
	}
}

// decodeReply splits an answer (GraphQL specification, "Response"). Data is empty
// when there is none.
func decodeReply(body []byte) (data json.RawMessage, errs []graphError, err error) {
	var reply struct {
		Data   json.RawMessage `json:"data"`
		Errors []graphError    `json:"errors"`
	}
	if err := decode(body, &reply); err != nil {
		return nil, nil, err
	}
	if bytes.Equal(reply.Data, []byte("null")) {
		return nil, reply.Errors, nil
	}
	return slices.Clone(reply.Data), reply.Errors, nil
}

// siteARI names a site to the gateway (Atlassian Resource Identifier).
func siteARI(cloudID string) string { return "ari:cloud:confluence::site/" + cloudID }

// undefinedFields are the optional fields of a question that the gateway is known
// not to have.
func (s *Source) undefinedFields(field string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.undefined[field]))
}

// learn notes fields that the gateway calls undefined; true if the question can be
// asked without them, and was not before.
func (s *Source) learn(q question, errs []graphError) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	news := false
	for _, e := range errs {
		m := undefined.FindStringSubmatch(e.Message)
		if m == nil {
			continue
		}
		for _, field := range droppable(q.text, m[1]) {
			if s.undefined[q.field][field] {
				continue
			}
			if s.undefined == nil {
				s.undefined = map[string]map[string]bool{}
			}
			if s.undefined[q.field] == nil {
				s.undefined[q.field] = map[string]bool{}
			}
			s.undefined[q.field][field], news = true, true
		}
	}
	return news
}

// graphFailure says what the errors of an answer mean; the first counts.
func (s *visit) graphFailure(where string, errs []graphError) error {
	if len(errs) == 0 {
		return nil
	}
	r := &collector.ReadError{State: schemas.CoverageFailed}
	e := errs[0]
	r.Evidence = fmt.Sprintf("%s: %s", where, cut(e.Message, 200))
	if e.Extensions.Classification != "" {
		r.Evidence += " (" + cut(e.Extensions.Classification, 60) + ")"
	}
	switch class := e.Extensions.Classification; {
	case class == "FieldNotExposedForOauth", class == "InsufficientOAuthScopes":
		r.State, r.Unlock = schemas.CoverageNotExposed, "Atlassian does not open this to OAuth apps yet"
	case undefined.MatchString(e.Message):
		r.State, r.Unlock = schemas.CoverageNotExposed, "the gateway renamed or removed a field: upgrade sitedrift"
	case class == "ExperimentalField":
		r.State, r.Unlock = schemas.CoverageNotExposed, "Atlassian answers this only to those who opt in: upgrade sitedrift"
	case e.Extensions.StatusCode == http.StatusForbidden, e.Extensions.StatusCode == http.StatusUnauthorized:
		r.State, r.Unlock = schemas.CoverageForbidden, adviceAdministrator
	case e.Extensions.StatusCode == http.StatusPaymentRequired:
		r.State = schemas.CoverageNotLicensed
	}
	return r
}

// droppable lists the optional fields without which a question does not ask for a
// field: itself, or those around it; nil when it stands elsewhere, too.
func droppable(text, field string) (list []string) {
	type span struct {
		name     string
		from, to int // of its selection
	}
	var optional []span
	for i := 0; i < len(text); i++ {
		if text[i] != '?' {
			continue
		}
		end := nameEnd(text, i+1)
		name := text[i+1 : end]
		if name == field {
			return []string{field}
		}
		optional = append(optional, span{name, end, skipSelection(text, end)})
	}
	for i := 0; i < len(text); i++ {
		if !isName(text[i]) {
			continue
		}
		end := nameEnd(text, i)
		if text[i:end] == field {
			around := ""
			for _, s := range optional { // the innermost is the last
				if s.from <= i && end <= s.to {
					around = s.name
				}
			}
			if around == "" {
				return nil
			}
			list = append(list, around)
		}
		i = end
	}
	return list
}

// nameEnd is where the name that begins at i ends.
func nameEnd(text string, i int) int {
	for i < len(text) && isName(text[i]) {
		i++
	}
	return i
}

func isName(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// render writes the document without the optional fields that are missing, and
// with all others.
func render(text string, missing []string) string {
	var b strings.Builder
	for i := 0; i < len(text); {
		if text[i] != '?' {
			b.WriteByte(text[i])
			i++
			continue
		}
		end := nameEnd(text, i+1)
		if !slices.Contains(missing, text[i+1:end]) {
			b.WriteString(text[i+1 : end])
			i = end
			continue
		}
		i = skipSelection(text, end)
	}
	return b.String()
}

// skipSelection skips the arguments and the selection behind a field.
func skipSelection(text string, i int) int {
	for _, bracket := range []string{"()", "{}"} {
		j := i
		for j < len(text) && (text[j] == ' ' || text[j] == '\n' || text[j] == '\t') {
			j++
		}
		if j == len(text) || text[j] != bracket[0] {
			continue
		}
		depth := 0
		for ; j < len(text); j++ {
			if text[j] == bracket[0] {
				depth++
			} else if text[j] == bracket[1] {
				if depth--; depth == 0 {
					break
				}
			}
		}
		i = min(j+1, len(text))
	}
	return i
}

// without is partial when the gateway lacks fields that were asked for.
func (r graphReply) without(q question) error {
	if len(r.missing) == 0 {
		return nil
	}
	return &collector.ReadError{
		State:    schemas.CoveragePartial,
		Evidence: "GraphQL " + q.field + ": the gateway has no field " + strings.Join(r.missing, ", ") + " any more; what was known stays",
		Unlock:   "upgrade sitedrift",
	}
}
