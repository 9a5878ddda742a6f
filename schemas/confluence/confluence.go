// Package confluence declares the datasets of a Confluence site, one file each.
//
// A declaration is the only place where a dataset's columns, key, partition,
// scopes, severities and documentation are written; tables, views, hashes, the
// data dictionary and the list of scopes derive from it. Reading a dataset from
// the site is the business of collector/confluence.
package confluence

import "github.com/sitedrift/sitedrift/schemas"

// All lists the datasets, parents before children.
func All() []*schemas.Dataset {
	return []*schemas.Dataset{
		Spaces.Dataset,
		SpacePermissions.Dataset,
		SecurityConfiguration.Dataset,
		Groups.Dataset,
		GroupMembers.Dataset,
		Users.Dataset,
		ExternalCollaborators.Dataset,
	}
}

// cloud3LO is access with a 3LO grant through the API gateway (Atlassian,
// "OAuth 2.0 (3LO) apps"). Each scope is a list of alternatives.
func cloud3LO(pageSize int, call string, scopes ...[]string) schemas.Access {
	return schemas.Access{Deployment: "cloud", Credential: "3lo", Calls: []string{call}, Scopes: scopes, PageSize: pageSize}
}

var (
	readSpace  = []string{"read:space:confluence"}
	readUser   = []string{"read:user:confluence"}
	readAudit  = []string{"read:audit-log:confluence"}
	readConfig = []string{"read:configuration:confluence"}
	// v1 endpoints name a classic scope as current and a granular one as beta.
	readSystemInfo = []string{"read:configuration:confluence", "manage:confluence-configuration"}
	readGroups     = []string{"read:confluence-groups", "read:group:confluence"}
	// Members need the classic scope alone, or the granular ones for groups and
	// for users: readGroups and readMembers together say that.
	readMembers = []string{"read:confluence-groups", "read:user:confluence"}
)
