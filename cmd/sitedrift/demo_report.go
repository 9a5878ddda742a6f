package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
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
	// What nothing would unlock is not there: on that deployment, or in that mode.
	sqlCoverage = `SELECT t.dataset AS dataset, t.tenant_id AS tenant_id, t.state AS state, t.state = 'not_exposed' AND c.unlock = '' AS absent
FROM (SELECT dataset, tenant_id, state FROM sitedrift.tiles) AS t
LEFT JOIN (SELECT dataset, tenant_id, unlock FROM sitedrift.coverage WHERE partition_id = '') AS c ON c.tenant_id = t.tenant_id AND c.dataset = t.dataset
ORDER BY dataset, tenant_id`
	// A dataset that is partial because partitions of it are is told by those.
	sqlUnseen = `SELECT tenant_id, count() AS parts, arrayStringConcat(arraySort(groupArray(if(partition_id = '', dataset, concat(dataset, ' ', partition_id)))), ', ') AS what, state, evidence, unlock
FROM sitedrift.coverage WHERE state NOT IN ('complete', 'gone', 'not_exposed', 'not_licensed') AND NOT (state = 'partial' AND evidence LIKE '% of % partitions %')
AND (partition_id = '' OR (tenant_id, dataset) NOT IN (SELECT tenant_id, dataset FROM sitedrift.coverage WHERE partition_id = '' AND state NOT IN ('complete', 'partial')))
GROUP BY tenant_id, state, evidence, unlock ORDER BY tenant_id, what`
	// A kind opens a dataset if it opens a part of it. Where something is wrong with
	// a dataset, that comes first.
	sqlUnlock = `WITH closed AS (
    SELECT tenant_id, dataset, extract(evidence, 'the tenant has (.+), by which') AS present,
        splitByString(' or ', replaceRegexpOne(extract(unlock, '^add a credential of the kind ([^(]+) \\('), ', which is unscoped.*', '')) AS kinds
    FROM sitedrift.coverage WHERE state = 'not_exposed' AND unlock LIKE 'add a credential of the kind %'
    AND (tenant_id, dataset) NOT IN (SELECT tenant_id, dataset FROM sitedrift.coverage WHERE partition_id = '' AND state NOT IN ('complete', 'partial', 'not_exposed')))
SELECT a.tenant_id AS tenant_id, a.present AS present, a.datasets AS datasets, b.kinds AS kinds
FROM (SELECT tenant_id, max(present) AS present, uniqExact(dataset) AS datasets FROM closed GROUP BY tenant_id) AS a
INNER JOIN (SELECT tenant_id, arrayStringConcat(arrayMap((x, i) -> concat(x.2, if(i = 1, ' would open ', ' '), toString(-x.1)), arraySort(groupArray((-toInt64(n), kind))) AS list, arrayEnumerate(list)), ', ') AS kinds
    FROM (SELECT tenant_id, kind, uniqExact(dataset) AS n FROM closed ARRAY JOIN kinds AS kind GROUP BY tenant_id, kind) GROUP BY tenant_id) AS b ON b.tenant_id = a.tenant_id
ORDER BY tenant_id`
	sqlDays = `SELECT toDate(observed_at) AS day, countIf(severity = 'high') AS high, count() AS changes FROM sitedrift.changes
WHERE change NOT IN ('baseline', 'coverage') GROUP BY day ORDER BY day WITH FILL STEP 1`
	sqlGravest = `SELECT observed_at, tenant_id, dataset, change, entity_name, before, after FROM sitedrift.changes
WHERE severity = 'high' ORDER BY observed_at DESC, entity_name LIMIT 1 BY dataset LIMIT 5`
	sqlQuiet = `SELECT observed_at, tenant_id, dataset, JSONExtractString(after, 'reason') AS reason, after, concat(JSONExtractRaw(after, 'rows'), ' rows',
    arrayStringConcat(arrayMap(x -> if(JSONExtractInt(after, x) = 0, '', concat(', ', JSONExtractRaw(after, x), ' ', replaceAll(x, '_', ' '))), ['added', 'changed', 'removed', 'out_of_view']))) AS counts FROM sitedrift.changes
WHERE change = 'baseline' AND reason NOT IN ('first run') ORDER BY observed_at, tenant_id, dataset`
)

// questions are the questions by the name of their answer.
func questions() map[string]string {
	return map[string]string{
		"sites": sqlSites, "coverage": sqlCoverage, "unseen": sqlUnseen, "unlock": sqlUnlock, "days": sqlDays, "gravest": sqlGravest, "quiet": sqlQuiet,
	}
}

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

// reportWidth is the number of columns that the report keeps to.
const reportWidth = 100

// report answers the questions, for people or as JSON.
func (d *demo) report(ctx context.Context, w io.Writer, asJSON bool) error {
	answers := map[string][][]clickhouse.Value{}
	for name, sql := range questions() {
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
	fmt.Fprintf(w, "%-9s%7s%8s%7s%6s%7s%7s  %s\n", "", "spaces", "grants", "users", "runs", "quiet", "calls", "connected with")
	for _, r := range answers["sites"] {
		fmt.Fprintf(w, "%-9s%7s%8s%7s%6s%7s%7s  %s\n", r[0].Text(), known(r[1]), known(r[2]), known(r[3]), r[4].Text(), r[5].Text(), r[6].Text(), d.story(r[0].Text()).what)
	}

	title("What can be seen (never a false zero)")
	d.matrix(w, answers["coverage"])
	fmt.Fprintf(w, "● complete  ◐ partly  ✗ cannot be read: something is wrong\n○ not open to these credentials, or not licensed  – no such thing there\n")

	title("What is wrong")
	for _, r := range answers["unseen"] {
		what := r[2].Text()
		if n := numberOf(r[1]); n > 3 {
			what = fmt.Sprintf("%d datasets or parts of them", n)
		}
		line(w, "", fmt.Sprintf("%-9s %s: %s", r[0].Text(), r[3].Text(), what))
		line(w, "    ", r[4].Text())
		if unlock := r[5].Text(); unlock != "" {
			line(w, "    to unlock: ", unlock)
		}
	}

	title("What another credential would open")
	for _, r := range answers["unlock"] {
		line(w, "", fmt.Sprintf("%-9s %s not wholly open to %s; %s", r[0].Text(), count(numberOf(r[2]), "dataset"), r[1].Text(), r[3].Text()))
	}
	line(w, "", "Which and why: sitedrift check --tenant ID")

	title("Changes per day (█ high severity  ▒ other)")
	chart(w, answers["days"])

	title("The five gravest")
	for _, r := range answers["gravest"] {
		line(w, "", fmt.Sprintf("%s  %s  %s %s: %s", r[0].Text()[:16], r[1].Text(), r[2].Text(), r[3].Text(), r[4].Text()))
		for i, label := range []string{"    before  ", "    after   "} {
			if text := r[5+i].Text(); text != "" {
				line(w, label, text)
			}
		}
	}

	title("Quiet epochs (other credentials see other things: told once, not as a flood)")
	for _, r := range answers["quiet"] {
		line(w, "", fmt.Sprintf("%s  %s  %-22s  %s: %s", r[0].Text()[:16], r[1].Text(), r[2].Text(), r[3].Text(), r[5].Text()))
	}
	return nil
}

// line prints text of others after a label, cut to the width of the report.
func line(w io.Writer, label, text string) {
	fmt.Fprintf(w, "%s%s\n", label, cell(text, reportWidth-len([]rune(label))))
}

// known is a number, or a word for not knowing it.
func known(v clickhouse.Value) string {
	if v.Null() {
		return "unknown"
	}
	return v.Text()
}

// signOf is how the matrix shows a state.
func signOf(state string, absent bool) string {
	switch state {
	case "complete":
		return "●"
	case "partial", "held":
		return "◐"
	case "not_exposed", "not_licensed":
		if absent {
			return "–"
		}
		return "○"
	default:
		return "✗"
	}
}

// matrix prints datasets against sites.
func (d *demo) matrix(w io.Writer, rows [][]clickhouse.Value) {
	signs := map[[2]string]string{}
	var names []string
	for _, r := range rows {
		name := r[0].Text()
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		signs[[2]string{name, r[1].Text()}] = signOf(r[2].Text(), numberOf(r[3]) > 0)
	}
	row := func(name string, of func(*story) string) {
		var text strings.Builder
		fmt.Fprintf(&text, "%-23s", name)
		for _, s := range d.stories {
			fmt.Fprintf(&text, " %-9s", of(s))
		}
		fmt.Fprintln(w, strings.TrimRight(text.String(), " "))
	}
	row("", func(s *story) string { return s.tenant })
	for _, name := range names {
		row(name, func(s *story) string { return signs[[2]string{name, s.tenant}] })
	}
}

func numberOf(v clickhouse.Value) (n int) {
	_ = json.Unmarshal([]byte(v), &n) // not a number: none
	return n
}

// chart prints a bar a day.
func chart(w io.Writer, rows [][]clickhouse.Value) {
	most := 1
	for _, r := range rows {
		most = max(most, numberOf(r[2]))
	}
	const width = 60
	for _, r := range rows {
		high, all := numberOf(r[1]), numberOf(r[2])
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
