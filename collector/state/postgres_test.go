package state_test

import (
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

	t.Run("NoServer", func(t *testing.T) {
		_, err := state.OpenPostgres(t.Context(), "postgres://sitedrift:secret-word@/x?host=/nonexistent&sslmode=disable")
		if err == nil || strings.Contains(err.Error(), "secret-word") || !strings.Contains(err.Error(), "/nonexistent") {
			t.Errorf("no server: %v", err)
		}
		if _, err = state.OpenPostgres(t.Context(), "postgres://sitedrift:secret-word@[broken"); err == nil || strings.Contains(err.Error(), "secret-word") {
			t.Errorf("a broken connection string: %v", err)
		}
	})
}
