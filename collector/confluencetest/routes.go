package confluencetest

import (
	"slices"
	"strings"
)

// Scopes of both families, as the OpenAPI files attach them to the operations.
const (
	scopeSpace         = "read:space:confluence"
	scopeSpacePerm     = "read:space.permission:confluence"
	scopeConfiguration = "read:configuration:confluence"
	scopeManageConfig  = "manage:confluence-configuration"
	scopeUser          = "read:user:confluence"
	scopeClassicUser   = "read:confluence-user"
	scopeGroup         = "read:group:confluence"
	scopeClassicGroups = "read:confluence-groups"
	scopeAudit         = "read:audit-log:confluence"
	scopeDetails       = "read:content-details:confluence"
)

// AllScopes returns every scope that some endpoint of the simulator takes, and
// offline_access.
func AllScopes() []string {
	return []string{
		"offline_access", scopeSpace, scopeSpacePerm, scopeConfiguration, scopeManageConfig, scopeUser, scopeClassicUser,
		scopeGroup, scopeClassicGroups, scopeAudit, scopeDetails,
	}
}

func one(scope string) [][]string { return [][]string{{scope}} }

func either(current, beta []string) [][]string { return [][]string{current, beta} }

// routes are all endpoints. They never change.
var routes = buildRoutes()

func buildRoutes() []route {
	const v1, v2 = "/wiki/rest/api", "/wiki/api/v2"
	groups := either([]string{scopeClassicGroups}, []string{scopeGroup})
	users := either([]string{scopeClassicUser}, []string{scopeDetails})
	list := []route{
		{name: v2 + "/spaces", handle: (*call).listSpaces, scopes: one(scopeSpace), params: []string{
			"ids", "keys", "type", "status", "labels", "favorited-by", "not-favorited-by", "sort", "description-format", "include-icon", "cursor", "limit",
		}},
		{name: v2 + "/spaces/{id}", handle: (*call).getSpace, scopes: one(scopeSpace), params: []string{
			"description-format", "include-icon", "include-operations", "include-properties", "include-permissions", "include-role-assignments", "include-labels",
		}},
		{name: v2 + "/spaces/{id}/permissions", handle: (*call).listPermissions, scopes: one(scopeSpace), params: []string{"cursor", "limit"}},
		{name: v2 + "/spaces/{id}/role-assignments", handle: (*call).listAssignments, scopes: one(scopeSpacePerm), params: []string{
			"role-id", "role-type", "principal-id", "principal-type", "cursor", "limit",
		}},
		{name: v2 + "/space-role-mode", handle: (*call).getRoleMode, scopes: one(scopeConfiguration)},
		{name: v2 + "/space-roles", handle: (*call).listRoles, scopes: one(scopeSpacePerm), params: []string{
			"space-id", "role-type", "principal-id", "principal-type", "cursor", "limit",
		}},
		{name: v2 + "/space-permissions", handle: (*call).listCatalogue, scopes: one(scopeSpacePerm), params: []string{"cursor", "limit"}},
		{name: v2 + "/classification-levels", handle: (*call).listLevels, scopes: one(scopeConfiguration)},
		{name: v2 + "/data-policies/metadata", handle: (*call).getPolicyMetadata, scopes: one(scopeConfiguration)},
		{name: v2 + "/data-policies/spaces", handle: (*call).listPolicySpaces, scopes: one(scopeSpace), params: []string{"ids", "keys", "sort", "cursor", "limit"}},
		{name: v2 + "/users-bulk", method: "POST", handle: (*call).bulkUsers, scopes: one(scopeUser)},

		{name: v1 + "/group", v1: true, handle: (*call).listGroups, scopes: groups, params: []string{"start", "limit", "accessType"}},
		{name: v1 + "/group/by-id", v1: true, handle: (*call).getGroup, scopes: groups, params: []string{"id"}},
		{
			name: v1 + "/group/{groupId}/membersByGroupId", v1: true, handle: (*call).listMembers,
			scopes: either([]string{scopeClassicGroups}, []string{scopeGroup, scopeUser}), params: []string{"start", "limit", "shouldReturnTotalSize", "expand"},
		},
		{name: v1 + "/user", v1: true, handle: (*call).getUser, scopes: users, params: []string{"accountId", "expand"}},
		{name: v1 + "/user/current", v1: true, handle: (*call).getCurrentUser, scopes: users, params: []string{"expand"}},
		{name: v1 + "/search/user", v1: true, handle: (*call).searchUsers, scopes: one(scopeDetails), params: []string{"cql", "start", "limit", "expand", "sitePermissionTypeFilter"}},
		{name: v1 + "/settings/systemInfo", v1: true, handle: (*call).getSystemInfo, scopes: either([]string{scopeManageConfig}, []string{scopeConfiguration})},
		{name: v1 + "/audit", v1: true, handle: (*call).listAudit, scopes: one(scopeAudit), params: []string{"startDate", "endDate", "searchString", "start", "limit"}},
		{name: v1 + "/audit/retention", v1: true, handle: (*call).getRetention, scopes: one(scopeAudit)},
	}
	for i := range list {
		rt := &list[i]
		rt.number = uint8(i + 1)
		if rt.method == "" {
			rt.method = "GET"
		}
		rt.parts = strings.Split(rt.name[1:], "/")
		rt.name = rt.method + " " + rt.name
	}
	return list
}

// Endpoints returns the templates of all API endpoints that the simulator answers,
// such as "GET /wiki/api/v2/spaces/{id}/permissions".
func Endpoints() []string {
	names := make([]string, len(routes))
	for i := range routes {
		names[i] = routes[i].name
	}
	return names
}

// EndpointScopes returns the alternative sets of OAuth scopes for an endpoint
// named as in [Endpoints]; any one set suffices.
func EndpointScopes(endpoint string) [][]string {
	for i := range routes {
		if routes[i].name == endpoint {
			sets := make([][]string, len(routes[i].scopes))
			for j, set := range routes[i].scopes {
				sets[j] = slices.Clone(set)
			}
			return sets
		}
	}
	return nil
}
