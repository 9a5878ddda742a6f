package confluencetest

import (
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

// queryFields are the resolvers of the schema's root.
func queryFields() map[string]any {
	return map[string]any{
		"sitePermissions":                            resolver(resolveSitePermissions),
		"publicLinkSiteStatus":                       resolver(resolveLinkSite),
		"publicLinkSpacesByCriteria":                 resolver(resolveLinkSpaces),
		"publicLinksByCriteria":                      resolver(resolveLinks),
		"confluence_shareableLinkSiteConfig":         resolver(resolveShareable),
		"confluence_externalCollaboratorsByCriteria": resolver(resolveCollaborators),
		"confluence":                                 &node{typ: "ConfluenceQueryApi", fields: map[string]any{"siteConfiguration": resolver(resolveConfiguration)}},
		"ecosystem": &node{typ: "EcosystemQuery", fields: map[string]any{
			"appsInstalledInContexts": resolver(resolveApps), "appInstallationsByContext": resolver(resolveInstallations),
		}},
		"tenantContexts": resolver(resolveTenants),
		"__type":         resolver(resolveType),
		"__schema":       resolver(resolveSchema),
	}
}

// texts reads an argument that is a list of strings; nil when it is not given.
func texts(v any) []string {
	list, ok := v.([]any)
	if !ok {
		if s, one := v.(string); one { // a single value stands for a list of one
			return []string{s}
		}
		return nil
	}
	result := make([]string, 0, len(list))
	for _, item := range list {
		if s, ok := item.(string); ok {
			result = append(result, s)
		}
	}
	return result
}

// matches tells whether a name contains a pattern, in whatever capitals.
func matches(name, pattern string) bool {
	return strings.Contains(strings.ToLower(name), strings.ToLower(pattern))
}

// sameSite tells whether a cloudId argument, if there is one, means the site that
// the document is about.
func (x *execution) sameSite(args map[string]any) *gqlError {
	if id, ok := args["cloudId"].(string); ok && id != x.c.site.cloudID && id != contextARI+x.c.site.cloudID {
		return &gqlError{message: "The cloud id " + id + " is unknown", classification: "DataFetchingException", status: 404}
	}
	return nil
}

// resolveTenants answers for every site that the server knows; null for others.
func resolveTenants(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	ids, hosts := texts(args["cloudIds"]), texts(args["hostNames"])
	if (ids == nil) == (hosts == nil) {
		return nil, badArgument("Either cloudIds or hostNames must be given")
	}
	srv := x.c.srv
	result := []any{}
	for _, wanted := range slices.Concat(ids, hosts) {
		i := slices.IndexFunc(srv.Sites(), func(s *Site) bool { return s.cloudID == wanted || ids == nil && s.HostName() == wanted })
		if i < 0 {
			result = append(result, nil)
			continue
		}
		s := srv.Sites()[i]
		result = append(result, &node{typ: "TenantContext", fields: map[string]any{
			"cloudId": s.cloudID, "orgId": srv.organizationOf(s), "hostName": s.HostName(), "cloudUrl": "https://" + s.HostName(), "customDomains": []any{},
		}})
	}
	return result, nil
}

// resolveSchema and resolveType let a client probe for fields before it relies on them.
func resolveSchema(x *execution, _ *ast.Field, _ map[string]any) (any, *gqlError) {
	names := make([]string, 0, len(x.schema.Types))
	for name := range x.schema.Types {
		names = append(names, name)
	}
	slices.Sort(names)
	return &node{typ: "__Schema", fields: map[string]any{
		"queryType": x.typeNode(x.schema.Query), "mutationType": nil, "subscriptionType": nil, "directives": []any{},
		"types": resolver(func(x *execution, _ *ast.Field, _ map[string]any) (any, *gqlError) {
			return listed(names, func(name string) any { return x.typeNode(x.schema.Types[name]) }), nil
		}),
	}}, nil
}

func resolveType(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	name, _ := args["name"].(string)
	def := x.schema.Types[name]
	if def == nil {
		return nil, nil
	}
	return x.typeNode(def), nil
}

func (x *execution) typeNode(def *ast.Definition) any {
	lazily := func(list func() []any) resolver {
		return func(*execution, *ast.Field, map[string]any) (any, *gqlError) { return list(), nil }
	}
	fields := map[string]any{"kind": string(def.Kind), "name": def.Name, "description": nil, "specifiedByURL": nil, "ofType": nil}
	switch def.Kind {
	case ast.Object, ast.Interface:
		fields["interfaces"] = lazily(func() []any {
			return listed(def.Interfaces, func(name string) any { return x.typeNode(x.schema.Types[name]) })
		})
		fields["fields"] = lazily(func() []any {
			visible := slices.DeleteFunc(slices.Clone(def.Fields), func(f *ast.FieldDefinition) bool { return strings.HasPrefix(f.Name, "__") })
			return listed(visible, func(f *ast.FieldDefinition) any {
				return &node{typ: "__Field", fields: map[string]any{
					"name": f.Name, "description": nil, "isDeprecated": false, "deprecationReason": nil, "type": x.refNode(f.Type),
					"args": listed(f.Arguments, func(a *ast.ArgumentDefinition) any { return x.inputNode(a.Name, a.Type) }),
				}}
			})
		})
	case ast.InputObject:
		fields["inputFields"] = lazily(func() []any {
			return listed(def.Fields, func(f *ast.FieldDefinition) any { return x.inputNode(f.Name, f.Type) })
		})
	case ast.Enum:
		fields["enumValues"] = lazily(func() []any {
			return listed(def.EnumValues, func(v *ast.EnumValueDefinition) any {
				return &node{typ: "__EnumValue", fields: map[string]any{"name": v.Name, "description": nil, "isDeprecated": false, "deprecationReason": nil}}
			})
		})
	}
	if def.Kind == ast.Union || def.Kind == ast.Interface {
		fields["possibleTypes"] = lazily(func() []any {
			return listed(x.schema.PossibleTypes[def.Name], x.typeNode)
		})
	}
	return &node{typ: "__Type", fields: fields}
}

func (x *execution) inputNode(name string, typ *ast.Type) any {
	return &node{typ: "__InputValue", fields: map[string]any{"name": name, "description": nil, "defaultValue": nil, "type": x.refNode(typ)}}
}

// refNode is a use of a type, with its wrappers.
func (x *execution) refNode(typ *ast.Type) any {
	if typ.NonNull {
		inner := *typ
		inner.NonNull = false
		return &node{typ: "__Type", fields: map[string]any{"kind": "NON_NULL", "name": nil, "ofType": x.refNode(&inner)}}
	}
	if typ.Elem != nil {
		return &node{typ: "__Type", fields: map[string]any{"kind": "LIST", "name": nil, "ofType": x.refNode(typ.Elem)}}
	}
	return x.typeNode(x.schema.Types[typ.NamedType])
}
