package dictionary

import (
	"fmt"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// index is the first page: all datasets, and what lies across them.
func index(datasets []*schemas.Dataset) string {
	var b strings.Builder
	b.WriteString(generated)
	b.WriteString(`# Data dictionary

Everything is in the database ` + "`sitedrift`" + `. Each dataset has three views: its rows now, every version they had, and
its rows at a time. Every row carries ` + "`tenant_id`, `first_seen_at`, `observed_at` and `run_id`" + `; all rows of a run and
dataset carry the same ` + "`observed_at`" + `, the end of its reading. A statement sees a run whole or not at all.

Null means unknown; it is neither false nor empty.

## Datasets

`)
	var rows [][]string
	for _, d := range datasets {
		partition := "whole"
		if d.PartitionColumn != "" {
			partition = "`" + d.PartitionColumn + "`"
		}
		rows = append(rows, []string{fmt.Sprintf("[%s](%s.md)", d.Name, d.Name), d.Group, d.Grain, partition, d.Doc})
	}
	table(&b, []string{"dataset", "group", "one row per", "complete per", "what it is"}, rows)
	for _, r := range []struct {
		name, more string
		table      *schemas.Dataset
	}{
		{"changes", "The first run of a dataset, and the first one after its visibility changed, is one `baseline` change and no flood of `added`.", schemas.ChangesTable.Dataset},
		{"runs", "A run that found nothing new is exactly one row here and nothing anywhere else.", schemas.RunsTable.Dataset},
		{"coverage", "What can be seen now, one row per tenant, dataset and partition. `coverage_history` has the same columns and every state there was; a row is written when the state changes.", schemas.CoverageTable.Dataset},
	} {
		fmt.Fprintf(&b, "## %s\n\n%s %s\n\n", r.name, r.table.Doc, r.more)
		table(&b, []string{"column", "type", "meaning"}, withoutRole(columnRows(own(r.table))))
	}
	fmt.Fprintf(&b, "The states of coverage: %s.\n\n", states())
	b.WriteString("## tiles\n\nOne row per tenant and declared dataset, also if it was never read: what dashboards count from, so that a tile shows \"unknown\" and never a false 0.\n\n")
	table(&b, []string{"column", "type", "meaning"}, tiles)
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func withoutRole(rows [][]string) [][]string {
	out := make([][]string, len(rows))
	for i, r := range rows {
		out[i] = []string{r[0], r[1], r[3]}
	}
	return out
}

func states() string {
	list := make([]string, len(schemas.CoverageStates))
	for i, s := range schemas.CoverageStates {
		list[i] = string(s)
	}
	return code(list, ", ")
}

// tiles are the columns of the one view that no declaration stands behind.
var tiles = [][]string{
	{"`tenant_id`", "string", "Customer."},
	{"`dataset`", "string", "Dataset."},
	{"`dataset_group`", "string", "Group of datasets that one run reads."},
	{"`state`", "string", "How much can be seen: a state of coverage. The dataset's own state as a whole comes first; otherwise the state that all partitions share, or `partial`."},
	{"`rows_or_null`", "int or null", "Current rows; null when that is unknown, because some part was never read completely."},
	{"`rows_known`", "int", "Current rows that are stored, whether or not they are all."},
	{"`partitions`", "int", "Partitions, those that are gone left out."},
	{"`partitions_complete`", "int", "Partitions read completely."},
	{"`partitions_partial`", "int", "Partitions read in part, or read and held back."},
	{"`partitions_unreadable`", "int", "Partitions that could not be read."},
	{"`last_complete_at`", "time or null", "End of the last run that read the dataset completely."},
	{"`cadence_seconds`", "int", "Expected time between two runs; 0 when there is no schedule."},
	{"`stale`", "bool", "No complete read within twice the cadence and ten minutes, though the schedule is on."},
	{"`paused`", "bool", "The tenant's schedule is paused."},
	{"`observed_at`", "time or null", "End of the reading that the rows are of."},
}
