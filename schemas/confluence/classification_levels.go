package confluence

import "github.com/sitedrift/sitedrift/schemas"

// ClassificationLevel is a row of classification_levels.
type ClassificationLevel struct {
	LevelID, Status              string
	Name, Description, Guideline *string
	Color                        *string
	Order                        *int64
}

// ClassificationLevels are the levels that content can be marked with.
var ClassificationLevels = schemas.Declare(schemas.Table[ClassificationLevel]{
	Name: "classification_levels", Version: 1, Group: schemas.GroupPosture,
	Doc:   "Levels that content can be classified with. Sites whose plan has none answer that there is nothing.",
	Grain: "tenant, level",
	Columns: []schemas.Column[ClassificationLevel]{
		schemas.String("level_id", "Id of the level.", func(r *ClassificationLevel) string { return r.LevelID }).Key(),
		schemas.Enum("status", "DRAFT, PUBLISHED, ARCHIVED or another.", func(r *ClassificationLevel) string { return r.Status }),
		schemas.NullString("name", "Name of the level.", func(r *ClassificationLevel) *string { return r.Name }),
		schemas.NullString("description", "What it stands for.", func(r *ClassificationLevel) *string { return r.Description }),
		schemas.NullString("guideline", "What people are told to do.", func(r *ClassificationLevel) *string { return r.Guideline }),
		schemas.NullString("color", "Colour of its mark.", func(r *ClassificationLevel) *string { return r.Color }),
		schemas.NullInt("level_order", "Place among the levels.", func(r *ClassificationLevel) *int64 { return r.Order }),
	},
	EntityName: []string{"name", "level_id"},
	Sources:    cloud(schemas.Access{Calls: []string{"GET /wiki/api/v2/classification-levels"}}, readConfig),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged, schemas.ChangeRemoved}, Why: "what content is classified by changed"},
	},
	Examples: []schemas.Example{
		{Question: "Which levels does each site use?", SQL: "SELECT tenant_id, name, status FROM sitedrift.classification_levels ORDER BY tenant_id, level_order, name"},
	},
})
