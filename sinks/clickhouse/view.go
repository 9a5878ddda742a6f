package clickhouse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// view is one view of the contract. All of them come from the same template,
// because its order carries Invariant 2: heads stand FIRST in FROM, as a
// subquery, and the data comes after them wrapped in a subquery of its own. A
// table that FROM names directly is snapshotted before any subquery, and data
// older than the heads would show half a run; heads older than the data are
// always safe.
type view struct {
	name    string
	doc     string
	columns []viewColumn
	dataset string   // only heads of this dataset; empty: of all
	heads   []string // columns of heads that are needed besides the usual
	join    string   // INNER, or RIGHT for rows that show without a head too
	data    string   // the SELECT that is wrapped
	on      string   // how rows find their head, besides the tenant
	where   string   // which rows the head lets through
	tail    string   // GROUP BY and what follows
	sql     string   // the whole SELECT, of a view that is made of others; the rest but name, doc and columns is empty
}

type viewColumn struct {
	column
	expr string
}

// decided is the condition that the head lets a row through.
const decided = "v.seq <= h.committed_seq AND NOT has(h.void, v.seq)"

// create is the CREATE VIEW statement.
func (v view) create(l layout) string {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE OR REPLACE VIEW %s%s\n(\n", l.object(v.name), l.onCluster())
	for i, c := range v.columns {
		comma := ","
		if i == len(v.columns)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    %s %s COMMENT %s%s\n", name(c.name), c.typ, text(c.doc), comma)
	}
	// With the rights of whoever asks, whatever the server's default: the row
	// policies of readers are on the tables (Invariant 7).
	fmt.Fprintf(&b, ") SQL SECURITY INVOKER AS\n%s\nCOMMENT %s", v.query(l), text(v.doc))
	return b.String()
}

// query is the SELECT of the view.
func (v view) query(l layout) string {
	if v.sql != "" {
		return v.sql
	}
	var b strings.Builder
	b.WriteString("SELECT\n")
	for i, c := range v.columns {
		comma := ","
		if i == len(v.columns)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    %s AS %s%s\n", c.expr, name(c.name), comma)
	}
	where := ""
	if v.dataset != "" {
		where = " WHERE dataset = " + text(v.dataset)
	}
	heads := append([]string{"tenant_id", "dataset", "committed_seq", "void"}, v.heads...)
	fmt.Fprintf(&b, "FROM (SELECT %s FROM %s FINAL%s) AS h\n", strings.Join(heads, ", "), l.object(headsName), where)
	fmt.Fprintf(&b, "%s JOIN (%s) AS v ON v.tenant_id = h.tenant_id%s\n", v.join, v.data, v.on)
	fmt.Fprintf(&b, "WHERE %s", v.where)
	if v.tail != "" {
		b.WriteString("\n" + v.tail)
	}
	return b.String()
}

// views lists the views of the schema.
func views(l layout, datasets []*schemas.Dataset) []view {
	var list []view
	for _, d := range datasets {
		list = append(list, currentView(l, d))
		if !d.Append { // what only grows has no history beside itself
			list = append(list, atView(l, d), historyView(l, d))
		}
		if len(d.Names) > 0 {
			list = append(list, namedView(l, d, datasets, "", "", currentView), namedView(l, d, datasets, "_at", ", at a time, UTC", atView))
		}
	}
	return append(list, changesView(l), coverageView(l), coverageHistoryView(l), runsView(l), tilesView(l, datasets))
}

// versionColumns are the columns that D, D_at and D_history share, with the
// expression for each made by pick.
func versionColumns(d *schemas.Dataset, pick func(c column) string) []viewColumn {
	columns := []viewColumn{{column{"tenant_id", typeFew, "Customer."}, "v.`tenant_id`"}}
	if d.PartitionColumn != "" {
		columns = append(columns, viewColumn{column{d.PartitionColumn, typeText, d.PartitionDoc}, "v.`partition_id`"})
	}
	for _, c := range declared(d) {
		columns = append(columns, viewColumn{c, pick(c)})
	}
	for _, c := range []column{
		{"first_seen_at", typeTime, "When the entity was seen first."},
		{"observed_at", typeTime, "End of the reading that saw this version."},
		{"run_id", "UUID", "Run that wrote this version."},
	} {
		columns = append(columns, viewColumn{c, pick(c)})
	}
	return columns
}

// latest picks the value of the last version. argMax passes over NULL, which
// would bring a value back that is gone, so nullable ones travel in a tuple
// (ClickHouse documentation, "argMax").
func latest(c column) string {
	if strings.Contains(c.typ, "Nullable(") {
		return fmt.Sprintf("argMax(tuple(v.%s), v.seq).1", name(c.name))
	}
	return fmt.Sprintf("argMax(v.%s, v.seq)", name(c.name))
}

func currentView(l layout, d *schemas.Dataset) view {
	return view{
		name: d.Name, doc: d.Doc, columns: versionColumns(d, latest), dataset: d.Name,
		join: "INNER", data: "SELECT * FROM " + l.object(versionsName(d)), where: decided,
		tail: "GROUP BY v.tenant_id, v.partition_id, v.key_hash\nHAVING argMax(v.op, v.seq) NOT IN ('removed', 'out_of_view')",
	}
}

func atView(l layout, d *schemas.Dataset) view {
	v := currentView(l, d)
	v.name += "_at"
	v.doc = "As " + d.Name + ", at a time: " + d.Name + "_at(at = '2026-03-01 00:00:00'), UTC."
	// Versions of later runs are cut off inside, before the last one is picked.
	v.where += " AND v.observed_at <= {at:DateTime64(3, 'UTC')}"
	return v
}

func historyView(l layout, d *schemas.Dataset) view {
	own := func(c column) string { return "v." + name(c.name) }
	columns := append(versionColumns(d, own),
		viewColumn{column{"valid_from", typeTime, "From when on the entity looked like this, or was gone."}, "v.observed_at"},
		viewColumn{
			column{"valid_to", "Nullable(" + typeTime + ")", "Until when; null: until now."},
			"leadInFrame(toNullable(v.observed_at)) OVER (PARTITION BY v.tenant_id, v.partition_id, v.key_hash ORDER BY v.seq ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",
		},
		viewColumn{column{"change", typeFew, "baseline, added, changed, removed or out_of_view."}, "CAST(v.op, 'String')"},
	)
	return view{
		name: d.Name + "_history", doc: "Every version of the rows of " + d.Name + ", those that tell of a removal included.", columns: columns, dataset: d.Name,
		join: "INNER", data: "SELECT * FROM " + l.object(versionsName(d)), where: decided,
	}
}

// record makes the columns of a view that shows a record table as it is.
func record(t table, expr func(c column) string) []viewColumn {
	columns := make([]viewColumn, len(t.columns))
	for i, c := range t.columns {
		columns[i] = viewColumn{c, expr(c)}
	}
	return columns
}

func same(c column) string { return "v." + name(c.name) }

func changesView(l layout) view {
	return view{
		name: "changes", doc: schemas.ChangesTable.Doc, columns: record(changesTable(), same),
		join: "INNER", data: "SELECT * FROM " + l.object(changesName), on: " AND v.dataset = h.dataset", where: decided,
	}
}

func coverageHistoryView(l layout) view {
	return view{
		name: "coverage_history", doc: schemas.CoverageTable.Doc, columns: record(coverageTable(), same),
		join: "INNER", data: "SELECT * FROM " + l.object(coverageName), on: " AND v.dataset = h.dataset", where: decided,
	}
}

func coverageView(l layout) view {
	key := []string{"tenant_id", "dataset", "partition_id"}
	return view{
		name: "coverage", doc: "What can be seen of each dataset and partition now.",
		columns: record(coverageTable(), func(c column) string {
			if slices.Contains(key, c.name) {
				return same(c)
			}
			return latest(c)
		}),
		join: "INNER", data: "SELECT * FROM " + l.object(coverageName), on: " AND v.dataset = h.dataset", where: decided,
		tail: "GROUP BY v.tenant_id, v.dataset, v.partition_id",
	}
}

// runsView shows runs that stand alone at once, and the others with their gate;
// each once. Rows that stand alone are committed in groups, and an insert that
// is tried again in another group is not recognized by its token. And a process
// that died between the row of a run and the end of its attempt leaves an
// attempt that looks cut off: then the run told of itself better. The keys of
// the group are those of the table, so that conditions on them reach it.
func runsView(l layout) view {
	v := visibleRuns(l)
	key := []string{"tenant_id", "dataset_group", "started_at", "run_id"}
	v.name, v.doc = "runs", schemas.RunsTable.Doc
	v.columns = record(runsTable(), func(c column) string {
		if slices.Contains(key, c.name) {
			return same(c)
		}
		return fmt.Sprintf("argMin(%s, v.outcome = 'abandoned')", same(c))
	})
	v.tail = "GROUP BY v.tenant_id, v.dataset_group, v.started_at, v.run_id"
	return v
}

func visibleRuns(l layout) view {
	return view{
		join: "RIGHT", data: "SELECT * FROM " + l.object(runsName), on: " AND v.gate = h.dataset",
		where: "v.gate = '' OR (" + decided + ")",
	}
}
