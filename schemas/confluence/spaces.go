package confluence

import (
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Space is a row of spaces.
type Space struct {
	SpaceID, Key, Name, Type, Status string
	Alias, AuthorID, HomepageID      *string
	CreatedAt                        time.Time
}

// Spaces are the spaces that the collecting account can view.
var Spaces = schemas.Declare(schemas.Table[Space]{
	Name: "spaces", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Spaces that the collecting account can view, personal and archived ones included.",
	Grain: "tenant, space",
	// The listing leaves out what the account may not view (Confluence REST v2,
	// "Get spaces").
	Hides: true,
	Columns: []schemas.Column[Space]{
		schemas.String("space_id", "Id of the space; digits, beyond what a double holds.", func(r *Space) string { return r.SpaceID }).Key(),
		schemas.String("space_key", "Key of the space, as in its address.", func(r *Space) string { return r.Key }),
		schemas.String("name", "Name of the space.", func(r *Space) string { return r.Name }),
		schemas.Enum("type", "global, personal, collaboration, knowledge_base, system or another.", func(r *Space) string { return r.Type }),
		schemas.Enum("status", "current or archived.", func(r *Space) string { return r.Status }),
		schemas.NullString("alias", "Alias of the space in addresses, if it has one.", func(r *Space) *string { return r.Alias }),
		schemas.NullString("author_id", "Account that created the space.", func(r *Space) *string { return r.AuthorID }).Personal(),
		schemas.NullString("homepage_id", "Page that the space opens with.", func(r *Space) *string { return r.HomepageID }),
		schemas.NullTime("created_at", "When the space was created.", func(r *Space) time.Time { return r.CreatedAt }),
	},
	EntityName: []string{"space_key", "name"},
	Sources: slices.Concat(
		cloud(schemas.Access{PageSize: 250, Calls: []string{"GET /wiki/api/v2/spaces"}, Cost: "S/250"}, readSpace),
		dataCenter(schemas.Access{PageSize: 200, Calls: []string{"GET /rest/api/space"}, Cost: "S/200", Note: "The site may cut pages, often to 100. It tells no alias, author and time of creation."}, "READ"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"status"}, Why: "a space was archived or brought back"},
	},
	Examples: []schemas.Example{
		{Question: "Which spaces are new or gone since a date?", SQL: "SELECT observed_at, change, entity_name, severity FROM sitedrift.changes WHERE dataset = 'spaces' AND observed_at >= '2026-01-01 00:00:00' ORDER BY observed_at DESC, entity_name LIMIT 50"},
		{Question: "How many spaces of each type does each site have?", SQL: "SELECT tenant_id, type, status, count() AS spaces FROM sitedrift.spaces GROUP BY tenant_id, type, status ORDER BY tenant_id, spaces DESC"},
	},
})
