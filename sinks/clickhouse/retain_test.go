package clickhouse

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// years is a random history of a few spaces over four years, a run every seven weeks with
// some void ones between, and what was true after each.
type years struct {
	tenant string
	head   schemas.Head
	times  []time.Time
	truth  []map[string]string // name by id
}

func (y *years) run(t *testing.T, w *Warehouse, rng *rand.Rand, at time.Time) {
	now := map[string]string{}
	if n := len(y.truth); n > 0 {
		now = maps.Clone(y.truth[n-1])
	}
	a := attempt{tenant: y.tenant, seq: y.head.Seq + 1}
	write := func(op schemas.Op, id, name string) {
		a.ops, a.spaces = append(a.ops, op), append(a.spaces, space(id, name))
	}
	if len(y.truth) == 0 {
		for _, id := range []string{"never-changes", "2", "3", "4", "5", "6", "7", "8"} {
			now[id] = "first"
			write(schemas.OpBaseline, id, "first")
		}
	}
	for _, id := range []string{"2", "3", "4", "5", "6", "7", "8", "late"} {
		_, there := now[id]
		switch r := rng.IntN(6); {
		case len(y.truth) == 0 || id == "late" && len(y.truth) < 18:
		case there && r == 0:
			delete(now, id)
			write([]schemas.Op{schemas.OpRemoved, schemas.OpOutOfView}[rng.IntN(2)], id, "gone")
		case there && r < 3:
			now[id] = fmt.Sprintf("as of run %d", a.seq)
			write(schemas.OpChanged, id, now[id])
		case !there && r < 2:
			now[id] = fmt.Sprintf("back in run %d", a.seq)
			write(schemas.OpAdded, id, now[id])
		}
	}
	a.state = []schemas.CoverageState{schemas.CoverageComplete, schemas.CoveragePartial}[rng.IntN(2)]
	publish := rng.IntN(5) > 0 || len(y.truth) == 0
	d := a.delta()
	h := a.head()
	h.ObservedAt, h.Void = at, y.head.Void
	d.Parts[0].Head, d.Run.StartedAt, d.Run.EndedAt = h, at, at
	d.Parts[0].Changes = nil
	stage(t, w, d)
	y.head.Seq, y.head.Tenant = h.Seq, y.tenant
	if !publish {
		y.head.Void = append(slices.Clone(y.head.Void), h.Seq)
		return
	}
	show(t, w, h)
	y.head = h
	y.times, y.truth = append(y.times, at), append(y.truth, now)
}

// at is what was true at a time.
func (y *years) at(when time.Time) map[string]string {
	now := map[string]string{}
	for i, at := range y.times {
		if !at.After(when) {
			now = y.truth[i]
		}
	}
	return now
}

// baseline is what the next run would compare with.
func (y *years) baseline(t *testing.T, w *Warehouse) map[schemas.KeyHash]schemas.RowHash {
	t.Helper()
	last := map[schemas.KeyHash]schemas.BaselineKey{}
	err := w.Baseline(t.Context(), confluence.Spaces.Dataset, y.head, "", "", func(_ string, keys []schemas.BaselineKey) error {
		for _, k := range keys {
			if k.Seq > last[k.Key].Seq {
				last[k.Key] = k
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := map[schemas.KeyHash]schemas.RowHash{}
	for key, k := range last {
		if k.Op != schemas.OpRemoved && k.Op != schemas.OpOutOfView {
			rows[key] = k.Row
		}
	}
	return rows
}

// TestRetentionOverYears: whatever is deleted, every question about a time
// inside the window has the answer that it had, and the next run compares with
// the same rows; also while only the first step of it has happened.
func TestRetentionOverYears(t *testing.T) {
	w := open(t, nil)
	rng := rand.New(rand.NewPCG(1, 26))
	start := time.Date(2022, 1, 5, 6, 0, 0, 0, time.UTC)
	tenants := []*years{{tenant: "one"}, {tenant: "two"}}
	for n := range 30 {
		for _, y := range tenants {
			y.run(t, w, rng, start.AddDate(0, 0, 49*n+rng.IntN(40)))
		}
	}
	end := start.AddDate(0, 48, 0)
	w.now = func() time.Time { return end }
	window := 400 * 24 * time.Hour
	from := end.Add(-window)
	check := func(when string) {
		t.Helper()
		for _, y := range tenants {
			moments := []time.Time{from, end}
			for _, at := range y.times {
				if at.After(from) {
					moments = append(moments, at, at.Add(-time.Millisecond))
				}
			}
			var sql []string
			for _, at := range moments {
				sql = append(sql, fmt.Sprintf("SELECT '%[1]s', space_id, name FROM spaces_at(at = '%[1]s') WHERE tenant_id = '%[2]s'", at.Format("2006-01-02 15:04:05.000"), y.tenant))
			}
			got := map[string]map[string]string{}
			for _, row := range ask(t, w, strings.Join(sql, " UNION ALL ")) {
				if got[row[0]] == nil {
					got[row[0]] = map[string]string{}
				}
				got[row[0]][row[1]] = row[2]
			}
			for _, at := range moments {
				if d := cmp.Diff(y.at(at), got[at.Format("2006-01-02 15:04:05.000")]); d != "" {
					t.Errorf("%s, tenant %s at %s (-truth +view):\n%s", when, y.tenant, at, d)
				}
			}
		}
	}
	check("before")
	before := []map[schemas.KeyHash]schemas.RowHash{tenants[0].baseline(t, w), tenants[1].baseline(t, w)}
	now := ask(t, w, "SELECT * FROM coverage ORDER BY ALL")
	undecided := "SELECT count() FROM spaces_versions WHERE tenant_id = 'one' AND has(" + numbers(tenants[0].head.Void) + ", seq)"
	orphans := ask(t, w, undecided)

	firstStep := versionsOf(confluence.Spaces.Dataset)
	firstStep.ends = false
	replaced, err := w.dropReplaced(t.Context(), firstStep, from)
	if err != nil {
		t.Fatal(err)
	}
	check("after the first step")
	versions, months, err := w.Retain(t.Context(), Retention{History: window, Runs: window})
	if err != nil {
		t.Fatal(err)
	}
	versions += replaced
	if versions < 50 || months < 15 {
		t.Errorf("%d versions and %d months deleted: too few to prove anything", versions, months)
	}
	check("after")
	for i, y := range tenants {
		if d := cmp.Diff(before[i], y.baseline(t, w)); d != "" {
			t.Errorf("the next run of %s compares with other rows (-before +after):\n%s", y.tenant, d)
		}
	}
	if d := cmp.Diff(now, ask(t, w, "SELECT * FROM coverage ORDER BY ALL")); d != "" {
		t.Errorf("coverage (-before +after):\n%s", d)
	}
	if got := ask(t, w, undecided); !cmp.Equal(got, orphans) || orphans[0][0] == "0" {
		t.Errorf("rows that no head shows: %v, before %v", got, orphans)
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT count() FROM spaces_history WHERE space_id = 'never-changes'", "2"},
		{"SELECT count() FROM (SELECT 1 FROM spaces_history WHERE observed_at <= " + at(from) + " GROUP BY tenant_id, space_id HAVING count() > 1)", "0"},
		{"SELECT count() FROM runs WHERE started_at < toStartOfMonth(" + at(from) + ")", "0"},
		{"SELECT count() > 5 FROM runs", "1"},
	} {
		if got := ask(t, w, c.sql); got[0][0] != c.want {
			t.Errorf("%s: %v, want %s", c.sql, got, c.want)
		}
	}
	if versions, months, err := w.Retain(t.Context(), Retention{History: window, Runs: window}); versions != 0 || months != 0 || err != nil {
		t.Errorf("a second time: %d versions, %d months, %v", versions, months, err)
	}
}
