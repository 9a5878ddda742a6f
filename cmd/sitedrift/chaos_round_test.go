//go:build linux && !noengine

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
)

// ready lets a daemon run on each machine, with the fail point that a fault wants.
func (c *chaos) ready(faults []fault) {
	for _, n := range c.nodes {
		point := ""
		for _, f := range faults {
			if f.node == n && f.point != "" {
				point, n.freezes = f.point, f.name == faultFreezePoint
			}
		}
		if point != "" && n.alive() {
			n.daemon().stop(c)
			c.did("restarts")
		}
		if !n.alive() {
			n.begin(c, point)
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
				c.did("starts that failed")
			}
			n.begin(c, "")
		}
		if _, err = n.daemon().ask(c.Context(), "tenants", tenantsParams{}, nil); err != nil && !errors.Is(err, errNoDaemon) && n.alive() {
			c.Fatalf("%v\n%s", err, n.daemon().tail())
		}
	}
	if err != nil {
		c.Fatalf("a daemon does not come up: %v\n%s", err, n.daemon().stacks())
	}
}

// trigger asks for a run of everything, and does not wait for it.
func (c *chaos) trigger(n *node) {
	d := n.daemon()
	for _, group := range killGroups() {
		c.asked.Go(func() {
			_, _ = d.ask(c.Context(), "sync", syncParams{Tenant: c.tenant, Datasets: datasetsOf(group)}, func(json.RawMessage) error { return nil })
		})
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
				c.about(flawToken)
				n.daemon().checkTenants(c)
				c.about(flawOther)
				if c.Failed() {
					runtime.Goexit()
				}
				if time.Now().After(deadline) {
					c.Fatalf("after all faults were over, no run of %s/%s comes to a good end; the last: %s\n%s", tenant, group, told, n.daemon().stacks())
				}
			}
		}
	}
	c.asked.Wait()
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
	if untrue := c.truths.untrue(versions); len(untrue) > 0 {
		c.found(flawFalse, len(untrue), strings.Join(untrue, "\n"))
	}
	c.about(flawFalse)
	checkHistory(c, versions, want)
	c.about(flawRun)
	d.checkRuns(c, versions)
	c.about(flawDoubled)
	checkEvents(c, d.events(c), versions, want)
	c.about(flawToken)
	d.checkTenants(c)
	c.checkReuse()
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

// checkReuse checks that a token is asked for again with the same refresh token
// only after a fault that may have cut an answer (Invariant 5).
func (c *chaos) checkReuse() {
	stats := c.provider.ProviderStats()
	c.mu.Lock()
	defer c.mu.Unlock()
	cuts := int64(c.tally[faultKill]+c.tally[faultPoint]+c.tally[faultNetwork]) + stats.AnswersDropped
	if most := 4 * cuts; stats.LeewayReuses > most { // a refresh tries four times
		c.judge.found(flawToken, 1, fmt.Sprintf("%d refreshes repeated the token of one before, after %d cut answers at most", stats.LeewayReuses, cuts))
	}
}

// report says what was done and found.
func (c *chaos) report(took time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[faultDropped] = int(c.provider.ProviderStats().AnswersDropped)
	var b strings.Builder
	fmt.Fprintf(&b, "chaos of %s, seed %d: %d steps of history in %s\n", c.mode, c.seed, c.step, took.Round(time.Second))
	var done []string
	for _, name := range []string{
		faultKill, faultPoint, faultFreeze, faultFreezePoint, "restarts", "starts that failed", faultEngineKill, faultEngineFreeze, faultNetwork, faultDisk, faultDropped, faultToken, faultSite, faultMass, faultDowntime,
	} {
		done = append(done, fmt.Sprintf("%d %s", c.tally[name], name))
	}
	fmt.Fprintf(&b, "done: %s\n", strings.Join(done, ", "))
	if c.nodes[0].disk == nil {
		b.WriteString("no disk was filled: only root may mount a small one\n")
	}
	fmt.Fprintf(&b, "fail points hit: %d of %d\n", len(c.points), len(chaosPoints()))
	stats := c.provider.ProviderStats()
	fmt.Fprintf(&b, "runs: %s, of which %s were cut off and %s failed; %d token rotations, of which %d repeated a token\n", c.runs[0], c.runs[1], c.runs[2], stats.Rotations, stats.LeewayReuses)
	c.judge.report(&b)
	return b.String()
}
