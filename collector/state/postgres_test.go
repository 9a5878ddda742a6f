package state_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
)

func openPostgres(t *testing.T, dsn string) *state.Store {
	t.Helper()
	s, err := state.OpenPostgres(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestPostgres(t *testing.T) {
	cluster := statetest.StartCluster(t)
	// With a clock that the suite can move; the real one is that of DatabaseClock.
	statetest.Run(t, func(t *testing.T) *state.Store { return state.CallersClock(openPostgres(t, cluster.Database(t))) })

	// Two replicas, each with its own connections.
	for name, race := range map[string]func(*testing.T, ...*state.Store){
		"TwoStoresClaim":   func(t *testing.T, stores ...*state.Store) { statetest.ClaimRace(t, 2000, stores...) },
		"TwoStoresDecide":  func(t *testing.T, stores ...*state.Store) { statetest.DecideRace(t, 60, stores...) },
		"TwoStoresRefresh": statetest.RefreshRace,
	} {
		t.Run(name, func(t *testing.T) {
			dsn := cluster.Database(t)
			race(t, openPostgres(t, dsn), openPostgres(t, dsn))
		})
	}

	t.Run("DatabaseClock", func(t *testing.T) { statetest.DatabaseClock(t, openPostgres(t, cluster.Database(t))) })

	t.Run("StartTogether", func(t *testing.T) {
		dsn := cluster.Database(t)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				s, err := state.OpenPostgres(t.Context(), dsn)
				if err != nil {
					t.Error(err)
					return
				}
				if err := s.Ping(t.Context()); err != nil {
					t.Error(err)
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})

	t.Run("Durable", func(t *testing.T) {
		dsn := cluster.Database(t)
		name := strings.TrimPrefix(dsn[:strings.IndexByte(dsn, '?')], "postgres://sitedrift@/")
		cluster.Exec(t, "postgres", "ALTER DATABASE "+name+" SET synchronous_commit = off")
		if got := state.Setting(t, openPostgres(t, dsn), "synchronous_commit"); got != "on" {
			t.Errorf("sessions run with synchronous_commit %s", got)
		}
	})

	t.Run("Refused", func(t *testing.T) {
		dsn := cluster.Database(t)
		name := strings.TrimPrefix(dsn[:strings.IndexByte(dsn, '?')], "postgres://sitedrift@/")
		cluster.Exec(t, name, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE guest LOGIN; CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on; CREATE ROLE crowd LOGIN CONNECTION LIMIT 0")
		for what, f := range map[string]struct{ dsn, want string }{
			"no rights":     {strings.Replace(dsn, "sitedrift@", "guest@", 1), "GRANT USAGE, CREATE"},
			"no database":   {strings.Replace(dsn, "@/"+name, "@/nowhere", 1), "CREATE DATABASE nowhere OWNER sitedrift"},
			"read-only":     {strings.Replace(dsn, "sitedrift@", "reader@", 1), "address of the primary"},
			"no such user":  {strings.Replace(dsn, "sitedrift@", "stranger@", 1), "does not let this user in: check the name stranger"},
			"no connection": {strings.Replace(dsn, "sitedrift@", "crowd@", 1), "has no connection left: raise max_connections"},
			"no TLS":        {"postgres://sitedrift@" + withoutTLS(t) + "/x?sslmode=require", "does not speak TLS: set ssl = on"},
		} {
			_, err := state.OpenPostgres(t.Context(), f.dsn)
			if err == nil || !strings.Contains(err.Error(), f.want) || !errors.Is(err, state.ErrUnfit) || errors.Is(err, state.ErrUnreachable) {
				t.Errorf("%s: %v; want %q", what, err, f.want)
			}
		}
	})

	t.Run("Ails", func(t *testing.T) { ails(t, cluster) })

	t.Run("TooOld", func(t *testing.T) {
		if err := state.CheckServer(12_0022); err == nil || err.Error() != "the server is PostgreSQL 12, which is too old: 13 or newer is needed" {
			t.Error(err)
		}
		if err := state.CheckServer(13_0000); err != nil {
			t.Error(err)
		}
	})

	t.Run("NoServer", func(t *testing.T) {
		_, err := state.OpenPostgres(t.Context(), "postgres://sitedrift:secret-word@/x?host=/nonexistent&sslmode=disable")
		if !errors.Is(err, state.ErrUnreachable) || strings.Contains(err.Error(), "secret-word") || !strings.Contains(err.Error(), "/nonexistent") {
			t.Errorf("no server: %v", err)
		}
		if _, err = state.OpenPostgres(t.Context(), "postgres://sitedrift:secret-word@[broken"); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("a broken connection string: %v", err)
		}
	})
}

// withoutTLS is the address of a server that refuses to encrypt.
func withoutTLS(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 8)) // its question
			_, _ = c.Write([]byte("N"))
			c.Close()
		}
	}()
	return l.Addr().String()
}

// ails lets a server fall ill in the middle of its life, in ways that only some of
// its answers show. Each time the store says what it is, and works again when it is
// mended.
func ails(t *testing.T, cluster *statetest.Cluster) {
	dsn := cluster.Database(t)
	name := strings.TrimPrefix(dsn[:strings.IndexByte(dsn, '?')], "postgres://sitedrift@/")
	exec := func(statements ...string) {
		t.Helper()
		for _, sql := range append(statements, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'") {
			cluster.Exec(t, "postgres", sql)
		}
	}
	exec("CREATE ROLE app LOGIN PASSWORD 'first'", "ALTER DATABASE "+name+" OWNER TO app",
		"DO $$ BEGIN EXECUTE format('COPY (VALUES (''local all app scram-sha-256''), (''local all all trust'')) TO %L', current_setting('hba_file')); END $$",
		"SELECT pg_reload_conf()")
	var address atomic.Value
	address.Store(strings.Replace(dsn, "sitedrift@", "app:first@", 1))
	s, err := state.OpenPostgresAt(t.Context(), func() (string, error) { return address.Load().(string), nil })
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ping := func() (err error) {
		for range 50 { // kept connections were cut
			if err = s.Ping(t.Context()); !errors.Is(err, state.ErrUnreachable) {
				break
			}
		}
		return err
	}
	for _, c := range []struct {
		ill  string
		what string
		mend func()
	}{
		{"ALTER DATABASE " + name + " SET default_transaction_read_only = on", "is read-only", func() { exec("ALTER DATABASE " + name + " RESET default_transaction_read_only") }},
		{"ALTER ROLE app CONNECTION LIMIT 0", "has no connection left", func() { exec("ALTER ROLE app CONNECTION LIMIT -1") }},
		{"ALTER ROLE app PASSWORD 'second'", "does not let this user in", func() { address.Store(strings.Replace(dsn, "sitedrift@", "app:second@", 1)) }},
		{"ALTER ROLE app NOLOGIN", "does not let this user in", func() { exec("ALTER ROLE app LOGIN") }},
	} {
		exec(c.ill)
		if err := ping(); !errors.Is(err, state.ErrUnfit) || state.What(err) != c.what || strings.Contains(err.Error(), "first") {
			t.Errorf("%s: %v, %q; want %q", c.ill, err, state.What(err), c.what)
		}
		c.mend()
		if err := ping(); err != nil {
			t.Errorf("mended after %s: %v", c.ill, err)
		}
	}
}
