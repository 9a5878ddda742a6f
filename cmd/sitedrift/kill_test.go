//go:build linux && !noengine

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// killing is one end of a daemon by SIGKILL.
type killing struct {
	point   string        // fail point; empty: at a random moment
	after   time.Duration // random ones: after the runs were asked for
	quiet   bool          // nothing changes on the sites
	engine  bool          // the engine is killed as well
	alone   bool          // no run may be under way when the sites change: each one passes the point
	decided bool          // what the crash left is looked at before any daemon starts again

	above int // rows above the head, or void, that it left
}

func (k killing) name() string {
	if k.point == "" {
		return "random"
	}
	return k.point
}

// killPlan is 30 kills at fail points, so that every step of writing, deciding,
// showing and refreshing is hit, and 20 at random, mixed.
func killPlan(r *rand.Rand) (plan []killing) {
	times := func(n int, point string) {
		for range n {
			plan = append(plan, killing{point: point})
		}
	}
	times(1, "run.begun")
	times(1, "run.read")
	times(1, "write.begin")
	for _, table := range []string{"spaces", "space_permissions", "security_configuration", "groups", "group_members", "users", "external_collaborators"} {
		times(1, "write.table:"+table+"_versions") // those in which each step changes something
	}
	times(1, "write.table:space_permissions_versions")
	times(2, "write.table:changes_log")
	times(1, "write.table:coverage_log")
	times(2, "write.table:runs_log")
	times(2, "write.end")
	times(2, "stage.end")
	plan = append(plan,
		killing{point: "decide.before", alone: true}, killing{point: "decide.before", quiet: true},
		killing{point: "decide.after", alone: true, decided: true},
		killing{point: "show.before", decided: true}, killing{point: "show.begin", decided: true})
	times(1, "show.end")
	times(1, "show.after")
	for _, point := range []string{"refresh.intent_saved", "refresh.answer_received", "refresh.saved"} {
		times(1, point)
	}
	for range 50 - len(plan) {
		plan = append(plan, killing{after: time.Duration(r.Int64N(int64(500 * time.Millisecond)))})
	}
	r.Shuffle(len(plan), func(i, j int) { plan[i], plan[j] = plan[j], plan[i] })
	for i := range plan {
		plan[i].engine = i%2 == 1
	}
	return plan
}

// TestKills kills the real program 50 times over one long history, 30 times at
// the steps of its protocols and 20 times at random moments. After each restart
// the views show the truth, nothing is there twice, each published run is whole,
// and no grant is lost (Invariants 2, 3 and 5).
func TestKills(t *testing.T) { // not beside others: the longest would be what all wait for in the end
	w := newKillWorld(t)
	began := time.Now()
	plan := killPlan(rand.New(rand.NewPCG(5, 8)))
	type moment struct {
		at   time.Time
		want killRows
	}
	var past []moment
	known := map[string]int{} // rows that no head shows, as of the last look
	abandoned := 0
	check := func(d *daemon, i int) {
		t.Helper()
		want := w.truth()
		d.shows(t, want)
		past = append(past, moment{time.Now(), want})
		versions := d.history(t)
		checkHistory(t, versions, want)
		abandoned = d.checkRuns(t, versions)
		checkEvents(t, d.events(t), versions, want)
		d.checkTenants(t)
		hidden := d.hidden(t)
		for key, n := range hidden {
			if i > 0 {
				plan[i-1].above += n - known[key]
			}
		}
		known = hidden
		if t.Failed() {
			t.Fatalf("after kill %d of %d (%s); the daemon's log:\n%s", i, len(plan), plan[max(i-1, 0)].name(), d.tail())
		}
	}
	step := 0
	for i, k := range plan {
		d := w.start(t, k.point)
		if i > 0 && plan[i-1].alone {
			d.resume(t)
		}
		check(d, i)
		if k.alone {
			d.quiesce(t)
		}
		if !k.quiet {
			step++
			if err := w.change(step); err != nil {
				t.Fatalf("step %d: %v", step, err)
			}
		}
		d.arm(t)
		d.trigger(t)
		if k.point == "" {
			time.Sleep(k.after)
			d.kill()
		}
		d.await(t)
		if d.hit() != k.point {
			t.Fatalf("kill %d was to be at %q and was at %q:\n%s", i+1, k.point, d.hit(), d.tail())
		}
		t.Logf("kill %2d at %6.1f s: %s", i+1, time.Since(began).Seconds(), k.name())
		if k.engine {
			d.killEngine()
		}
		if k.decided {
			for key, n := range w.look(t) {
				plan[i].above += n - known[key]
			}
		}
	}
	d := w.start(t, "")
	if plan[len(plan)-1].alone {
		d.resume(t)
	}
	check(d, len(plan))
	d.untilRefreshed(t)
	for i := 0; i < len(past); i += 7 { // the past is as it was, whatever came after
		got, err := d.shown(t.Context(), fmt.Sprintf("_at(at = '%s')", past[i].at.UTC().Format("2006-01-02 15:04:05.000")))
		if diff := cmp.Diff(past[i].want, got); err != nil || diff != "" {
			t.Errorf("the views as of the check after kill %d: %v (-want +got):\n%s", i, err, diff)
		}
	}
	d.stop(t)
	summary(t, plan, abandoned, time.Since(began), w)
}

// look counts, as hidden does but with no daemon running, the rows that a crash
// left where no head shows them.
func (w *killWorld) look(t testing.TB) map[string]int {
	t.Helper()
	var stored []storedRow
	for line := range bytes.Lines(w.command(t, "--json", "query", strings.Join(storedSQL(), "\nUNION ALL\n"))) {
		var r storedRow
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		stored = append(stored, r)
	}
	return hiddenRows(stored)
}

// summary prints what was done, and checks that it was enough.
func summary(t testing.TB, plan []killing, abandoned int, took time.Duration, w *killWorld) {
	t.Helper()
	type line struct{ kills, above, rows int }
	lines := map[string]line{}
	total := line{}
	random := 0
	for _, k := range plan {
		l := lines[k.name()]
		l.kills, l.rows = l.kills+1, l.rows+k.above
		total.kills, total.rows = total.kills+1, total.rows+k.above
		if k.above > 0 {
			l.above++
			total.above++
		}
		if k.point == "" {
			random++
		}
		lines[k.name()] = l
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-48s %5s %14s %10s\n", "killed at", "kills", "left rows in", "such rows")
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		fmt.Fprintf(&b, "%-48s %5d %14d %10d\n", name, lines[name].kills, lines[name].above, lines[name].rows)
	}
	fmt.Fprintf(&b, "%-48s %5d %14d %10d\n", "together", total.kills, total.above, total.rows)
	stats := w.provider.ProviderStats()
	t.Logf("%d kills in %.1f s, %d runs cut off, %d points used, %d token rotations of which %d repeated a token inside the leeway, %d grants lost\n%s",
		total.kills, took.Seconds(), abandoned, w.site.PointsUsed(), stats.Rotations, stats.LeewayReuses, stats.FamiliesKilled, b.String())
	if total.kills != 50 || random != 20 {
		t.Errorf("%d kills, %d of them at random; expected 50 and 20", total.kills, random)
	}
	if total.above < 20 {
		t.Errorf("only %d kills left rows above the head, expected 20 or more", total.above)
	}
	if stats.LeewayReuses == 0 {
		t.Error("no kill between the provider's answer and the store: no token was repeated")
	}
}
