package statetest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// testAdopt: a ledger that was put back takes over what a warehouse shows, its
// void lists and what must never be seen above it.
func testAdopt(t *testing.T, s *state.Store) {
	ctx := t.Context()
	begin := func() *collector.Attempt {
		a, err := s.Begin(ctx, collector.Begin{
			Tenant: "acme", Group: "posture", Datasets: []string{"spaces", "groups"}, RunID: uuid.New(), Owner: uuid.NewString(),
			Trigger: collector.TriggerManual, StartedAt: noon,
		})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	begin() // attempt 1 was under way at the time of the backup
	shown := collector.Head{
		Head: schemas.Head{
			Tenant: "acme", Dataset: "spaces", Group: "posture", Seq: 7, Void: []uint64{3, 5}, Epoch: 2, Rows: 9,
			Digest: schemas.Digest{Hi: 1, Lo: 2}, ObservedAt: noon, RunID: uuid.New(),
		},
		Version: 1, Projected: true,
	}
	adoption := collector.Adoption{
		Lane: collector.Lane{Tenant: "acme", Group: "posture"}, Was: 1, Seq: 12,
		Heads: []collector.Head{shown}, Void: map[string][]uint64{"spaces": {8, 12}, "groups": {8, 12}},
	}
	for range 2 { // a crash may lose the answer
		if err := s.Adopt(ctx, adoption, noon); err != nil {
			t.Fatal(err)
		}
		adoption.Heads = nil // they are no longer ahead
	}
	lanes, err := s.Lanes(ctx)
	if err != nil || lanes[adoption.Lane] != 12 {
		t.Errorf("attempts go on above %d, %v", lanes[adoption.Lane], err)
	}
	if n, err := s.Deaths(ctx, "acme", "posture"); err != nil || n > 0 {
		t.Errorf("%d deaths, %v", n, err)
	}
	a := begin()
	shown.Void = []uint64{3, 5, 8, 12}
	if d := cmp.Diff(shown, a.Heads["spaces"]); d != "" || a.Seq != 13 {
		t.Errorf("attempt %d begins with (-want +got):\n%s", a.Seq, d)
	}
	if d := cmp.Diff([]uint64{1, 8, 12}, a.Heads["groups"].Void); d != "" {
		t.Errorf("void of a dataset that was never shown (-want +got):\n%s", d)
	}
	swept, err := s.Sweepable(ctx, noon.Add(time.Millisecond))
	if err != nil || len(swept) != 2 {
		t.Errorf("to be swept: %+v, %v", swept, err)
	}
}
