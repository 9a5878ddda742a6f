package confluencetest

import (
	"slices"
	"strings"
)

// Endpoints that no OpenAPI file of Confluence describes, or that OAuth tokens do
// not open: the GraphQL gateway, the plugin manager, the licence, the admin key,
// and the organization API.
var (
	graphqlRoutes = numbered(len(routes), styleGraphQL, []route{
		{name: "/graphql", method: "POST"},
		{name: "/gateway/api/graphql", method: "POST"},
	})
	basicRoutes = numbered(len(routes)+len(graphqlRoutes), styleREST, buildBasicRoutes())
	adminRoutes = numbered(len(routes)+len(graphqlRoutes)+len(basicRoutes), styleAdmin, buildAdminRoutes())

	// restRoutes are what the REST gateway and the site hosts match requests with.
	restRoutes = slices.Concat(pointers(routes), basicRoutes)
	// allRoutes holds each route at its number minus one.
	allRoutes = slices.Concat(pointers(routes), graphqlRoutes, basicRoutes, adminRoutes)
)

func pointers(list []route) []*route {
	result := make([]*route, len(list))
	for i := range list {
		result[i] = &list[i]
	}
	return result
}

// numbered completes routes whose numbers follow after others.
func numbered(after int, s style, list []route) []*route {
	for i := range list {
		rt := &list[i]
		rt.number, rt.style = uint8(after+i+1), s
		if rt.method == "" {
			rt.method = "GET"
		}
		rt.parts = strings.Split(rt.name[1:], "/")
		if s == styleAdmin {
			rt.name = "/admin" + rt.name
		}
		rt.name = rt.method + " " + rt.name
	}
	return pointers(list)
}

// buildBasicRoutes lists what only classic API tokens open: without scopes, no
// scoped credential covers a route.
func buildBasicRoutes() []route {
	const plugins, licence = "/wiki/rest/plugins/1.0/", "/wiki/rest/license/1.0/license/"
	return []route{
		{name: plugins, v1: true, handle: (*call).listPlugins},
		{name: plugins + "{key}-key", v1: true, handle: (*call).getPlugin},
		{name: plugins + "{key}-key/license", v1: true, handle: (*call).getPluginLicense},
		{name: licence + "userCount", v1: true, handle: (*call).countSeats},
		{name: licence + "remainingSeats", v1: true, handle: (*call).countSeats},
		{name: licence + "maxUsers", v1: true, handle: (*call).countSeats},
		{name: "/wiki/api/v2/admin-key", handle: (*call).getAdminKey},
	}
}

func buildAdminRoutes() []route {
	const v1, v2 = "/v1/orgs/{orgId}", "/v2/orgs/{orgId}"
	const users = v2 + "/directories/{directoryId}/users"
	return []route{
		{name: "/v1/orgs", handle: (*call).listOrganizations, scopes: [][]string{{}}, params: []string{"cursor"}},
		{name: v1, handle: (*call).getOrganization, scopes: one(scopeAdminOrgs)},
		{name: v1 + "/domains", handle: (*call).listDomains, scopes: one(scopeAdminDomains), params: []string{"cursor"}},
		{name: v1 + "/policies", handle: (*call).listPolicies, scopes: one(scopeAdminPolicies), params: []string{"cursor", "type"}},
		{name: v1 + "/events", handle: (*call).listEvents, scopes: one(scopeAdminEvents), params: []string{
			"cursor", "q", "from", "to", "action", "actor", "ip", "product", "location", "limit",
		}},
		{name: v1 + "/directory/users/{accountId}/last-active-dates", handle: (*call).lastActive, scopes: one(scopeAdminDirectories), params: []string{"cursor"}},
		{name: v2 + "/directories", handle: (*call).listDirectories, scopes: one(scopeAdminDirectories), params: []string{"cursor", "limit"}},
		{name: users + "/search", method: "POST", handle: (*call).searchOrganizationUsers, scopes: one(scopeAdminDirectories)},
		{name: users + "/count", handle: (*call).countOrganizationUsers, scopes: one(scopeAdminDirectories), params: []string{
			"accountIds", "directoryIds", "resourceIds", "groupIds", "mfaEnabled", "claimStatus", "status", "accountStatus", "membershipStatus", "roleIds", "searchTerm", "emailDomains",
		}},
		{name: v2 + "/workspaces", method: "POST", handle: (*call).listWorkspaces, scopes: one(scopeAdminWorkspaces)},
	}
}

// PrivateEndpoints returns the templates of the endpoints that [Endpoints] leaves
// out, because no OAuth scope opens them.
func PrivateEndpoints() []string {
	var names []string
	for _, rt := range allRoutes[len(routes):] {
		names = append(names, rt.name)
	}
	return names
}
