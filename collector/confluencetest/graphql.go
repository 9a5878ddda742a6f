package confluencetest

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// The gateway has two doors: classic API tokens knock at the site's own host,
// OAuth tokens at the API host. What is behind them is the same schema; what may
// be read differs (see refusal).

const contextARI = "ari:cloud:confluence::site/"

// oauthRule says how a field answers OAuth tokens as long as it is not opened.
type oauthRule struct {
	field     string // dotted path of first names
	unexposed bool   // the field is not there for OAuth at all, whatever the scopes
}

// firstPartyScope is one that only Atlassian's own apps can have.
const firstPartyScope = "confluence:atlassian-external"

func oauthRules() []oauthRule {
	return []oauthRule{
		{field: "sitePermissions"},
		{field: "publicLinkSiteStatus"},
		{field: "publicLinkSpacesByCriteria"},
		{field: "publicLinksByCriteria"},
		{field: "confluence_shareableLinkSiteConfig"},
		{field: "confluence_externalCollaboratorsByCriteria"},
		{field: "confluence.siteConfiguration", unexposed: true},
		{field: "ecosystem.appsInstalledInContexts", unexposed: true},
		{field: "ecosystem.appInstallationsByContext", unexposed: true},
		{field: "tenantContexts", unexposed: true},
	}
}

// OpenToOAuth lets OAuth tokens that have all the scopes read a field of the
// gateway, such as "sitePermissions" or "confluence.siteConfiguration", as
// Atlassian may do one day. It panics on a field that there is no rule for.
func (s *Site) OpenToOAuth(field string, scopes ...string) {
	if !slices.ContainsFunc(oauthRules(), func(r oauthRule) bool { return r.field == field }) {
		panic(fmt.Sprintf("confluencetest: the gateway has no field %q that could be opened", field))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posture.open == nil {
		s.posture.open = map[string][]string{}
	}
	s.posture.open[field] = append([]string{}, scopes...)
}

// CloseToOAuth undoes [Site.OpenToOAuth].
func (s *Site) CloseToOAuth(field string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.posture.open, field)
}

// RequireExperimental makes a field answer only to requests with the header
// X-ExperimentalApi of that value; an empty value lifts the rule.
func (s *Site) RequireExperimental(field, header string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posture.experimental == nil {
		s.posture.experimental = map[string]string{}
	}
	if s.posture.experimental[field] = header; header == "" {
		delete(s.posture.experimental, field)
	}
}

// SetMaxFirst lowers the largest page of all connections of the site's gateway; 0
// gives each its own back.
func (s *Site) SetMaxFirst(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posture.maxFirst = n
}

// DenyAdministration takes the Confluence administrator permission from the
// people whose API tokens are used (or gives it back): the gateway's fields answer
// null with an error, the plugin manager, the licence endpoints and the audit log 403.
func (s *Site) DenyAdministration(denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posture.adminDenied = denied
}

// graphqlRequest is the body of a request.
type graphqlRequest struct {
	Query         *string        `json:"query"`
	Variables     map[string]any `json:"variables"`
	OperationName *string        `json:"operationName"`
}

// serveGraphQL answers both doors of the gateway. site is nil at the API host.
func (srv *Server) serveGraphQL(w http.ResponseWriter, r *http.Request, site *Site) {
	c := &call{srv: srv, site: site, w: w, r: r, now: srv.now(), gateway: site == nil, page: 1}
	c.path = "/graphql"
	if site != nil {
		c.path = "/gateway/api/graphql"
		site.siteCalls.Add(1)
		srv.calls.site.Add(1)
	} else {
		srv.calls.gateway.Add(1)
	}
	defer c.book()
	who, grants, ok := srv.authenticate(r, site, c.gateway)
	if c.who = who; !ok || c.gateway && !who.app {
		c.unauthorized()
		return
	}
	if allowed := c.match(graphqlRoutes); c.route == nil {
		w.Header().Set("Allow", allowed)
		c.gatewayFail(http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	if len(r.URL.RawQuery) > 0 {
		c.gatewayFail(http.StatusBadRequest, "Query parameters are not taken")
		return
	}
	c.graphql(grants)
}

// graphql reads, checks and executes the document of a request.
func (c *call) graphql(grants []*Site) {
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != "application/json" {
		c.gatewayFail(http.StatusUnsupportedMediaType, "Unsupported Media Type")
		return
	}
	var req graphqlRequest
	dec := json.NewDecoder(io.LimitReader(c.r.Body, 1<<20))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&req); err != nil || dec.More() || req.Query == nil {
		c.gatewayFail(http.StatusBadRequest, "The body must be {\"query\": ..., \"variables\": ..., \"operationName\": ...}")
		return
	}
	doc, failed := parseDocument(*req.Query)
	var op *ast.OperationDefinition
	if failed == nil {
		name := ""
		if req.OperationName != nil {
			name = *req.OperationName
		}
		op, failed = chooseOperation(doc, name)
	}
	if failed != nil {
		c.sendErrors(false, failed)
		return
	}
	if c.site == nil {
		if failed = c.findSite(grants, op, req.Variables); failed != nil {
			c.sendErrors(true, failed)
			return
		}
	}
	if c.gateway {
		c.site.apiCalls.Add(1)
	}
	c.site.mu.RLock()
	schema, drift := c.site.graphqlSchema(), c.site.posture.drift
	c.site.mu.RUnlock()
	if list := validateDocument(schema, doc); len(list) > 0 {
		c.sendErrors(false, list...)
		return
	}
	vars, failed := coerceVariables(schema, op, req.Variables)
	if failed != nil {
		c.sendErrors(false, failed)
		return
	}
	x := &execution{c: c, schema: schema, drift: drift, doc: doc, vars: vars}
	x.survey(op)
	c.fault = c.site.faults.find(c.route.name, c.object, c.page, c.request)
	if c.overdrawn() || c.before() {
		return
	}
	c.answer(func(*Site) { c.buf = x.answer(op) })
}

// answer executes the operation. The caller holds the site's lock.
func (x *execution) answer(op *ast.OperationDefinition) []byte {
	if failed := x.experimental(); failed != nil {
		return x.c.errorsOnly(false, failed)
	}
	b := appendData([]byte(`{"data":`), x.run(op))
	x.c.srv.meter.spendGraphQL(x.c.who.account, graphqlBase+x.objects)
	if len(x.errors) > 0 {
		b = appendErrors(append(b, `,"errors":`...), x.errors)
	}
	return x.c.appendExtensions(b)
}

func appendErrors(b []byte, list []*gqlError) []byte {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.append(b)
	}
	return append(b, ']')
}

func (c *call) appendExtensions(b []byte) []byte {
	return append(appendString(append(b, `,"extensions":{"requestId":`...), fmt.Sprintf("%x", c.now.UnixNano())), "}}"...)
}

// errorsOnly is an answer without data, or with data that is null.
func (c *call) errorsOnly(null bool, list ...*gqlError) []byte {
	b := appendErrors([]byte(`{"errors":`), list)
	if null {
		b = append(b, `,"data":null`...)
	}
	return c.appendExtensions(b)
}

func (c *call) sendErrors(null bool, list ...*gqlError) { c.replyJSON(c.errorsOnly(null, list...)) }

// findSite decides which site a request at the API host is about.
func (c *call) findSite(grants []*Site, op *ast.OperationDefinition, variables map[string]any) *gqlError {
	named := namedSites(op, variables)
	if header := c.r.Header.Get("X-Query-Context"); len(named) == 0 && header != "" {
		id, ok := strings.CutPrefix(header, contextARI)
		if !ok {
			return &gqlError{message: "X-Query-Context must be an ARI such as " + contextARI + "{cloudId}", classification: "BAD_REQUEST", status: http.StatusBadRequest}
		}
		named = []string{id}
	}
	switch {
	case len(named) > 1:
		return &gqlError{message: "A document can only be about one site", classification: "BAD_REQUEST", status: http.StatusBadRequest}
	case len(named) == 1:
		c.srv.mu.RLock()
		site := c.srv.byCloud[named[0]]
		c.srv.mu.RUnlock()
		if site == nil || !slices.Contains(grants, site) {
			return &gqlError{message: "The cloud id " + named[0] + " is unknown", classification: "DataFetchingException", status: http.StatusNotFound}
		}
		c.site = site
	case len(grants) == 1:
		c.site = grants[0]
	default:
		return &gqlError{message: "The site is not known: pass a cloudId or the header X-Query-Context", classification: "MissingQueryContext"}
	}
	return nil
}

// namedSites lists the cloud ids that the arguments of a document name.
func namedSites(op *ast.OperationDefinition, variables map[string]any) []string {
	var found []string
	add := func(v any) {
		if s, ok := v.(string); ok {
			if s = strings.TrimPrefix(s, contextARI); !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	var value func(name string, v any)
	value = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for inner, child := range v {
				value(inner, child)
			}
		case []any:
			for _, item := range v {
				value(name, item)
			}
		default:
			if name == "cloudId" || name == "contextIds" || name == "contexts" {
				add(v)
			}
		}
	}
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				for _, arg := range sel.Arguments {
					if v, err := arg.Value.Value(variables); err == nil {
						value(arg.Name, v)
					}
				}
				walk(sel.SelectionSet)
			case *ast.InlineFragment:
				walk(sel.SelectionSet)
			}
		}
	}
	walk(op.SelectionSet)
	return found
}
