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

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// demoWitness knows, beside the product, what the simulated sites held at each
// run, and which events that makes.
type demoWitness struct {
	demo   *demo
	broken string // the space that could not be read

	mu       sync.Mutex
	last     map[demoLane]demoRows
	expected map[demoEvents]int
	epoch    map[*schemas.Dataset]bool // umbrella's datasets that were read as the second administrator
}

// demoLane is a dataset of a tenant.
type demoLane struct {
	tenant string
	table  *schemas.Dataset
}

// demoEvents are the events of one kind that a run finds in a dataset.
type demoEvents struct{ run, dataset, kind string }

type demoEntity struct{ partition, key string }

// demoRows are rows of a dataset, as the views write them, by column.
type demoRows map[demoEntity]map[string]string

func (r demoRows) put(d *schemas.Dataset, row map[string]string) {
	fields := map[string]string{}
	for _, c := range killColumns(d) {
		fields[c] = row[c]
	}
	r[demoEntity{row[d.PartitionColumn], row[keyColumn(d)]}] = fields
}

// truthOf is what a site holds.
func truthOf(site *sim.Site) map[*schemas.Dataset]demoRows {
	all := map[string]demoRows{}
	byName := map[string]*schemas.Dataset{}
	for _, d := range tables() {
		all[d.Name], byName[d.Name] = demoRows{}, d
	}
	put := func(dataset string, row map[string]string) { all[dataset].put(byName[dataset], row) }
	truth := site.Truth()
	killSpaces(truth, put)
	killSettings(truth.Settings, site.URL()+"/wiki", put)
	killPeople(truth, put)
	named := map[*schemas.Dataset]demoRows{}
	for name, rows := range all {
		named[byName[name]] = rows
	}
	return named
}

// watchDemo looks at the sites whenever a run ends: nothing happens on them
// while runs go on.
func watchDemo(t *testing.T, d *demo) *demoWitness {
	w := &demoWitness{demo: d, last: map[demoLane]demoRows{}, expected: map[demoEvents]int{}, epoch: map[*schemas.Dataset]bool{}}
	i := slices.IndexFunc(d.acts, func(a act) bool { return a.at.Equal(d.day(10.1)) })
	if i < 0 {
		t.Fatal("no act on day 10.1")
	}
	breaks := d.acts[i].do
	d.acts[i].do = func(ctx context.Context) error {
		spaces := d.stories[3].site.Truth().Spaces
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
	i := slices.IndexFunc(w.demo.stories, func(s *story) bool { return s.tenant == r.Tenant })
	for d, now := range truthOf(w.demo.stories[i].site) {
		lane := demoLane{r.Tenant, d}
		before, known := w.last[lane]
		switch {
		case !slices.Contains(r.Datasets, d.Name):
			continue
		case slices.Contains(r.Complete, d.Name):
		case r.Tenant == "globex" && d.Name == "security_configuration":
			for e := range now {
				if e.partition == "audit_retention" {
					delete(now, e)
				}
			}
		case r.Tenant == "umbrella" && d.Name == "space_permissions":
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
			w.compare(r.RunID.String(), d, before, now)
		}
	}
}

// compare counts the events that lead from one look at a dataset to the next. A
// space or a group that goes is one event, with all that it had.
func (w *demoWitness) compare(run string, d *schemas.Dataset, before, now demoRows) {
	count := func(kind string) { w.expected[demoEvents{run, d.Name, kind}]++ }
	partitions, gone := map[string]bool{}, map[string]bool{}
	for e := range now {
		partitions[e.partition] = true
	}
	for e, row := range now {
		old, there := before[e]
		switch {
		case !there:
			count("added")
		case !cmp.Equal(old, row):
			count("changed")
		}
	}
	for e := range before {
		if _, there := now[e]; there {
			continue
		}
		if d.Parent != "" && !partitions[e.partition] {
			if !gone[e.partition] {
				gone[e.partition] = true
				count("ended")
			}
			continue
		}
		count("ended")
	}
}

func tableNamed(t *testing.T, name string) *schemas.Dataset {
	t.Helper()
	for _, d := range tables() {
		if d.Name == name {
			return d
		}
	}
	t.Fatalf("no dataset %s", name)
	return nil
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
