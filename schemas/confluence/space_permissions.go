package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// SpacePermission is a row of space_permissions.
type SpacePermission struct {
	PermissionID, SpaceKey     string
	PrincipalType, PrincipalID string
	Operation, TargetType      string
}

// SpacePermissions are the grants on each space.
var SpacePermissions = schemas.Declare(schemas.Table[SpacePermission]{
	Name: "space_permissions", Version: 1, Group: schemas.GroupPosture,
	Doc: "Who may do what in which space: one row per grant to a user, a group, a role or an access class such as anonymous users. " +
		"Data Center gives grants no ids; theirs are made of space, principal, operation and target, so that a grant is only ever added or removed.",
	Grain:  "tenant, space, grant",
	Needs:  []string{"space_roles"}, // which ask for the mode that the rows depend on
	Parent: "spaces", PartitionColumn: "space_id", PartitionDoc: "Id of the space.",
	Columns: []schemas.Column[SpacePermission]{
		schemas.String("permission_id", "Id of the grant; on Data Center a hash of what it grants, and to whom.", func(r *SpacePermission) string { return r.PermissionID }).Key(),
		schemas.String("space_key", "Key of the space when the row was written.", func(r *SpacePermission) string { return r.SpaceKey }).Context(),
		schemas.Enum("principal_type", "user, group, role, access-class or another.", func(r *SpacePermission) string { return r.PrincipalType }),
		schemas.String("principal_id", "Account id, group id, role id or name of the access class (anonymous-users and so on); on Data Center user key or name of the group.", func(r *SpacePermission) string { return r.PrincipalID }).Personal(),
		schemas.Enum("operation", "read, create, delete, administer and so on.", func(r *SpacePermission) string { return r.Operation }),
		schemas.Enum("target_type", "What the operation applies to: space, page, comment and so on.", func(r *SpacePermission) string { return r.TargetType }),
	},
	Names: []schemas.Lookup{spaceName, {
		As: "principal_name", Doc: "Name of the person, group or role then; null when it was not seen, or is hidden.", Column: "principal_id",
		From: append(principals("user", "group"), schemas.NameSource{Dataset: "space_roles", Key: "role_id", Name: "name", Where: "principal_type", In: []string{"role"}}),
	}},
	EntityName: []string{"space_key", "principal_type", "principal_id", "operation", "target_type"},
	Sources: slices.Concat(
		cloud(schemas.Access{PageSize: 250, Calls: []string{"GET /wiki/api/v2/spaces/{id}/permissions"}, Cost: "per space, its rows/250"}, readSpace),
		dataCenter(schemas.Access{Calls: []string{"GET /rest/api/space/{key}/permissions"}, Cost: "S", Note: "Confluence 9.1 or newer; for its administrators, or administrators of the space."}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{
			Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Why: "anonymous access: anyone on the internet may do this",
			Where: []schemas.Condition{{Column: "principal_id", In: []string{"anonymous-users", "anonymous"}}},
		},
		{
			Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Why: "public exposure: everybody who has a login, whoever they are, may do this",
			Where: []schemas.Condition{{Column: "principal_type", In: []string{"access-class"}}, {Column: "principal_id", In: []string{"authenticated-users"}}},
		},
		{
			Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Why: "new admin of a space",
			Where: []schemas.Condition{{Column: "operation", In: []string{"administer"}}},
		},
		{
			Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Why: "content can leave the site or be destroyed",
			Where: []schemas.Condition{{Column: "operation", In: []string{"export", "purge", "purge_version"}}},
		},
	},
	Examples: []schemas.Example{
		{Question: "Which spaces can anonymous visitors read? (A line without a space: not known.)", SQL: orUnknown("space_permissions", " WHERE principal_id = 'anonymous-users' AND operation = 'read'", "space_key", "space_id")},
		{Question: "Who may administer which space, by name?", SQL: "SELECT tenant_id, space_name, principal_type, principal_name FROM sitedrift.space_permissions_named WHERE operation = 'administer' ORDER BY tenant_id, space_name, principal_name LIMIT 100"},
		{Question: "Who could administer a space on a day?", SQL: "SELECT principal_type, principal_id FROM sitedrift.space_permissions_at(at = '2026-03-01 00:00:00') WHERE operation = 'administer' ORDER BY principal_type, principal_id LIMIT 100"},
	},
})
