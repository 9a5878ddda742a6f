package confluencetest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// survey notes which fields a document selects, by their first names, and which
// page it is about, for faults and the log.
func (x *execution) survey(op *ast.OperationDefinition) {
	var walk func(set ast.SelectionSet, path string)
	walk = func(set ast.SelectionSet, path string) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if sel.ObjectDefinition == nil || strings.HasPrefix(sel.Name, "__") {
					continue
				}
				p := strings.TrimPrefix(path+"."+x.drift.original(sel.ObjectDefinition.Name, sel.Name), ".")
				x.c.fields = append(x.c.fields, p)
				if after, ok := sel.ArgumentMap(x.vars)["after"].(string); ok {
					x.c.page = max(x.c.page, pageOfCursor(after))
				}
				walk(sel.SelectionSet, p)
			case *ast.InlineFragment:
				walk(sel.SelectionSet, path)
			case *ast.FragmentSpread:
				walk(x.doc.Fragments.ForName(sel.Name).SelectionSet, path)
			}
		}
	}
	walk(op.SelectionSet, "")
	var tops []string
	for _, p := range x.c.fields {
		if depth := strings.Count(p, "."); p != "confluence" && p != "ecosystem" && (depth == 0 || depth == 1 && topNamespace(p)) && !slices.Contains(tops, p) {
			tops = append(tops, p)
		}
	}
	x.c.object = strings.Join(tops, ",")
}

func topNamespace(path string) bool {
	return strings.HasPrefix(path, "confluence.") || strings.HasPrefix(path, "ecosystem.")
}

// experimental refuses documents that lack the header of an experimental field.
func (x *execution) experimental() *gqlError {
	given := x.c.r.Header.Values("X-ExperimentalApi")
	for _, p := range x.c.fields {
		if want := x.c.site.posture.experimental[p]; want != "" && !slices.Contains(given, want) {
			return &gqlError{
				message:        "The field '" + p + "' is in beta. To use it, opt in with the header 'X-ExperimentalApi: " + want + "'",
				classification: "ExperimentalField",
			}
		}
	}
	return nil
}

// refusal says why the field at hand answers null to this caller, if it does.
func (x *execution) refusal() *gqlError {
	if len(x.names) > 2 {
		return nil
	}
	at := strings.Join(x.names, ".")
	rules := oauthRules()
	i := slices.IndexFunc(rules, func(r oauthRule) bool { return r.field == at })
	if i < 0 {
		return nil
	}
	s, who := x.c.site, x.c.who
	if who.app {
		scopes, open := s.posture.open[at]
		if !open && rules[i].unexposed {
			return &gqlError{message: "The field '" + at + "' is not exposed for OAuth", classification: "FieldNotExposedForOauth"}
		}
		if !open {
			scopes = []string{firstPartyScope}
		}
		if !open || slices.ContainsFunc(scopes, func(scope string) bool { return !slices.Contains(who.scopes, scope) }) {
			return &gqlError{
				message: "OAuth scopes are missing to read '" + at + "'", classification: "InsufficientOAuthScopes",
				scopesKey: s.settings.RequiredScopesKey, scopes: scopes,
			}
		}
	}
	if s.posture.adminDenied && at != "tenantContexts" {
		return &gqlError{
			message: "Exception while fetching data (/" + x.slashed() + ") : the user is not permitted to view this", classification: "DataFetchingException", status: http.StatusForbidden,
		}
	}
	return nil
}
