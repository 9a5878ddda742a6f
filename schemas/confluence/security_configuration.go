package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// The endpoints that security_configuration is read from.
const (
	SectionSystemInfo     = "system_info"
	SectionAuditRetention = "audit_retention"
	SectionSpaceRoleMode  = "space_role_mode"

	SectionSiteConfiguration = "site_configuration"
	SectionPublicLinkSwitch  = "public_links"
	SectionAdminKey          = "admin_key"
	SectionOrganization      = "organization"
)

// Who decides a setting. No source tells a default from a value that somebody set.
const (
	OriginSite         = "site"
	OriginOrganization = "organization"
)

// Setting is a row of security_configuration.
type Setting struct {
	Setting   string
	Value     *string // nil: the site did not say
	ValueType string
	Flag      *bool  // the value, if it is a truth value
	Number    *int64 // the value, if it is a number
	Origin    string // OriginSite if empty
}

func (r *Setting) origin() string {
	if r.Origin == "" {
		return OriginSite
	}
	return r.Origin
}

// SecurityConfiguration are the settings of a site.
var SecurityConfiguration = schemas.Declare(schemas.Table[Setting]{
	Name: "security_configuration", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Settings of the site that bear on its security: one row per setting, from each endpoint that tells some.",
	Grain: "tenant, endpoint, setting",
	Sections: []string{
		SectionSystemInfo, SectionAuditRetention, SectionSpaceRoleMode,
		SectionSiteConfiguration, SectionPublicLinkSwitch, SectionAdminKey, SectionOrganization,
		SectionServerInformation, SectionAccessMode,
	}, PartitionColumn: "source", PartitionDoc: "Endpoint that tells the setting.",
	Columns: []schemas.Column[Setting]{
		schemas.String("setting", "Name of the setting.", func(r *Setting) string { return r.Setting }).Key(),
		schemas.NullString("value", "Value as text; null when the site does not say.", func(r *Setting) *string { return r.Value }),
		schemas.Enum("value_type", "Type of the value: string, bool, int, list (JSON), or period (a number and its unit, such as 1 YEARS).", func(r *Setting) string { return r.ValueType }),
		schemas.NullBool("value_bool", "The value of a setting of the type bool.", func(r *Setting) *bool { return r.Flag }),
		schemas.NullInt("value_int", "The value of a setting of the type int.", func(r *Setting) *int64 { return r.Number }),
		schemas.Enum("origin", "Who decides it: site, or organization (inherited). No source tells a default from a value that somebody set.", func(r *Setting) string { return r.origin() }),
	},
	EntityName: []string{"setting"},
	Sources: slices.Concat(
		section(SectionSystemInfo, "GET /wiki/rest/api/settings/systemInfo", readSystemInfo),
		section(SectionAuditRetention, "GET /wiki/rest/api/audit/retention", readAudit),
		section(SectionSpaceRoleMode, "GET /wiki/api/v2/space-role-mode", readConfig),
		dataCenter(schemas.Access{Section: SectionServerInformation, Calls: []string{"GET /rest/api/server-information"}, Note: "Confluence 9.1 or newer."}, "READ"),
		dataCenter(schemas.Access{Section: SectionAccessMode, Calls: []string{"GET /rest/api/accessmode"}}, "READ"),
		gateway(schemas.Access{Section: SectionSiteConfiguration, Calls: []string{"confluence.siteConfiguration"}}),
		gateway(schemas.Access{Section: SectionPublicLinkSwitch, Calls: []string{"publicLinkSiteStatus", "confluence_shareableLinkSiteConfig"}}, firstParty),
		[]schemas.Access{
			classic(schemas.Access{Section: SectionAdminKey, API: schemas.APIRest, Calls: []string{"GET /wiki/api/v2/admin-key", "GET /wiki/rest/api/audit/retention"}, Note: "An admin key lets an administrator pass all restrictions for a while. That there is none is believed only of an administrator, who can read the retention of the audit log."}),
			{
				Section: SectionOrganization, Deployment: schemas.Cloud, Credential: schemas.CredentialAdminKey, API: schemas.APIAdmin,
				Calls:  []string{"GET /v1/orgs", "GET /v2/orgs/{id}/directories/-/users/count", "GET /v1/orgs/{id}/policies", "GET /v1/orgs/{id}/domains"},
				Scopes: [][]string{{"read:directories:admin"}, {"read:policies:admin"}, {"read:domains:admin"}}, Cost: "4",
			},
		},
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"audit_retention"}}}, Why: "how long the audit log is kept changed"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"public_link_site_status", "admin_key_enabled", "is_anonymous_access_to_remote_api_enabled", "is_external_connection_enabled", "attachment_security_level"}}}, Why: "public exposure: a switch for the whole site was turned"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged, schemas.ChangeRemoved}, Where: []schemas.Condition{{Column: "origin", In: []string{OriginOrganization}}}, Why: "a policy of the organization changed"},
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"space_role_mode", "base_url", "edition", "access_mode"}}}, Why: "a setting that permissions or policies depend on changed"},
		{Level: schemas.LevelLow, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"version"}}}, Why: "another version of Confluence runs"},
	},
	Examples: []schemas.Example{
		{Question: "Which settings differ between sites?", SQL: "SELECT setting, groupArray((tenant_id, value)) AS values FROM sitedrift.security_configuration GROUP BY setting HAVING uniqExact(value) > 1 ORDER BY setting"},
	},
})

func section(name, call string, scope []string) []schemas.Access {
	return cloud(schemas.Access{Section: name, Calls: []string{call}}, scope)
}
