package confluence

import (
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// The lists that installed_apps is read from.
const (
	SectionConnectApps = "connect"
	SectionForgeApps   = "forge"
	SectionPlugins     = "plugins"
)

// InstalledApp is a row of installed_apps.
type InstalledApp struct {
	AppKey                         string
	Name, Version, Vendor          *string
	Enabled, UserInstalled         *bool
	Scopes, Egress                 []string
	LicenseActive                  *bool
	LicenseType, InstalledBy, Dist *string
	InstalledAt                    time.Time
}

// InstalledApps are the apps on a site.
var InstalledApps = schemas.Declare(schemas.Table[InstalledApp]{
	Name: "installed_apps", Version: 1, Group: schemas.GroupInventory,
	Doc: "Apps on the site. How an app gets in follows from its kind: a Connect app signs with a shared secret from a server of its vendor, " +
		"a Forge app runs at Atlassian with the scopes and the egress that it declares, a Data Center plugin runs inside the server with all rights.",
	Grain:    "tenant, kind, app",
	Sections: []string{SectionConnectApps, SectionForgeApps, SectionPlugins}, PartitionColumn: "kind", PartitionDoc: "Kind of app: connect, forge, or plugins (Data Center).",
	Columns: []schemas.Column[InstalledApp]{
		schemas.String("app_key", "Key of the app; for Forge its id.", func(r *InstalledApp) string { return r.AppKey }).Key(),
		schemas.NullString("name", "Name of the app.", func(r *InstalledApp) *string { return r.Name }),
		schemas.NullString("version", "Installed version.", func(r *InstalledApp) *string { return r.Version }),
		schemas.NullString("vendor", "Who makes it.", func(r *InstalledApp) *string { return r.Vendor }),
		schemas.NullBool("enabled", "Whether it is switched on; null when the site does not say.", func(r *InstalledApp) *bool { return r.Enabled }),
		schemas.NullBool("user_installed", "Whether a person installed it, rather than Atlassian; null when the site does not say.", func(r *InstalledApp) *bool { return r.UserInstalled }),
		schemas.Strings("scopes", "Scopes that it holds; empty when the list does not tell.", func(r *InstalledApp) []string { return r.Scopes }),
		schemas.Strings("egress", "Addresses that it may send data to (Forge).", func(r *InstalledApp) []string { return r.Egress }),
		schemas.NullBool("license_active", "Whether its licence is valid; null when there is none or the site does not say.", func(r *InstalledApp) *bool { return r.LicenseActive }),
		schemas.NullString("license_type", "Type of its licence.", func(r *InstalledApp) *string { return r.LicenseType }),
		schemas.NullString("installed_by", "Account that installed it.", func(r *InstalledApp) *string { return r.InstalledBy }).Personal(),
		schemas.NullTime("installed_at", "When it was installed.", func(r *InstalledApp) time.Time { return r.InstalledAt }),
		schemas.NullString("distribution", "Where it comes from: PUBLIC, DEVELOPMENT and so on (Forge).", func(r *InstalledApp) *string { return r.Dist }),
	},
	EntityName: []string{"name", "app_key"},
	Sources: slices.Concat(
		[]schemas.Access{classic(schemas.Access{Section: SectionConnectApps, API: schemas.APIApps, Calls: []string{"GET /wiki/rest/plugins/1.0/"}})},
		gateway(schemas.Access{Section: SectionForgeApps, Calls: []string{"ecosystem.appInstallationsByContext"}, PageSize: 50, Cost: "F/50"}),
		dataCenter(schemas.Access{
			Section: SectionPlugins, API: schemas.APIApps, Calls: []string{"GET /rest/plugins/1.0/", "GET /rest/plugins/1.0/{key}-key/license"}, Cost: "1 + apps that use licences",
			Note: "Plugins that came with Confluence are left out.",
		}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Why: "new app: somebody else's code can read the site"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"scopes", "egress"}, Why: "an app may do more, or send data elsewhere"},
	},
	Examples: []schemas.Example{
		{Question: "Which apps have the most scopes? (null: none, or not told)", SQL: "SELECT tenant_id, kind, name, vendor, nullIf(length(scopes), 0) AS scopes_held, egress FROM sitedrift.installed_apps ORDER BY scopes_held DESC NULLS LAST, tenant_id, name LIMIT 50"},
		{Question: "Which apps came lately, and who installed them?", SQL: "SELECT observed_at, tenant_id, entity_name, after FROM sitedrift.changes WHERE dataset = 'installed_apps' AND change = 'added' ORDER BY observed_at DESC LIMIT 50"},
	},
})
