package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// SitePermission is a row of site_permissions.
type SitePermission struct {
	PrincipalType, PrincipalID string
	PrincipalName              *string
	Operation, TargetType      string
}

// The types of principals that hold site permissions.
const (
	PrincipalGroup      = "group"
	PrincipalUser       = "user"
	PrincipalAnonymous  = "anonymous"
	PrincipalUnlicensed = "unlicensed"
)

// SitePermissions are the global permissions of a site.
var SitePermissions = schemas.Declare(schemas.Table[SitePermission]{
	Name: "site_permissions", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Global permissions: who may use the site, create spaces, administer it; also visitors without a login and users without a licence.",
	Grain: "tenant, principal, operation",
	Columns: []schemas.Column[SitePermission]{
		schemas.Enum("principal_type", "group, user, anonymous (visitors without a login), unlicensed, or another.", func(r *SitePermission) string { return r.PrincipalType }).Key(),
		schemas.String("principal_id", "Group id (Data Center: its name) or account (Data Center: user key); the type itself for anonymous and unlicensed.", func(r *SitePermission) string { return r.PrincipalID }).Key().Personal(),
		schemas.Enum("operation", "USE_CONFLUENCE, CREATE_SPACE, ADMINISTER_CONFLUENCE, ADMINISTER_SYSTEM and so on on Cloud; use, create, administer on Data Center.", func(r *SitePermission) string { return r.Operation }).Key(),
		schemas.Enum("target_type", "What the operation applies to: application, system, space, personal_space and so on; as the site writes it.", func(r *SitePermission) string { return r.TargetType }).Key(),
		schemas.NullString("principal_name", "Name of the group or person when the row was written; null when hidden.", func(r *SitePermission) *string { return r.PrincipalName }).Context().Personal(),
	},
	EntityName: []string{"principal_type", "principal_name", "principal_id", "operation"},
	Sources: slices.Concat(
		gateway(schemas.Access{Calls: []string{"sitePermissions"}, PageSize: 100, Cost: "groups/100 + persons/100"}, firstParty),
		dataCenter(schemas.Access{Calls: []string{"GET /rest/api/permissions", "GET /rest/api/permissions/anonymous", "GET /rest/api/permissions/unlicensed"}, Cost: "3"}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "principal_type", In: []string{PrincipalAnonymous}}}, Why: "anonymous access: anyone on the internet may do this"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "operation", Contains: []string{"administer"}}}, Why: "new admin of the site"},
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeRemoved}, Why: "who may use the site changed"},
	},
	Examples: []schemas.Example{
		{Question: "Who can administer each site?", SQL: "SELECT tenant_id, principal_type, principal_id, principal_name, operation FROM sitedrift.site_permissions WHERE positionCaseInsensitive(operation, 'administer') > 0 ORDER BY tenant_id, principal_type, principal_id"},
		{Question: "Which sites let visitors in without a login?", SQL: "SELECT t.tenant_id AS tenant_id, multiIf(notEmpty(p.operations), 'yes', t.state = 'complete', 'no', 'unknown') AS visitors, t.state AS state, p.operations AS operations FROM sitedrift.tiles AS t LEFT JOIN (SELECT tenant_id, groupArray(operation) AS operations FROM sitedrift.site_permissions WHERE principal_type = 'anonymous' GROUP BY tenant_id) AS p ON p.tenant_id = t.tenant_id WHERE t.dataset = 'site_permissions' ORDER BY visitors DESC, tenant_id"},
	},
})
