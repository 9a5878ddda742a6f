package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// Group is a row of groups.
type Group struct{ GroupID, Name, Type string }

// Groups are the groups of a site.
var Groups = schemas.Declare(schemas.Table[Group]{
	Name: "groups", Version: 1, Group: schemas.GroupInventory,
	Doc:   "Groups that Confluence knows.",
	Grain: "tenant, group",
	Columns: []schemas.Column[Group]{
		schemas.String("group_id", "Id of the group; on Data Center its name.", func(r *Group) string { return r.GroupID }).Key(),
		schemas.String("name", "Name of the group.", func(r *Group) string { return r.Name }),
		schemas.Enum("type", "Type that the site gives it; group.", func(r *Group) string { return r.Type }),
	},
	EntityName: []string{"name"},
	Sources: slices.Concat(
		cloud(schemas.Access{PageSize: 200, Calls: []string{"GET /wiki/rest/api/group"}, Cost: "G/200"}, readGroups),
		dataCenter(schemas.Access{PageSize: 200, Calls: []string{"GET /rest/api/group"}, Cost: "G/200"}, "READ"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged, schemas.ChangeRemoved}, Where: []schemas.Condition{{Column: "name", Contains: []string{"admin"}}}, Why: "a group whose name speaks of administration came, changed or went"},
	},
	Examples: []schemas.Example{
		{Question: "Which groups are the largest?", SQL: "SELECT g.tenant_id, g.name, m.members FROM sitedrift.groups AS g INNER JOIN (SELECT tenant_id, group_id, count() AS members FROM sitedrift.group_members GROUP BY tenant_id, group_id) AS m ON m.tenant_id = g.tenant_id AND m.group_id = g.group_id ORDER BY m.members DESC, g.name LIMIT 20"},
	},
})
