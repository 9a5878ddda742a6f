package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

type queryCmd struct {
	SQL string `arg:"" name:"sql" help:"One statement that reads; - takes it from standard input."`
	CSV bool   `name:"csv" help:"Print CSV."`
}

// Help is shown by --help.
func (queryCmd) Help() string {
	return "Views: each dataset D as D (now), D_history (every version), D_at(at = '2026-03-01 00:00:00'); changes, runs, coverage, coverage_history, tiles. Try:\n\n  sitedrift query 'SELECT observed_at, severity, change, entity_name FROM changes ORDER BY observed_at DESC LIMIT 20'"
}

type queryParams struct {
	SQL string `json:"sql"`
}

// queryEvent is the head of a result, or rows of it.
type queryEvent struct {
	Columns []string             `json:"columns,omitempty"`
	Types   []string             `json:"types,omitempty"`
	Rows    [][]clickhouse.Value `json:"rows,omitempty"`
}

// queryBatch is how many rows an event carries.
const queryBatch = 500

func opQuery(ctx context.Context, a *app, p queryParams, emit func(any)) (int, error) {
	res, err := a.warehouse.Query(ctx, p.SQL)
	if err != nil {
		return 0, queryFailed(err)
	}
	defer func() { _ = res.Close() }() // what went wrong is told by the rows
	emit(queryEvent{Columns: res.Columns, Types: res.Types})
	n := 0
	var batch [][]clickhouse.Value
	for row, err := range res.Rows() {
		if err != nil {
			return n, queryFailed(err)
		}
		n++
		if batch = append(batch, row); len(batch) == queryBatch {
			emit(queryEvent{Rows: batch})
			batch = nil
		}
	}
	if len(batch) > 0 {
		emit(queryEvent{Rows: batch})
	}
	return n, nil
}

// codeReadOnly is READONLY of ClickHouse.
const codeReadOnly = 164

// queryFailed makes a refused statement a usage error.
func queryFailed(err error) error {
	if refused := (*clickhouse.QueryError)(nil); errors.As(err, &refused) {
		if refused.Code == codeReadOnly {
			return usage("the statement was refused: query only reads, and this would change something (%s, code %d)", cmp.Or(refused.Name, "READONLY"), refused.Code)
		}
		return &exitError{exitUsage, fmt.Errorf("the statement was refused: %w", err)}
	}
	return err
}

func (c *queryCmd) Run(e *env) error {
	sql := c.SQL
	if sql == "-" {
		text, err := io.ReadAll(e.in)
		if err != nil {
			return fmt.Errorf("read the statement: %w", err)
		}
		sql = string(text)
	}
	if strings.TrimSpace(sql) == "" {
		return usage("the statement is empty")
	}
	if c.CSV && e.cli.JSON {
		return usage("--csv and --json exclude each other")
	}
	var printer interface {
		add(queryEvent) error
		close() error
	}
	switch {
	case e.cli.JSON:
		printer = &jsonRows{w: e.out}
	case c.CSV:
		printer = &csvRows{w: csv.NewWriter(e.out)}
	default:
		printer = &tableRows{w: e.out}
	}
	_, err := call[int](e, "query", queryParams{sql}, func(raw json.RawMessage) error {
		var ev queryEvent
		if err := json.Unmarshal(raw, &ev); err != nil {
			return err
		}
		return printer.add(ev)
	})
	if err != nil {
		return err
	}
	return printer.close()
}

// jsonRows prints one object a line.
type jsonRows struct {
	w       io.Writer
	columns []string
}

func (p *jsonRows) add(ev queryEvent) error {
	if ev.Columns != nil {
		p.columns = ev.Columns
	}
	for _, row := range ev.Rows {
		line := []byte{'{'}
		for i, v := range row {
			if i > 0 {
				line = append(line, ',')
			}
			name, err := json.Marshal(p.columns[i])
			if err != nil {
				return err
			}
			line = append(append(append(line, name...), ':'), v...)
		}
		if _, err := p.w.Write(append(line, '}', '\n')); err != nil {
			return err
		}
	}
	return nil
}

func (p *jsonRows) close() error { return nil }

// csvRows prints CSV with a header, made for spreadsheets; who needs each
// character as it was takes JSON. NULL is empty. What a spreadsheet would take for
// a formula gets an apostrophe in front, and what could steer a terminal is
// replaced (Invariant 10).
type csvRows struct{ w *csv.Writer }

// formula is where a cell may begin, and a sign that makes it a formula: also
// behind white space, full-width, and where a spreadsheet that takes semicolons or
// tabs for separators, or knows no quotes, begins a cell or a line of its own.
var formula = regexp.MustCompile(`(^|[;\t\r\n])([\s\p{Z}]*)([=+\-@＝＋－＠])`)

// csvCell is a value as it stands in CSV, before quoting.
func csvCell(v clickhouse.Value) string {
	if v.Null() {
		return ""
	}
	text := v.Text()
	switch v[0] {
	case '"', '[', '{':
	default: // a number or a truth value
		return text
	}
	text = formula.ReplaceAllString(text, "$1$2'$3")
	if strings.ContainsAny(text[:min(1, len(text))], "\t\r\n") {
		text = "'" + text
	}
	return printable(text)
}

func (p *csvRows) add(ev queryEvent) error {
	if ev.Columns != nil {
		if err := p.w.Write(ev.Columns); err != nil {
			return err
		}
	}
	for _, row := range ev.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = csvCell(v)
		}
		if err := p.w.Write(cells); err != nil {
			return err
		}
	}
	return nil
}

func (p *csvRows) close() error {
	p.w.Flush()
	return p.w.Error()
}

// tableRows prints a table for people, whose widths come from the first rows.
type tableRows struct {
	w       io.Writer
	columns []string
	rows    [][]string
	widths  []int
	printed int
}

// Widths for people.
const (
	tableSample = 1000
	tableWidth  = 60
)

func (p *tableRows) add(ev queryEvent) error {
	if ev.Columns != nil {
		p.columns = ev.Columns
	}
	for _, row := range ev.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = cell(v.Text(), tableWidth)
		}
		p.rows = append(p.rows, cells)
	}
	if len(p.rows) < tableSample {
		return nil
	}
	return p.flush()
}

func (p *tableRows) flush() error {
	if p.widths == nil {
		p.widths = make([]int, len(p.columns))
		for _, row := range append([][]string{p.columns}, p.rows...) {
			for i, s := range row {
				p.widths[i] = max(p.widths[i], utf8.RuneCountInString(s))
			}
		}
		rule := make([]string, len(p.columns))
		for i, n := range p.widths {
			rule[i] = strings.Repeat("─", n)
		}
		if err := p.print(p.columns); err != nil {
			return err
		}
		if err := p.print(rule); err != nil {
			return err
		}
	}
	for _, row := range p.rows {
		if err := p.print(row); err != nil {
			return err
		}
	}
	p.printed += len(p.rows)
	p.rows = nil
	return nil
}

func (p *tableRows) print(row []string) error {
	var b strings.Builder
	for i, s := range row {
		if i > 0 {
			b.WriteString("  ")
		}
		b.WriteString(s)
		if i < len(row)-1 {
			b.WriteString(strings.Repeat(" ", max(0, p.widths[i]-utf8.RuneCountInString(s))))
		}
	}
	_, err := fmt.Fprintln(p.w, strings.TrimRight(b.String(), " "))
	return err
}

func (p *tableRows) close() error {
	if len(p.columns) == 0 {
		return nil
	}
	if err := p.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.w, "(%s)\n", count(p.printed, "row"))
	return err
}
