package statetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// testWorkModel lets several owners claim, renew, finish, forget and come back
// late, in any order, over schedules and requests of a few groups, and compares
// with a model of who may hold what.
func testWorkModel(t *testing.T, s *state.Store) {
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		tenant := fmt.Sprintf("t%d", cases)
		addTenants(t, s, tenant)
		m := &workModel{now: noon.Add(time.Duration(cases) * 1000 * time.Hour), holder: map[string]*holding{}, fence: map[string]int64{}}
		for _, g := range []string{"audit", "posture"} {
			addSchedule(t, s, tenant, g, m.now)
		}
		t.Repeat(map[string]func(*rapid.T){
			"claim": func(t *rapid.T) {
				owner := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(t, "owner")
				for _, j := range claim(t, s, owner, m.now, rapid.IntRange(1, 3).Draw(t, "limit")) {
					m.claimed(t, j)
				}
			},
			"wait": func(t *rapid.T) {
				m.now = m.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
			},
			"renew": func(t *rapid.T) {
				if h := m.any(t); h != nil {
					h.check(t, m, s.Renew(t.Context(), h.job, m.now, lease))
					if m.holder[h.job.Group] == h {
						h.until = m.now.Add(lease)
					}
				}
			},
			"finish": func(t *rapid.T) {
				if h := m.any(t); h != nil {
					next := m.now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "next")) * time.Second)
					h.check(t, m, s.Finish(t.Context(), h.job, next, rapid.IntRange(0, 2).Draw(t, "failures")))
					if m.holder[h.job.Group] == h {
						delete(m.holder, h.job.Group)
					}
				}
			},
			"request": func(t *rapid.T) {
				_, err := s.Enqueue(t.Context(), tenant, rapid.SampledFrom([]string{"audit", "posture"}).Draw(t, "group"), nil, m.now)
				ok(t, err)
			},
		})
		ok(t, s.RemoveTenant(t.Context(), tenant, noon))
	})
}

type workModel struct {
	now    time.Time
	holder map[string]*holding // by group: who holds it, also past the end of the lease
	fence  map[string]int64
	ever   []*holding
}

type holding struct {
	job   collector.Job
	until time.Time
}

func (m *workModel) claimed(t *rapid.T, j collector.Job) {
	if h := m.holder[j.Group]; h != nil && h.until.After(m.now) {
		t.Fatalf("%+v was claimed while %+v holds the group until %s", j, h.job, h.until)
	}
	if j.Fence <= m.fence[j.Group] {
		t.Fatalf("claim number %d follows %d", j.Fence, m.fence[j.Group])
	}
	if j.Tick.After(m.now) {
		t.Fatalf("%+v was claimed before its time, at %s", j, m.now)
	}
	h := &holding{job: j, until: m.now.Add(lease)}
	m.fence[j.Group], m.holder[j.Group] = j.Fence, h
	m.ever = append(m.ever, h)
}

func (m *workModel) any(t *rapid.T) *holding {
	if len(m.ever) == 0 {
		return nil
	}
	return rapid.SampledFrom(m.ever).Draw(t, "job")
}

// check: the call must have worked exactly if nobody took the group over.
func (h *holding) check(t *rapid.T, m *workModel, err error) {
	t.Helper()
	if mine := m.holder[h.job.Group] == h; mine && err != nil || !mine && !errors.Is(err, collector.ErrFenced) {
		t.Fatalf("holder %v, answer %v", mine, err)
	}
}

// ClaimRace lets many workers claim due schedules, a multiple of ten, through the
// given stores of one database: each is claimed exactly once, while a request of
// the same group waits in the way of every fourth.
func ClaimRace(t *testing.T, rows int, stores ...*state.Store) {
	const workers = 8
	ctx := t.Context()
	for i := range rows / 10 {
		tenant := fmt.Sprintf("t%d", i)
		addTenants(t, stores[0], tenant)
		for g := range 10 {
			group := fmt.Sprintf("g%d", g)
			addSchedule(t, stores[0], tenant, group, noon.Add(time.Duration(i)*time.Millisecond))
			if g%4 == 0 {
				must[string](t)(stores[0].Enqueue(ctx, tenant, group, nil, noon))
			}
		}
	}
	now := noon.Add(time.Minute)
	var mu sync.Mutex
	runs := map[string]int{}    // by row
	active := map[string]bool{} // by tenant and group
	fences := map[string][]int64{}
	var wg sync.WaitGroup
	for w := range workers {
		s, owner := stores[w%len(stores)], fmt.Sprintf("worker-%d", w)
		wg.Go(func() {
			for idle := 0; idle < 20; {
				jobs, err := s.Claim(ctx, owner, now, time.Hour, 25)
				if err != nil {
					t.Error(err)
					return
				}
				if len(jobs) == 0 {
					idle++
					time.Sleep(5 * time.Millisecond)
					continue
				}
				idle = 0
				mu.Lock()
				for _, j := range jobs {
					lane := j.Tenant + "/" + j.Group
					if active[lane] {
						t.Errorf("%s is run twice at a time", lane)
					}
					active[lane] = true
					runs[j.Tenant+"/"+j.Kind]++
					fences[lane] = append(fences[lane], j.Fence)
				}
				mu.Unlock()
				for _, j := range jobs {
					mu.Lock()
					active[j.Tenant+"/"+j.Group] = false
					mu.Unlock()
					if err := s.Finish(ctx, j, now.Add(time.Hour), 0); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	if want := rows + rows/10*3; len(runs) != want {
		t.Errorf("%d rows were run, want %d", len(runs), want)
	}
	for row, n := range runs {
		if n != 1 {
			t.Errorf("%s was run %d times", row, n)
		}
	}
	for lane, f := range fences {
		if slices.Sort(f); len(slices.Compact(slices.Clone(f))) != len(f) {
			t.Errorf("%s: claim numbers %v", lane, f)
		}
	}
}
