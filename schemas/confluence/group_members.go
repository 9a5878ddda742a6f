package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// GroupMember is a row of group_members.
type GroupMember struct {
	AccountID, GroupName, AccountType string
	DisplayName                       *string
}

// GroupMembers are the members of each group.
var GroupMembers = schemas.Declare(schemas.Table[GroupMember]{
	Name: "group_members", Version: 1, Group: schemas.GroupInventory,
	Doc: "Who is in which group. Suspended accounts may be left out by the site. On Data Center groups can be in groups: a group that is directly in another one is a row too, " +
		"with account_type group and its group_id as account_id; the site may list the members of such a group with those of the outer one.",
	Grain:  "tenant, group, account",
	Parent: "groups", PartitionColumn: "group_id", PartitionDoc: "Id of the group; on Data Center its name.",
	Columns: []schemas.Column[GroupMember]{
		schemas.String("account_id", "Account of the member; on Data Center the user key, or the name of a nested group.", func(r *GroupMember) string { return r.AccountID }).Key().Personal(),
		schemas.String("group_name", "Name of the group when the row was written.", func(r *GroupMember) string { return r.GroupName }).Context(),
		schemas.NullString("display_name", "Name of the member when the row was written; null when their privacy settings hide it.", func(r *GroupMember) *string { return r.DisplayName }).Context().Personal(),
		schemas.Enum("account_type", "atlassian for a person, app, or another; on Data Center user, or group for a nested group.", func(r *GroupMember) string { return r.AccountType }),
	},
	EntityName: []string{"group_name", "account_id", "display_name"},
	Sources: slices.Concat(
		cloud(schemas.Access{PageSize: 200, Calls: []string{"GET /wiki/rest/api/group/{id}/membersByGroupId"}, Cost: "per group, its members/200"}, readGroups, readMembers),
		dataCenter(schemas.Access{PageSize: 200, Calls: []string{"GET /rest/api/group/{name}/member", "GET /rest/api/group/{name}/groupmember"}, Cost: "per group, its members/200 + its nested groups/200"}, "READ"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "group_name", Contains: []string{"admin"}}}, Why: "new admin: somebody joined a group whose name speaks of administration"},
	},
	Examples: []schemas.Example{
		{Question: "Who is in groups for administrators?", SQL: "SELECT tenant_id, group_name, account_id, display_name FROM sitedrift.group_members WHERE positionCaseInsensitive(group_name, 'admin') > 0 ORDER BY tenant_id, group_name, account_id"},
		{Question: "Who is in a group, directly or through groups inside it (Data Center)?", SQL: "WITH RECURSIVE inside AS (SELECT group_id, account_id, account_type, 1 AS depth FROM sitedrift.group_members WHERE tenant_id = 'acme' AND group_id = 'all-staff' UNION ALL SELECT m.group_id, m.account_id, m.account_type, i.depth + 1 FROM inside AS i INNER JOIN sitedrift.group_members AS m ON m.group_id = i.account_id WHERE i.account_type = 'group' AND m.tenant_id = 'acme' AND i.depth < 10) SELECT DISTINCT account_id FROM inside WHERE account_type = 'user' ORDER BY account_id"},
		{Question: "Who joined a group, and when?", SQL: "SELECT observed_at, entity_name, severity FROM sitedrift.changes WHERE dataset = 'group_members' AND change = 'added' ORDER BY observed_at DESC LIMIT 50"},
	},
})
