package clickhouse

import (
	"errors"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestNothingCountsOnAFullDisk is Invariant 3: ClickHouse may say that rows are
// stored which it could not write, so what was inserted while the disk is full has an
// unknown outcome.
func TestNothingCountsOnAFullDisk(t *testing.T) {
	w := open(t, nil)
	h := head("t", confluence.Groups.Dataset, 1)
	d := delta(h, stream(block(confluence.Groups, "", schemas.OpAdded, confluence.Group{GroupID: "g"})))
	stage(t, w, d)
	show(t, w, h)
	w.least = 1 << 62
	for what, insert := range map[string]func() error{
		"Stage": func() error { return w.Stage(t.Context(), d) },
		"Show":  func() error { return w.Show(t.Context(), []schemas.Head{h}) },
		"Runs": func() error {
			return w.Runs(t.Context(), []schemas.Run{{RunID: h.RunID, Tenant: "t", Group: h.Group, Seq: 2}})
		},
		"Expect": func() error {
			return w.Expect(t.Context(), epoch, []schemas.Expected{{Tenant: "t", Dataset: "groups"}})
		},
		"try": func() error { return w.try(t.Context(), "") },
	} {
		w.health.tried(nil)
		err := insert()
		if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "no space left") {
			t.Errorf("%s on a full disk: %v", what, err)
		}
		if what != "try" && w.health.now() == nil {
			t.Errorf("after %s on a full disk runs may begin", what)
		}
	}
	for _, free := range []uint64{leastRoom - 1, leastRoom} {
		w.least, w.free = leastRoom, func() (uint64, error) { return free, nil }
		if err := w.Stage(t.Context(), d); (err == nil) != (free == leastRoom) {
			t.Errorf("Stage with %d bytes left: %v", free, err)
		}
	}
	w.free = nil
	if err := w.Stage(t.Context(), d); err != nil {
		t.Error(err)
	}
}
