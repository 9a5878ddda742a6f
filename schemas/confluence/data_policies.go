package confluence

import "github.com/sitedrift/sitedrift/schemas"

// DataPolicy is a row of data_policies.
type DataPolicy struct {
	SpaceID, SpaceKey string
	Name              *string
}

// DataPolicies say in which spaces content is blocked for the collecting app.
var DataPolicies = schemas.Declare(schemas.Table[DataPolicy]{
	Name: "data_policies", Version: 1, Group: schemas.GroupPosture,
	Doc: "Spaces of which an organization's data security policy keeps content from the collecting app. What is blocked is left out of other listings, " +
		"and is not gone. At most the first 200,000 objects of a policy change are reported by Atlassian's events; this list is asked for, and has no such cut.",
	Grain: "tenant, space",
	Columns: []schemas.Column[DataPolicy]{
		schemas.String("space_id", "Id of the space.", func(r *DataPolicy) string { return r.SpaceID }).Key(),
		schemas.String("space_key", "Key of the space when the row was written.", func(r *DataPolicy) string { return r.SpaceKey }).Context(),
		schemas.NullString("name", "Name of the space when the row was written.", func(r *DataPolicy) *string { return r.Name }).Context(),
	},
	EntityName: []string{"space_key", "name"},
	// Only apps may ask (Confluence Cloud REST v2, "Data policies").
	Sources: appsOnly(cloud(schemas.Access{PageSize: 250, Calls: []string{"GET /wiki/api/v2/data-policies/spaces"}, Cost: "S/250"}, readSpace)),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Why: "content of the space is kept from the collector"},
	},
	Examples: []schemas.Example{
		{Question: "In which spaces is content kept from the collector? (A line without a space: not known.)", SQL: orUnknown("data_policies", "", "space_key", "name")},
	},
})
