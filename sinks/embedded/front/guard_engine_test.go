//go:build unix && !noengine

package front_test

import (
	"testing"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// TestEveryEngineIsClassified fails when a newer library brings a table engine that the guard has no opinion about:
// see whether it reaches out of the data directory, and put it into one of the two lists.
func TestEveryEngineIsClassified(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	rows, err := conn.Query(t.Context(), "SELECT name FROM system.table_engines")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if n++; !front.KnownEngine(name) {
			t.Errorf("table engine %s is in neither list", name)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if n < 50 {
		t.Errorf("only %d engines", n)
	}
}
