package clickhouse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// Types of the columns that the warehouse itself adds, spelled as
// system.columns spells them.
const (
	typeText   = "String"
	typeFew    = "LowCardinality(String)"
	typeTime   = "DateTime64(3, 'UTC')"
	typeHash16 = "FixedString(16)"
	typeHash32 = "FixedString(32)"
	typeOp     = "Enum8('baseline' = 1, 'added' = 2, 'changed' = 3, 'removed' = 4, 'out_of_view' = 5)"
)

// column is a column of a table or a view.
type column struct{ name, typ, doc string }

// table is what CREATE TABLE needs to know.
type table struct {
	name      string
	doc       string
	engine    string // without the prefix that a cluster wants
	columns   []column
	order     []string
	partition string
	fed       bool // runs append to it: inserts are deduplicated for a while
}

// columnType is the ClickHouse type of a declared column.
func columnType(c schemas.ColumnInfo) string {
	t := ""
	switch c.Kind {
	case schemas.KindString:
		t = typeText
	case schemas.KindInt:
		t = "Int64"
	case schemas.KindBool:
		t = "Bool"
	case schemas.KindTime:
		t = typeTime
	case schemas.KindStrings:
		return "Array(String)"
	}
	if c.Nullable {
		t = "Nullable(" + t + ")"
	}
	if c.Few && c.Kind == schemas.KindString {
		t = "LowCardinality(" + t + ")"
	}
	return t
}

// declared are the columns of a dataset or a record table.
func declared(d *schemas.Dataset) []column {
	columns := make([]column, len(d.Columns))
	for i, c := range d.Columns {
		columns[i] = column{c.Name, columnType(c), c.Doc}
	}
	return columns
}

// versionsName is the table of all versions of a dataset's rows.
func versionsName(d *schemas.Dataset) string { return d.Name + "_versions" }

// versionsTable holds every version of every row of a dataset. Nothing ever
// merges rows away, and nothing expires: the only version of a row that never
// changed may be years old.
func versionsTable(d *schemas.Dataset) table {
	columns := []column{
		{"tenant_id", typeFew, "Customer."},
		{"partition_id", typeText, partitionDoc(d)},
		{"key_hash", typeHash16, "Identity of the entity inside its partition."},
		{"seq", "UInt64", "Attempt number of the run that wrote the version."},
		{"op", typeOp, "What the version tells of its entity."},
		{"row_hash", typeHash32, "Hash of the compared values."},
		{"epoch", "UInt32", "Epoch of the dataset: a stretch of runs under one fingerprint."},
	}
	columns = append(columns, declared(d)...)
	columns = append(columns,
		column{"first_seen_at", typeTime, "When the entity was seen first."},
		column{"observed_at", typeTime, "End of the reading that saw this version; the same for all rows of a run."},
		column{"run_id", "UUID", "Run that wrote the version."},
	)
	partition := ""
	if d.Append {
		partition = "toYYYYMM(observed_at)"
	}
	return table{
		partition: partition,
		name:      versionsName(d), doc: "Every version of " + d.Name + ", also of runs that were never published: read the views. " + d.Doc,
		engine: "MergeTree", columns: columns, order: []string{"tenant_id", "partition_id", "key_hash", "seq"}, fed: true,
	}
}

func partitionDoc(d *schemas.Dataset) string {
	if d.PartitionColumn == "" {
		return "Always empty: the dataset is one whole."
	}
	return d.PartitionDoc
}

// recordTypes are the types of record columns that are narrower than their
// declared kind.
var recordTypes = map[string]string{
	"event_id": "UUID", "run_id": "UUID", "seq": "UInt64", "epoch": "UInt32",
}

func recordColumns(d *schemas.Dataset) []column {
	columns := declared(d)
	for i, c := range columns {
		if t, ok := recordTypes[c.name]; ok {
			columns[i].typ = t
		}
	}
	return columns
}

// Names of the tables that are not of one dataset.
const (
	headsName          = "heads"
	expectedName       = "expected"
	installationName   = "installation"
	objectsName        = "schema_objects"
	schemaVersionsName = "schema_versions"
	changesName        = "changes_log"
	coverageName       = "coverage_log"
	runsName           = "runs_log"
)

func headsTable() table {
	return table{
		name: headsName, doc: "What readers may see of each dataset: rows up to committed_seq that are not void. Every view reads it first.",
		engine: "ReplacingMergeTree(committed_seq)",
		columns: []column{
			{"tenant_id", typeFew, "Customer."},
			{"dataset", typeFew, "Dataset."},
			{"dataset_group", typeFew, "Group of datasets that one run reads."},
			{"committed_seq", "UInt64", "Last decided attempt."},
			{"void", "Array(UInt64)", "Attempts up to it that were never decided; their rows are not shown."},
			{"epoch", "UInt32", "Epoch of the dataset."},
			{"rows", "UInt64", "Current rows."},
			{"digest", "UInt128", "Sum of the digests of the current rows, modulo 2^128."},
			{"observed_at", typeTime, "End of the reading."},
			{"run_id", "UUID", "Run that was decided."},
			{"version", "UInt32", "Version of the dataset's declaration that wrote it."},
			{"installation", "UUID", "Installation that the ledger belongs to."},
		},
		order: []string{"dataset", "tenant_id"},
	}
}

func expectedTable() table {
	return table{
		name: expectedName, doc: "What each tenant is meant to deliver; written by administration, not by runs.",
		engine: "ReplacingMergeTree(updated_at)",
		columns: []column{
			{"tenant_id", typeFew, "Customer."},
			{"dataset", typeFew, "Dataset."},
			{"dataset_group", typeFew, "Group of datasets that one run reads."},
			{"cadence_seconds", "UInt64", "Expected time between two runs; 0 when there is no schedule."},
			{"paused", "Bool", "The tenant's schedule is paused."},
			{"removed", "Bool", "The tenant is gone."},
			{"updated_at", typeTime, "When this was written."},
		},
		order: []string{"tenant_id", "dataset"},
	}
}

func installationTable() table {
	return table{
		name: installationName, doc: "The one installation that writes here: the earliest row.",
		engine: "MergeTree",
		columns: []column{
			{"installation", "UUID", "Identity of the state database."},
			{"created_at", typeTime, "When it first wrote here."},
		},
		order: []string{"created_at", "installation"},
	}
}

func schemaVersionsTable() table {
	return table{
		name: schemaVersionsName, doc: "Versions that the schema has had; the highest is the present one.",
		engine: "MergeTree",
		columns: []column{
			{"version", "UInt32", "Number that grows with each change of the schema."},
			{"oldest", "UInt32", "Releases that know this version or a newer one may use it."},
			{"created_at", typeTime, "When the database was brought to it."},
		},
		order: []string{"version"},
	}
}

func objectsTable() table {
	return table{
		name: objectsName, doc: "Views as they were last created, so that a changed definition is noticed.",
		engine: "ReplacingMergeTree(created_at)",
		columns: []column{
			{"name", typeText, "View."},
			{"statement", typeText, "Hash of the statement that created it."},
			{"stored", typeText, "Hash of the definition that the server made of it."},
			{"created_at", typeTime, "When it was created."},
		},
		order: []string{"name"},
	}
}

func changesTable() table {
	return table{
		name: changesName, doc: "Changes, also of runs that were never published: read the view changes.",
		engine: "MergeTree", columns: recordColumns(schemas.ChangesTable.Dataset),
		order: []string{"tenant_id", "dataset", "observed_at", "event_id"}, partition: "toYYYYMM(observed_at)", fed: true,
	}
}

func coverageTable() table {
	return table{
		name: coverageName, doc: "Coverage, also of runs that were never published: read the views coverage and coverage_history.",
		engine: "MergeTree", columns: recordColumns(schemas.CoverageTable.Dataset),
		order: []string{"tenant_id", "dataset", "partition_id", "seq"}, fed: true,
	}
}

func runsTable() table {
	return table{
		name: runsName, doc: "Runs, also those that were never published: read the view runs.",
		engine: "MergeTree", columns: recordColumns(schemas.RunsTable.Dataset),
		order: []string{"tenant_id", "dataset_group", "started_at", "run_id", "seq"}, partition: "toYYYYMM(started_at)", fed: true,
	}
}

// tables lists the tables of the schema, those that others need first.
func tables(datasets []*schemas.Dataset) []table {
	list := []table{installationTable(), objectsTable(), schemaVersionsTable(), headsTable(), expectedTable(), changesTable(), coverageTable(), runsTable()}
	for _, d := range datasets {
		list = append(list, versionsTable(d))
	}
	return list
}

// codec is the compression of a column: texts shrink by half under ZSTD at the
// same insert speed, hashes and dictionaries do not.
func (c column) codec() string {
	if c.typ == typeText || c.typ == "Nullable(String)" || c.typ == "Array(String)" {
		return " CODEC(ZSTD(1))"
	}
	return ""
}

func (c column) definition() string {
	return fmt.Sprintf("%s %s COMMENT %s%s", name(c.name), c.typ, text(c.doc), c.codec())
}

// settings of the table: a row that was acknowledged survives a power cut, and
// an insert repeated within the window is dropped. Heads and expectations
// replace by key, so a window could only hide a legitimate repetition.
func (t table) settings(cluster string) []string {
	s := []string{"fsync_after_insert = 1", "fsync_part_directory = 1"}
	window := "non_replicated_deduplication_window"
	if cluster != "" {
		window = "replicated_deduplication_window"
	}
	n := 0
	if t.fed {
		n = 1000
	}
	return append(s, fmt.Sprintf("%s = %d", window, n))
}

// create is the CREATE TABLE statement.
func (t table) create(l layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE IF NOT EXISTS %s%s\n(\n", l.object(t.name), l.onCluster())
	for i, c := range t.columns {
		comma := ","
		if i == len(t.columns)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    %s%s\n", c.definition(), comma)
	}
	fmt.Fprintf(&b, ")\nENGINE = %s\n", l.engine(t.engine))
	if t.partition != "" {
		fmt.Fprintf(&b, "PARTITION BY %s\n", t.partition)
	}
	fmt.Fprintf(&b, "ORDER BY (%s)\nSETTINGS %s\nCOMMENT %s", strings.Join(t.order, ", "), strings.Join(t.settings(l.cluster), ", "), text(t.doc))
	return b.String()
}

// layout is where the schema is put.
type layout struct{ database, cluster string }

func (l layout) object(n string) string { return name(l.database) + "." + name(n) }

func (l layout) onCluster() string {
	if l.cluster == "" {
		return ""
	}
	return " ON CLUSTER " + text(l.cluster)
}

func (l layout) engine(e string) string {
	if l.cluster == "" {
		return e
	}
	return "Replicated" + e
}

// bareEngine takes off what a server puts before the engine's name by itself.
func bareEngine(e string) string {
	for _, prefix := range []string{"Replicated", "Shared"} {
		e = strings.TrimPrefix(e, prefix)
	}
	return e
}

func (t table) column(n string) int {
	return slices.IndexFunc(t.columns, func(c column) bool { return c.name == n })
}
