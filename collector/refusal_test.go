package collector_test

import (
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// TestRefusalHasToLast: one bad answer of a site is no reason to read by another
// source, and a refusal that lasts is tried again once a day.
func TestRefusalHasToLast(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	after := func(minutes ...int) (r collector.Refusal) {
		for _, m := range minutes {
			r = r.Again(noon.Add(time.Duration(m)*time.Minute), "GET /x: 401")
		}
		return r
	}
	for name, test := range map[string]struct {
		refusal         collector.Refusal
		now             int // minutes after noon
		stands, settled bool
		due             bool
	}{
		"never refused":           {after(), 0, false, false, false},
		"refused once":            {after(0), 1, true, false, false},
		"by two runs at once":     {after(0, 1), 14, true, false, false},
		"a quarter of an hour on": {after(0), 15, true, false, true},
		"and again":               {after(0, 15), 16, true, true, false},
		"by the next day":         {after(0, 15), 15 + 24*60, true, true, true},
		"tried in vain":           {after(0, 15, 15+24*60), 16 + 24*60, true, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			now := noon.Add(time.Duration(test.now) * time.Minute)
			if r := test.refusal; r.Stands() != test.stands || r.Settled() != test.settled || r.Due(now) != test.due {
				t.Errorf("stands %v, settled %v, due %v", r.Stands(), r.Settled(), r.Due(now))
			}
		})
	}
}
