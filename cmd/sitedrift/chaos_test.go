//go:build linux && !noengine

package main

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// Flags of TestChaos; `make chaos ARGS='--minutes 10 --seed 1'` passes them on.
var (
	chaosMinutes = flag.Float64("minutes", 0, "how long TestChaos goes on, over all of its modes; 0: a few rounds of the first")
	chaosSeed    = flag.Uint64("seed", 1, "what TestChaos draws its faults and their times from")
)

// chaos is an installation whose parts fail while its site changes. What it finds
// wrong is noted by the judge.
type chaos struct {
	*judge
	*killSite
	other    *killSite // of a second tenant, whose site stays as it is and is not to suffer
	bin, dir string
	seed     uint64
	rand     *rand.Rand // of the one goroutine that plans
	provider *sim.Server
	app      sim.App
	engine   *embedded.Engine // of a fleet; nil: each daemon has its own
	nodes    []*node
	truths   chronicle
	whole    map[string]runShown // by group: a run that no fault disturbed
	patience time.Duration       // with what should be well again
	step     int                 // of the site's history
	runs     [3]string           // how many there were, were cut off, and failed
	mode     string              // names the kind of installation

	mu     sync.Mutex
	tally  map[string]int // of what was done, by name
	points map[string]int // fail points that were hit
	asked  sync.WaitGroup // runs that nobody waits for
}

func newChaos(j *judge, bin string, seed uint64) *chaos {
	c := &chaos{
		judge: j, bin: bin, dir: j.TempDir(), seed: seed, rand: rand.New(rand.NewPCG(seed, 1)),
		truths: chronicle{}, whole: map[string]runShown{}, patience: patience, tally: map[string]int{}, points: map[string]int{},
	}
	return c
}

// single makes an installation of one machine with SQLite.
func (c *chaos) single() {
	c.mode = "one daemon on SQLite"
	c.newSite(0)
	c.addNode(c.dir, "")
	c.connect()
}

// TestChaos lets a daemon run while its site changes and everything around it
// fails, and after each round compares every view with all that ever was true.
func TestChaos(t *testing.T) {
	if *chaosSabotage > 0 {
		trySabotage(t, *chaosSabotage)
		return
	}
	j := newJudge(t)
	c := newChaos(j, killable(t), *chaosSeed)
	began := time.Now()
	j.hear(c.single)
	if *chaosMinutes == 0 {
		c.trial(shortTrial)
	} else {
		end := began.Add(time.Duration(*chaosMinutes * float64(time.Minute)))
		c.trial(func(*chaos, int) []fault {
			if time.Now().After(end) {
				return nil
			}
			return c.draw()
		})
	}
	fmt.Fprint(t.Output(), c.report(time.Since(began)))
	if j.Failed() {
		t.Errorf("seed %d:\n%s", *chaosSeed, j.evidence(4000))
	}
}

// shortTrial has one fault of each kind that other tests do not have.
func shortTrial(c *chaos, round int) []fault {
	rounds := [][]string{
		{faultFreeze, faultEngineKill, faultDropped},
		{faultDisk, faultSite, faultNetwork},
	}
	if round >= len(rounds) {
		return nil
	}
	return c.faults(rounds[round])
}

// faults draws the details of faults that are given by name; the name of a fail
// point may follow.
func (c *chaos) faults(names []string) (all []fault) {
	for _, name := range names {
		point := ""
		for _, of := range []string{faultPoint, faultFreezePoint} {
			if rest, ok := strings.CutPrefix(name, of+" "); ok {
				name, point = of, rest
			}
		}
		f := c.fault(name)
		f.point = cmp.Or(point, f.point)
		all = append(all, f)
	}
	return all
}

// trial runs rounds until plan has no more, or something is wrong.
func (c *chaos) trial(plan func(c *chaos, round int) []fault) {
	c.hear(func() {
		c.truths.note(c.everything())
		c.changed = func() { c.truths.note(c.everything()) }
		c.ready(nil)
		c.settle()
		c.check()
	})
	for round := 0; !c.Failed(); round++ {
		faults := plan(c, round)
		if faults == nil {
			break
		}
		began := time.Now()
		c.hear(func() { c.round(faults) })
		names := each(faults, func(f fault) string { return strings.TrimSuffix(f.name+" "+f.point, " ") })
		fmt.Fprintf(c.Output(), "round %3d in %5.1f s: %s\n", round+1, time.Since(began).Seconds(), strings.Join(names, ", "))
	}
	c.changed = nil
	if c.Failed() {
		for _, n := range c.nodes {
			c.Logf("%s:\n%s", n.dir, n.daemon().tail())
		}
		return
	}
	c.hear(func() {
		n := c.nodes[0]
		rows := n.daemon().mustRows(c, "SELECT toString(count()), toString(countIf(outcome = 'abandoned')), toString(countIf(outcome = 'failed')) FROM runs")
		c.runs = [3]string(rows[0])
		for _, n := range c.nodes {
			n.daemon().stop(c)
		}
	})
}

// kinds of faults, each as often as it stands here.
var chaosFaults = []string{
	faultKill, faultKill, faultPoint, faultPoint, faultPoint, faultFreeze, faultFreezePoint, faultEngineKill, faultEngineFreeze,
	faultNetwork, faultNetwork, faultDisk, faultDropped, faultToken, faultSite, faultSite, faultMass, faultDowntime,
}

// draw picks the faults of a round.
func (c *chaos) draw() (all []fault) {
	deaths := 0
	for range 1 + c.rand.IntN(4) {
		f := c.fault(chaosFaults[c.rand.IntN(len(chaosFaults))])
		if f.deadly() {
			if deaths++; deaths == 3 {
				break
			}
		}
		if f.point != "" && slices.ContainsFunc(all, func(o fault) bool { return o.point != "" && o.node == f.node }) {
			continue // a process has one fail point
		}
		all = append(all, f)
	}
	return all
}

// fault draws the details of one.
func (c *chaos) fault(name string) fault {
	f := fault{
		name: name, node: c.nodes[c.rand.IntN(len(c.nodes))], pick: c.rand.IntN(1000),
		after: time.Duration(c.rand.Int64N(int64(600 * time.Millisecond))),
		hold:  time.Duration(c.rand.Int64N(int64(2500 * time.Millisecond))),
	}
	if points := chaosPoints(); name == faultPoint || name == faultFreezePoint {
		f.point = points[c.rand.IntN(len(points))]
	}
	return f
}

// round lets the site change and faults happen, and compares.
func (c *chaos) round(faults []fault) {
	c.ready(nil)
	for _, f := range faults {
		switch f.name {
		case faultMass:
			c.removeMuch(f.node)
		case faultDowntime:
			c.sleepOver()
		}
	}
	c.ready(faults)
	c.lookAlike()
	var struck sync.WaitGroup
	for _, f := range faults {
		struck.Go(func() { c.strike(f) })
	}
	for range 1 + c.rand.IntN(3) {
		c.step++
		if err := c.change(c.step); err != nil {
			c.Fatalf("step %d: %v", c.step, err)
		}
		c.grow()
		for _, n := range c.nodes {
			c.trigger(n)
		}
		time.Sleep(time.Duration(c.rand.Int64N(int64(700 * time.Millisecond))))
	}
	struck.Wait()
	c.calm()
	c.settle()
	c.check()
}

// grow keeps the site so large that the steps of one round do not remove more of it
// than the brake lets pass.
func (c *chaos) grow() {
	rows := func() (n int) {
		for _, all := range c.site.Truth().Permissions {
			n += len(all)
		}
		return n
	}
	for rows() < 110 {
		c.site.AddSpace(sim.Space{}, 10)
		c.noted()
	}
}
