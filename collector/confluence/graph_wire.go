package confluence

import "encoding/json"

// graphData are the top-level fields of the answers that this package asks for.
// Types and fields are those of the gateway's schema as of mid-2026.
type graphData struct {
	SitePermissions *struct {
		Groups  *connection[sitePrincipalWire] `json:"groups"`
		Persons *connection[sitePrincipalWire] `json:"confluencePersons"`

		Anonymous        *operationsWire `json:"anonymous"`
		Unlicensed       *operationsWire `json:"unlicensedUserWithPermissions"`
		AnonymousBlocked *bool           `json:"anonymousAccessDSPBlocked"`
	} `json:"sitePermissions"`

	PublicLinkSiteStatus *struct {
		Status *string `json:"status"`
	} `json:"publicLinkSiteStatus"`
	ShareableLinks *struct {
		SiteConfigs []struct {
			AccessType *string `json:"accessType"`
			Status     *string `json:"status"`
		} `json:"siteConfigs"`
	} `json:"confluence_shareableLinkSiteConfig"`
	PublicLinkSpaces *connection[publicLinkSpaceWire] `json:"publicLinkSpacesByCriteria"`
	PublicLinks      *connection[publicLinkWire]      `json:"publicLinksByCriteria"`

	Confluence *struct {
		SiteConfiguration map[string]json.RawMessage `json:"siteConfiguration"`
	} `json:"confluence"`

	ExternalCollaborators *connection[personWire] `json:"confluence_externalCollaboratorsByCriteria"`

	Ecosystem *struct {
		Installations *connection[installationWire] `json:"appInstallationsByContext"`
	} `json:"ecosystem"`
}

type operationsWire struct {
	Operations []operationWire `json:"operations"`
}

type operationWire struct {
	Operation  *string `json:"operation"`
	TargetType *string `json:"targetType"`
}
