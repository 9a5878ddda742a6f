package statetest

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sitedrift/sitedrift/collector/state"
)

// testKeyProof: of several processes that prove the first key, or replace what
// proves it, one wins.
func testKeyProof(t *testing.T, s *state.Store) {
	ctx := t.Context()
	if got := must[[]byte](t)(s.KeyProof(ctx)); got != nil {
		t.Errorf("a fresh state has %x", got)
	}
	var old []byte
	for _, round := range []byte{1, 2} {
		var won atomic.Int32
		var winner atomic.Value
		var all sync.WaitGroup
		for n := range byte(4) {
			all.Go(func() {
				sealed := []byte{round, n}
				done, err := s.PutKeyProof(ctx, old, sealed)
				if err != nil {
					t.Error(err)
				}
				if done {
					won.Add(1)
					winner.Store(sealed)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d have put their proof", round, won.Load())
		}
		old = must[[]byte](t)(s.KeyProof(ctx))
		equal(t, "the proof", winner.Load().([]byte), old)
	}
}
