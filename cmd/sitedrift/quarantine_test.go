//go:build linux && !noengine

package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
)

// closed are the groups in quarantine, as `tenants show` has them; none when the
// daemon does not answer.
func (d *daemon) closed(t *testing.T) (groups []string) {
	t.Helper()
	var all []tenantInfo
	if raw, err := d.ask(t.Context(), "tenants", tenantsParams{}, nil); err == nil {
		if err := json.Unmarshal(raw, &all); err != nil || len(all) != 1 {
			t.Fatalf("%v: %s", err, raw)
		}
		groups = each(all[0].Quarantined, func(q quarantined) string { return q.Group })
	}
	return groups
}

// TestQuarantine lets runs take the real program down until it stays up: each
// group has done it three times by then and is run no more, until somebody says
// so (Invariant 7).
func TestQuarantine(t *testing.T) {
	t.Parallel()
	w := newKillWorld(t)
	deaths := 0
	var d *daemon
	for survived := false; !survived; deaths++ {
		if deaths > len(killGroups())*collector.QuarantineAfter {
			t.Fatalf("%d deaths, and no end", deaths)
		}
		d = w.start(t, "run.read") // when the site was read
		d.arm(t)
		for alive := true; alive && !survived; {
			select {
			case <-d.ended:
				d.await(t)
				alive = false
			case <-time.After(100 * time.Millisecond):
				survived = len(d.closed(t)) == len(killGroups())
			}
		}
	}
	t.Logf("%d deaths", deaths-1)
	if out := string(w.command(t, "tenants", "list")); !strings.Contains(out, " quarantined ") {
		t.Errorf("tenants list:\n%s", out)
	}
	raw, err := d.ask(t.Context(), "sync", syncParams{Tenant: w.tenant, Datasets: datasetsOf(killGroups()[0])}, func(json.RawMessage) error { return nil })
	if err != nil || !strings.Contains(string(raw), "sitedrift tenants resume "+w.tenant) {
		t.Errorf("a run for a person: %s, %v", raw, err)
	}
	got := d.mustRows(t, "SELECT dataset_group, countIf(outcome = 'quarantined'), countIf(outcome = 'abandoned') FROM runs GROUP BY ALL ORDER BY ALL")
	if diff := cmp.Diff([][]string{{"inventory", "1", "3"}, {"posture", "1", "3"}}, got); diff != "" {
		t.Errorf("runs by group: quarantined, cut off (-want +got):\n%s", diff)
	}
	d.stop(t)

	d = w.start(t, "")
	d.resume(t)
	d.shows(t, w.truth())
	if groups := d.closed(t); len(groups) > 0 {
		t.Errorf("after the release, %v are in quarantine", groups)
	}
	d.stop(t)
}
