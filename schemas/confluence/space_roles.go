package confluence

import "github.com/sitedrift/sitedrift/schemas"

// SpaceRole is a row of space_roles.
type SpaceRole struct {
	RoleID, Type      string
	Name, Description *string
	Permissions       []string
}

// SpaceRoles are the roles that a site gives in spaces.
var SpaceRoles = schemas.Declare(schemas.Table[SpaceRole]{
	Name: "space_roles", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Roles and the permissions that they bundle, on sites with space roles. Which mode a site is in: the setting space_role_mode of security_configuration.",
	Grain: "tenant, role",
	Columns: []schemas.Column[SpaceRole]{
		schemas.String("role_id", "Id of the role.", func(r *SpaceRole) string { return r.RoleID }).Key(),
		schemas.Enum("type", "SYSTEM, CUSTOM or another.", func(r *SpaceRole) string { return r.Type }),
		schemas.NullString("name", "Name of the role.", func(r *SpaceRole) *string { return r.Name }),
		schemas.NullString("description", "What the site says of it.", func(r *SpaceRole) *string { return r.Description }),
		schemas.Strings("permissions", "Ids of the permissions that it bundles.", func(r *SpaceRole) []string { return r.Permissions }),
	},
	EntityName: []string{"name", "role_id"},
	Sources:    cloud(schemas.Access{PageSize: 250, Calls: []string{"GET /wiki/api/v2/space-role-mode", "GET /wiki/api/v2/space-roles"}, Cost: "1 + R/250"}, readSpacePerm, readConfig),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"permissions"}, Why: "everybody with the role may do more or less"},
	},
	Examples: []schemas.Example{
		{Question: "Which roles are a site's own?", SQL: "SELECT tenant_id, name, permissions FROM sitedrift.space_roles WHERE type = 'CUSTOM' ORDER BY tenant_id, name"},
	},
})
