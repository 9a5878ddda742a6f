//go:build linux && !noengine

package main

import (
	"context"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
)

// demoWitness knows, beside the product, what the simulated sites held at each
// run, and which events that makes.
type demoWitness struct {
	demo   *demo
	broken string // the space that could not be read

	mu       sync.Mutex
	last     map[demoLane]demoRows
	names    map[string]*demoNames // by tenant
	expected map[demoEvents]int
	epoch    map[*schemas.Dataset]bool // umbrella's datasets that were read as the second administrator
	audited  map[string]time.Time      // begin of the last run that read the audit log, by tenant
}

// demoLane is a dataset of a tenant.
type demoLane struct {
	tenant string
	table  *schemas.Dataset
}

// demoEvents are the events of one kind that a run finds in a dataset.
type demoEvents struct{ run, dataset, kind string }

// watchDemo looks at the sites whenever a run ends: nothing happens on them
// while runs go on.
func watchDemo(t *testing.T, d *demo) *demoWitness {
	w := &demoWitness{
		demo: d, last: map[demoLane]demoRows{}, names: map[string]*demoNames{}, expected: map[demoEvents]int{}, epoch: map[*schemas.Dataset]bool{}, audited: map[string]time.Time{},
	}
	for _, s := range d.stories {
		w.names[s.tenant] = &demoNames{}
	}
	i := slices.IndexFunc(d.acts, func(a act) bool { return a.at.Equal(d.day(10.1)) })
	if i < 0 {
		t.Fatal("no act on day 10.1")
	}
	breaks := d.acts[i].do
	d.acts[i].do = func(ctx context.Context) error {
		spaces := d.story("umbrella").site.Truth().Spaces
		w.broken = spaces[5%len(spaces)].ID
		return breaks(ctx)
	}
	remember := d.app.runner.Observe
	d.app.runner.Observe = func(r schemas.Run) {
		w.mu.Lock()
		defer w.mu.Unlock()
		remember(r)
		w.observe(r)
	}
	return w
}

func (w *demoWitness) observe(r schemas.Run) {
	if slices.Contains(r.Complete, "audit_events") {
		w.audited[r.Tenant] = r.StartedAt
	}
	if r.Group == schemas.GroupAudit {
		return
	}
	if r.Outcome == schemas.OutcomeHeld { // what it found waits for the next one (Invariant 8)
		return
	}
	truth := truthOf(w.demo.story(r.Tenant), w.names[r.Tenant], r.StartedAt)
	for _, name := range r.Datasets {
		now, open := truth.rows[name]
		if !open {
			continue
		}
		d := datasetNamed(name)
		lane := demoLane{r.Tenant, d}
		before, known := w.last[lane]
		for _, e := range truth.unknown[name] {
			if row := before[e]; row != nil {
				now[e] = row
			}
		}
		switch {
		case slices.Contains(r.Complete, name):
		case r.Tenant == "globex" && name == "security_configuration":
			for e := range now {
				if e.partition == "audit_retention" {
					delete(now, e)
				}
			}
		case r.Tenant == "umbrella" && name == "space_permissions":
			for e := range now {
				if e.partition == w.broken {
					delete(now, e)
				}
			}
			for e, row := range before {
				if e.partition == w.broken {
					now[e] = row
				}
			}
		default: // nothing could be read
			continue
		}
		w.last[lane] = now
		if r.Tenant == "umbrella" && !r.StartedAt.Before(w.demo.day(19.2)) && !w.epoch[d] {
			w.epoch[d] = true
			known = false // told as one
		}
		if known {
			w.compare(r.RunID.String(), d, before, now, truth.rows[d.Parent])
		}
	}
}

// compare counts the events that lead from one look at a dataset to the next. A
// space or a group that goes is one event, with all that it had.
func (w *demoWitness) compare(run string, d *schemas.Dataset, before, now, parents demoRows) {
	count := func(kind string) { w.expected[demoEvents{run, d.Name, kind}]++ }
	for e, row := range now {
		old, there := before[e]
		switch {
		case !there:
			count("added")
		case !cmp.Equal(old, row):
			count("changed")
		}
	}
	gone := map[string]bool{}
	for e := range before {
		if _, there := now[e]; there {
			continue
		}
		if d.Parent != "" && parents[demoEntity{key: e.partition}] == nil {
			if !gone[e.partition] {
				gone[e.partition] = true
				count("ended")
			}
			continue
		}
		count("ended")
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

const clickHouseTime = "2006-01-02 15:04:05.000"

func moment(t *testing.T, text string) time.Time {
	t.Helper()
	at, err := time.Parse(clickHouseTime, text)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func clickTime(at time.Time) string { return at.UTC().Format(clickHouseTime) }
