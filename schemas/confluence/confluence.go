// Package confluence declares the datasets of a Confluence site, one file each.
//
// A declaration is the only place where a dataset's columns, key, partition,
// scopes, severities and documentation are written; tables, views, hashes, the
// data dictionary and the list of scopes derive from it. Reading a dataset from
// the site is the business of collector/confluence.
package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// All lists the datasets, parents before children.
func All() []*schemas.Dataset {
	return []*schemas.Dataset{
		Spaces.Dataset,
		SpaceRoles.Dataset,
		SpacePermissions.Dataset,
		SpaceRoleAssignments.Dataset,
		SitePermissions.Dataset,
		SecurityConfiguration.Dataset,
		PublicLinkSpaces.Dataset,
		PublicLinks.Dataset,
		DataPolicies.Dataset,
		ClassificationLevels.Dataset,
		Groups.Dataset,
		GroupMembers.Dataset,
		Users.Dataset,
		ExternalCollaborators.Dataset,
		InstalledApps.Dataset,
		Subscriptions.Dataset,
		UserActivities.Dataset,
		AuditEvents.Dataset,
	}
}

// cloud is access to an endpoint of Confluence's REST API with every kind of
// credential that it takes: on the API gateway with scopes, or on the site's own
// host with a classic token, whose rights are those of its account. Each scope is
// a list of alternatives.
func cloud(a schemas.Access, scopes ...[]string) []schemas.Access {
	var list []schemas.Access
	a.Deployment, a.API = schemas.Cloud, schemas.APIRest
	for _, kind := range []string{schemas.Credential3LO, schemas.CredentialServiceAccount, schemas.CredentialScopedToken, schemas.CredentialAPIToken} {
		a.Credential, a.Scopes = kind, scopes
		if kind == schemas.CredentialAPIToken {
			a.Scopes = nil
		}
		list = append(list, a)
	}
	return list
}

// classic is access that only a classic API token has today, with the account's
// rights (Atlassian, "Manage API tokens for your Atlassian account").
func classic(a schemas.Access) schemas.Access {
	a.Deployment, a.Credential = schemas.Cloud, schemas.CredentialAPIToken
	return a
}

// gateway is access to fields of the GraphQL gateway: a classic token today, and
// an OAuth grant as soon as the vendor exposes the fields to it, which is probed.
func gateway(a schemas.Access, scopes ...[]string) []schemas.Access {
	a.API = schemas.APIGraphQL
	grant := a
	grant.Deployment, grant.Credential, grant.Scopes, grant.Closed = schemas.Cloud, schemas.Credential3LO, scopes, true
	return []schemas.Access{grant, classic(a)}
}

// appsOnly leaves out the ways in that are no app's: the endpoint refuses tokens
// of people.
func appsOnly(list []schemas.Access) []schemas.Access {
	return slices.DeleteFunc(list, func(a schemas.Access) bool {
		return a.Credential == schemas.CredentialScopedToken || a.Credential == schemas.CredentialAPIToken
	})
}

// directory is access to the users of the organization (Atlassian, "Organizations
// REST API").
func directory(cost, note string) schemas.Access {
	return schemas.Access{
		Deployment: schemas.Cloud, Credential: schemas.CredentialAdminKey, API: schemas.APIAdmin, PageSize: 100, Cost: cost, Note: note,
		Calls: []string{"GET /v1/orgs", "POST /v2/orgs/{id}/directories/-/users/search"}, Scopes: [][]string{{"read:directories:admin"}},
	}
}

// dataCenter is access to a Data Center site: with a personal access token, or
// with an OAuth grant, of which reference pages say that some endpoints refuse it.
func dataCenter(a schemas.Access, scope string) []schemas.Access {
	a.Deployment = schemas.DataCenter
	if a.API == "" {
		a.API = schemas.APIRest
	}
	grant, token := a, a
	grant.Credential, grant.Scopes = schemas.CredentialDCOAuth, [][]string{{scope}}
	token.Credential = schemas.CredentialDCToken
	return []schemas.Access{grant, token}
}

// principals are the datasets that name who holds a right.
func principals(user, group string) []schemas.NameSource {
	return []schemas.NameSource{
		{Dataset: "users", Key: "account_id", Name: "display_name", Where: "principal_type", In: []string{user}},
		{Dataset: "groups", Key: "group_id", Name: "name", Where: "principal_type", In: []string{group}},
	}
}

// spaceName is the name of the space of a row.
var spaceName = schemas.Lookup{
	As: "space_name", Doc: "Name of the space then; null when it was not seen.", Column: "space_id",
	From: []schemas.NameSource{{Dataset: "spaces", Key: "space_id", Name: "name"}},
}

var (
	readSpace  = []string{"read:space:confluence"}
	readUser   = []string{"read:user:confluence"}
	readAudit  = []string{"read:audit-log:confluence"}
	readConfig = []string{"read:configuration:confluence"}

	readSpacePerm = []string{"read:space.permission:confluence"}
	// firstParty is the scope that the gateway asks of OAuth tokens for these fields
	// today, and that no customer's app is given.
	firstParty = []string{"confluence:atlassian-external"}

	// v1 endpoints name a classic scope as current and a granular one as beta.
	readSystemInfo = []string{"read:configuration:confluence", "manage:confluence-configuration"}
	readGroups     = []string{"read:confluence-groups", "read:group:confluence"}
	// Members need the classic scope alone, or the granular ones for groups and
	// for users: readGroups and readMembers together say that.
	readMembers = []string{"read:confluence-groups", "read:user:confluence"}
)
