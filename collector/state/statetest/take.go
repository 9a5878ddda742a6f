package statetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

func testTake(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	if _, _, err := s.Take(ctx, "me", "nobody", "posture", nil, noon, lease); !errors.Is(err, state.ErrUnknownTenant) {
		t.Errorf("a run of an unknown tenant: %v", err)
	}
	take := func(owner string, now time.Time) (collector.Job, bool) {
		t.Helper()
		job, got, err := s.Take(ctx, owner, "acme", "posture", []string{"spaces", "groups"}, now, lease)
		ok(t, err)
		return job, got
	}
	mine, got := take("me", noon)
	if !got {
		t.Fatal("a free group was not taken")
	}
	equal(t, "taken", collector.Job{
		Tenant: "acme", Group: "posture", Datasets: []string{"groups", "spaces"}, Tick: noon,
		Trigger: collector.TriggerManual, Kind: mine.Kind, Owner: "me", Fence: 1,
	}, mine)
	if _, got := take("you", noon); got {
		t.Error("taken twice")
	}
	if jobs := claim(t, s, "you", noon, 10); len(jobs) != 0 {
		t.Errorf("claimed beside a taken run: %+v", jobs)
	}
	ok(t, s.Renew(ctx, mine, noon, lease))
	ok(t, s.Finish(ctx, mine, time.Time{}, 0))

	// The schedule was not touched, and excludes the next one who asks.
	jobs := claim(t, s, "you", noon, 10)
	if len(jobs) != 1 || jobs[0].Kind != "posture" || jobs[0].Fence != 2 {
		t.Fatalf("after a taken run: %+v", jobs)
	}
	if _, got := take("me", noon); got {
		t.Error("taken while the schedule runs")
	}
	ok(t, s.Finish(ctx, jobs[0], noon.Add(time.Hour), 0))

	// A taker that dies leaves the request to whoever claims next.
	dead, got := take("me", noon)
	if !got {
		t.Fatal("not taken after the schedule's run")
	}
	jobs = claim(t, s, "you", noon.Add(lease), 10)
	if len(jobs) != 1 || jobs[0].Kind != dead.Kind || jobs[0].Fence <= dead.Fence {
		t.Fatalf("after a taker died: %+v", jobs)
	}
	if err := s.Finish(ctx, dead, time.Time{}, 0); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a taker that came back finished its run: %v", err)
	}
	ok(t, s.Finish(ctx, jobs[0], time.Time{}, 0))

	// Somebody asked for it, so a pause does not matter.
	ok(t, s.SetPaused(ctx, "acme", true))
	if _, got := take("me", noon); !got {
		t.Error("a paused tenant could not be taken")
	}
}

// testTakeRace: of many takers and claimers one at a time has the group.
func testTakeRace(t *testing.T, s *state.Store) {
	ctx := t.Context()
	addTenants(t, s, "acme")
	addSchedule(t, s, "acme", "posture", noon)
	var mu sync.Mutex
	inside, taken, claimed := 0, 0, 0
	run := func(job collector.Job, count *int) {
		mu.Lock()
		if inside++; inside > 1 {
			t.Error("two runs at a time")
		}
		*count++
		mu.Unlock()
		mu.Lock()
		inside--
		mu.Unlock()
		if err := s.Finish(ctx, job, noon, 0); err != nil {
			t.Error(err)
		}
	}
	var wg sync.WaitGroup
	for w := range 6 {
		owner := fmt.Sprint("w", w)
		wg.Go(func() {
			for range 40 {
				if w%2 == 0 {
					job, got, err := s.Take(ctx, owner, "acme", "posture", nil, noon, time.Hour)
					if err != nil {
						t.Error(err)
					} else if got {
						run(job, &taken)
					}
					continue
				}
				jobs, err := s.Claim(ctx, owner, noon, time.Hour, 10)
				if err != nil {
					t.Error(err)
				}
				for _, job := range jobs {
					run(job, &claimed)
				}
			}
		})
	}
	wg.Wait()
	if taken == 0 || claimed == 0 {
		t.Errorf("%d taken, %d claimed", taken, claimed)
	}
}

func testInstallation(t *testing.T, s *state.Store) {
	ids := make([]uuid.UUID, 4)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			id, err := s.Installation(t.Context())
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id == uuid.Nil || id != ids[0] {
			t.Errorf("one database has the identities %v", ids)
		}
	}
}
