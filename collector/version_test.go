package collector_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

type widget struct{ ID, Size, Color string }

// widgets declares a dataset of the test in its first or second version.
func widgets(version int) *schemas.Typed[widget] {
	columns := []schemas.Column[widget]{
		schemas.String("widget_id", "Id.", func(w *widget) string { return w.ID }).Key(),
		schemas.String("size", "Size.", func(w *widget) string { return w.Size }),
	}
	if version == 2 {
		columns = append(columns, schemas.String("color", "Color.", func(w *widget) string { return w.Color }).Since(2))
	}
	return schemas.Declare(schemas.Table[widget]{
		Name: "widgets", Version: version, Group: schemas.GroupAudit, Doc: "Widgets of a test.", Grain: "widget", Columns: columns,
		Sources: []schemas.Access{{Deployment: "test"}}, Examples: []schemas.Example{{Question: "Which?", SQL: "SELECT 1"}},
	})
}

// shelf is a source of widgets.
type shelf struct {
	table *schemas.Typed[widget]
	rows  []widget
}

func (s shelf) Fingerprint(*schemas.Dataset) string                     { return "shelf" }
func (s shelf) Stats() collector.SourceStats                            { return collector.SourceStats{} }
func (s shelf) Reach(*schemas.Dataset) error                            { return nil }
func (s shelf) Resume(*schemas.Dataset, string)                         {}
func (s shelf) Cursor(*schemas.Dataset) string                          { return "" }
func (s shelf) Partitions(*schemas.Dataset) []string                    { return nil }
func (s shelf) Via(*schemas.Dataset, string) string                     { return "" }
func (s shelf) Witness(context.Context, *schemas.Dataset, string) error { return nil }
func (s shelf) Read(_ context.Context, _ *schemas.Dataset, _ string, yield func(collector.Page) error) error {
	return yield(collector.Page{Rows: s.table.Page(s.rows)})
}

// TestNewVersionComparesByTheOldColumns is Invariant 4: a column that a new
// version brings is no change of anything, and an old program leaves rows of a
// newer one alone.
func TestNewVersionComparesByTheOldColumns(t *testing.T) {
	w := newBareWorld(t, nil)
	options := enginetest.Start(t).Options() // of its own: others could not erase in a schema that is ahead of theirs
	migrated := func(own ...*schemas.Dataset) *clickhouse.Warehouse {
		t.Helper()
		wh, err := clickhouse.Open(t.Context(), clickhouse.Settings{Options: options, Datasets: append(datasets.All(), own...), Installation: installation, Log: zap.NewNop()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = wh.Close() })
		if _, err := wh.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return wh
	}
	w.warehouse = migrated()
	run := func(version int, rows ...widget) schemas.Run {
		t.Helper()
		table := widgets(version)
		wh := migrated(table.Dataset)
		w.runner.Warehouse, w.runner.Tables = wh, []*schemas.Dataset{table.Dataset}
		w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
			return shelf{table, rows}, nil
		}
		return w.run(schemas.GroupAudit)
	}
	run(1, widget{ID: "a", Size: "1"}, widget{ID: "b", Size: "1"})
	first := w.ask("SELECT DISTINCT first_seen_at FROM sitedrift.widgets WHERE tenant_id = $T")[0][0]

	run(2, widget{"a", "1", "red"}, widget{"b", "2", "blue"}, widget{"c", "1", "red"})
	w.want("SELECT widget_id, size, color, first_seen_at = '"+first+"' FROM sitedrift.widgets WHERE tenant_id = $T ORDER BY widget_id",
		"a 1 red 1", "b 2 blue 1", "c 1 red 0")
	w.want("SELECT change, epoch, JSONExtractInt(after, 'added'), JSONExtractInt(after, 'changed') FROM sitedrift.changes WHERE tenant_id = $T AND epoch = 2", "baseline 2 1 1")
	w.want("SELECT widget_id, change FROM sitedrift.widgets_history WHERE tenant_id = $T AND valid_to IS NULL ORDER BY widget_id", "a baseline", "b changed", "c baseline")

	if row := run(2, widget{"a", "1", "red"}, widget{"b", "2", "blue"}, widget{"c", "1", "red"}); row.Outcome != schemas.OutcomeNoChange {
		t.Errorf("outcome %s: %s", row.Outcome, row.Error)
	}
	run(2, widget{"a", "1", "green"}, widget{"b", "2", "blue"}, widget{"c", "1", "red"})
	w.want("SELECT before, after FROM sitedrift.changes WHERE tenant_id = $T AND change = 'changed'", `{"color":"red"} {"color":"green"}`)

	// A replica that still runs the first version.
	table := widgets(1)
	w.runner.Warehouse, w.runner.Tables = w.warehouse, []*schemas.Dataset{table.Dataset}
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return shelf{table, []widget{{ID: "a", Size: "1"}}}, nil
	}
	row := w.run(schemas.GroupAudit)
	if row.Outcome != schemas.OutcomeFailed || !strings.Contains(row.Error, "version 2") {
		t.Errorf("outcome %s: %s", row.Outcome, row.Error)
	}
	w.want("SELECT count() FROM sitedrift.widgets WHERE tenant_id = $T", "3")
	w.clock.advance(time.Hour)
}
