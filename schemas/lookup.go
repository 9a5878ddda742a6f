package schemas

// Lookup adds the name behind an id to the view D_named: the name as of the same
// moment as the row.
type Lookup struct {
	As, Doc string // column of the view
	Column  string // of the dataset (or its partition column), holds the id
	From    []NameSource
}

// NameSource is a dataset that has the name.
type NameSource struct {
	Dataset, Key, Name string   // Name is a column of Dataset, of the entity whose Key is the id
	Where              string   // only for rows whose column Where ...
	In                 []string // ... has one of these values
}
