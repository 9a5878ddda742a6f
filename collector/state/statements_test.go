package state_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/sitedrift/sitedrift/collector/state"
)

// TestKeptStatements: statements that a connection keeps are not mixed up, neither
// while their rows are read nor after an error, a change of the tables or the end of
// their room.
func TestKeptStatements(t *testing.T) {
	db := state.OpenKeeping(t, filepath.Join(t.TempDir(), "kept.db"))
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
	}
	const insert, read = `INSERT INTO numbers (n) VALUES ($1)`, `SELECT n FROM numbers WHERE n > $1 ORDER BY n`
	exec(`CREATE TABLE numbers (n INTEGER PRIMARY KEY)`)
	for n := range 4 {
		exec(insert, n)
	}
	if _, err := db.ExecContext(t.Context(), insert, 3); err == nil {
		t.Error("a row was inserted twice")
	}
	exec(insert, 4)

	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	var got []string
	eachNumber(t, tx, read, 1, func(outer int) {
		eachNumber(t, tx, read, outer, func(inner int) { got = append(got, fmt.Sprint(outer, inner)) })
	})
	if want := "[2 3 2 4 3 4]"; fmt.Sprint(got) != want {
		t.Errorf("a statement inside itself read %v, want %s", got, want)
	}
	var first int
	if err := tx.QueryRowContext(t.Context(), read, 0).Scan(&first); err != nil || first != 1 { // the others are left unread
		t.Errorf("first row %d, %v", first, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}

	exec(`ALTER TABLE numbers ADD COLUMN note TEXT NOT NULL DEFAULT ''`)
	exec(insert, 5)
	most := 0
	for n := range 3 * state.MaxKept {
		var sum int
		if err := db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT $1 + %d`, n), n).Scan(&sum); err != nil || sum != 2*n {
			t.Fatalf("%d + %d is %d, %v", n, n, sum, err)
		}
		most = max(most, state.Kept(t, db))
	}
	if most != state.MaxKept {
		t.Errorf("%d statements were kept at most, want %d", most, state.MaxKept)
	}
	var last int
	if err := db.QueryRowContext(t.Context(), read, 4).Scan(&last); err != nil || last != 5 {
		t.Errorf("last row %d, %v", last, err)
	}
}

// eachNumber hands over the rows of a query.
func eachNumber(t *testing.T, tx *sql.Tx, query string, above int, do func(int)) {
	t.Helper()
	rows, err := tx.QueryContext(t.Context(), query, above)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n int
		if err := rows.Scan(&n); err != nil {
			t.Fatal(err)
		}
		do(n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}
