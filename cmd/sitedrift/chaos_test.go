//go:build linux && !noengine

package main

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// Flags of TestChaos; `make chaos ARGS='--minutes 10 --seed 1'` passes them on.
var (
	chaosMinutes = flag.Float64("minutes", 0, "how long TestChaos goes on, over all of its modes; 0: a few rounds of the first")
	chaosOnly    = flag.String("mode", "", "the only mode of TestChaos: sqlite, postgres, replicas or leeway; empty: all in turn")
	chaosFaults  = flag.String("faults", "", "the faults of each round of TestChaos, separated by commas, as a round prints them; empty: they are drawn")
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
	persons  map[string]sim.Person // who consent, by tenant
	engine   *embedded.Engine      // of a fleet; nil: each daemon has its own
	cluster  *statetest.Cluster
	next     string                       // the program of the next release; empty: there is none
	renewed  []string                     // datasets that it renewed
	onlyOnce bool                         // the provider takes a token once
	lost     int                          // grants, with the answers to their refreshes
	scripted int                          // answers that the provider shall not give
	silences int                          // freezes so long that others may take over
	before   struct{ reuses, cuts int64 } // as of the round before: tokens that were used again, answers that faults may have cut
	nodes    []*node
	truths   chronicle
	whole    map[string]runShown // by group: a run that no fault disturbed
	patience time.Duration       // with what should be well again
	step     int                 // of the site's history
	runs     struct{ all, cutOff, failed int }
	mode     chaosMode

	mu         sync.Mutex
	tally      map[string]int // of what was done, by name
	points     map[string]int // fail points that were hit
	hit        map[string]int // the same, of the modes before
	restarting sync.Mutex     // PostgreSQL
	asked      sync.WaitGroup // runs that nobody waits for
}

func newChaos(j *judge, bin string, seed uint64) *chaos {
	c := &chaos{
		judge: j, bin: bin, dir: j.TempDir(), seed: seed, rand: rand.New(rand.NewPCG(seed, 1)),
		persons: map[string]sim.Person{}, truths: chronicle{}, whole: map[string]runShown{}, patience: patience, tally: map[string]int{}, points: map[string]int{},
	}
	return c
}

// TestChaos lets daemons run while a site changes and everything around them
// fails, and after each round compares every view with all that ever was true.
func TestChaos(t *testing.T) {
	if *chaosSabotage > 0 {
		trySabotage(t, *chaosSabotage)
		return
	}
	modes := slices.DeleteFunc(chaosModes(), func(m chaosMode) bool { return *chaosOnly != "" && *chaosOnly != m.name })
	if len(modes) == 0 {
		t.Fatalf("there is no mode %q", *chaosOnly)
	}
	t.Parallel()
	bin, all := killable(t), &chaosSum{tally: map[string]int{}, points: map[string]int{}, count: map[flaw]int{}}
	if *chaosMinutes == 0 {
		tryMode(t, bin, modes[0], all, shortTrial)
		return
	}
	began := time.Now()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			end := time.Now().Add(time.Duration(*chaosMinutes * float64(time.Minute) / float64(len(modes))))
			tryMode(t, bin, m, all, func(c *chaos, _ int) []fault {
				if time.Now().After(end) {
					return nil
				}
				if *chaosFaults != "" {
					return c.faults(strings.Split(*chaosFaults, ", "))
				}
				return c.draw()
			})
		})
	}
	fmt.Fprintf(t.Output(), "chaos, seed %d, %s: %s\n", *chaosSeed, time.Since(began).Round(time.Second), all)
}

// tryMode makes an installation, and reports what its trial found.
func tryMode(t *testing.T, bin string, m chaosMode, all *chaosSum, plan func(*chaos, int) []fault) {
	t.Helper()
	began := time.Now()
	j := newJudge(t)
	c := newChaos(j, bin, *chaosSeed)
	c.mode, c.hit = m, all.points
	j.hear(func() { m.build(c) })
	c.trial(plan)
	fmt.Fprint(t.Output(), c.report(time.Since(began)))
	all.add(c)
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
// point may follow. They go from machine to machine, so that as many as there are
// machines meet each.
func (c *chaos) faults(names []string) (all []fault) {
	first := c.rand.IntN(len(c.nodes))
	for i, name := range names {
		point := ""
		for _, of := range []string{faultPoint, faultFreezePoint} {
			if rest, ok := strings.CutPrefix(name, of+" "); ok {
				name, point = of, rest
			}
		}
		f := c.fault(name)
		f.node, f.point = c.nodes[(first+i)%len(c.nodes)], cmp.Or(point, f.point)
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
		for i, to := range []*int{&c.runs.all, &c.runs.cutOff, &c.runs.failed} {
			*to, _ = strconv.Atoi(rows[0][i])
		}
		for _, n := range c.nodes {
			n.daemon().stop(c)
		}
	})
}

// draw picks the faults of a round.
func (c *chaos) draw() (all []fault) {
	deaths := 0
	for range 1 + c.rand.IntN(5) {
		f := c.fault(c.mode.faults[c.rand.IntN(len(c.mode.faults))])
		if f.deadly() {
			if deaths++; deaths == 3 {
				break
			}
		}
		if !slices.ContainsFunc(all, f.excludes) {
			all = append(all, f)
		}
	}
	return all
}

// excludes reports whether a fault cannot be in one round with another.
func (f fault) excludes(other fault) bool {
	switch {
	case f.point != "" && other.point != "":
		return f.node == other.node // a process has one fail point
	case f.name == faultDisk && other.name == faultDisk:
		return f.node.disk == other.node.disk // one is full already
	case f.name == faultDowntime, f.name == faultMass, f.name == faultDropped, f.name == faultRollOut:
		return f.name == other.name // once is enough; and without leeway the second answer would wait for a grant that lives
	}
	return false
}

// fault draws the details of one.
func (c *chaos) fault(name string) fault {
	hold := 2500 * time.Millisecond
	if c.cluster != nil && c.rand.IntN(4) == 0 { // long enough for others to take over
		hold *= 4
	}
	f := fault{
		name: name, node: c.nodes[c.rand.IntN(len(c.nodes))], pick: c.rand.IntN(1000),
		after: time.Duration(c.rand.Int64N(int64(600 * time.Millisecond))),
		hold:  time.Duration(c.rand.Int64N(int64(hold))),
	}
	if name == faultPoint || name == faultFreezePoint {
		f.point, f.after = c.pickPoint(), 0 // before the site changes
	}
	return f
}

// pickPoint picks one of the fail points that were hit least.
func (c *chaos) pickPoint() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	points := chaosPoints()
	c.rand.Shuffle(len(points), func(i, j int) { points[i], points[j] = points[j], points[i] })
	return slices.MinFunc(points, func(a, b string) int { return cmp.Compare(c.points[a]+c.hit[a], c.points[b]+c.hit[b]) })
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
	watched := c.watch()
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
		c.trigger()
		time.Sleep(time.Duration(c.rand.Int64N(int64(700 * time.Millisecond))))
	}
	struck.Wait()
	c.calm()
	watched()
	if c.onlyOnce {
		c.loseGrants()
	}
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
