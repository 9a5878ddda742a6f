package confluence_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// records makes things happen on the site at a time: equal ones leave records that
// nothing tells apart.
func (s *site) records(at time.Time, n int, equal bool) {
	s.sim.Schedule(confluencetest.Step{At: at, Name: "records", Do: func(sim *confluencetest.Site) {
		for range n {
			s.happened++
			if equal {
				sim.ChangeSettings(func(c *confluencetest.SiteConfiguration) { c.Title = "title " + strconv.Itoa(s.happened) })
			} else if err := sim.RenameUser(s.srv.Collector().AccountID, "name "+strconv.Itoa(s.happened)); err != nil {
				s.t.Error(err)
			}
		}
	}})
	s.srv.AdvanceTo(at)
}

// auditStore is what a warehouse holds of the audit log: rows by day, hash and
// occurrence, as a run adds them and never takes any away.
type auditStore map[string]row

// run reads as a run does, from a cursor on, adds to the store, and returns the new
// cursor and how many days were read.
func (w auditStore) run(s *site, src *confluence.Source, cursor string) (next string, days int) {
	s.t.Helper()
	table := datasets.AuditEvents.Dataset
	src.Resume(table, cursor)
	list := partitions(src, table)
	for _, day := range list {
		r := read(s.t, src, table, day)
		if r.err != nil {
			s.t.Errorf("%s: %v", day, r.err)
		}
		w.add(s, day, r.rows)
	}
	return src.Cursor(table), len(list)
}

func (w auditStore) add(s *site, day string, rows []row) {
	s.t.Helper()
	seen := map[string]bool{}
	for _, r := range rows {
		key := day + " " + r["content_hash"] + " " + r["occurrence"]
		if seen[key] {
			s.t.Errorf("%s: a record is handed over twice: %v", day, r)
		}
		seen[key] = true
		if was := w[key]; was != nil && !cmp.Equal(was, r) {
			s.t.Errorf("%s: a record changed: %s", day, cmp.Diff(was, r))
		}
		w[key] = r
	}
}

// check compares the store with all records of the last thirty days, but for those
// that happened at or after a time.
func (w auditStore) check(s *site, until time.Time) {
	s.t.Helper()
	want := truth{}
	want.audit(s.sim.Truth().Audit, s.clock.Now().AddDate(0, 0, -30), until)
	table := datasets.AuditEvents.Dataset
	var all, got []row
	for _, rows := range want[table.Name] {
		all = append(all, rows...)
	}
	for _, r := range w {
		got = append(got, r)
	}
	if diff := difference(table, all, got); diff != "" {
		s.t.Errorf("%d records of %d (-want +got):\n%s", len(got), len(all), diff)
	}
}

// TestAuditWindows: days that do not fit into a page are read in windows that tile
// them, down to a millisecond that does not fit; nothing is lost or counted twice.
func TestAuditWindows(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 6})
	s.cutPages(50) // twenty records a page
	day := s.clock.Now().AddDate(0, 0, -2).Truncate(24 * time.Hour)
	noon := day.Add(12 * time.Hour)
	for i := range 30 {
		s.records(day.Add(time.Duration(i)*47*time.Minute), 1, false)
	}
	s.records(day, 1, true)                                    // the first millisecond of the day
	s.records(day.Add(24*time.Hour-time.Millisecond), 1, true) // the last
	s.records(day.Add(24*time.Hour), 1, true)                  // of the day after
	s.records(noon, 20, true)                                  // a full page
	s.records(noon.Add(time.Second), 21, false)                // one more
	s.records(noon.Add(2*time.Second), 67, true)               // several pages, all alike
	s.records(noon.Add(2*time.Second+time.Millisecond), 45, true)
	s.records(noon.Add(3*time.Second), 41, false)
	s.records(noon.Add(3*time.Second), 3, true)
	s.records(s.clock.Now().Add(-time.Millisecond), 1, false)
	s.records(s.clock.Now(), 1, false) // as the run begins: for the next one

	rec := &recorder{next: s.options.Transport}
	s.options.Transport = rec
	store := auditStore{}
	if _, days := store.run(s, s.source(), ""); days != 31 {
		t.Errorf("%d days, want the last thirty and today", days)
	}
	store.check(s, s.clock.Now())

	// The windows that were kept tile the days.
	type window struct{ first, last int64 }
	var kept []window
	for _, e := range rec.seen {
		q := e.request.URL.Query()
		if !strings.HasSuffix(e.request.URL.Path, "/audit") || q.Get("start") != "" {
			continue
		}
		var page struct {
			Links struct{ Next string } `json:"_links"`
		}
		if err := json.Unmarshal(e.body, &page); err != nil {
			t.Fatal(err)
		}
		first, err1 := strconv.ParseInt(q.Get("startDate"), 10, 64)
		last, err2 := strconv.ParseInt(q.Get("endDate"), 10, 64)
		if err1 != nil || err2 != nil {
			t.Fatalf("odd window: %s", e.request.URL.RawQuery)
		}
		if page.Links.Next == "" || first == last {
			kept = append(kept, window{first, last})
		}
	}
	slices.SortFunc(kept, func(a, b window) int { return int(a.first - b.first) })
	at := s.clock.Now().AddDate(0, 0, -30).Truncate(24 * time.Hour).UnixMilli()
	for _, w := range kept {
		if w.first != at || w.last < w.first {
			t.Fatalf("a window begins at %d and ends at %d, want it to begin at %d", w.first, w.last, at)
		}
		at = w.last + 1
	}
	if now := s.clock.Now().UnixMilli(); at != now {
		t.Errorf("the windows end at %d, want %d", at, now)
	}
}

// TestRecordsWhileRead: what is written while a day is read neither moves what is
// there from page to page, nor is anything counted twice.
func TestRecordsWhileRead(t *testing.T) {
	table := datasets.AuditEvents.Dataset
	for _, c := range []struct {
		name  string
		at    func(noon, now time.Time, n int) time.Time
		times int
		state schemas.CoverageState
	}{
		{"now", func(_, now time.Time, _ int) time.Time { return now.Add(time.Second) }, 1000, schemas.CoverageComplete},
		{"late, each time", func(noon, _ time.Time, n int) time.Time { return noon.Add(time.Duration(n-3600) * time.Second) }, 1000, schemas.CoverageComplete},
		{"late, at the same moment, once", func(noon, _ time.Time, _ int) time.Time { return noon }, 1, schemas.CoverageComplete},
		{"late, at the same moment, each time", func(noon, _ time.Time, _ int) time.Time { return noon }, 1000, schemas.CoveragePartial},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Users: 6})
			s.cutPages(50)
			noon := s.clock.Now().AddDate(0, 0, -1).Truncate(24 * time.Hour).Add(12 * time.Hour)
			s.records(noon.Add(-3*time.Hour), 25, true)
			s.records(noon, 50, false)
			s.records(noon.Add(time.Hour), 30, true)
			before := truthOf(s)[table.Name][noon.Format(time.DateOnly)]
			left := c.times
			wire := s.options.Transport
			s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
				if q := r.URL.Query(); left > 0 && strings.HasSuffix(r.URL.Path, "/audit") && (c.times > 1 || q.Get("start") != "") {
					left--
					s.records(c.at(noon, s.clock.Now(), c.times-left), 1, false)
				}
				return wire.RoundTrip(r)
			})
			src := s.source()
			src.Resume(table, "")
			got := read(t, src, table, noon.Format(time.DateOnly))
			if got.state() != c.state {
				t.Errorf("%v, want %s", got.err, c.state)
			}
			if left == c.times {
				t.Fatal("nothing was written meanwhile")
			}
			if line := untrue(table, truthOf(s)[table.Name][noon.Format(time.DateOnly)], got.rows); line != "" {
				t.Errorf("a row that is not true: %q", line)
			}
			if lost := missing(keys(table, before), keys(table, got.rows)); lost != nil && got.err == nil {
				t.Errorf("lost %d records that were there", len(lost))
			}
		})
	}
}

// TestLyingWindows: records that are not shown again when their window is asked for
// in two parts were not read.
func TestLyingWindows(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 6})
	s.cutPages(50)
	morning := s.clock.Now().AddDate(0, 0, -1).Truncate(24 * time.Hour).Add(3 * time.Hour)
	s.records(morning, 10, false)
	s.records(morning.Add(time.Second), 15, false)
	for after := 1; after <= 2; after++ { // the whole day, and a part of it
		s.sim.ClearFaults()
		s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultEmptyPage, Endpoint: "GET /wiki/rest/api/audit", After: after})
		src := s.source()
		src.Resume(datasets.AuditEvents.Dataset, "")
		if got := read(t, src, datasets.AuditEvents.Dataset, morning.Format(time.DateOnly)); got.state() != schemas.CoveragePartial {
			t.Errorf("nothing in answer %d: %d rows, %v", after+1, len(got.rows), got.err)
		}
	}
	// A record from outside of the window is none of its records.
	bendAudit := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/audit") {
			q.Del("startDate")
			r = r.Clone(r.Context())
			r.URL.RawQuery = q.Encode()
		}
		return bendAudit.RoundTrip(r)
	})
	s.sim.ClearFaults()
	src := s.source()
	src.Resume(datasets.AuditEvents.Dataset, "")
	if got := read(t, src, datasets.AuditEvents.Dataset, s.clock.Now().Format(time.DateOnly)); got.state() != schemas.CoverageFailed || len(got.rows) > 0 {
		t.Errorf("%d rows, %v", len(got.rows), got.err)
	}
}

// TestAuditGoesOn: runs that go on from each other's cursors read every record
// once, read little again, and find once a day what came late.
func TestAuditGoesOn(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 6, AuditEvents: 40})
	store := auditStore{}
	cursor, days := store.run(s, s.source(), "")
	if days != 31 {
		t.Errorf("the first run read %d days", days)
	}
	store.check(s, s.clock.Now())
	began := s.clock.Now()
	overlaps := 0
	for i := range 40 {
		s.clock.Advance(97 * time.Minute)
		now := s.clock.Now()
		s.records(now.Add(-time.Duration(i)*time.Minute), 1+i%3, i%2 == 0)
		s.records(now.Add(-time.Millisecond), 1, true)
		var read int
		cursor, read = store.run(s, s.source(), cursor)
		switch {
		case read > 2:
			overlaps++
			if read > 4 {
				t.Errorf("%v: %d days were read again", now, read)
			}
		case i%10 == 9:
			// Late by thirty hours: the next overlap is at most a day away.
			s.records(now.Add(-30*time.Hour), 2, true)
		}
	}
	s.clock.Advance(25 * time.Hour)
	store.run(s, s.source(), cursor)
	store.check(s, s.clock.Now())
	if most := int(s.clock.Now().Sub(began)/(24*time.Hour)) + 1; overlaps == 0 || overlaps > most {
		t.Errorf("the last days were read again %d times in %d days", overlaps, most)
	}
}

// TestAuditAfterAPause: after weeks without a run nothing is missing.
func TestAuditAfterAPause(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 6})
	store := auditStore{}
	cursor, _ := store.run(s, s.source(), "")
	for range 20 {
		s.clock.Advance(29 * time.Hour)
		s.records(s.clock.Now().Add(-time.Hour), 2, true)
	}
	store.run(s, s.source(), cursor)
	store.check(s, s.clock.Now())
}

// TestAuditClocks: a clock that is off, here or there, doubles nothing, and what it
// hides is found with the next overlap, or when the clock is right again.
func TestAuditClocks(t *testing.T) {
	for _, c := range []struct {
		name string
		skew time.Duration // of the collector's clock in the second run
	}{
		{"ahead over midnight", 15 * time.Hour}, {"ahead for days", 10 * 24 * time.Hour}, {"behind", -3 * time.Hour}, {"behind for days", -10 * 24 * time.Hour}, {"ahead a little", 5 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Users: 6, AuditEvents: 30})
			store := auditStore{}
			source := func(skew time.Duration) *confluence.Source {
				return s.source(func(settings *confluence.Settings) {
					settings.Now = func() time.Time { return s.clock.Now().Add(skew) }
				})
			}
			cursor, _ := store.run(s, source(0), "")
			step := func(skew time.Duration) {
				s.clock.Advance(3 * time.Hour)
				s.records(s.clock.Now().Add(-time.Hour), 3, true)
				cursor, _ = store.run(s, source(skew), cursor)
				s.records(s.clock.Now().Add(time.Minute), 2, false) // before the next run, seen by the next
			}
			s.clock.Advance(8 * time.Hour)
			step(0)
			step(c.skew) // before midnight, and the next one after
			for range 10 {
				step(0)
			}
			s.clock.Advance(time.Hour)
			store.run(s, source(0), cursor)
			store.check(s, s.clock.Now())
		})
	}
}

// TestAuditCursors: what is no cursor begins a first reading.
func TestAuditCursors(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 6})
	table := datasets.AuditEvents.Dataset
	now := s.clock.Now()
	good := func(to, again time.Time) string {
		return fmt.Sprintf(`{"to":%d,"again":%d}`, to.UnixMilli(), again.UnixMilli())
	}
	for cursor, want := range map[string]int{
		"": 31, "{}": 31, "null": 31, "garbage": 31, `{"to":-5}`: 31, `{"to":"x"}`: 31,
		good(now.Add(time.Minute), now):                      31,  // the clock was set back
		`{"to":1,"again":1}`:                                 367, // a clock that was wrong by decades
		good(now.Add(-time.Hour), now):                       1,
		good(now, now):                                       1,
		good(now.Add(-26*time.Hour), now.Add(-23*time.Hour)): 2,
		good(now.Add(-26*time.Hour), now.Add(-25*time.Hour)): 4,
	} {
		src := s.source()
		src.Resume(table, cursor)
		days := partitions(src, table)
		if len(days) != want || days[len(days)-1] != now.Format(time.DateOnly) {
			t.Errorf("%q: %d days until %s, want %d", cursor, len(days), days[len(days)-1], want)
		}
		// A cursor is where the next run goes on, whatever the clock does meanwhile.
		next := src.Cursor(table)
		again := s.source()
		again.Resume(table, next)
		if n := len(partitions(again, table)); n != 1 {
			t.Errorf("%q: the run after it reads %d days", cursor, n)
		}
	}
}
