package clickhouse

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// open returns a migrated, empty warehouse. The tests of this package share an
// engine and its one database, so they do not run in parallel.
func open(t testing.TB, change func(*Settings)) *Warehouse {
	t.Helper()
	w := connect(t, change)
	if w.Check(t.Context()) != nil {
		dropAll(t, w)
		if _, err := w.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		return w
	}
	for _, tab := range tables(w.datasets) {
		if tab.name != objectsName && tab.name != installationName {
			exec(t, w, "TRUNCATE TABLE sitedrift."+tab.name)
		}
	}
	return w
}

// connect opens the warehouse as it is.
func connect(t testing.TB, change func(*Settings)) *Warehouse {
	t.Helper()
	s := Settings{
		Options:  enginetest.Shared(t).Options(),
		Datasets: confluence.All(), Installation: uuid.MustParse("11111111-1111-4111-8111-111111111111"),
		Log: zap.NewNop(), Now: func() time.Time { return epoch },
	}
	if change != nil {
		change(&s)
	}
	w, err := Open(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// openBare returns a warehouse whose database is empty.
func openBare(t testing.TB, change func(*Settings)) *Warehouse {
	t.Helper()
	w := connect(t, change)
	dropAll(t, w)
	return w
}

func dropAll(t testing.TB, w *Warehouse) {
	t.Helper()
	var drop []string
	var name, engine string
	err := w.each(t.Context(), "SELECT name, engine FROM system.tables WHERE database = 'sitedrift'", func() {
		kind := "TABLE"
		if engine == "View" {
			kind = "VIEW"
		}
		drop = append(drop, "DROP "+kind+" sitedrift.`"+name+"` SYNC")
	}, &name, &engine)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range drop {
		exec(t, w, sql)
	}
}

// exec runs a statement of the test.
func exec(t testing.TB, w *Warehouse, sql string) {
	t.Helper()
	if err := w.conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// ask runs a statement as people do and returns the rows as text.
func ask(t testing.TB, w *Warehouse, sql string) [][]string {
	t.Helper()
	r, err := w.Query(t.Context(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer r.Close()
	rows := [][]string{}
	for row, err := range r.Rows() {
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = v.Text()
		}
		rows = append(rows, line)
	}
	return rows
}

// spaceRows makes a block of versions of spaces.
func spacesBlock(op schemas.Op, spaces ...confluence.Space) *schemas.Block {
	return block(confluence.Spaces, "", op, spaces...)
}

// block makes a block of versions of one partition.
func block[R any](d *schemas.Typed[R], partition string, op schemas.Op, rows ...R) *schemas.Block {
	b := schemas.NewBlock(d.Dataset)
	var h schemas.Hasher
	page := d.Page(rows)
	for i := range rows {
		key, row := page.Hash(&h, i, d.Version)
		page.AppendColumns(b, i)
		b.Version(partition, key, row, op, 0)
	}
	return b
}

func stream(blocks ...*schemas.Block) schemas.Blocks {
	return func(yield func(*schemas.Block, error) bool) {
		for _, b := range blocks {
			if !yield(b, nil) {
				return
			}
		}
	}
}

// dataset finds a declaration by its name.
func dataset(name string) *schemas.Dataset {
	for _, d := range append(confluence.All(), everythings.Dataset) {
		if d.Name == name {
			return d
		}
	}
	panic("no dataset " + name)
}

func fields(s string) []string { return strings.Fields(s) }

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }
