package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// Retention says for how long history is kept; zero keeps it for ever.
type Retention struct {
	History time.Duration // versions of entities, and coverage, that were replaced
	Changes time.Duration
	Runs    time.Duration
	Audit   time.Duration // datasets that only grow
}

// Retain deletes history that is older than asked for, and returns the number of
// versions that it deleted and of months that it dropped.
//
// What was current at the start of the window stays, however old it is, and
// whatever is current now does: D, D_at inside the window, heads, digests and
// what the next run compares with do not change, at any moment of it. Rows that
// no head shows are left to Sweep. Changes, runs and audit records go by whole
// months. Repeating it after a failure is safe.
func (w *Warehouse) Retain(ctx context.Context, r Retention) (versions, months int64, err error) {
	now := w.now()
	monthly := func(table string, keep time.Duration) {
		if err == nil && keep > 0 {
			var n int64
			n, err = w.dropMonths(ctx, table, now.Add(-keep))
			months += n
		}
	}
	replaced := func(t kept, keep time.Duration) {
		if err == nil && keep > 0 {
			var n int64
			n, err = w.dropReplaced(ctx, t, now.Add(-keep))
			versions += n
		}
	}
	monthly(changesName, r.Changes)
	monthly(runsName, r.Runs)
	for _, d := range w.datasets {
		if d.Append {
			monthly(versionsName(d), r.Audit)
		} else {
			replaced(versionsOf(d), r.History)
		}
	}
	replaced(kept{table: coverageName, key: "tenant_id, dataset, partition_id", on: " AND h.dataset = v.dataset"}, r.History)
	return versions, months, err
}

// kept is a table of versions: rows of one key replace each other by seq.
type kept struct {
	table, key string
	on         string // how a row finds its head, besides the tenant
	dataset    string // of the heads; empty: of all
	ends       bool   // some versions tell that the entity is gone
}

func versionsOf(d *schemas.Dataset) kept {
	return kept{table: versionsName(d), key: "tenant_id, partition_id, key_hash", dataset: d.Name, ends: true}
}

// dropReplaced deletes the versions that were replaced before a time, then those
// that tell of an end before it and have nothing before them any more. The
// second step must not begin before the first has ended: without the word of its
// end, an older version would be back.
func (w *Warehouse) dropReplaced(ctx context.Context, t kept, before time.Time) (n int64, err error) {
	seen := t.shown(w.layout)
	n, err = w.deleteVersions(ctx, t, fmt.Sprintf(
		"SELECT %[1]s, arrayJoin(arrayFilter(s -> s < last, seqs)) FROM (SELECT %[1]s, groupArray(seq) AS seqs, max(seq) AS last FROM (%[2]s) WHERE observed_at <= %[3]s GROUP BY %[1]s HAVING count() > 1)",
		t.key, seen, at(before)))
	if err != nil || !t.ends {
		return n, err
	}
	ended, err := w.deleteVersions(ctx, t, fmt.Sprintf(
		"SELECT %[1]s, min(seq) FROM (%[2]s) GROUP BY %[1]s HAVING argMin(op, seq) IN ('removed', 'out_of_view') AND argMin(observed_at, seq) <= %[3]s",
		t.key, seen, at(before)))
	return n + ended, err
}

// shown selects the rows that the heads show. A head that moves meanwhile shows
// more, and never less.
func (t kept) shown(l layout) string {
	where := ""
	if t.dataset != "" {
		where = " WHERE dataset = " + text(t.dataset)
	}
	op := ""
	if t.ends {
		op = ", v.op AS op"
	}
	var key strings.Builder
	for c := range strings.SplitSeq(t.key, ", ") {
		key.WriteString("v." + c + " AS " + c + ", ")
	}
	return fmt.Sprintf("SELECT %sv.seq AS seq, v.observed_at AS observed_at%s FROM (SELECT tenant_id, dataset, committed_seq, void FROM %s FINAL%s) AS h INNER JOIN (SELECT * FROM %s) AS v ON v.tenant_id = h.tenant_id%s WHERE %s",
		key.String(), op, l.object(headsName), where, l.object(t.table), t.on, decided)
}

// deleteVersions deletes the rows that a SELECT of key and seq names. The
// statement is evaluated anew for each part of the table; what it names does not
// depend on which of the rows are gone already.
func (w *Warehouse) deleteVersions(ctx context.Context, t kept, which string) (int64, error) {
	var n uint64
	if err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM (%s)", which)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count versions of %s to delete: %w", t.table, err)
	}
	if n == 0 {
		return 0, nil
	}
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"allow_nondeterministic_mutations": 1, "mutations_sync": 2, "lightweight_deletes_sync": 2}))
	if err := w.conn.Exec(ctx, fmt.Sprintf("DELETE FROM %s%s WHERE (%s, seq) IN (%s)", w.layout.object(t.table), w.layout.onCluster(), t.key, which)); err != nil {
		return 0, fmt.Errorf("delete old versions of %s: %w", t.table, err)
	}
	return int64(n), nil
}

// dropMonths drops the monthly partitions of a table that end before a time.
func (w *Warehouse) dropMonths(ctx context.Context, table string, before time.Time) (int64, error) {
	var month string
	var months []string
	err := w.each(ctx, fmt.Sprintf("SELECT DISTINCT partition FROM system.parts WHERE active AND database = %s AND table = %s AND toUInt32OrZero(partition) BETWEEN 1 AND %s",
		text(w.layout.database), text(table), before.UTC().AddDate(0, 0, 1-before.UTC().Day()).AddDate(0, 0, -1).Format("200601")),
		func() { months = append(months, month) }, &month)
	if err != nil {
		return 0, fmt.Errorf("list the months of %s: %w", table, err)
	}
	for i, m := range months {
		if err := w.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s%s DROP PARTITION %s", w.layout.object(table), w.layout.onCluster(), m)); err != nil {
			return int64(i), fmt.Errorf("drop %s of %s: %w", m, table, err)
		}
	}
	return int64(len(months)), nil
}

// at is a SQL literal of a time.
func at(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d, 'UTC')", t.UnixMilli()) }
