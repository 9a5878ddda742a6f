//go:build linux && !noengine

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// report says what was done and found.
func (c *chaos) report(took time.Duration) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tally[faultDropped] = int(c.provider.ProviderStats().AnswersDropped)
	var b strings.Builder
	fmt.Fprintf(&b, "chaos of %s, seed %d: %d steps of history in %s\n", c.mode.title, c.seed, c.step, took.Round(time.Second))
	var done []string
	for _, name := range []string{
		faultKill, faultPoint, faultFreeze, faultFreezePoint, doneRestart, doneFailed, faultEngineKill, faultEngineFreeze, faultNetwork, faultDisk, faultDropped, faultToken, faultSite, faultMass, faultDowntime, faultPostgres, faultState, faultWarehouse, faultRollOut,
	} {
		if n := c.tally[name]; n > 0 {
			done = append(done, fmt.Sprintf("%d %s", n, name))
		}
	}
	fmt.Fprintf(&b, "done: %s\n", strings.Join(done, ", "))
	if c.nodes[0].disk == nil {
		b.WriteString("no disk was filled: only root may mount a small one\n")
	}
	fmt.Fprintf(&b, "fail points hit: %d of %d\n", len(c.points), len(chaosPoints()))
	stats := c.provider.ProviderStats()
	fmt.Fprintf(&b, "runs: %d, of which %d were cut off and %d failed; %d token rotations, of which %d repeated a token\n", c.runs.all, c.runs.cutOff, c.runs.failed, stats.Rotations, stats.LeewayReuses)
	if c.onlyOnce {
		fmt.Fprintf(&b, "token answers cut: %d; grants lost with them: %d\n", stats.AnswersDropped, c.lost)
	}
	c.judge.report(&b)
	return b.String()
}

// chaosSum adds up what all modes did and found.
type chaosSum struct {
	tally, points map[string]int
	runs          int
	count         map[flaw]int
}

func (s *chaosSum) add(c *chaos) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, n := range c.tally {
		s.tally[name] += n
	}
	for point, n := range c.points {
		s.points[point] += n
	}
	for f, n := range c.count {
		s.count[f] += n
	}
	s.runs += c.runs.all
}

// String is the last line of the report.
func (s *chaosSum) String() string {
	kills, freezes, others := 0, 0, 0
	for name, n := range s.tally {
		switch {
		case slices.Contains([]string{faultKill, faultPoint, faultEngineKill}, name):
			kills += n
		case slices.Contains([]string{faultFreeze, faultFreezePoint, faultEngineFreeze}, name):
			freezes += n
		case name != doneRestart && name != doneFailed:
			others += n
		}
	}
	found := each(flaws, func(f flaw) string { return fmt.Sprintf("%d %s", s.count[f], f) })
	return fmt.Sprintf("%d kills, %d freezes, %d other faults, %d of %d fail points, %d runs; found: %s",
		kills, freezes, others, len(s.points), len(chaosPoints()), s.runs, strings.Join(found, ", "))
}
