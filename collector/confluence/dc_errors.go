package confluence

import (
	"net/http"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
)

// refusedByDataCenter completes what a failed call means on Data Center, where
// nobody hides a missing right behind 404 and where versions differ in endpoints.
func (s *visit) refusedByDataCenter(r *collector.ReadError, e *httpx.Error, table *schemas.Dataset) {
	said := strings.ToLower(e.Message)
	grant := s.way.Kind == schemas.CredentialDCOAuth
	connect := "(sitedrift connect --tenant " + s.tenant + " --kind "
	switch e.Class {
	case httpx.ClassUnauthorized, httpx.ClassScopeMissing, httpx.ClassForbidden:
		r.State = schemas.CoverageForbidden
		switch {
		case strings.Contains(said, "websudo"):
			r.Unlock = "the site asks administrators for their password once more, which a token cannot give: switch off secure administrator sessions (general configuration, security configuration)"
		case strings.Contains(said, "oauth2 apps"): // "Forge and OAuth2 apps cannot access this REST resource" (reference pages)
			r.Unlock = "add a personal access token " + connect + schemas.CredentialDCToken + ")"
		case grant && strings.Contains(said, "scope"):
			r.Unlock = s.grantScopes(s.wantedScopes())
		case e.Class == httpx.ClassForbidden:
			r.Unlock = s.dataCenterRight(table)
		case grant:
			r.Unlock = "consent anew " + connect + schemas.CredentialDCOAuth + ")"
		default:
			r.Unlock = "replace the personal access token, which is expired, revoked or its owner's account is not active " + connect + schemas.CredentialDCToken + ")"
		}
	case httpx.ClassNotFound:
		// The words of the platform below Confluence for a path that nothing answers.
		absent := strings.Contains(said, "null for uri") || strings.Contains(said, "http 404 not found")
		if absent && table.Name != tableSpaces && table.Name != tableGroups { // these two every version has
			r.State, r.Unlock = schemas.CoverageNotExposed, "this version of Confluence has no such endpoint: a newer one may (permissions and server information came with 9.1); or the tenant's site address lacks the context path"
		} else {
			r.Unlock = "check the tenant's site address, with its context path, as the site's general configuration shows it"
		}
	case httpx.ClassBadRequest:
		// Tomcat refuses escaped slashes in paths unless told otherwise (Apache Tomcat,
		// "Configuration reference", encodedSolidusHandling).
		if e.Status == http.StatusBadRequest && e.Message == "" && strings.Contains(r.Evidence, "%2F") {
			r.State, r.Unlock = schemas.CoverageNotExposed, "the server refuses names with a slash: rename it, or let the connector pass encoded slashes (Tomcat: encodedSolidusHandling)"
		}
	case httpx.ClassWrongOrigin:
		r.Unlock = "check the tenant's site address, with scheme and context path, as the site's general configuration shows it"
	default: // a matter of time or of the site: there is nothing to advise
	}
}

// dataCenterRight names the right that the account lacks.
func (s *visit) dataCenterRight(table *schemas.Dataset) string {
	account := "give the account that owns the token "
	if s.way.Kind == schemas.CredentialDCOAuth {
		account = "give the account that connected the site "
	}
	if table.Name == tableSpacePermissions {
		return account + "the Confluence Administrator permission, or make it an administrator of the space"
	}
	switch table.Name {
	case tableSpaces, tableGroups, tableGroupMembers, tableSecurityConfiguration:
		return account + "permission to use Confluence"
	default:
		return account + "the Confluence Administrator permission"
	}
}
