package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// The questions of the report. Anybody can ask them of any warehouse.
const (
	sqlSites = `SELECT s.tenant_id AS site, s.spaces AS spaces, p.permissions AS permissions, u.users AS users, r.runs AS runs, r.quiet AS runs_without_change, r.calls AS api_calls
FROM (SELECT tenant_id, rows_or_null AS spaces FROM sitedrift.tiles WHERE dataset = 'spaces') AS s
INNER JOIN (SELECT tenant_id, rows_or_null AS permissions FROM sitedrift.tiles WHERE dataset = 'space_permissions') AS p ON p.tenant_id = s.tenant_id
INNER JOIN (SELECT tenant_id, rows_or_null AS users FROM sitedrift.tiles WHERE dataset = 'users') AS u ON u.tenant_id = s.tenant_id
INNER JOIN (SELECT tenant_id, count() AS runs, countIf(outcome = 'no_change') AS quiet, sum(api_calls) AS calls FROM sitedrift.runs GROUP BY tenant_id) AS r ON r.tenant_id = s.tenant_id
ORDER BY site`
	sqlCoverage = `SELECT dataset, tenant_id, state FROM sitedrift.tiles ORDER BY dataset, tenant_id`
	sqlUnseen   = `SELECT tenant_id, if(partition_id = '', dataset, concat(dataset, ' ', partition_id)) AS what, state, evidence, unlock FROM sitedrift.coverage
WHERE state NOT IN ('complete', 'gone', 'partial') ORDER BY tenant_id, dataset, partition_id`
	sqlDays = `SELECT toDate(observed_at) AS day, countIf(severity = 'high') AS high, count() AS changes FROM sitedrift.changes
WHERE change NOT IN ('baseline', 'coverage') GROUP BY day ORDER BY day WITH FILL STEP 1`
	sqlGravest = `SELECT observed_at, tenant_id, dataset, change, entity_name, before, after FROM sitedrift.changes
WHERE severity = 'high' ORDER BY observed_at DESC, entity_name LIMIT 1 BY dataset, change LIMIT 5`
	sqlQuiet = `SELECT observed_at, tenant_id, dataset, JSONExtractString(after, 'reason') AS reason, after FROM sitedrift.changes
WHERE change = 'baseline' AND reason NOT IN ('first run') ORDER BY observed_at, dataset`
)

// rows asks the warehouse and keeps all rows.
func (d *demo) rows(ctx context.Context, sql string) ([][]clickhouse.Value, error) {
	res, err := d.app.warehouse.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Close() }() // what went wrong is told by the rows
	var all [][]clickhouse.Value
	for row, err := range res.Rows() {
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, nil
}

// report answers the questions, for people or as JSON.
func (d *demo) report(ctx context.Context, w io.Writer, asJSON bool) error {
	answers := map[string][][]clickhouse.Value{}
	for name, sql := range map[string]string{"sites": sqlSites, "coverage": sqlCoverage, "unseen": sqlUnseen, "days": sqlDays, "gravest": sqlGravest, "quiet": sqlQuiet} {
		rows, err := d.rows(ctx, sql)
		if err != nil {
			return fmt.Errorf("report: %s: %w", name, err)
		}
		answers[name] = rows
	}
	if asJSON {
		return printJSON(w, answers)
	}
	title := func(s string) { fmt.Fprintf(w, "\n%s\n%s\n", s, strings.Repeat("─", len([]rune(s)))) }

	title(fmt.Sprintf("Sites, %s to %s", d.start.Format("2006-01-02"), d.end.Format("2006-01-02")))
	fmt.Fprintf(w, "%-10s %7s %12s %6s %6s %13s %10s  %s\n", "site", "spaces", "permissions", "users", "runs", "of them quiet", "API calls", "what happens here")
	for i, r := range answers["sites"] {
		fmt.Fprintf(w, "%-10s %7s %12s %6s %6s %13s %10s  %s\n", r[0].Text(), known(r[1]), known(r[2]), known(r[3]), r[4].Text(), r[5].Text(), r[6].Text(), d.stories[i].what)
	}

	title("What can be seen (● complete  ◐ partly  ✗ not; never a false zero)")
	d.matrix(w, answers["coverage"])
	for _, r := range answers["unseen"] {
		fmt.Fprintf(w, "  %s: %s is %s: %s\n", r[0].Text(), cell(r[1].Text(), 50), r[2].Text(), cell(r[3].Text(), 110))
		if unlock := r[4].Text(); unlock != "" {
			fmt.Fprintf(w, "  %s  to unlock: %s\n", strings.Repeat(" ", len(r[0].Text())), cell(unlock, 110))
		}
	}

	title("Changes per day (█ high severity  ▒ other)")
	chart(w, answers["days"])

	title("The five gravest")
	for _, r := range answers["gravest"] {
		fmt.Fprintf(w, "%s  %s  %s %s: %s\n", r[0].Text()[:16], r[1].Text(), r[2].Text(), r[3].Text(), cell(r[4].Text(), 90))
		for i, label := range []string{"before", "after "} {
			if text := r[5+i].Text(); text != "" {
				fmt.Fprintf(w, "    %s  %s\n", label, cell(text, 150))
			}
		}
	}

	title("Quiet epochs (other credentials see other things: told once, not as a flood)")
	for _, r := range answers["quiet"] {
		fmt.Fprintf(w, "%s  %s  %s: %s\n", r[0].Text()[:16], r[1].Text(), r[2].Text(), cell(r[4].Text(), 120))
	}
	return nil
}

// known is a number, or a word for not knowing it.
func known(v clickhouse.Value) string {
	if v.Null() {
		return "unknown"
	}
	return v.Text()
}

// matrix prints datasets against sites.
func (d *demo) matrix(w io.Writer, rows [][]clickhouse.Value) {
	fmt.Fprintf(w, "%-24s", "")
	for _, s := range d.stories {
		fmt.Fprintf(w, " %-9s", s.tenant)
	}
	last := ""
	for _, r := range rows {
		if name := r[0].Text(); name != last {
			fmt.Fprintf(w, "\n%-24s", name)
			last = name
		}
		sign := "✗"
		switch r[2].Text() {
		case "complete":
			sign = "●"
		case "partial", "held":
			sign = "◐"
		}
		fmt.Fprintf(w, " %-9s", sign)
	}
	fmt.Fprintln(w)
}

// chart prints a bar a day.
func chart(w io.Writer, rows [][]clickhouse.Value) {
	number := func(v clickhouse.Value) (n int) {
		_ = json.Unmarshal([]byte(v), &n) // not a number: no bar
		return n
	}
	most := 1
	for _, r := range rows {
		most = max(most, number(r[2]))
	}
	const width = 60
	for _, r := range rows {
		high, all := number(r[1]), number(r[2])
		if r[0].Text() == "1970-01-01" {
			continue
		}
		bars := (all*width + most - 1) / most
		dark := 0
		if all > 0 {
			dark = (high*bars + all - 1) / all
		}
		fmt.Fprintf(w, "%s %4d %s%s\n", r[0].Text(), all, strings.Repeat("█", dark), strings.Repeat("▒", bars-dark))
	}
}
