package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The dataset groups: each dataset belongs to exactly one, and a run reads one.
const (
	GroupPosture   = "posture"
	GroupInventory = "inventory"
	GroupAudit     = "audit"
)

// Groups lists the dataset groups.
var Groups = []string{GroupPosture, GroupInventory, GroupAudit}

// Whole is the partition of a dataset that is complete or not as a whole.
const Whole = ""

// Table declares a dataset, or a record table, with rows of type R.
type Table[R any] struct {
	Name    string // plural, snake case: the name of the view
	Version int    // raised when the meaning or the set of columns changes
	Group   string
	Doc     string // what one may ask of it
	Grain   string // one row per ...

	// Parent is the dataset whose keys are the partitions, and PartitionColumn
	// the name under which the views show them. Both are empty when the
	// dataset is one whole.
	Parent          string
	PartitionColumn string
	PartitionDoc    string
	// Sections names the partitions of a dataset that has a fixed set of them.
	Sections []string

	// Needs are further datasets that must be read before this one in a run.
	Needs []string

	Columns    []Column[R]
	EntityName []string // columns (or the partition column) whose values name the entity for people

	// Hides says that the listing leaves out what the reader may not see, so
	// that a missing entity may be hidden as well as deleted: it ends as
	// out_of_view, and its change is called vanished (Invariant 12).
	Hides bool

	// Append says that entities only ever come: they are neither compared nor
	// removed, and told of in no change. The partitions are days, of which a run
	// reads the last few, from where the one before ended.
	Append bool

	// Names are what the view D_named shows beside the ids.
	Names []Lookup

	Sources    []Access
	Severities []Severity
	Examples   []Example
}

// Example is a question and the SQL that answers it, for the data dictionary.
type Example struct{ Question, SQL string }

// Dataset is a declared table without its row type. It does not change after
// its declaration and is safe for concurrent use.
type Dataset struct {
	Name, Group, Doc, Grain               string
	Version                               int
	Parent, PartitionColumn, PartitionDoc string
	Sections, Needs                       []string
	Columns                               []ColumnInfo
	EntityName                            []string
	Hides, Append                         bool
	Names                                 []Lookup
	Sources                               []Access
	Severities                            []Severity
	Examples                              []Example

	key        []int // columns with RoleKey
	entityName []int // columns of EntityName; -1 is the partition
	problems   []string
}

// Typed is a declared table that knows its row type.
type Typed[R any] struct {
	*Dataset
	columns []Column[R]
}

// Declare compiles a declaration. What is wrong with it is kept for Check, so
// that all problems of all datasets are reported together.
func Declare[R any](t Table[R]) *Typed[R] {
	d := &Dataset{
		Name: t.Name, Group: t.Group, Doc: t.Doc, Grain: t.Grain, Version: t.Version,
		Parent: t.Parent, PartitionColumn: t.PartitionColumn, PartitionDoc: t.PartitionDoc, Sections: t.Sections, Needs: t.Needs,
		EntityName: t.EntityName, Hides: t.Hides, Append: t.Append, Names: t.Names, Sources: t.Sources, Severities: t.Severities, Examples: t.Examples,
	}
	for i, c := range t.Columns {
		d.Columns = append(d.Columns, c.info)
		if c.info.Role == RoleKey {
			d.key = append(d.key, i)
		}
	}
	for _, name := range t.EntityName {
		if name == t.PartitionColumn {
			d.entityName = append(d.entityName, -1)
		} else if i := d.Column(name); i >= 0 {
			d.entityName = append(d.entityName, i)
		} else {
			d.problem("entity name: no column %q", name)
		}
	}
	d.validate()
	return &Typed[R]{Dataset: d, columns: t.Columns}
}

func (d *Dataset) problem(format string, args ...any) {
	d.problems = append(d.problems, d.Name+": "+fmt.Sprintf(format, args...))
}

var nameRE = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// reserved are the names that the warehouse adds to every dataset.
var reserved = []string{"tenant_id", "partition_id", "key_hash", "row_hash", "seq", "op", "epoch", "run_id", "observed_at", "first_seen_at", "valid_from", "valid_to", "change"}

func (d *Dataset) validate() {
	if !nameRE.MatchString(d.Name) {
		d.problem("the name must match %s", nameRE)
	}
	if d.Version < 1 {
		d.problem("the version starts at 1")
	}
	if !strings.HasSuffix(d.Doc, ".") {
		d.problem("the doc must end with a full stop")
	}
	if d.Group != "" && !slices.Contains(Groups, d.Group) {
		d.problem("unknown group %q", d.Group)
	}
	seen := map[string]bool{}
	since := 1
	for _, c := range d.Columns {
		switch {
		case !nameRE.MatchString(c.Name):
			d.problem("column %q: the name must match %s", c.Name, nameRE)
		case seen[c.Name]:
			d.problem("column %s is declared twice", c.Name)
		case d.Group != "" && (slices.Contains(reserved, c.Name) || c.Name == d.PartitionColumn):
			d.problem("column %s: the warehouse adds a column of that name itself", c.Name)
		case !strings.HasSuffix(c.Doc, "."):
			d.problem("column %s: the doc must end with a full stop", c.Name)
		case c.Role == RoleKey && c.Nullable:
			d.problem("column %s: a key cannot be null", c.Name)
		case c.Since < since || c.Since > d.Version:
			d.problem("column %s: columns of later versions come last, and since is at most the dataset's version", c.Name)
		case c.Role == RoleKey && c.Since != 1:
			d.problem("column %s: the key cannot change", c.Name)
		}
		seen[c.Name], since = true, c.Since
	}
	if d.Group == "" { // a record table
		return
	}
	if len(d.key) == 0 {
		d.problem("no key column")
	}
	if (d.Parent != "" || len(d.Sections) > 0 || d.Append) != (d.PartitionColumn != "") {
		d.problem("a partitioned dataset names its partition column, a whole one does not")
	}
	if len(d.Sources) == 0 {
		d.problem("no source")
	}
	if len(d.Examples) == 0 {
		d.problem("no example")
	}
	for _, n := range d.Names {
		if d.Column(n.Column) < 0 && n.Column != d.PartitionColumn || d.Column(n.As) >= 0 || len(n.From) == 0 {
			d.problem("name %s: no column %s, or the name is one of a column already, or no dataset has it", n.As, n.Column)
		}
	}
	for _, s := range d.Severities {
		if err := s.check(d); err != nil {
			d.problem("severity %q: %v", s.Why, err)
		}
	}
}

// Check reports all problems of the given declarations at once.
func Check(all []*Dataset) error {
	var errs []error
	seen := map[string]bool{}
	for _, d := range all {
		for _, p := range d.problems {
			errs = append(errs, errors.New(p))
		}
		if seen[d.Name] {
			errs = append(errs, fmt.Errorf("%s: declared twice", d.Name))
		}
		if d.Parent != "" && !seen[d.Parent] {
			errs = append(errs, fmt.Errorf("%s: its parent %s must be declared before it", d.Name, d.Parent))
		}
		for _, n := range d.Needs {
			if !seen[n] {
				errs = append(errs, fmt.Errorf("%s: %s, which it needs, must be declared before it", d.Name, n))
			}
		}
		seen[d.Name] = true
	}
	return errors.Join(errs...)
}

// Column is the index of the named column, or -1.
func (d *Dataset) Column(name string) int {
	return slices.IndexFunc(d.Columns, func(c ColumnInfo) bool { return c.Name == name })
}

// KeyColumns are the indexes of the columns that identify an entity.
func (d *Dataset) KeyColumns() []int { return d.key }

// Rows is a page of rows of some type, ready to be hashed and stored.
type Rows interface {
	// Table is the declaration of the rows.
	Table() *Dataset
	// Len is their number.
	Len() int
	// Hash returns the identity of row i, and the hash of the values that are
	// compared: those of columns that the given version of the dataset had.
	Hash(h *Hasher, i, version int) (KeyHash, RowHash)
	// AppendColumns appends the columns of row i to a block; the engine's part
	// of it is the caller's.
	AppendColumns(b *Block, i int)
}

// Page wraps rows for the engine. The rows are not copied.
func (t *Typed[R]) Page(rows []R) Rows { return page[R]{t, rows} }

type page[R any] struct {
	t    *Typed[R]
	rows []R
}

func (p page[R]) Table() *Dataset { return p.t.Dataset }
func (p page[R]) Len() int        { return len(p.rows) }

func (p page[R]) Hash(h *Hasher, i, version int) (KeyHash, RowHash) {
	r := &p.rows[i]
	key := hashColumns(h, "sitedrift key\x00", p.t, r, RoleKey, 1)
	row := hashColumns(h, "sitedrift values\x00", p.t, r, RoleTracked, version)
	return KeyHash(key[:16]), row
}

func (p page[R]) AppendColumns(b *Block, i int) {
	for c := range p.t.columns {
		p.t.columns[c].appendTo(&p.rows[i], &b.Cols[c])
	}
}

// hashColumns hashes the row's columns of one role, each with its number.
func hashColumns[R any](h *Hasher, domain string, t *Typed[R], r *R, role Role, version int) [32]byte {
	b := appendText(append(h.buf[:0], domain...), t.Name)
	for i := range t.columns {
		c := &t.columns[i]
		if c.info.Role == role && c.info.Since <= version {
			b = c.canonical(r, binary.AppendUvarint(b, uint64(i)))
		}
	}
	h.buf = b
	return sha256.Sum256(b)
}
