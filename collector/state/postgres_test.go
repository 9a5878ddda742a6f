package state_test

import (
	"errors"
	"strings"
	"sync"
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
		cluster.Exec(t, name, "REVOKE CREATE ON SCHEMA public FROM PUBLIC; CREATE ROLE guest LOGIN; CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on")
		for what, f := range map[string]struct{ dsn, want string }{
			"no rights":    {strings.Replace(dsn, "sitedrift@", "guest@", 1), "GRANT USAGE, CREATE"},
			"no database":  {strings.Replace(dsn, "@/"+name, "@/nowhere", 1), "CREATE DATABASE nowhere OWNER sitedrift"},
			"read-only":    {strings.Replace(dsn, "sitedrift@", "reader@", 1), "address of the primary"},
			"no such user": {strings.Replace(dsn, "sitedrift@", "stranger@", 1), "does not let user stranger in"},
		} {
			_, err := state.OpenPostgres(t.Context(), f.dsn)
			if err == nil || !strings.Contains(err.Error(), f.want) || !errors.Is(err, state.ErrUnfit) || errors.Is(err, state.ErrUnreachable) {
				t.Errorf("%s: %v; want %q", what, err, f.want)
			}
		}
	})

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
