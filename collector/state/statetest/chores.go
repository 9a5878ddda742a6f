package statetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/state"
)

// testDaily: of several processes one does a chore, once a day.
func testDaily(t *testing.T, s *state.Store) {
	for _, c := range []struct {
		at   time.Duration
		want int64
	}{{0, 1}, {time.Hour, 0}, {24*time.Hour - time.Millisecond, 0}, {24 * time.Hour, 1}, {30 * time.Hour, 0}, {96 * time.Hour, 1}} {
		var mine atomic.Int64
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				got, err := s.Daily(t.Context(), "retention", noon.Add(c.at))
				if err != nil {
					t.Error(err)
				}
				if got {
					mine.Add(1)
				}
			})
		}
		wg.Wait()
		if mine.Load() != c.want {
			t.Errorf("%v later %d processes do it, want %d", c.at, mine.Load(), c.want)
		}
	}
}
