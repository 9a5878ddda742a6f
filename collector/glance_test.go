package collector_test

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// watched notes of which datasets the baseline was read.
type watched struct {
	collector.Warehouse
	mu   sync.Mutex
	read []string
}

func (w *watched) Baseline(ctx context.Context, table *schemas.Dataset, head schemas.Head, first, last string, yield func(string, []schemas.BaselineKey) error) error {
	w.mu.Lock()
	w.read = append(w.read, table.Name)
	w.mu.Unlock()
	return w.Warehouse.Baseline(ctx, table, head, first, last, yield)
}

// since returns the names that were noted since it was asked last.
func (w *watched) since() []string {
	read := append([]string{}, w.read...)
	w.read = nil
	slices.Sort(read)
	return slices.Compact(read)
}

// TestUnchangedDatasetsAreRecognized: of a dataset whose rows are as published
// the warehouse is not read, and one that changed costs no call more for it.
func TestUnchangedDatasetsAreRecognized(t *testing.T) {
	w := newWorld(t, small())
	warehouse := &watched{Warehouse: w.warehouse}
	w.runner.Warehouse = warehouse
	w.run(schemas.GroupPosture)
	first := w.run(schemas.GroupPosture)
	warehouse.since()
	for _, c := range []struct {
		name   string
		change func()
		want   []string
	}{
		{"nothing", func() {}, []string{}},
		{"a space is renamed", func() { must(t, w.site.RenameSpace(w.site.Truth().Spaces[0].ID, "Renamed")) }, []string{"spaces"}},
		{"a grant is added", func() {
			_, err := w.site.AddPermission(w.site.Truth().Spaces[1].ID, sim.Permission{PrincipalType: "user", PrincipalID: "x", Operation: "read", Target: "space"})
			must(t, err)
		}, []string{"space_permissions"}},
		{"a grant goes", func() {
			space := mostGranted(w.site.Truth())
			must(t, w.site.RemovePermission(space.ID, w.site.Truth().Permissions[space.ID][0].ID))
		}, []string{"space_permissions"}},
		{"nothing again", func() {}, []string{}},
	} {
		c.change()
		row := w.run(schemas.GroupPosture)
		if d := gocmp.Diff(c.want, warehouse.since()); d != "" {
			t.Errorf("%s: baselines read (-want +got):\n%s", c.name, d)
		}
		if changed := row.Outcome == schemas.OutcomeChanged; changed != (len(c.want) > 0) || row.Calls != first.Calls || row.RowsRead == 0 {
			t.Errorf("%s: %s with %d calls and %d rows read; the run before made %d calls", c.name, row.Outcome, row.Calls, row.RowsRead, first.Calls)
		}
		w.equalsTruth(schemas.GroupPosture)
	}
}

// TestLossIsNoticedWhileNothingChanges: rows that the warehouse lost do not stay
// unnoticed for more than sixteen runs.
func TestLossIsNoticedWhileNothingChanges(t *testing.T) {
	w := newWorld(t, small())
	w.run(schemas.GroupPosture)
	if err := enginetest.Open(t, enginetest.Shared(t)).Exec(t.Context(), "DELETE FROM sitedrift.spaces_versions WHERE tenant_id = '"+w.tenant.ID+"'"); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		row := w.run(schemas.GroupPosture)
		if row.Outcome == schemas.OutcomeMismatch {
			return
		}
		if row.Outcome != schemas.OutcomeNoChange || n > 16 {
			t.Fatalf("run %d after the loss: %s", n, row.Outcome)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wide is a source with a few rows of each space, or with many.
type wide struct {
	scripted
	rows  int
	reads *atomic.Int64
}

func (s wide) Partitions(*schemas.Dataset) []string { return []string{"s1", "s2", "s3", "s4"} }

func (s wide) Read(ctx context.Context, table *schemas.Dataset, partition string, yield func(collector.Page) error) error {
	if table.Name == datasets.Spaces.Name {
		return s.scripted.Read(ctx, table, partition, yield)
	}
	s.reads.Add(1)
	for from := 0; from < s.rows; from += 100 {
		page := make([]datasets.SpacePermission, min(100, s.rows-from))
		for i := range page {
			page[i].PermissionID = strconv.Itoa(from + i)
		}
		if err := yield(collector.Page{Rows: datasets.SpacePermissions.Page(page)}); err != nil {
			return err
		}
	}
	return nil
}

// bulky is a source whose answers are long, and whose rows are few.
type bulky struct {
	wide
	each int64 // bytes of an answer
}

func (s bulky) Stats() collector.SourceStats {
	return collector.SourceStats{Bytes: s.reads.Load() * s.each}
}

// TestGlanceIsBoundedByBytes is a part of Invariant 7: few rows can be long.
func TestGlanceIsBoundedByBytes(t *testing.T) {
	for each, again := range map[int64]bool{1 << 20: false, 32 << 20: true} {
		w := newBareWorld(t, modelled)
		w.runner.Bounds = func(string) collector.Bounds {
			return collector.Bounds{PartitionRows: 1000, RunBytes: 1 << 40, SpoolBytes: 1 << 30}
		}
		source := bulky{wide{scripted{0}, 3, new(atomic.Int64)}, each}
		w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
			return source, nil
		}
		w.run(schemas.GroupPosture)
		w.run(schemas.GroupPosture)
		source.reads.Store(0)
		if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeNoChange {
			t.Errorf("%+v", row)
		}
		if n := source.reads.Load(); (n > 4) != again {
			t.Errorf("answers of %d bytes: 4 partitions were read %d times", each, n)
		}
	}
}

// TestGlanceIsBounded is a part of Invariant 7: a dataset that was small and is not
// any more is not kept in memory whole, however many partitions it has; what was
// looked at too early is read once more.
func TestGlanceIsBounded(t *testing.T) {
	w := newBareWorld(t, modelled)
	var reads atomic.Int64
	rows := 3
	w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return wide{scripted{0}, rows, &reads}, nil
	}
	w.run(schemas.GroupPosture)
	w.run(schemas.GroupPosture)
	rows, _ = 1500, reads.Swap(0)
	if row := w.run(schemas.GroupPosture); row.Outcome != schemas.OutcomeChanged || row.Added != 4*1497 {
		t.Errorf("%+v", row)
	}
	if n := reads.Load(); n <= 4 {
		t.Errorf("4 partitions of 1500 rows were read %d times: all of them were kept", n)
	}
	w.want("SELECT count() FROM sitedrift.space_permissions WHERE tenant_id = $T", "6000")
}
