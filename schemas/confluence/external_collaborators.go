package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// ExternalCollaborator is a row of external_collaborators.
type ExternalCollaborator struct {
	AccountID, AccountStatus string
	DisplayName, Email       *string
	SpaceIDs                 []string
	SpacesKnown              bool
}

// ExternalCollaborators are the accounts flagged as external (guests).
var ExternalCollaborators = schemas.Declare(schemas.Table[ExternalCollaborator]{
	Name: "external_collaborators", Version: 1, Group: schemas.GroupInventory,
	Doc:   "Accounts in at least one group that the site flags as external collaborators (guests). With the flags alone, guests in no group are not seen, and accounts whose flag the site leaves out are neither listed nor taken off.",
	Grain: "tenant, account",
	Needs: []string{"group_members"},
	Columns: []schemas.Column[ExternalCollaborator]{
		schemas.String("account_id", "Account.", func(r *ExternalCollaborator) string { return r.AccountID }).Key().Personal(),
		schemas.NullString("display_name", "Name as shown; null when hidden.", func(r *ExternalCollaborator) *string { return r.DisplayName }).Personal(),
		schemas.NullString("email", "E-mail address; null when their privacy settings hide it.", func(r *ExternalCollaborator) *string { return r.Email }).Personal(),
		schemas.Enum("account_status", "active, inactive, closed or unknown; empty when the source does not tell.", func(r *ExternalCollaborator) string { return r.AccountStatus }),
		schemas.Strings("space_ids", "Spaces that they were let into; see spaces_known.", func(r *ExternalCollaborator) []string { return r.SpaceIDs }),
		schemas.Bool("spaces_known", "Whether space_ids is known: an empty list that is not known is no \"nowhere\". Where it was known before, the row stays as it was.", func(r *ExternalCollaborator) bool { return r.SpacesKnown }),
	},
	EntityName: []string{"account_id", "display_name"},
	Sources: slices.Concat(gateway(schemas.Access{
		PageSize: 100, Calls: []string{"confluence_externalCollaboratorsByCriteria"}, Cost: "E/100",
		Note: "The site's own list, also of guests in no group, with the spaces that they reach.",
	}, firstParty), cloud(schemas.Access{
		PageSize: 250, Calls: []string{"GET /wiki/rest/api/group/{id}/membersByGroupId", "POST /wiki/api/v2/users-bulk"}, Cost: "none beside users",
		Note: "From the flags in the same answers that users is read from.",
	}, readGroups, readUser), []schemas.Access{directory("E/100", "Accounts with the role of a guest on the site; not the spaces that they reach.")}),
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Why: "new external collaborator"},
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"space_ids"}, Why: "an external collaborator reaches other spaces"},
	},
	Examples: []schemas.Example{
		{Question: "Who from outside works on each site?", SQL: "SELECT tenant_id, account_id, display_name, email, first_seen_at FROM sitedrift.external_collaborators ORDER BY tenant_id, first_seen_at DESC"},
	},
})
