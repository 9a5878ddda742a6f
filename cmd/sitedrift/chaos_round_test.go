//go:build linux && !noengine

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
)

// ready lets a daemon run on each machine, with the fail point that a fault wants.
func (c *chaos) ready(faults []fault) {
	for _, n := range c.nodes {
		n.point = ""
		for _, f := range faults {
			if f.node == n && f.point != "" {
				n.point, n.freezes = f.point, f.name == faultFreezePoint
			}
		}
		if n.point != "" && n.alive() {
			n.daemon().stop(c)
			c.did(doneRestart)
		}
		if !n.alive() {
			n.begin(c, n.point)
		}
	}
	for _, n := range c.nodes {
		c.up(n)
	}
}

// up waits until the daemon of a machine answers. One that did not come up, since
// a fault kept it from it, is started again, as by an init system; one that served
// ends only if it is killed.
func (c *chaos) up(n *node) {
	err := errNoDaemon
	for deadline := time.Now().Add(patience); err != nil && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if d := n.daemon(); !n.alive() {
			status, _ := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
			if status.Signal() != syscall.SIGKILL && strings.Contains(d.log.String(), `"msg":"serving"`) {
				c.Fatalf("a daemon ended by itself: %v\n%s", d.cmd.ProcessState, d.tail())
			}
			if d.hit() == "" {
				c.did(doneFailed)
			}
			n.begin(c, "")
		}
		_, err = n.daemon().ask(c.Context(), "tenants", tenantsParams{}, nil)
	}
	if err != nil {
		c.Fatalf("a daemon does not come up: %v\n%s", err, n.daemon().stacks())
	}
}

// headStart is how much earlier those are asked that are to pass a fail point: who
// was started for it is slower than the others.
const headStart = 300 * time.Millisecond

// trigger asks all daemons for a run of everything, and does not wait for it. Each
// group is asked of another one first, so that several work at once.
func (c *chaos) trigger() {
	pointed := slices.ContainsFunc(c.nodes, func(n *node) bool { return n.point != "" })
	for g, group := range killGroups() {
		for i := range c.nodes {
			n := c.nodes[(c.step+g+i)%len(c.nodes)]
			late := pointed && n.point == ""
			c.asked.Go(func() {
				if late {
					time.Sleep(headStart)
				}
				// A fault may end the daemon meanwhile; what a run must come to, settle sees.
				_, _ = n.daemon().ask(c.Context(), "sync", syncParams{Tenant: c.tenant, Datasets: datasetsOf(group)}, func(json.RawMessage) error { return nil })
			})
		}
	}
}

// calm ends what may be left of the faults.
func (c *chaos) calm() {
	c.site.ClearFaults()
	for _, n := range c.nodes {
		if err := os.Remove(n.daemon().armed); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.Fatal(err)
		}
		n.freezes = false
		_ = n.daemon().cmd.Process.Signal(syscall.SIGCONT) // a fail point may have been hit just now
	}
	for _, n := range c.nodes {
		c.up(n)
	}
}

// settle lets each group be run until a run has seen everything. What a fault
// left is no excuse for long.
func (c *chaos) settle() {
	n := c.nodes[c.rand.IntN(len(c.nodes))]
	for _, tenant := range []string{c.tenant, c.other.tenant} {
		for _, group := range killGroups() {
			for deadline := time.Now().Add(c.patience); ; time.Sleep(20 * time.Millisecond) {
				told, ok := c.sees(n, tenant, group)
				if ok {
					break
				}
				if c.grantLost(n) {
					runtime.Goexit()
				}
				if n.mend != nil && strings.Contains(told, "CORRUPTED_DATA") {
					n.mend(errors.New(told))
				}
				if time.Now().After(deadline) {
					c.Fatalf("after all faults were over, no run of %s/%s comes to a good end; the last: %s\n%s", tenant, group, told, n.daemon().stacks())
				}
			}
		}
	}
	c.asked.Wait()
}

// grantLost reports whether the daemon takes a grant for dead, which none is now.
func (c *chaos) grantLost(n *node) bool {
	told, _ := tenantsOf(c.Context(), n.daemon()) // it may have lost its connections just now
	for _, t := range told {
		for _, credential := range t.Credentials {
			if credential.State != "ok" {
				c.found(flawToken, 1, fmt.Sprintf("the grant of %s: %+v", t.ID, credential))
				return true
			}
		}
	}
	return false
}

// sees runs a group once, and reports whether it has seen everything.
func (c *chaos) sees(n *node, tenant, group string) (told string, ok bool) {
	run, told := c.runNow(n, tenant, group)
	if run == nil {
		return told, false
	}
	lane := tenant + "/" + group
	if _, known := c.whole[lane]; !known { // the first one; the grant does not open everything
		c.whole[lane] = *run
	}
	return told, slices.Contains([]string{string(schemas.OutcomeChanged), string(schemas.OutcomeNoChange)}, run.Outcome) &&
		run.Incomplete == c.whole[lane].Incomplete && slices.Equal(run.Complete, c.whole[lane].Complete)
}

// runNow runs a group once; nil and why, if the run came to nothing.
func (c *chaos) runNow(n *node, tenant, group string) (run *runShown, told string) {
	raw, err := n.daemon().ask(c.Context(), "sync", syncParams{Tenant: tenant, Datasets: datasetsOf(group)}, func(json.RawMessage) error { return nil })
	var runs []syncRun
	if err == nil {
		err = json.Unmarshal(raw, &runs)
	}
	if err != nil {
		return nil, err.Error()
	}
	if len(runs) != 1 || runs[0].Error != "" {
		return nil, string(raw)
	}
	return &runs[0].Run, string(raw)
}

// check compares every view with what is and ever was true.
func (c *chaos) check() {
	d := c.nodes[c.rand.IntN(len(c.nodes))].daemon()
	want := c.everything()
	c.compare(d, want)
	versions := d.history(c)
	if untrue := c.truths.untrue(versions, c.renewed...); len(untrue) > 0 {
		c.found(flawFalse, len(untrue), strings.Join(untrue, "\n"))
	}
	c.about(flawFalse)
	checkHistory(c, versions, want, c.renewed...)
	c.about(flawRun)
	d.checkRuns(c, versions, c.renewed...)
	c.about(flawDoubled)
	checkEvents(c, d.events(c), versions, want, c.renewed...)
	c.about(flawToken)
	if !c.onlyOnce {
		d.checkTenants(c)
		c.checkReuse()
	}
	c.about(flawSecret)
	c.checkSecrets()
	c.about(flawOther)
}

// compare compares the views with the site.
func (c *chaos) compare(d *daemon, want killRows) {
	got, err := d.shown(c.Context(), "")
	if err != nil {
		c.Fatalf("%v\n%s", err, d.tail())
	}
	missed, untrue := 0, 0
	for dataset := range want {
		missed += len(rowsBeyond(want[dataset], got[dataset]))
		untrue += len(rowsBeyond(got[dataset], want[dataset]))
	}
	diff := "the views are not the truth (-want +got):\n" + cmp.Diff(want, got)
	if missed > 0 {
		c.found(flawMissed, missed, diff)
	}
	if untrue > 0 {
		c.found(flawFalse, untrue, diff)
	}
}

// rowsBeyond are the rows that are not among the others, each as often as it is there
// more often.
func rowsBeyond(rows, others []string) (rest []string) {
	left := map[string]int{}
	for _, r := range others {
		left[r]++
	}
	for _, r := range rows {
		if left[r]--; left[r] < 0 {
			rest = append(rest, r)
		}
	}
	return rest
}

// checkReuse checks that in this round a token was asked for again with the same
// refresh token only after a fault that may have cut an answer (Invariant 5).
func (c *chaos) checkReuse() {
	stats := c.provider.ProviderStats()
	c.mu.Lock()
	defer c.mu.Unlock()
	cuts := int64(c.tally[faultKill]+c.tally[faultPoint]+c.tally[faultNetwork]+c.silences) + stats.AnswersDropped
	reuses, most := stats.LeewayReuses-c.before.reuses, 4*(cuts-c.before.cuts) // a refresh tries four times
	c.before.reuses, c.before.cuts = stats.LeewayReuses, cuts
	if reuses > most {
		c.judge.found(flawToken, 1, fmt.Sprintf("%d refreshes repeated the token of one before, after %d cut answers at most", reuses, most/4))
	}
}

// watch reads while faults happen, until the returned function is called: in one
// statement the versions of a run are as many as it says that it wrote (Invariant 2).
func (c *chaos) watch() (end func()) {
	history := each(killTables(), func(d *schemas.Dataset) string { return "SELECT run_id FROM " + d.Name + "_history" })
	sql := fmt.Sprintf(`SELECT toString(r.run_id), toString(r.rows_written), toString(v.n)
FROM (SELECT run_id, rows_written FROM runs WHERE outcome = 'changed') AS r
LEFT JOIN (SELECT run_id, count() AS n FROM (%s) GROUP BY run_id) AS v ON v.run_id = r.run_id WHERE r.rows_written != v.n LIMIT 5`, strings.Join(history, " UNION ALL "))
	nodes := slices.Clone(c.nodes)
	c.rand.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	ctx, cancel := context.WithCancel(c.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			asked, stop := context.WithTimeout(ctx, 3*time.Second)
			rows, err := nodes[i%len(nodes)].daemon().rows(asked, sql)
			stop()
			if err == nil && len(rows) > 0 {
				c.found(flawRun, len(rows), fmt.Sprintf("one statement sees runs that are not whole: run, rows that it wrote, rows that are there: %q", rows))
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	return func() { cancel(); watching.Wait() }
}
