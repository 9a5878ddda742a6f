package confluencetest

import "strings"

// dcRoute is one REST endpoint of a Data Center.
type dcRoute struct {
	name  string   // method and template
	parts []string // template split at slashes; "{...}" matches one segment
	// right is needed of the user, and its scope of an OAuth token. Endpoints with
	// self decide by themselves what the user needs.
	right  Right
	self   bool
	params []string // query parameters that exist
	later  []string // parameters that exist and are not imitated
	// permissions marks what OAuth tokens may be kept from altogether.
	permissions bool
	accept      string // media type that the request must accept
	handle      func(*dcCall)
}

// dcRoutes are all REST endpoints. They never change.
var dcRoutes = buildDCRoutes()

func buildDCRoutes() []dcRoute {
	paged := []string{"start", "limit", "expand"}
	list := []dcRoute{
		{
			name: "/rest/api/space", handle: (*dcCall).listSpaces,
			params: append([]string{"type", "status", "spaceKey"}, paged...), later: []string{"spaceId", "label", "favourite", "hasRetentionPolicy"},
		},
		{name: "/rest/api/space/{key}", handle: (*dcCall).getSpace, params: []string{"expand"}},
		{name: "/rest/api/space/{key}/permissions", handle: (*dcCall).listPermissions, right: RightAdmin, self: true, permissions: true},
		{name: "/rest/api/space/{key}/permissions/anonymous", handle: (*dcCall).listAnonymous, right: RightAdmin, self: true, permissions: true},
		{name: "/rest/api/permissions", handle: (*dcCall).listGlobal, right: RightAdmin, permissions: true},
		{name: "/rest/api/permissions/anonymous", handle: (*dcCall).listGlobalAnonymous, right: RightAdmin, permissions: true},
		{name: "/rest/api/permissions/unlicensed", handle: (*dcCall).listUnlicensed, right: RightAdmin, permissions: true},

		{name: "/rest/api/group", handle: (*dcCall).listGroups, params: paged},
		{name: "/rest/api/group/{name}", handle: (*dcCall).getGroup, params: []string{"expand"}},
		{name: "/rest/api/group/{name}/member", handle: (*dcCall).listMembers, params: paged},
		{name: "/rest/api/group/{name}/groupmember", handle: (*dcCall).listNested, params: paged},
		{name: "/rest/api/user", handle: (*dcCall).getUser, params: []string{"key", "username", "expand"}},
		{name: "/rest/api/user/current", handle: (*dcCall).getCurrentUser, params: []string{"expand"}},
		{name: "/rest/api/user/list", handle: (*dcCall).listUsers, right: RightAdmin, params: paged},
		{name: "/rest/api/admin/users/list/active", handle: (*dcCall).listActive, right: RightAdmin, params: paged},

		{
			name: "/rest/auditing/1.0/events", handle: (*dcCall).listAudit, right: RightAdmin,
			params: []string{"from", "to", "limit", "offset", "pageCursor", "scanLimit"}, later: []string{"userIds", "categories", "actions", "affectedObject", "search", "outputFormat"},
		},

		{name: "/rest/plugins/1.0/", handle: (*dcCall).listAddons, right: RightAdmin, params: []string{"os_authType"}, accept: installedAddons},
		{name: "/rest/plugins/1.0/{key}-key", handle: (*dcCall).getAddon, right: RightAdmin},
		{name: "/rest/plugins/1.0/{key}-key/license", handle: (*dcCall).getAddonLicense, right: RightAdmin},
		{name: "/rest/license/1.0/license/details", handle: (*dcCall).getLicense, right: RightAdmin},
		{name: "/rest/license/1.0/license/userCount", handle: (*dcCall).getUserCount, right: RightAdmin},
		{name: "/rest/license/1.0/license/remainingSeats", handle: (*dcCall).getRemainingSeats, right: RightAdmin},
		{name: "/rest/license/1.0/license/maxUsers", handle: (*dcCall).getMaxUsers, right: RightAdmin},

		{name: "/rest/api/server-information", handle: (*dcCall).getServer},
		{name: "/rest/api/instance-metrics", handle: (*dcCall).getMetrics, right: RightAdmin},
		{name: "/rest/api/accessmode", handle: (*dcCall).getAccessMode},
	}
	for i := range list {
		list[i].parts = strings.Split(list[i].name[1:], "/")
		list[i].name = "GET " + list[i].name
	}
	return list
}

// DataCenterEndpoints returns the templates of all REST endpoints that a Data
// Center answers, such as "GET /rest/api/space/{key}/permissions".
func DataCenterEndpoints() []string {
	names := make([]string, len(dcRoutes))
	for i := range dcRoutes {
		names[i] = dcRoutes[i].name
	}
	return names
}

// fits tells whether unescaped path segments are those of the route, and which
// object they name.
func (rt *dcRoute) fits(parts []string) (object string, ok bool) {
	if len(parts) != len(rt.parts) {
		return "", false
	}
	for i, p := range rt.parts {
		suffix, variable := "", false
		if strings.HasPrefix(p, "{") {
			_, suffix, variable = strings.Cut(p, "}")
		}
		if !variable {
			if p != parts[i] {
				return "", false
			}
			continue
		}
		if object, ok = strings.CutSuffix(parts[i], suffix); !ok || object == "" {
			return "", false
		}
	}
	return object, true
}
