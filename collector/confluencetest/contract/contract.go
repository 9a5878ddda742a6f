// Package contract checks HTTP exchanges against Atlassian's published OpenAPI
// files for Confluence Cloud, which are not part of this project: a test names the
// folder that holds them, usually from the environment variable SITEDRIFT_SPECS.
//
// It judges both sides. The simulator's own test feeds it the simulator's answers;
// the collector's test feeds it, through a recording proxy, what the collector
// asks. A request is wrong when its path, its method, a parameter or its body is
// not in the files; an answer is wrong when its body breaks the schema.
//
// The files are stricter than the service. Where the live API is known to go
// beyond them, the loaded documents are relaxed at exactly the places listed by
// [Relaxations], each with its reason; everything else stays as published.
package contract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Names of the files in the folder.
const (
	FileV2 = "confluence-cloud-v2.json"
	FileV1 = "confluence-cloud-v1.yaml"
)

// Contract holds the loaded documents. It may be used by many goroutines.
type Contract struct {
	apis []api
}

// api is one document and the prefix that its paths have on the wire.
type api struct {
	prefix string
	doc    *openapi3.T
	paths  []pathTemplate
}

type pathTemplate struct {
	template string
	parts    []string
	item     *openapi3.PathItem
}

// Load reads both files from a folder and applies the relaxations. A relaxation
// whose place does not exist is an error: the files have changed.
func Load(dir string) (*Contract, error) {
	c := &Contract{}
	// The v1 file at hand has its /wiki prefix cut off; v2 names it in its server.
	for _, f := range []struct{ name, file, prefix string }{{"v2", FileV2, "/wiki/api/v2"}, {"v1", FileV1, "/wiki"}} {
		data, err := os.ReadFile(filepath.Join(dir, f.file))
		if err != nil {
			return nil, fmt.Errorf("read the OpenAPI file of %s: %w", f.name, err)
		}
		doc, err := openapi3.NewLoader().LoadFromData(data)
		if err != nil {
			return nil, fmt.Errorf("understand %s: %w", f.file, err)
		}
		for _, r := range Relaxations() {
			if r.API != f.name {
				continue
			}
			if err := r.apply(doc); err != nil {
				return nil, fmt.Errorf("relax %s in %s: %w", r.Place, f.file, err)
			}
		}
		a := api{prefix: f.prefix, doc: doc}
		for template, item := range doc.Paths.Map() {
			a.paths = append(a.paths, pathTemplate{template: template, parts: strings.Split(template, "/"), item: item})
		}
		c.apis = append(c.apis, a)
	}
	return c, nil
}

// ValidateExchange checks a request and its answer. The request's URL may have
// anything before /wiki (a gateway and a cloud id); its body must be readable, and
// is readable again afterwards. Answers with a status that the files do not list,
// and error answers, whose bodies they do not describe, are accepted.
func (c *Contract) ValidateExchange(req *http.Request, status int, header http.Header, body []byte) error {
	input, err := c.request(req)
	if err != nil {
		return err
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: status, Header: header, Options: input.Options,
	}
	out.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(req.Context(), out); err != nil {
		return fmt.Errorf("answer %d to %s %s: %w", status, req.Method, input.Route.Path, err)
	}
	return nil
}

// ValidateRequest checks only the request.
func (c *Contract) ValidateRequest(req *http.Request) error {
	_, err := c.request(req)
	return err
}

func (c *Contract) request(req *http.Request) (*openapi3filter.RequestValidationInput, error) {
	route, params, err := c.find(req)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, fmt.Errorf("%s %s: read the query: %w", req.Method, route.Path, err)
	}
	known := map[string]bool{}
	for _, list := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, p := range list {
			if p.Value.In == openapi3.ParameterInQuery {
				known[p.Value.Name] = true
			}
		}
	}
	for name := range query {
		if !known[name] {
			return nil, fmt.Errorf("%s %s: the query parameter %q is not documented", req.Method, route.Path, name)
		}
	}
	// The check reads the body and may set defaults, so it gets a copy.
	checked := req.Clone(context.WithoutCancel(req.Context()))
	if req.Body != nil && req.Body != http.NoBody {
		data, err := io.ReadAll(req.Body)
		if err := errors.Join(err, req.Body.Close()); err != nil {
			return nil, fmt.Errorf("%s %s: read the body: %w", req.Method, route.Path, err)
		}
		req.Body = io.NopCloser(bytes.NewReader(data))
		checked.Body = io.NopCloser(bytes.NewReader(data))
	}
	input := &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: params, QueryParams: query, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true, RejectWhenRequestBodyNotSpecified: true,
		},
	}
	if err := openapi3filter.ValidateRequest(checked.Context(), input); err != nil {
		return nil, fmt.Errorf("request %s %s: %w", req.Method, route.Path, err)
	}
	return input, nil
}

// find returns the operation of a request and the values in its path.
func (c *Contract) find(req *http.Request) (*routers.Route, map[string]string, error) {
	i := strings.Index(req.URL.Path, "/wiki/")
	if i < 0 {
		return nil, nil, fmt.Errorf("%s %s: no path of Confluence Cloud: /wiki is missing", req.Method, req.URL.Path)
	}
	path := req.URL.Path[i:]
	for _, a := range c.apis {
		rest, ok := strings.CutPrefix(path, a.prefix)
		if !ok {
			continue
		}
		var best *pathTemplate
		var values map[string]string
		for j := range a.paths {
			if v, ok := a.paths[j].match(strings.Split(rest, "/")); ok && (best == nil || len(v) < len(values)) {
				best, values = &a.paths[j], v
			}
		}
		if best == nil {
			continue
		}
		op := best.item.GetOperation(req.Method)
		if op == nil {
			return nil, nil, fmt.Errorf("%s %s: the path is documented, the method is not", req.Method, a.prefix+best.template)
		}
		return &routers.Route{Spec: a.doc, Path: best.template, PathItem: best.item, Method: req.Method, Operation: op}, values, nil
	}
	return nil, nil, fmt.Errorf("%s %s: the path is not documented", req.Method, path)
}

func (p *pathTemplate) match(parts []string) (map[string]string, bool) {
	if len(parts) != len(p.parts) {
		return nil, false
	}
	values := map[string]string{}
	for i, want := range p.parts {
		if strings.HasPrefix(want, "{") {
			if parts[i] == "" {
				return nil, false
			}
			values[strings.Trim(want, "{}")] = parts[i]
		} else if want != parts[i] {
			return nil, false
		}
	}
	return values, true
}

// Scopes returns the alternative sets of OAuth scopes that the files attach to an
// operation; the template has its prefix, as in "/wiki/api/v2/spaces/{id}".
func (c *Contract) Scopes(method, template string) ([][]string, error) {
	for _, a := range c.apis {
		rest, ok := strings.CutPrefix(template, a.prefix)
		if !ok {
			continue
		}
		item := a.doc.Paths.Value(rest)
		if item == nil || item.GetOperation(method) == nil {
			continue
		}
		listed, _ := item.GetOperation(method).Extensions["x-atlassian-oauth2-scopes"].([]any)
		var all [][]string
		for _, entry := range listed {
			fields, _ := entry.(map[string]any)
			names, _ := fields["scopes"].([]any)
			var set []string
			for _, n := range names {
				if s, ok := n.(string); ok {
					set = append(set, s)
				}
			}
			slices.Sort(set)
			all = append(all, set)
		}
		return all, nil
	}
	return nil, fmt.Errorf("%s %s is not documented", method, template)
}
