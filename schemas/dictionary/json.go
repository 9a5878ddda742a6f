package dictionary

import (
	"encoding/json"

	"github.com/sitedrift/sitedrift/schemas"
)

// Dataset is a dataset as programs read it. The names of its fields are part of
// the command line's contract.
type Dataset struct {
	Name      string     `json:"name"`
	Version   int        `json:"version"`
	Group     string     `json:"group"`
	Doc       string     `json:"doc"`
	Grain     string     `json:"grain"`
	Key       []string   `json:"key"`
	Partition *Partition `json:"partition"` // null: the dataset is one whole
	Columns   []Column   `json:"columns"`
	Sources   []Source   `json:"sources"`
	Views     []string   `json:"views"`
}

// Partition is the unit of completeness inside a dataset.
type Partition struct {
	Column   string   `json:"column"`
	Parent   string   `json:"parent,omitempty"`   // dataset whose entities are the partitions
	Sections []string `json:"sections,omitempty"` // the fixed set of them
	Doc      string   `json:"doc"`
}

// Column is a column of a dataset's views.
type Column struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // string, int, bool, time, strings
	Role     string `json:"role"` // key, partition, tracked, context, volatile, engine
	Nullable bool   `json:"nullable"`
	Personal bool   `json:"personal"`
	Since    int    `json:"since"`
	Doc      string `json:"doc"`
}

// Source is one way to read a dataset.
type Source struct {
	Section    string     `json:"section,omitempty"`
	API        string     `json:"api"`
	Closed     bool       `json:"closed"` // the vendor lets nobody in today; tried once a week
	Deployment string     `json:"deployment"`
	Credential string     `json:"credential"`
	Calls      []string   `json:"calls"`
	Scopes     [][]string `json:"scopes"` // all of these are needed; of each, any one
	PageSize   int        `json:"page_size,omitempty"`
	Note       string     `json:"note,omitempty"`
}

// JSON renders the datasets as one indented JSON array.
func JSON(datasets []*schemas.Dataset) ([]byte, error) {
	list := make([]Dataset, len(datasets))
	for i, d := range datasets {
		list[i] = Describe(d)
	}
	data, err := json.MarshalIndent(list, "", "  ")
	return append(data, '\n'), err
}

// Describe is one dataset with all columns that its views show.
func Describe(d *schemas.Dataset) Dataset {
	out := Dataset{
		Name: d.Name, Version: d.Version, Group: d.Group, Doc: d.Doc, Grain: d.Grain, Key: []string{},
		Columns: columns(d), Sources: []Source{}, Views: views(d),
	}
	if d.PartitionColumn != "" {
		out.Partition = &Partition{Column: d.PartitionColumn, Parent: d.Parent, Sections: d.Sections, Doc: d.PartitionDoc}
		out.Key = append(out.Key, d.PartitionColumn)
	}
	for _, c := range d.KeyColumns() {
		out.Key = append(out.Key, d.Columns[c].Name)
	}
	for _, s := range d.Sources {
		scopes := s.Scopes
		if scopes == nil {
			scopes = [][]string{}
		}
		out.Sources = append(out.Sources, Source{s.Section, s.API, s.Closed, s.Deployment, s.Credential, s.Calls, scopes, s.PageSize, s.Note})
	}
	return out
}

// views are the names under which a dataset can be asked for.
func views(d *schemas.Dataset) []string {
	if d.Append {
		return []string{d.Name}
	}
	list := []string{d.Name, d.Name + "_history", d.Name + "_at"}
	if len(d.Names) > 0 {
		list = append(list, d.Name+"_named", d.Name+"_named_at")
	}
	return list
}

// columns lists the columns of view D in its order.
func columns(d *schemas.Dataset) []Column {
	engine := func(name, typ, doc string) Column {
		return Column{Name: name, Type: typ, Role: "engine", Since: 1, Doc: doc}
	}
	list := []Column{engine("tenant_id", "string", "Customer.")}
	if d.PartitionColumn != "" {
		list = append(list, Column{Name: d.PartitionColumn, Type: "string", Role: "partition", Since: 1, Doc: d.PartitionDoc})
	}
	list = append(list, own(d)...)
	return append(list,
		engine("first_seen_at", "time", "When the entity was seen first."),
		engine("observed_at", "time", "End of the reading that saw this version; the same for all rows of a run."),
		engine("run_id", "uuid", "Run that wrote this version."),
	)
}

// own lists the declared columns.
func own(d *schemas.Dataset) []Column {
	list := make([]Column, len(d.Columns))
	for i, c := range d.Columns {
		list[i] = Column{c.Name, c.Kind.String(), c.Role.String(), c.Nullable, c.Personal, c.Since, c.Doc}
	}
	return list
}
