package confluence

import (
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// PublicLink is a row of public_links.
type PublicLink struct {
	PageID                   string
	Title, Type, EnabledBy   *string
	SpaceKey, Status, Access string
	EnabledAt                time.Time
}

// PublicLinks are the pages with a public link.
var PublicLinks = schemas.Declare(schemas.Table[PublicLink]{
	Name: "public_links", Version: 1, Group: schemas.GroupPosture,
	Doc:    "Pages with a public link that works: anybody who has it can open the page. A link that is turned off or blocked is not listed. The link itself is a key to the page, and is never stored.",
	Grain:  "tenant, space, page",
	Parent: "public_link_spaces", PartitionColumn: "space_id", PartitionDoc: "Id of the space.",
	Columns: []schemas.Column[PublicLink]{
		schemas.String("page_id", "Id of the page.", func(r *PublicLink) string { return r.PageID }).Key(),
		schemas.String("space_key", "Key of the space when the row was written.", func(r *PublicLink) string { return r.SpaceKey }).Context(),
		schemas.NullString("title", "Title of the page when the row was written.", func(r *PublicLink) *string { return r.Title }).Context(),
		schemas.NullString("type", "page, blogpost, whiteboard and so on.", func(r *PublicLink) *string { return r.Type }),
		schemas.Enum("status", "ON.", func(r *PublicLink) string { return r.Status }),
		schemas.Enum("access_type", "EXTERNAL (anybody), INTERNAL_LICENSED, or another; empty when the site does not say.", func(r *PublicLink) string { return r.Access }),
		schemas.NullString("enabled_by", "Account that turned the link on last.", func(r *PublicLink) *string { return r.EnabledBy }).Personal(),
		schemas.NullTime("enabled_at", "When the link was turned on last.", func(r *PublicLink) time.Time { return r.EnabledAt }),
	},
	EntityName: []string{"space_key", "title"},
	Sources:    gateway(schemas.Access{Calls: []string{"publicLinksByCriteria"}, PageSize: 100, Cost: "per space with active links, their number/100"}, firstParty),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "status", In: []string{"ON"}}}, Why: "public exposure: anybody who has the link can open the page"},
	},
	Examples: []schemas.Example{
		{Question: "Which pages are open to anybody with the link, and since when? (A line without a page: not known.)", SQL: orUnknown("public_links", "", "space_key", "title", "enabled_by", "enabled_at")},
	},
})
