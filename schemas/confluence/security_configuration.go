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
)

// Setting is a row of security_configuration.
type Setting struct {
	Setting   string
	Value     *string // nil: the site did not say
	ValueType string
}

// SecurityConfiguration are the settings of a site that a 3LO grant can read.
var SecurityConfiguration = schemas.Declare(schemas.Table[Setting]{
	Name: "security_configuration", Version: 1, Group: schemas.GroupPosture,
	Doc:      "Settings of the site that bear on its security: one row per setting, from each endpoint that tells some.",
	Grain:    "tenant, endpoint, setting",
	Sections: []string{SectionSystemInfo, SectionAuditRetention, SectionSpaceRoleMode}, PartitionColumn: "source", PartitionDoc: "Endpoint that tells the setting.",
	Columns: []schemas.Column[Setting]{
		schemas.String("setting", "Name of the setting.", func(r *Setting) string { return r.Setting }).Key(),
		schemas.NullString("value", "Value as text; null when the site does not say.", func(r *Setting) *string { return r.Value }),
		schemas.Enum("value_type", "Type of the value: string, int or period (a number and its unit, such as 1 YEARS).", func(r *Setting) string { return r.ValueType }),
	},
	EntityName: []string{"setting"},
	Sources: slices.Concat(
		section(SectionSystemInfo, "GET /wiki/rest/api/settings/systemInfo", readSystemInfo),
		section(SectionAuditRetention, "GET /wiki/rest/api/audit/retention", readAudit),
		section(SectionSpaceRoleMode, "GET /wiki/api/v2/space-role-mode", readConfig),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"audit_retention"}}}, Why: "how long the audit log is kept changed"},
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "setting", In: []string{"space_role_mode", "base_url", "edition"}}}, Why: "a setting that permissions or policies depend on changed"},
	},
	Examples: []schemas.Example{
		{Question: "Which settings differ between sites?", SQL: "SELECT setting, groupArray((tenant_id, value)) AS values FROM sitedrift.security_configuration GROUP BY setting HAVING uniqExact(value) > 1 ORDER BY setting"},
	},
})

func section(name, call string, scope []string) []schemas.Access {
	return cloud(schemas.Access{Section: name, Calls: []string{call}}, scope)
}
