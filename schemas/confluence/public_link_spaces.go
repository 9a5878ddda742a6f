package confluence

import "github.com/sitedrift/sitedrift/schemas"

// PublicLinkSpace is a row of public_link_spaces.
type PublicLinkSpace struct {
	SpaceID, SpaceKey string
	Name              *string
	Status            string
	PolicySet         *bool
	ActiveLinks       *int64
}

// PublicLinkSpaces are the spaces for which public links are set.
var PublicLinkSpaces = schemas.Declare(schemas.Table[PublicLinkSpace]{
	Name: "public_link_spaces", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Whether pages of a space can be opened by anybody who has a link, and how many links there are. The links themselves are never stored.",
	Grain: "tenant, space",
	Columns: []schemas.Column[PublicLinkSpace]{
		schemas.String("space_id", "Id of the space.", func(r *PublicLinkSpace) string { return r.SpaceID }).Key(),
		schemas.String("space_key", "Key of the space when the row was written.", func(r *PublicLinkSpace) string { return r.SpaceKey }).Context(),
		schemas.NullString("name", "Name of the space when the row was written.", func(r *PublicLinkSpace) *string { return r.Name }).Context(),
		schemas.Enum("status", "ON, OFF, BLOCKED_BY_ORG, BLOCKED_BY_PRODUCT, BLOCKED_BY_CONTAINER_POLICY or another.", func(r *PublicLinkSpace) string { return r.Status }),
		schemas.NullBool("policy_set", "Whether a policy for a classification level decides; null when the site does not say.", func(r *PublicLinkSpace) *bool { return r.PolicySet }),
		schemas.NullInt("active_links", "Number of links that work now; null when the site does not say.", func(r *PublicLinkSpace) *int64 { return r.ActiveLinks }),
	},
	EntityName: []string{"space_key", "name"},
	Sources:    gateway(schemas.Access{Calls: []string{"publicLinkSpacesByCriteria"}, PageSize: 100, Cost: "L/100"}, firstParty),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded, schemas.ChangeChanged}, Where: []schemas.Condition{{Column: "status", In: []string{"ON"}}}, Why: "public exposure: pages of the space can be shared with anybody"},
	},
	Examples: []schemas.Example{
		{Question: "In which spaces do public links work? (A line without a space: not known.)", SQL: orUnknown("public_link_spaces", " WHERE status = 'ON'", "space_key", "name", "active_links")},
	},
})
