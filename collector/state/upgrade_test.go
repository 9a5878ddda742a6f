package state_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// known is what a store says of everything that the first release knew.
func known(t *testing.T, s *state.Store) map[string]any {
	t.Helper()
	all := map[string]any{}
	for name, read := range map[string]func() (any, error){
		"tenants":      func() (any, error) { return s.Tenants(t.Context()) },
		"schedules":    func() (any, error) { return s.Schedules(t.Context(), "acme") },
		"heads":        func() (any, error) { return s.Heads(t.Context(), "") },
		"holds":        func() (any, error) { return s.Holds(t.Context(), "") },
		"deaths":       func() (any, error) { return s.Deaths(t.Context(), "acme", "posture") },
		"quarantines":  func() (any, error) { return s.Quarantines(t.Context(), "") },
		"installation": func() (any, error) { return s.Installation(t.Context()) },
		"credentials":  func() (any, error) { return s.Credentials(t.Context()) },
	} {
		got, err := read()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = got
	}
	return all
}

// fillAll stores something of everything: a decided attempt, a dead one, a hold.
func fillAll(t *testing.T, s *state.Store) {
	t.Helper()
	ctx, at := t.Context(), time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	begin := func() *collector.Attempt {
		a, err := s.Begin(ctx, collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: "me", StartedAt: at})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if err := s.PutTenant(ctx, collector.Tenant{ID: "acme", Name: "Acme", SiteURL: "https://acme.example", Deployment: schemas.Cloud, CreatedAt: at}); err != nil {
		t.Fatal(err)
	}
	if err := s.PutSchedule(ctx, collector.Schedule{Tenant: "acme", Group: "posture", Cron: "@hourly", NextAt: at}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PutConsent(ctx, collector.Credential{Tenant: "acme", Kind: "api_token", Sealed: []byte("sealed"), Generation: 1, ConsentedAt: at}); err != nil {
		t.Fatal(err)
	}
	a := begin()
	h := a.Heads["spaces"]
	h.Tenant, h.Group, h.Dataset, h.Seq, h.RunID, h.Epoch, h.Rows = "acme", "posture", "spaces", a.Seq, a.RunID, 1, 7
	a.Held = []collector.Hold{{Tenant: "acme", Dataset: "spaces", HeldAt: at, Removed: 3, Rows: 7, Sample: []string{"s1"}, Reason: "many"}}
	if err := s.Decide(ctx, a, []collector.Head{h}); err != nil {
		t.Fatal(err)
	}
	begin() // and dies
}

// TestUpgrade opens what each earlier release wrote: nothing of it is lost, and
// the attempts count on.
func TestUpgrade(t *testing.T) {
	cluster := statetest.StartCluster(t)
	for name, opens := range map[string]func(*testing.T) func() *state.Store{
		"SQLite": func(t *testing.T) func() *state.Store {
			dir := t.TempDir()
			return func() *state.Store { return must(state.OpenSQLite(t.Context(), dir))(t) }
		},
		"PostgreSQL": func(t *testing.T) func() *state.Store {
			dsn := cluster.Database(t)
			return func() *state.Store { return must(state.OpenPostgres(t.Context(), dsn))(t) }
		},
	} {
		for _, from := range []struct {
			schema  string
			version int64
		}{{"state", 1}, {"state", 2}, {"state", 3}, {"state", 4}, {"state", 5}, {"state", 6}, {"vault", 1}, {"vault", 2}, {"vault", 3}, {"vault", 4}} {
			t.Run(fmt.Sprintf("%s from version %d of %s", name, from.version, from.schema), func(t *testing.T) {
				open := opens(t)
				s := open()
				if all := len(state.Versions(t, s, "state")) + len(state.Versions(t, s, "vault")); all != 7+5 {
					t.Fatalf("there are %d versions; play them all", all)
				}
				fillAll(t, s)
				want := known(t, s)
				state.Downgrade(t, s, from.schema, from.version)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				s = open()
				defer func() {
					if err := s.Close(); err != nil {
						t.Error(err)
					}
				}()
				if diff := cmp.Diff(want, known(t, s), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("after the upgrade (-want +got):\n%s", diff)
				}
				a, err := s.Begin(t.Context(), collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: "me", StartedAt: time.Now()})
				if err != nil || a.Seq != 3 || len(a.Abandoned) != 1 {
					t.Errorf("the next attempt: %+v, %v", a, err)
				}
			})
		}
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
