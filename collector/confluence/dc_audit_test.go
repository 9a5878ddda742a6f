package confluence_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// busyCenter is a site whose clock stands still whenever the test wants it to.
func busyCenter(t *testing.T, settings confluencetest.DataCenterSettings) (c *center, set func(time.Time)) {
	t.Helper()
	var mu sync.Mutex
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}
	srv := confluencetest.New(confluencetest.Settings{Seed: 7, Now: clock})
	dc := srv.AddDataCenter(settings)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	c = &center{t: t, srv: srv, dc: dc, options: newCenter(t, confluencetest.DataCenterSettings{}).options}
	c.options.Base, c.options.Now = dc.URL(), clock
	return c, func(at time.Time) {
		mu.Lock()
		defer mu.Unlock()
		now = at
	}
}

func (c *center) readAudit(t *testing.T) (rows []row, days int) {
	t.Helper()
	way, _ := c.way(schemas.CredentialDCToken, "", "")
	src := confluence.New(confluence.Settings{Tenant: "acme", Deployment: schemas.DataCenter, Site: c.dc.URL(), Ways: []confluence.Way{way}, Now: c.options.Now})
	table := datasets.AuditEvents.Dataset
	src.Resume(table, "")
	for _, day := range src.Partitions(table) {
		got := readIn(t, src, table, day)
		if got.err != nil {
			t.Errorf("%s: %v", day, got.err)
		}
		for _, r := range got.rows {
			if r["at"][1:11] != day {
				t.Errorf("an event of %s on %s", r["at"], day)
			}
		}
		rows = append(rows, got.rows...)
		days++
	}
	return rows, days
}

// TestDataCenterAudit: events of one millisecond that fill several pages, events
// that look the same, and events at the ends of days and windows are each read once.
func TestDataCenterAudit(t *testing.T) {
	c, set := busyCenter(t, confluencetest.DataCenterSettings{AuditEvents: 60, MaxLimit: 7})
	at := time.Date(2026, 3, 2, 23, 59, 59, int(999*time.Millisecond), time.UTC)
	for i := range 4 { // around midnight, and at noon
		set(at.Add(time.Duration(i) * time.Millisecond))
		if err := c.dc.AddGroup(fmt.Sprintf("night-%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	set(time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC))
	for range 12 { // the same two events again and again
		if err := errors.Join(c.dc.AddGroup("again"), c.dc.RemoveGroup("again")); err != nil {
			t.Fatal(err)
		}
	}
	set(time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC))
	var want []row
	for _, parts := range truthOfCenter(c.dc)[datasets.AuditEvents.Name] {
		want = append(want, parts...)
	}
	if len(want) < 80 {
		t.Fatalf("%d events", len(want))
	}
	got, days := c.readAudit(t)
	if diff := cmp.Diff(inOrder(want), inOrder(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if days != 31 {
		t.Errorf("%d days", days)
	}

	// Should a site not count the ends of a window in, nothing is lost either.
	wire := c.options.Transport
	c.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		q := r.URL.Query()
		for name, d := range map[string]time.Duration{"from": time.Millisecond, "to": -time.Millisecond} {
			if q.Has(name) {
				end, err := time.Parse(time.RFC3339Nano, q.Get(name))
				if err != nil {
					return nil, err
				}
				q.Set(name, end.Add(d).Format("2006-01-02T15:04:05.000Z"))
			}
		}
		r = r.Clone(r.Context())
		r.URL.RawQuery = q.Encode()
		return wire.RoundTrip(r)
	})
	got, _ = c.readAudit(t)
	if diff := cmp.Diff(inOrder(want), inOrder(got)); diff != "" {
		t.Errorf("without the ends (-want +got):\n%s", diff)
	}
}

// TestDataCenterAuditElsewhere: events that were not asked for are no answer.
func TestDataCenterAuditElsewhere(t *testing.T) {
	c, set := busyCenter(t, confluencetest.DataCenterSettings{AuditEvents: 3})
	set(time.Date(2026, 3, 4, 8, 0, 0, 0, time.UTC))
	wire := c.options.Transport
	c.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		q := r.URL.Query()
		q.Set("from", "2020-01-01T00:00:00.000Z") // a site that overlooks the parameter
		r = r.Clone(r.Context())
		r.URL.RawQuery = q.Encode()
		return wire.RoundTrip(r)
	})
	way, _ := c.way(schemas.CredentialDCToken, "", "")
	src := confluence.New(confluence.Settings{Tenant: "acme", Deployment: schemas.DataCenter, Site: c.dc.URL(), Ways: []confluence.Way{way}, Now: c.options.Now})
	src.Resume(datasets.AuditEvents.Dataset, "")
	if got := read(t, src, datasets.AuditEvents.Dataset, "2026-03-03"); got.state() != schemas.CoverageFailed || len(got.rows) > 0 {
		t.Errorf("%d rows, %v", len(got.rows), got.err)
	}
}
