package collector_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// The model of crash schedules: one attempt stops at a point, and is never heard
// of again or wakes up sooner or later; the next attempt stops at a point too; a
// third one runs to its end; then the second wakes up. Whatever happens, a statement
// over the views sees one published state as a whole, states only move on, and
// in the end the last state and its whole history are there, nothing twice
// (Invariants 2 and 3).

// points are where an attempt may stop, in the order in which it passes them.
var points = []string{
	"run.begun", "run.read", "write.begin", "write.table:spaces_versions", "write.table:changes_log",
	"write.end", "decide.after", "show.begin", "show.end",
}

// fate is what becomes of the first attempt after it stopped.
type fate string

const (
	killed     fate = "killed"
	wakesEarly fate = "woken before the third attempt"
	wakesLate  fate = "woken when all is over"
)

var fates = []fate{killed, wakesEarly, wakesLate}

var everyFate = flag.Bool("fates", false, "play each pair of crash points with an attempt that wakes up when all is over, too")

// modelled are the datasets that the schedules are played with; the warehouse
// also knows what the second one leans on.
var (
	modelled = []*schemas.Dataset{datasets.Spaces.Dataset, datasets.SpacePermissions.Dataset}
	known    = []*schemas.Dataset{datasets.Spaces.Dataset, datasets.SpaceRoles.Dataset, datasets.SpacePermissions.Dataset}
)

// scripted is a source whose state has a number: two spaces with grants, some
// of which come, change and go with each step.
type scripted struct{ step int }

func (s scripted) Fingerprint(*schemas.Dataset) string  { return "scripted" }
func (s scripted) Stats() collector.SourceStats         { return collector.SourceStats{} }
func (s scripted) Resume(*schemas.Dataset, string)      {}
func (s scripted) Cursor(*schemas.Dataset) string       { return "" }
func (s scripted) Reach(*schemas.Dataset) error         { return nil }
func (s scripted) Partitions(*schemas.Dataset) []string { return []string{"s1", "s2"} }
func (s scripted) Via(*schemas.Dataset, string) string  { return "" }
func (s scripted) Witness(context.Context, *schemas.Dataset, string) error {
	return nil
}

func (s scripted) Read(_ context.Context, table *schemas.Dataset, partition string, yield func(collector.Page) error) error {
	if table.Name == datasets.Spaces.Name {
		return yield(collector.Page{Rows: datasets.Spaces.Page([]datasets.Space{
			{SpaceID: "s1", Key: "S1", Name: fmt.Sprintf("v%d", s.step)}, {SpaceID: "s2", Key: "S2", Name: fmt.Sprintf("v%d", s.step)},
		})})
	}
	rows := []datasets.SpacePermission{
		{PermissionID: "stays", Operation: "read"},
		{PermissionID: "changes", Operation: fmt.Sprintf("v%d", s.step)},
		{PermissionID: fmt.Sprintf("comes-%d", s.step), Operation: fmt.Sprintf("v%d", s.step)},
	}
	return yield(collector.Page{Rows: datasets.SpacePermissions.Page(rows)})
}

// attempt is one process's try to publish a state.
type attempt struct {
	stop   string // point at which it stops; empty: none
	kill   bool   // it dies there; otherwise it freezes
	frozen chan struct{}
	wake   chan struct{}
	done   chan struct{}
	err    error
}

// try starts an attempt at a state and waits until it ends or stops.
func (m *model) try(step int, stop string, kill bool) *attempt {
	a := &attempt{stop: stop, kill: kill, frozen: make(chan struct{}), wake: make(chan struct{}), done: make(chan struct{})}
	var once atomic.Bool
	trace := func(point string) {
		if point != a.stop || !once.CompareAndSwap(false, true) {
			return
		}
		if a.kill {
			runtime.Goexit()
		}
		close(a.frozen)
		<-a.wake
	}
	runner := *m.runner
	runner.Trace = trace
	wh := m.lab.warehouses[m.tries%len(m.lab.warehouses)]
	m.tries++
	wh.trace.Store(&trace)
	runner.Warehouse = wh.Warehouse
	runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) {
		return scripted{step}, nil
	}
	go func() {
		defer close(a.done)
		_, a.err = runner.Run(m.t.Context(), collector.Request{Tenant: m.tenant, Group: schemas.GroupPosture, Trigger: collector.TriggerSchedule, Owner: uuid.NewString()})
	}()
	select {
	case <-a.frozen:
	case <-a.done:
	}
	return a
}

// resume wakes a frozen attempt and waits for its end.
func (a *attempt) resume() {
	select {
	case <-a.frozen:
		close(a.wake)
		<-a.done
	default:
	}
}

// traced is a connection whose points a test can watch.
type traced struct {
	*clickhouse.Warehouse
	trace atomic.Pointer[func(string)]
}

// lab has a connection for each attempt that may be under way at once.
type lab struct{ warehouses [3]*traced }

func newLab(t *testing.T) *lab {
	open(t)
	l := &lab{}
	for i := range l.warehouses {
		w := &traced{}
		var err error
		w.Warehouse, err = clickhouse.Open(t.Context(), clickhouse.Settings{
			Options: enginetest.Shared(t).Options(), Datasets: known, Installation: installation, Log: zap.NewNop(),
			Trace: func(point string) { (*w.trace.Load())(point) },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.Close() })
		l.warehouses[i] = w
	}
	return l
}

// model is a tenant that schedules are played on.
type model struct {
	*world
	lab        *lab
	tries      int
	seen       int      // the newest state that was seen
	violations []string // what no reader may ever see
}

func (m *model) violate(format string, args ...any) {
	m.violations = append(m.violations, fmt.Sprintf(format, args...))
}

// look reads all views in one statement and checks that they show one state.
func (m *model) look(when string) {
	m.t.Helper()
	row := m.ask(`SELECT
		(SELECT arraySort(groupArray((space_id, name))) FROM sitedrift.spaces WHERE tenant_id = $T),
		(SELECT arraySort(groupArray((space_id, permission_id, operation))) FROM sitedrift.space_permissions WHERE tenant_id = $T),
		(SELECT (count() - uniqExact(event_id), uniqExact(run_id)) FROM sitedrift.changes WHERE tenant_id = $T) AS c, c.1, c.2,
		(SELECT countIf(outcome = 'changed') FROM sitedrift.runs WHERE tenant_id = $T)`)[0]
	state := -1
	for step := range 5 {
		if row[0] == wantSpaces(step) && row[1] == wantPermissions(step) {
			state = step
		}
	}
	switch {
	case state < 0:
		m.violate("%s: no published state: %s %s", when, row[0], row[1])
	case state < m.seen:
		m.violate("%s: state %d after state %d was seen", when, state, m.seen)
	default:
		m.seen = state
	}
	if row[3] != "0" {
		m.violate("%s: %s events are there twice", when, row[3])
	}
	if row[4] != row[5] {
		m.violate("%s: changes of %s runs, but %s published runs", when, row[4], row[5])
	}
}

func wantSpaces(step int) string {
	return fmt.Sprintf(`[["s1","v%d"],["s2","v%d"]]`, step, step)
}

func wantPermissions(step int) string {
	var rows []string
	for _, p := range []string{"s1", "s2"} {
		rows = append(rows, fmt.Sprintf(`["%s","changes","v%d"],["%s","comes-%d","v%d"],["%s","stays","read"]`, p, step, p, step, step, p))
	}
	return "[" + strings.Join(rows, ",") + "]"
}

// replay applies the changes of all published runs to the first state and
// compares with the last one.
func (m *model) replay(last int) {
	m.t.Helper()
	for _, r := range m.ask("SELECT dataset, partition_id, entity_key, groupArray(change) FROM (SELECT * FROM sitedrift.changes WHERE tenant_id = $T AND change IN ('added', 'removed') ORDER BY seq) GROUP BY ALL") {
		kinds := strings.Split(strings.Trim(r[3], "[]"), ",")
		for i := 1; i < len(kinds); i++ {
			if kinds[i] == kinds[i-1] {
				m.violate("%s %s %s: %s twice in a row", r[0], r[1], r[2], kinds[i])
			}
		}
	}
	if m.seen != last {
		m.violate("in the end state %d is shown, want %d", m.seen, last)
	}
	versions := m.ask("SELECT count(), uniqExact((space_id, valid_from)) FROM sitedrift.spaces_history WHERE tenant_id = $T")[0]
	if versions[0] != versions[1] {
		m.violate("%s versions of spaces at %s times", versions[0], versions[1])
	}
}

// play runs one schedule on a tenant of its own and returns what went wrong.
func play(t *testing.T, l *lab, first string, f fate, second string, sabotage func(*model)) []string {
	m := &model{lab: l, world: newBareWorld(t, modelled)}
	m.runner.Log = zap.NewNop() // attempts that are fenced say so
	m.runner.Brake = func(string) collector.Brake { return collector.Brake{Share: 1, Rows: 1000} }
	if sabotage != nil {
		sabotage(m)
	}
	step := func(when string, f func()) {
		m.clock.advance(time.Minute)
		f()
		m.look(when)
	}
	m.try(0, "", false)
	m.clock.advance(time.Minute)
	a := m.try(1, first, f == killed)
	wake := func() {
		a.resume()
		if a.err != nil && !errors.Is(a.err, collector.ErrFenced) && passedDecision(first) {
			m.violate("the first attempt, decided, ended with %v", a.err)
		}
	}
	var b *attempt
	step("the second attempt froze", func() { b = m.try(2, second, false) })
	if f == wakesEarly {
		step("the first attempt woke up", wake)
	}
	step("the third attempt ended", func() { m.try(3, "", false) })
	step("the second attempt woke up", b.resume)
	if f == wakesLate {
		step("the first attempt woke up", wake)
	}
	step("a last attempt ended", func() { m.try(4, "", false) })
	m.replay(4)
	return m.violations
}

func passedDecision(point string) bool {
	return slices.Index(points, point) >= slices.Index(points, "decide.after")
}

func TestCrashSchedules(t *testing.T) {
	var played atomic.Int64
	t.Run("all", func(t *testing.T) {
		for _, first := range points {
			t.Run(first, func(t *testing.T) {
				t.Parallel()
				l := newLab(t)
				for _, second := range points {
					for _, f := range fates {
						if f == wakesLate && !*everyFate {
							continue
						}
						played.Add(1)
						for _, v := range play(t, l, first, f, second, nil) {
							t.Errorf("%s, then stopped at %s: %s", f, second, v)
						}
					}
				}
			})
		}
	})
	t.Logf("%d schedules", played.Load())
}

// forgetful loses the void lists: what protects readers from rows of attempts
// that were never decided.
type forgetful struct{ collector.Ledger }

func (f forgetful) Begin(ctx context.Context, b collector.Begin) (*collector.Attempt, error) {
	a, err := f.Ledger.Begin(ctx, b)
	if err == nil {
		for name, h := range a.Heads {
			h.Void = nil
			a.Heads[name] = h
		}
	}
	return a, err
}

// TestTheModelNoticesMissingVoidLists shows that the model above can fail.
func TestTheModelNoticesMissingVoidLists(t *testing.T) {
	violations, l := 0, newLab(t)
	for _, first := range []string{"write.table:spaces_versions", "write.end"} {
		violations += len(play(t, l, first, killed, "run.begun", func(m *model) { m.runner.Ledger = forgetful{m.store} }))
	}
	if violations == 0 {
		t.Error("without void lists the model saw nothing wrong: it proves nothing")
	}
}
