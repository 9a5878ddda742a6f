package state_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
)

// Sizes: 10,000 schedules, as a vendor with some thousand sites has them.
const benchSchedules = 10_000

func benchStores(b *testing.B, run func(b *testing.B, s *state.Store)) {
	b.Helper()
	b.Run("sqlite", func(b *testing.B) {
		s, err := state.OpenSQLite(b.Context(), b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		run(b, s)
	})
	b.Run("postgres", func(b *testing.B) {
		s, err := state.OpenPostgres(b.Context(), statetest.StartCluster(b, "fsync=on").Database(b))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { s.Close() })
		run(b, s)
	})
}

var benchNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func fill(b *testing.B, s *state.Store, next time.Time) {
	b.Helper()
	for i := range benchSchedules {
		tenant := fmt.Sprintf("t%d", i/3)
		if i%3 == 0 {
			if err := s.PutTenant(b.Context(), collector.Tenant{ID: tenant}); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.PutSchedule(b.Context(), collector.Schedule{Tenant: tenant, Group: strconv.Itoa(i % 3), Cron: "@hourly", NextAt: next}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleTick is what a scheduler pays to find out that nothing is due.
func BenchmarkIdleTick(b *testing.B) {
	benchStores(b, func(b *testing.B, s *state.Store) {
		b.Helper()
		fill(b, s, benchNow.Add(time.Hour))
		for b.Loop() {
			jobs, err := s.Claim(b.Context(), "me", benchNow, time.Minute, 100)
			if err != nil || len(jobs) > 0 {
				b.Fatal(jobs, err)
			}
			if _, err := s.NextDue(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBacklog claims and finishes 10,000 overdue schedules, 100 at a time.
func BenchmarkBacklog(b *testing.B) {
	benchStores(b, func(b *testing.B, s *state.Store) {
		b.Helper()
		fill(b, s, benchNow)
		for b.Loop() {
			for done := 0; done < benchSchedules; {
				jobs, err := s.Claim(b.Context(), "me", benchNow, time.Minute, 100)
				if err != nil || len(jobs) == 0 {
					b.Fatal(len(jobs), err)
				}
				for _, j := range jobs {
					if err := s.Finish(b.Context(), j, benchNow.Add(time.Hour), 0); err != nil {
						b.Fatal(err)
					}
				}
				done += len(jobs)
			}
			b.StopTimer()
			all, err := s.Schedules(b.Context(), "")
			if err != nil {
				b.Fatal(err)
			}
			for _, sc := range all {
				sc.NextAt = benchNow
				if err := s.PutSchedule(b.Context(), sc); err != nil {
					b.Fatal(err)
				}
			}
			b.StartTimer()
		}
	})
}

// BenchmarkAttempt is the ledger's part of a run of six datasets.
func BenchmarkAttempt(b *testing.B) {
	datasets := []string{"a", "b", "c", "d", "e", "f"}
	benchStores(b, func(b *testing.B, s *state.Store) {
		b.Helper()
		for b.Loop() {
			a, err := s.Begin(b.Context(), collector.Begin{Tenant: "acme", Group: "posture", Datasets: datasets, RunID: uuid.New(), Owner: "me", StartedAt: benchNow})
			if err != nil {
				b.Fatal(err)
			}
			var heads []collector.Head
			for _, d := range datasets {
				h := a.Heads[d]
				h.Seq = a.Seq
				heads = append(heads, h)
			}
			if err := s.Decide(b.Context(), a, heads); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRotation is claim and save of one token refresh.
func BenchmarkRotation(b *testing.B) {
	benchStores(b, func(b *testing.B, s *state.Store) {
		b.Helper()
		_, err := s.PutConsent(b.Context(), collector.Credential{Tenant: "acme", Kind: "3lo", Sealed: make([]byte, 2500), Generation: 1})
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			c, claimed, err := s.ClaimRefresh(b.Context(), "acme", "3lo", "me", benchNow, benchNow.Add(time.Minute))
			if err != nil || !claimed {
				b.Fatal(claimed, err)
			}
			if saved, err := s.SaveRotation(b.Context(), c, c.Generation, "me", true); err != nil || !saved {
				b.Fatal(saved, err)
			}
		}
	})
}
