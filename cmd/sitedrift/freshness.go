package main

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// reading is one of a dataset, all of it or not.
type reading struct {
	tenant, dataset string
	all             bool
}

// freshness tells when datasets were read last. Of what nobody means to read any more
// (the tenant is removed or paused, the group has no schedule) it tells nothing, as
// tiles call that not stale: an alert on age would never end. It is safe for
// concurrent use.
type freshness struct {
	// watched says what is meant to be read; nil: everything.
	watched func(ctx context.Context) (func(tenant, dataset string) bool, error)

	mu sync.Mutex
	at map[reading]int64 // seconds since 1970
}

var (
	completeDesc   = prometheus.NewDesc("sitedrift_dataset_last_complete_timestamp_seconds", "End of the last run that read the dataset completely; none for what has no schedule, or is paused.", []string{"tenant", "dataset"}, nil)
	incompleteDesc = prometheus.NewDesc("sitedrift_dataset_last_incomplete_timestamp_seconds", "End of the last run that was to read the dataset and could not read all of it; none as above.", []string{"tenant", "dataset"}, nil)
)

// read notes a reading.
func (f *freshness) read(r reading, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at[r] = at
}

// Describe implements prometheus.Collector.
func (f *freshness) Describe(ch chan<- *prometheus.Desc) {
	ch <- completeDesc
	ch <- incompleteDesc
}

// Collect implements prometheus.Collector.
func (f *freshness) Collect(ch chan<- prometheus.Metric) {
	watched := func(string, string) bool { return true }
	if f.watched != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if w, err := f.watched(ctx); err == nil { // else an outage of the state would hide what is stale
			watched = w
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for r, at := range f.at {
		if !watched(r.tenant, r.dataset) {
			continue
		}
		desc := incompleteDesc
		if r.all {
			desc = completeDesc
		}
		ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(at), r.tenant, r.dataset)
	}
}

// watched says which datasets of which tenants are meant to be read on a schedule.
func (a *app) watched(ctx context.Context) (func(tenant, dataset string) bool, error) {
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	schedules, err := a.store.Schedules(ctx, "")
	if err != nil {
		return nil, err
	}
	paused := map[string]bool{}
	for _, t := range tenants {
		paused[t.ID] = t.Paused
	}
	on := map[[2]string]bool{}
	for _, s := range schedules {
		on[[2]string{s.Tenant, s.Group}] = !s.Paused && !paused[s.Tenant]
	}
	groups := map[string]string{}
	for _, d := range tables() {
		groups[d.Name] = d.Group
	}
	return func(tenant, dataset string) bool { return on[[2]string{tenant, groups[dataset]}] }, nil
}
