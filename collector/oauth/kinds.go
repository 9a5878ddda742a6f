package oauth

import (
	"slices"

	"github.com/sitedrift/sitedrift/collector"
)

// A fixed secret is sent as it is and nothing renews it.
func isFixed(kind string) bool {
	return slices.Contains([]string{
		collector.CredentialKindScopedToken, collector.CredentialKindAPIToken, collector.CredentialKindAdminKey, collector.CredentialKindDCToken,
	}, kind)
}

// isStatic tells kinds whose stored secret stays until an operator replaces it.
func isStatic(kind string) bool {
	return isFixed(kind) || kind == collector.CredentialKindServiceAccount
}

// rotates tells kinds whose refresh tokens these Tokens can use.
func (t *Tokens) rotates(kind string) bool {
	return kind == t.Provider.kind() || kind == collector.CredentialKindDCOAuth && t.ProviderFor != nil
}

// noun names what a credential of a kind is, for people.
func noun(kind string) string {
	switch kind {
	case collector.CredentialKindServiceAccount:
		return "client secret"
	case collector.CredentialKindScopedToken:
		return "scoped API token"
	case collector.CredentialKindAPIToken:
		return "API token"
	case collector.CredentialKindAdminKey:
		return "organization's API key"
	case collector.CredentialKindDCToken:
		return "personal access token"
	}
	return "grant"
}

// origin says where a new one is made, for people.
func origin(kind string) string {
	switch kind {
	case collector.CredentialKindServiceAccount:
		return "in Atlassian Administration, at the service account"
	case collector.CredentialKindScopedToken, collector.CredentialKindAPIToken:
		return "in the security settings of the Atlassian account"
	case collector.CredentialKindAdminKey:
		return "in Atlassian Administration, in the organization's settings"
	case collector.CredentialKindDCToken:
		return "in the account's settings on the site"
	}
	return "by consent"
}

// again is the command that puts another credential in the place of this one.
func again(tenant, kind string) string {
	command := "sitedrift connect --tenant " + tenant
	if kind != "" && kind != collector.CredentialKind3LO {
		command += " --credential " + kind
	}
	return command
}
