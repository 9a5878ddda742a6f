package collector_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
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

// long is a source whose rows are.
type long struct{ wide }

func (s long) Read(ctx context.Context, table *schemas.Dataset, partition string, yield func(collector.Page) error) error {
	if table.Name == datasets.Spaces.Name {
		return s.scripted.Read(ctx, table, partition, yield)
	}
	for i := range s.rows {
		s.reads.Add(1)
		row := datasets.SpacePermission{PermissionID: strconv.Itoa(i), PrincipalID: strings.Repeat("x", 1<<20)}
		if err := yield(collector.Page{Rows: datasets.SpacePermissions.Page([]datasets.SpacePermission{row})}); err != nil {
			return err
		}
	}
	return nil
}

// TestLongRowsDoNotWaitInMemory is a part of Invariant 7: what a worker has gathered
// goes to the disk, and meets its bound, by its length and not by its rows alone.
func TestLongRowsDoNotWaitInMemory(t *testing.T) {
	w := newBareWorld(t, modelled)
	w.runner.Bounds = func(string) collector.Bounds {
		return collector.Bounds{PartitionRows: 1000, RunBytes: 1000, SpoolBytes: 1 << 20}
	}
	w.runner.SpoolMemory = 0
	reads := new(atomic.Int64)
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return long{wide{scripted{0}, 40, reads}}, nil
	}
	if _, err := w.tryRun(schemas.GroupPosture); err == nil || !strings.Contains(err.Error(), "limits.spool_bytes allows, at space_permissions") {
		t.Errorf("%v", err)
	}
	if n := reads.Load(); n >= 4*40 { // of each of four spaces
		t.Errorf("%d rows of a mebibyte were read before any was handed over", n)
	}
}
