package confluence

import "github.com/sitedrift/sitedrift/schemas"

// SpaceRoleAssignment is a row of space_role_assignments.
type SpaceRoleAssignment struct {
	PrincipalType, PrincipalID, RoleID string
	SpaceKey                           string
	RoleName                           *string
}

// SpaceRoleAssignments say who has which role in which space.
var SpaceRoleAssignments = schemas.Declare(schemas.Table[SpaceRoleAssignment]{
	Name: "space_role_assignments", Version: 1, Group: schemas.GroupPosture,
	Doc:    "Who has which role in which space, on sites with space roles.",
	Grain:  "tenant, space, principal, role",
	Parent: "spaces", PartitionColumn: "space_id", PartitionDoc: "Id of the space.", Needs: []string{"space_roles"},
	Columns: []schemas.Column[SpaceRoleAssignment]{
		schemas.Enum("principal_type", "USER, GROUP, ACCESS_CLASS or another.", func(r *SpaceRoleAssignment) string { return r.PrincipalType }).Key(),
		schemas.String("principal_id", "Account, group, or name of the access class: anonymous-users, authenticated-users, all-licensed-users and so on.", func(r *SpaceRoleAssignment) string { return r.PrincipalID }).Key().Personal(),
		schemas.String("role_id", "Id of the role.", func(r *SpaceRoleAssignment) string { return r.RoleID }).Key(),
		schemas.String("space_key", "Key of the space when the row was written.", func(r *SpaceRoleAssignment) string { return r.SpaceKey }).Context(),
		schemas.NullString("role_name", "Name of the role when the row was written.", func(r *SpaceRoleAssignment) *string { return r.RoleName }).Context(),
	},
	Names: []schemas.Lookup{spaceName, {
		As: "principal_name", Doc: "Name of the person or group then; null when it was not seen, or is hidden.", Column: "principal_id",
		From: principals("USER", "GROUP"),
	}},
	EntityName: []string{"space_key", "principal_type", "principal_id", "role_name"},
	Sources:    cloud(schemas.Access{PageSize: 250, Calls: []string{"GET /wiki/api/v2/spaces/{id}/role-assignments"}, Cost: "per space, its assignments/250"}, readSpacePerm),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "principal_id", In: []string{"anonymous-users"}}}, Why: "anonymous access: anyone on the internet has the role"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "principal_id", In: []string{"authenticated-users"}}}, Why: "public exposure: everybody who has a login, whoever they are, has the role"},
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "role_name", Contains: []string{"admin"}}}, Why: "new admin of a space"},
	},
	Examples: []schemas.Example{
		{Question: "Which spaces give visitors a role? (A line without a space: not known.)", SQL: orUnknown("space_role_assignments", " WHERE principal_id = 'anonymous-users'", "space_key", "role_name")},
	},
})
