package clickhouse

import (
	"fmt"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// staleGrace is added to twice the cadence before a tile counts as stale:
// starts are jittered, and a run takes its time. Seconds.
const staleGrace = 600

// tilesView counts for dashboards: one row per tenant and dataset that is meant
// to be there, whether it was ever read or not, so that a tile can say
// "unknown". rows_or_null is a number only where every part was read completely
// at least once (Invariant 1 as dashboards see it: no false 0).
func tilesView(l layout, datasets []*schemas.Dataset) view {
	columns := []viewColumn{
		{column{"tenant_id", typeFew, "Customer."}, "v.tenant_id"},
		{column{"dataset", typeFew, "Dataset."}, "v.dataset"},
		{column{"dataset_group", typeFew, "Group of datasets that one run reads."}, "v.dataset_group"},
		{column{"state", typeFew, "complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed, held or never_run."}, tileState},
		{column{"rows_or_null", "Nullable(UInt64)", "Current rows; null when that is unknown, because some part was never read completely."}, "if(h.committed_seq > 0 AND v.states > 0 AND v.never_complete = 0, h.rows, NULL)"},
		{column{"rows_known", "UInt64", "Current rows that are stored, whether or not they are all."}, "h.rows"},
		{column{"partitions", "UInt64", "Partitions, those that are gone left out."}, "v.partitions"},
		{column{"partitions_complete", "UInt64", "Partitions read completely."}, "v.complete"},
		{column{"partitions_partial", "UInt64", "Partitions read in part, or read and held back."}, "v.partial"},
		{column{"partitions_unreadable", "UInt64", "Partitions that could not be read."}, "v.unreadable"},
		{column{"last_complete_at", "Nullable(" + typeTime + ")", "End of the last run that read the dataset completely."}, "v.last_complete_at"},
		{column{"cadence_seconds", "UInt64", "Expected time between two runs; 0 when there is no schedule."}, "v.cadence_seconds"},
		{column{"stale", "Bool", "No complete read within twice the cadence and ten minutes, though the schedule is on."}, fmt.Sprintf(
			"v.cadence_seconds > 0 AND NOT v.paused AND ifNull(v.last_complete_at < now64(3, 'UTC') - toIntervalSecond(2 * v.cadence_seconds + %d), true)", staleGrace)},
		{column{"paused", "Bool", "The tenant's schedule is paused."}, "v.paused"},
		{column{"observed_at", "Nullable(" + typeTime + ")", "End of the reading that the rows are of."}, "if(h.committed_seq > 0, h.observed_at, NULL)"},
	}
	return view{
		name: "tiles", doc: "One row per tenant and dataset, also if never read: what dashboards count from.", columns: columns,
		heads: []string{"rows", "observed_at"},
		join:  "RIGHT", data: tileData(l, datasets), on: " AND v.dataset = h.dataset", where: "NOT v.removed",
	}
}

// tileState sums the states of a dataset's partitions up. What is known of the
// dataset as a whole comes first: when its parent cannot be listed, the states
// of single partitions say little.
const tileState = `multiIf(
        v.states = 0, if(v.attempts > 0, 'failed', 'never_run'),
        v.whole_state NOT IN ('', 'complete'), v.whole_state,
        v.partitions = 0, if(v.whole_state = '', 'gone', v.whole_state),
        v.complete = v.partitions, 'complete',
        v.complete = 0 AND v.distinct_states = 1, v.any_state,
        'partial')`

// tileData brings together, per tenant and dataset, what is expected, how the
// partitions stand, and which runs read it.
func tileData(l layout, datasets []*schemas.Dataset) string {
	// A partitioned dataset may have a row for itself as a whole; that one is
	// not a partition.
	isPartition := "true"
	var partitioned []string
	for _, d := range datasets {
		if d.PartitionColumn != "" {
			partitioned = append(partitioned, text(d.Name))
		}
	}
	if len(partitioned) > 0 {
		isPartition = "(partition_id != '' OR dataset NOT IN (" + strings.Join(partitioned, ", ") + "))"
	}
	runs := visibleRuns(l)
	runs.columns = []viewColumn{
		{column{name: "tenant_id"}, "v.tenant_id"},
		{column{name: "ended_at"}, "v.ended_at"},
		{column{name: "complete"}, "v.complete"},
		{column{name: "read"}, "arrayDistinct(arrayConcat(v.datasets, v.complete))"},
	}
	return fmt.Sprintf(`
    SELECT e.tenant_id AS tenant_id, e.dataset AS dataset, e.dataset_group AS dataset_group,
        e.cadence_seconds AS cadence_seconds, e.paused AS paused, e.removed AS removed,
        c.states AS states, c.partitions AS partitions, c.complete AS complete, c.partial AS partial, c.unreadable AS unreadable,
        c.never_complete AS never_complete, c.whole_state AS whole_state, c.distinct_states AS distinct_states, c.any_state AS any_state,
        r.attempts AS attempts, r.last_complete_at AS last_complete_at
    FROM (SELECT * FROM %[1]s FINAL) AS e
    LEFT JOIN (
        SELECT tenant_id, dataset, count() AS states,
            countIf(%[2]s AND state != 'gone') AS partitions,
            countIf(%[2]s AND state = 'complete') AS complete,
            countIf(%[2]s AND state IN ('partial', 'held')) AS partial,
            countIf(%[2]s AND state NOT IN ('complete', 'partial', 'held', 'gone')) AS unreadable,
            countIf(state NOT IN ('complete', 'gone') AND last_complete_at IS NULL) AS never_complete,
            anyIf(toString(state), partition_id = '') AS whole_state,
            uniqExactIf(state, %[2]s AND state != 'gone') AS distinct_states,
            anyIf(toString(state), %[2]s AND state != 'gone') AS any_state
        FROM (
%[3]s
        )
        GROUP BY tenant_id, dataset
    ) AS c ON c.tenant_id = e.tenant_id AND c.dataset = e.dataset
    LEFT JOIN (
        SELECT tenant_id, dataset, count() AS attempts, maxIf(toNullable(ended_at), has(complete, dataset)) AS last_complete_at
        FROM (
%[4]s
        )
        ARRAY JOIN read AS dataset
        GROUP BY tenant_id, dataset
    ) AS r ON r.tenant_id = e.tenant_id AND r.dataset = e.dataset
`, l.object(expectedName), isPartition, indent(coverageView(l).query(l)), indent(runs.query(l)))
}

func indent(sql string) string {
	return "            " + strings.ReplaceAll(sql, "\n", "\n            ")
}
