//go:build linux && !noengine

package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
)

// Names of faults, as the report has them.
const (
	faultKill         = "kills"
	faultPoint        = "kills at fail points"
	faultFreezePoint  = "freezes at fail points"
	faultFreeze       = "freezes"
	faultEngineKill   = "engine kills"
	faultEngineFreeze = "engine freezes"
	faultNetwork      = "network cuts"
	faultDisk         = "full disks"
	faultDropped      = "dropped token answers"
	faultToken        = "token endpoint errors"
	faultSite         = "site errors"
	faultMass         = "mass removals"
	faultDowntime     = "downtimes"
	faultPostgres     = "PostgreSQL restarts"
	faultState        = "cuts from PostgreSQL"
	faultWarehouse    = "cuts from the warehouse"
	faultRollOut      = "rolling restarts" // the first one is an upgrade

	// Not faults, and counted as well.
	doneRestart = "restarts in order"
	doneFailed  = "starts that failed"
)

// fault is one fault to come: what happens to which machine, and when.
type fault struct {
	name  string
	node  *node
	point string        // of faults at fail points
	after time.Duration // from the beginning of the round
	hold  time.Duration // until it is over
	pick  int           // which of several forms it takes
}

// deadly reports whether the fault ends a run as a death. So many in a row
// quarantine the group, as they should.
func (f fault) deadly() bool {
	return f.name == faultKill || f.name == faultPoint || f.node.fleet && (f.name == faultFreeze || f.name == faultFreezePoint)
}

// takenOverAfter is after how long a silence others may take over from a replica.
const takenOverAfter = 5 * time.Second

// strike lets the fault happen and takes it back.
func (c *chaos) strike(f fault) {
	time.Sleep(f.after)
	if f.deadly() && f.hold > takenOverAfter {
		c.mu.Lock()
		c.silences++
		c.mu.Unlock()
	}
	if f.name == faultRollOut {
		c.rollOut(f)
		return
	}
	n := f.node
	d := n.daemon()
	if !n.alive() { // another fault was first
		return
	}
	switch f.name {
	case faultKill:
		d.kill()
		<-d.ended
		c.did(f.name)
		time.Sleep(f.hold / 4)
		n.begin(c, n.point)
	case faultPoint, faultFreezePoint:
		c.strikeAtPoint(f)
	case faultFreeze:
		_ = d.cmd.Process.Signal(syscall.SIGSTOP)
		c.did(f.name)
		time.Sleep(f.hold)
		_ = d.cmd.Process.Signal(syscall.SIGCONT)
	default:
		c.strikeAround(f, d)
	}
}

// strikeAtPoint arms the fail point of a machine until it is hit. Meanwhile its
// daemon may be killed, and started again with the same one.
func (c *chaos) strikeAtPoint(f fault) {
	n := f.node
	for deadline := time.Now().Add(pointPatience); n.daemon().hit() == ""; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			return
		}
		n.daemon().arm(c)
	}
	d := n.daemon()
	c.did(f.name)
	c.passed(f.point)
	if f.name == faultPoint {
		<-d.ended
		n.begin(c, "")
		return
	}
	time.Sleep(f.hold)
	_ = d.cmd.Process.Signal(syscall.SIGCONT)
}

// rollOut replaces the daemons one by one: the first time by those of the next
// release, beside which the old ones work on.
func (c *chaos) rollOut(f fault) {
	for _, n := range c.nodes {
		if n.replace(c, c.next) {
			time.Sleep(f.hold / 2)
		}
	}
	c.mu.Lock()
	c.renewed = []string{renewedDataset}
	c.mu.Unlock()
	c.did(f.name)
}

// pointPatience is how long a fail point may take to be reached: not every run
// passes all of them.
const pointPatience = 4 * time.Second

// strikeAround lets what is not the daemon fail.
func (c *chaos) strikeAround(f fault, d *daemon) {
	n := f.node
	switch f.name {
	case faultEngineKill, faultEngineFreeze:
		pid := c.enginePID(d)
		if pid == 0 {
			return
		}
		c.did(f.name)
		if f.name == faultEngineKill {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			return
		}
		_ = syscall.Kill(pid, syscall.SIGSTOP)
		time.Sleep(f.hold)
		_ = syscall.Kill(pid, syscall.SIGCONT)
	case faultNetwork:
		c.did(f.name)
		cut(n.outer, f)
	case faultState:
		c.did(f.name)
		cut(n.toState, f)
	case faultWarehouse:
		c.did(f.name)
		cut(n.toWarehouse, f)
	case faultPostgres:
		c.did(f.name)
		c.restartPostgres(f)
	case faultDisk:
		if n.disk == nil {
			return
		}
		if err := n.disk.fill(); err != nil {
			c.Errorf("fill the disk: %v", err)
		}
		c.did(f.name)
		time.Sleep(f.hold)
		if err := n.disk.empty(); err != nil {
			c.Errorf("empty the disk: %v", err)
		}
	case faultDropped:
		c.mu.Lock()
		c.scripted++
		c.mu.Unlock()
		c.provider.FailToken(sim.TokenFault{Kind: sim.TokenDropAfterRotation})
	case faultToken:
		status := []int{500, 503, 429, 408}[f.pick%4]
		c.did(f.name)
		c.provider.FailToken(sim.TokenFault{Kind: sim.TokenStatus, Status: status, RetryAfter: "1", Body: "not now"})
	case faultSite:
		c.did(f.name)
		c.site.Fail(c.siteFault(f.pick))
		time.Sleep(f.hold)
		c.site.ClearFaults()
	}
}

// cut cuts a cable and mends it.
func cut(w *wire, f fault) {
	w.set([]wireState{wireRefused, wireSilent, wireDeaf, wireDeaf}[f.pick%4])
	time.Sleep(f.hold)
	if f.pick%4 == 3 { // the answers are lost, and not late
		w.reset()
	}
	w.set(wireWhole)
}

// siteFault is one of the ways in which a site answers badly.
func (c *chaos) siteFault(pick int) sim.Fault {
	endpoints := []string{"/spaces/{id}/permissions", "/wiki/api/v2/spaces", "/group", "/member", "systemInfo", ""}
	f := sim.Fault{Endpoint: endpoints[pick%len(endpoints)], Times: -1, After: pick % 7}
	switch pick / len(endpoints) % 6 {
	case 0:
		f.Kind, f.Status = sim.FaultStatus, 500
	case 1:
		f.Kind, f.Status = sim.FaultStatus, 403
	case 2:
		f.Kind = sim.FaultTruncated
	case 3:
		f.Kind = sim.FaultReset
	case 4:
		f.Kind, f.RetryAfter = sim.FaultRateLimited, "1"
	default: // one empty answer, whose rows are there when it is asked for again
		f.Kind, f.Endpoint, f.Times = sim.FaultEmptyPage, endpoints[0], 1
		for _, s := range c.site.Truth().Spaces {
			if len(c.site.Truth().Permissions[s.ID]) >= 5 {
				f.Object, f.After = s.ID, 0
			}
		}
	}
	return f
}

// enginePID is the process of the engine that a daemon has, 0 for none.
func (c *chaos) enginePID(d *daemon) int {
	if c.engine != nil {
		return c.engine.PID()
	}
	all := enginePID.FindAllStringSubmatch(d.log.String(), -1)
	if len(all) == 0 {
		return 0
	}
	pid, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		return 0
	}
	// The number may be somebody else's by now.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err != nil || !bytes.HasPrefix(line, []byte(c.bin)) {
		return 0
	}
	return pid
}

// did counts a fault that happened.
func (c *chaos) did(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[name]++
}

// passed notes a fail point that was hit.
func (c *chaos) passed(point string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points[point]++
}

// chaosPoints are the fail points of run, publish and refresh.
func chaosPoints() []string {
	all := []string{
		"run.begun", "run.read", "stage.begin", "write.begin", "write.table:changes_log", "write.table:coverage_log", "write.table:runs_log",
		"write.end", "stage.end", "decide.before", "decide.after", "show.before", "show.begin", "show.end", "show.after",
		"refresh.intent_saved", "refresh.answer_received", "refresh.saved",
	}
	for table := range strings.FieldsSeq("spaces space_permissions security_configuration groups group_members users external_collaborators") {
		all = append(all, "write.table:"+table+"_versions") // those in which each step changes something
	}
	return all
}
