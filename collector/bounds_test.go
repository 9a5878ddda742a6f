package collector_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// heavy is a source whose answers are long.
type heavy struct {
	wide
	bytes int64
}

func (s heavy) Stats() collector.SourceStats { return collector.SourceStats{Bytes: s.bytes} }

// TestHostileSiteIsBounded is a part of Invariant 7: rows, bytes and disk that a run
// takes have an end, which is told with the key that moves it, and ends no row.
func TestHostileSiteIsBounded(t *testing.T) {
	w := newBareWorld(t, modelled)
	bounds := collector.Bounds{PartitionRows: 50, RunBytes: 1000, SpoolBytes: 100}
	w.runner.Bounds = func(string) collector.Bounds { return bounds }
	honest := heavy{wide{scripted{0}, 3, new(atomic.Int64)}, 1000}
	source := honest
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return source, nil
	}

	for key, hostile := range map[string]heavy{
		"limits.partition_rows": {wide{scripted{0}, 1500, honest.reads}, 1000},
		"limits.run_bytes":      {wide{scripted{0}, 2, honest.reads}, 1001},
	} {
		source = honest
		w.run(schemas.GroupPosture)
		source = hostile
		if row := w.run(schemas.GroupPosture); row.Removed+row.Vanished+row.Added != 0 || !strings.Contains(row.Error, key) {
			t.Errorf("%s: %+v", key, row)
		}
		w.want("SELECT DISTINCT state, position(evidence, '"+key+"') > 0, unlock LIKE '%raise "+key+"' FROM sitedrift.coverage WHERE tenant_id = $T AND dataset = 'space_permissions' AND partition_id != ''", "failed 1 1")
		w.want("SELECT count() FROM sitedrift.space_permissions WHERE tenant_id = $T", "12")
	}

	source, w.runner.SpoolMemory = heavy{wide{scripted{0}, 40, honest.reads}, 0}, 0
	w.clock.advance(1)
	row, err := w.tryRun(schemas.GroupPosture)
	if row.Outcome != schemas.OutcomeFailed || err == nil || !strings.Contains(err.Error(), "raise limits.spool_bytes") {
		t.Errorf("%+v: %v", row, err)
	}
	w.want("SELECT count() FROM sitedrift.space_permissions WHERE tenant_id = $T", "12")
}
