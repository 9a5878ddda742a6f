package state

import (
	"database/sql"
	"errors"
	"testing"
)

// MaxKept is the most statements that a connection to SQLite keeps.
const MaxKept = maxKept

// OpenKeeping opens one file of SQLite as the store does, until the end of the test.
func OpenKeeping(t *testing.T, path string) *sql.DB {
	t.Helper()
	d, err := openFile(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d.DB
}

// Kept is how many statements the idle connection of a file keeps.
func Kept(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err == nil {
		err = errors.Join(conn.Raw(func(c any) error { n = len(c.(*keepingConn).kept); return nil }), conn.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Pragmas reads settings of SQLite from the connections in use, by file.
func Pragmas(t *testing.T, s *Store, names ...string) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for file, d := range map[string]*pool{"state.db": s.db, "vault.db": s.vault} {
		all[file] = map[string]string{}
		for _, name := range names {
			var v string
			if err := d.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&v); err != nil {
				t.Fatal(err)
			}
			all[file][name] = v
		}
	}
	return all
}

// Reconnect makes the pools open new connections.
func Reconnect(t *testing.T, s *Store) {
	t.Helper()
	for _, d := range []*pool{s.db, s.vault} {
		d.SetMaxIdleConns(-1)
		if n := d.Stats().OpenConnections; n != 0 {
			t.Fatalf("%d connections stayed open", n)
		}
	}
}

// PretendMigrated notes a migration that this release does not have, and the
// oldest version whose releases may run on the result.
func PretendMigrated(t *testing.T, s *Store, version, oldest int) {
	t.Helper()
	for statement, arg := range map[string]int{
		`INSERT INTO ` + stateMigrations.table + ` (version_id, is_applied) VALUES ($1, TRUE)`: version,
		`UPDATE ` + stateMigrations.oldest + ` SET version = $1`:                               oldest,
	} {
		if _, err := s.db.ExecContext(t.Context(), statement, arg); err != nil {
			t.Fatal(err)
		}
	}
}

// CallersClock makes leases and heartbeats go by the time that the caller gives,
// which a test can move.
func CallersClock(s *Store) *Store {
	s.db.ownClock = ""
	return s
}

// Setting reads a setting of PostgreSQL as the store's sessions have it.
func Setting(t *testing.T, s *Store, name string) (v string) {
	t.Helper()
	if err := s.vault.QueryRowContext(t.Context(), `SELECT current_setting($1)`, name).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// file is one of the two schemas, of tenants and work or of credentials.
func file(s *Store, name string) (migrations, *pool) {
	if name == "vault" {
		return vaultMigrations, s.vault
	}
	return stateMigrations, s.db
}

// Versions are the versions of a schema ("state", "vault"), the oldest first.
func Versions(t *testing.T, s *Store, schema string) (all []int64) {
	t.Helper()
	m, d := file(s, schema)
	provider, err := m.provider(d)
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range provider.ListSources() {
		all = append(all, source.Version)
	}
	return all
}

// Downgrade makes a schema one that an earlier release wrote.
func Downgrade(t *testing.T, s *Store, schema string, version int64) {
	t.Helper()
	m, d := file(s, schema)
	provider, err := m.provider(d)
	if err == nil {
		_, err = provider.DownTo(t.Context(), version)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// CheckServer refuses a server that is too old, by its number.
func CheckServer(version int) error { return checkServer(version) }

// ExplainSQLite is for errors of files that tests open themselves.
func ExplainSQLite(path string, err error) error { return explainSQLite(path, err) }
