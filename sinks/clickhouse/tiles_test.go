package clickhouse

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// covered writes a run that found the given coverage, and shows it.
func covered(t *testing.T, w *Warehouse, tenant string, d *schemas.Dataset, seq, rows uint64, observed time.Time, complete bool, states map[string]schemas.Coverage) {
	t.Helper()
	h := head(tenant, d, seq)
	h.Rows, h.ObservedAt = rows, observed
	dl := delta(h, nil)
	dl.Run.EndedAt = observed
	if !complete {
		dl.Run.Complete = nil
	}
	var list []schemas.Coverage
	for p, c := range states {
		c.Tenant, c.Dataset, c.Partition, c.ObservedAt, c.RunID, c.Seq = tenant, d.Name, p, observed, h.RunID, seq
		list = append(list, c)
	}
	dl.Parts[0].Coverage = records(schemas.CoverageTable, list...)
	stage(t, w, dl)
	show(t, w, h)
}

// TestTiles: a tile never shows a false 0.
func TestTiles(t *testing.T) {
	w := open(t, nil)
	spaces, grants := confluence.Spaces.Dataset, confluence.SpacePermissions.Dataset
	in := func(s schemas.CoverageState) schemas.Coverage { return schemas.Coverage{State: s} }
	once := func(s schemas.CoverageState) schemas.Coverage {
		return schemas.Coverage{State: s, LastCompleteAt: epoch}
	}
	now := time.Now().UTC()
	complete, forbidden, partial, gone, held := schemas.CoverageComplete, schemas.CoverageForbidden, schemas.CoveragePartial, schemas.CoverageGone, schemas.CoverageHeld
	type states = map[string]schemas.Coverage
	for _, c := range []struct {
		tenant string
		table  *schemas.Dataset
		setup  func(tenant string, d *schemas.Dataset)
		want   string // state, rows_or_null, rows_known, partitions: all, complete, partial, unreadable
	}{
		{"never", spaces, func(string, *schemas.Dataset) {}, "never_run NULL 0 0 0 0 0"},
		{"failed", spaces, func(tenant string, d *schemas.Dataset) {
			if err := w.Runs(t.Context(), []schemas.Run{{RunID: runID(tenant, 1), Tenant: tenant, Seq: 1, Outcome: schemas.OutcomeFailed, StartedAt: epoch, EndedAt: epoch, Datasets: []string{d.Name}}}); err != nil {
				t.Fatal(err)
			}
		}, "failed NULL 0 0 0 0 0"},
		{"forbidden", spaces, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 0, now, false, states{"": in(forbidden)})
		}, "forbidden NULL 0 1 0 0 1"},
		{"empty", spaces, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 0, now, true, states{"": in(complete)})
		}, "complete 0 0 1 1 0 0"},
		{"complete", spaces, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 12, now, true, states{"": in(complete)})
		}, "complete 12 12 1 1 0 0"},
		{"was-complete", spaces, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 12, now, true, states{"": in(complete)})
			covered(t, w, tenant, d, 2, 12, now, false, states{"": once(forbidden)})
		}, "forbidden 12 12 1 0 0 1"},
		{"held", spaces, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 12, now, true, states{"": in(complete)})
			covered(t, w, tenant, d, 2, 12, now, false, states{"": once(held)})
		}, "held 12 12 1 0 1 0"},
		{"not-shown", spaces, func(tenant string, d *schemas.Dataset) {
			h := head(tenant, d, 1)
			stage(t, w, delta(h, nil))
		}, "never_run NULL 0 0 0 0 0"},
		{"parts", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 9, now, true, states{"s1": in(complete), "s2": in(complete)})
		}, "complete 9 9 2 2 0 0"},
		{"one-part-never", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 9, now, false, states{"s1": in(complete), "s2": in(forbidden), "s3": in(partial)})
		}, "partial NULL 9 3 1 1 1"},
		{"one-part-late", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 9, now, false, states{"s1": in(complete), "s2": once(forbidden), "s3": in(gone)})
		}, "partial 9 9 2 1 0 1"},
		{"all-parts-forbidden", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 0, now, false, states{"s1": in(forbidden), "s2": in(forbidden)})
		}, "forbidden NULL 0 2 0 0 2"},
		{"no-parts", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 0, now, true, states{"": in(complete)})
		}, "complete 0 0 0 0 0 0"},
		{"no-list", grants, func(tenant string, d *schemas.Dataset) {
			covered(t, w, tenant, d, 1, 4, now, false, states{"": in(forbidden), "s1": in(complete)})
		}, "forbidden NULL 4 1 1 0 0"},
	} {
		expect(t, w, schemas.Expected{Tenant: c.tenant, Dataset: c.table.Name, Group: c.table.Group, Cadence: time.Hour})
		c.setup(c.tenant, c.table)
		got := ask(t, w, "SELECT state, rows_or_null, rows_known, partitions, partitions_complete, partitions_partial, partitions_unreadable FROM tiles WHERE tenant_id = "+text(c.tenant))
		if !cmp.Equal(got, [][]string{fields(c.want)}) {
			t.Errorf("%s: %v, want %s", c.tenant, got, c.want)
		}
	}
	expect(t, w, schemas.Expected{Tenant: "never", Dataset: "spaces", Removed: true})
	if got := ask(t, w, "SELECT count(), countIf(tenant_id = 'never') FROM tiles"); got[0][0] != "13" || got[0][1] != "0" {
		t.Errorf("tiles and those of a removed tenant: %v", got)
	}
}

func TestTilesStale(t *testing.T) {
	w := open(t, nil)
	d := confluence.Spaces.Dataset
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, c := range []struct {
		tenant  string
		cadence time.Duration
		paused  bool
		ended   time.Time // zero: never read
		stale   string
	}{
		{"fresh", time.Hour, false, now, "false"},
		{"within-grace", time.Hour, false, now.Add(-2*time.Hour - 5*time.Minute), "false"},
		{"late", time.Hour, false, now.Add(-2*time.Hour - 15*time.Minute), "true"},
		{"paused", time.Hour, true, now.Add(-48 * time.Hour), "false"},
		{"no-schedule", 0, false, now.Add(-48 * time.Hour), "false"},
		{"never", time.Hour, false, time.Time{}, "true"},
	} {
		expect(t, w, schemas.Expected{Tenant: c.tenant, Dataset: d.Name, Group: d.Group, Cadence: c.cadence, Paused: c.paused})
		want := "NULL"
		if !c.ended.IsZero() {
			covered(t, w, c.tenant, d, 1, 3, c.ended, true, map[string]schemas.Coverage{"": {State: schemas.CoverageComplete}})
			want = c.ended.Format("2006-01-02 15:04:05.000")
		}
		got := ask(t, w, "SELECT stale, last_complete_at, observed_at FROM tiles WHERE tenant_id = "+text(c.tenant))
		if !cmp.Equal(got, [][]string{{c.stale, want, want}}) {
			t.Errorf("%s: %v, want stale %s, last complete %s", c.tenant, got, c.stale, want)
		}
	}
}
