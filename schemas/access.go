package schemas

import (
	"slices"
)

// The deployments of Confluence.
const (
	Cloud      = "cloud"
	DataCenter = "data_center"
)

// The kinds of credentials.
const (
	Credential3LO            = "3lo"             // Cloud OAuth grant with a rotating refresh token
	CredentialServiceAccount = "service_account" // Cloud OAuth client credentials
	CredentialScopedToken    = "scoped_token"    // Cloud API token with scopes
	CredentialAPIToken       = "api_token"       // Cloud API token without scopes: all that its account may
	CredentialAdminKey       = "admin_key"       // API key of a Cloud organization
	CredentialDCOAuth        = "dc_oauth"        // Data Center OAuth grant
	CredentialDCToken        = "dc_pat"          // Data Center personal access token
)

// Credentials lists the kinds of credentials of a deployment, the one that may
// do least first.
func Credentials(deployment string) []string {
	if deployment == DataCenter {
		return []string{CredentialDCOAuth, CredentialDCToken}
	}
	return []string{Credential3LO, CredentialServiceAccount, CredentialScopedToken, CredentialAdminKey, CredentialAPIToken}
}

// The interfaces of a site that a source may use.
const (
	APIRest    = "rest"
	APIGraphQL = "graphql" // the GraphQL gateway
	APIApps    = "apps"    // the plugin manager
	APILicense = "license" // the private licence endpoints
	APIAdmin   = "admin"   // the organization's admin API
	APIDerived = "derived" // from what other datasets of the same run read
)

// Access is one way to read a dataset. A declaration lists them in order of
// preference: a run takes the first that the tenant's credentials open.
type Access struct {
	Section    string     // the section that it reads; empty: all of the dataset
	Deployment string     // Cloud or DataCenter
	Credential string     // Credential3LO, ...
	API        string     // APIRest, ...
	Calls      []string   // method and path, or GraphQL field, of each call
	Scopes     [][]string // all of these are needed; of each, any one; the first is asked for
	PageSize   int
	// Cost is the number of calls, in the words of the symbols S (spaces), G
	// (groups), U (users) and so on; empty: one.
	Cost string
	// Closed says that the vendor does not let this kind of credential in yet. It
	// is not used before a probe has found that it is let in.
	Closed bool
	Note   string
}

// String names the interface and the kind of credential, such as "graphql with
// api_token (unscoped)".
func (a Access) String() string {
	text := a.API + " with " + a.Credential
	if !Scoped(a.Credential) {
		text += " (unscoped)"
	}
	return text
}

// Scoped reports whether a kind of credential knows scopes. One that does not may
// do all that its account may.
func Scoped(credential string) bool {
	return credential != CredentialAPIToken && credential != CredentialDCToken
}

// Scopes lists the OAuth scopes to ask for to read the dataset with the kind of
// credential: the first alternative of each that is needed. Those of sources
// that are closed are not asked for: the vendor grants them to nobody.
func (d *Dataset) Scopes(credential string) []string {
	var scopes []string
	for _, s := range d.Sources {
		if s.Credential != credential || s.Closed {
			continue
		}
		for _, alternatives := range s.Scopes {
			if !slices.Contains(scopes, alternatives[0]) {
				scopes = append(scopes, alternatives[0])
			}
		}
	}
	return scopes
}

// SectionsOf lists the sections that exist on a deployment, in order; nil for a
// dataset without sections.
func (d *Dataset) SectionsOf(deployment string) []string {
	var list []string
	for _, section := range d.Sections {
		if slices.ContainsFunc(d.Sources, func(a Access) bool { return a.Section == section && a.Deployment == deployment }) {
			list = append(list, section)
		}
	}
	return list
}

// On reports whether a deployment has the dataset at all.
func (d *Dataset) On(deployment string) bool {
	return slices.ContainsFunc(d.Sources, func(a Access) bool { return a.Deployment == deployment })
}
