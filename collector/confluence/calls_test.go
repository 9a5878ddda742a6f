package confluence_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/confluencetest/contract"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// pages is how many calls n items take, size at a time.
func pages(n, size int) int64 { return int64(max(1, (n+size-1)/size)) }

// minimum is the smallest number of calls for one reading of all datasets that 3LO
// opens, from what the API offers: pages of 250 and 200, one call per space and
// group, and for the audit log one page, or one per day, or as many as halving the day
// takes; and the last seven days of it for who was active.
func minimum(s *site, hidden int) int64 {
	truth := s.sim.Truth()
	calls := pages(len(truth.Spaces)+hidden, 250) + pages(len(truth.Groups), 200) + pages(len(truth.Users), 250) + 3
	calls += pages(len(truth.Spaces)+hidden, 250) + 1 // data policies, classification levels
	for _, p := range truth.Permissions {
		calls += pages(len(p), 250)
	}
	for _, m := range truth.Members {
		calls += pages(len(m), 200)
	}
	if len(truth.Roles) > 0 {
		calls += pages(len(truth.Roles), 250)
	}
	for _, a := range truth.Assignments {
		calls += pages(len(a), 250)
	}
	calls += halvings(truth.Audit, s.clock.Now().AddDate(0, 0, -7).UnixMilli(), s.clock.Now().UnixMilli()-1) // who was active
	calls++                                                                                                  // the audit log of all days in one page
	first := s.clock.Now().AddDate(0, 0, -30).Truncate(24 * time.Hour)
	if halvings(truth.Audit, first.UnixMilli(), s.clock.Now().UnixMilli()-1) == 1 {
		return calls + unarchived(truth)
	}
	for day := s.clock.Now().AddDate(0, 0, -30).Truncate(24 * time.Hour); day.Before(s.clock.Now()); day = day.AddDate(0, 0, 1) {
		end := day.AddDate(0, 0, 1)
		if now := s.clock.Now(); now.Before(end) {
			end = now
		}
		calls += halvings(truth.Audit, day.UnixMilli(), end.UnixMilli()-1)
	}
	return calls + unarchived(truth)
}

// unarchived is the call for archived spaces by name, when none was seen.
func unarchived(truth confluencetest.Truth) int64 {
	if slices.ContainsFunc(truth.Spaces, func(sp confluencetest.Space) bool { return sp.Status == "archived" }) {
		return 0
	}
	return 1
}

// halvings is how many calls the records of a window take.
func halvings(records []confluencetest.AuditRecord, first, last int64) int64 {
	n := 0
	for _, r := range records {
		if at := r.At.UnixMilli(); first <= at && at <= last {
			n++
		}
	}
	if n <= 1000 {
		return 1
	}
	middle := first + (last-first)/2
	return 1 + halvings(records, first, middle) + halvings(records, middle+1, last)
}

// checkCalls: a reading of all datasets cost no call more than it must, and guests
// cost nothing on top of users.
func checkCalls(t *testing.T, s *site, src *confluence.Source) {
	t.Helper()
	want := minimum(s, s.sim.Settings().HiddenSpaces)
	if got := src.Stats().Calls; got != want || s.sim.APICalls() != want {
		t.Errorf("%d calls counted here and %d at the site, want %d", got, s.sim.APICalls(), want)
	}
	if got, there := src.Stats().Points, s.sim.PointsUsed(); got != there {
		t.Errorf("points: estimated %d, the simulator booked %d", got, there)
	}
	if src.Stats().Bytes == 0 {
		t.Error("no bytes counted")
	}
}

// TestGuestsBeforeUsers: the other order costs no call more, and loses nothing.
func TestGuestsBeforeUsers(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 270, Guests: 30})
	truth := truthOf(s)
	src := s.source(func(c *confluence.Settings) { c.Tables = datasets.All() })
	for _, table := range []*schemas.Dataset{datasets.Groups.Dataset, datasets.GroupMembers.Dataset} {
		for _, p := range partitions(src, table) {
			read(t, src, table, p)
		}
	}
	before := src.Stats().Calls
	for _, table := range []*schemas.Dataset{datasets.ExternalCollaborators.Dataset, datasets.Users.Dataset} {
		got := read(t, src, table, "")
		if want := truth[table.Name][""]; got.err != nil || len(got.rows) != len(want) {
			t.Errorf("%s: %d rows, want %d (%v)", table.Name, len(got.rows), len(want), got.err)
		}
	}
	if got, want := src.Stats().Calls-before, pages(len(truth[datasets.Users.Name][""]), 250); got != want {
		t.Errorf("%d calls, want %d", got, want)
	}
}

// recorder is a proxy that keeps what passes.
type recorder struct {
	next http.RoundTripper
	mu   sync.Mutex
	seen []exchange
}

type exchange struct {
	request *http.Request
	asked   []byte
	status  int
	header  http.Header
	body    []byte
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	var asked []byte
	if req.Body != nil {
		var err error
		if asked, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req = req.Clone(req.Context())
		req.Body = io.NopCloser(bytes.NewReader(asked))
	}
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, exchange{req, asked, resp.StatusCode, resp.Header, body})
	return resp, nil
}

// TestContract: what is asked is documented, and so is what the fixture answers.
// The rules that need Atlassian's files run where SITEDRIFT_SPECS names them; the
// rest, on methods and headers, always.
func TestContract(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 260, PermissionsPerSpace: 3, Groups: 205, Users: 300, Guests: 4, RoleMode: "ROLES", AuditEvents: 40})
	rec := &recorder{next: s.options.Transport}
	s.options.Transport = rec
	src := s.source()
	readAll(t, src)
	truth := s.sim.Truth()
	for table, p := range map[*schemas.Dataset]string{
		datasets.SpacePermissions.Dataset: truth.Spaces[0].ID, datasets.GroupMembers.Dataset: truth.Groups[0].ID, datasets.Spaces.Dataset: "",
	} {
		if err := src.Witness(t.Context(), table, p); err != nil {
			t.Error(err)
		}
	}
	s.source().Check(t.Context())

	var c *contract.Contract
	if dir := os.Getenv("SITEDRIFT_SPECS"); dir != "" {
		var err error
		if c, err = contract.Load(dir); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Log("SITEDRIFT_SPECS names no folder: requests are not compared with Atlassian's OpenAPI files")
	}
	for _, e := range rec.seen {
		r := e.request
		if e.status != http.StatusOK {
			t.Errorf("%s %s: %d: %s", r.Method, r.URL, e.status, e.body)
		}
		if r.Method != http.MethodGet && (r.Method != http.MethodPost || !bytes.HasPrefix(e.asked, []byte(`{"accountIds":[`))) {
			t.Errorf("%s %s is not a read", r.Method, r.URL)
		}
		if r.Header.Get("Accept") != "application/json" {
			t.Errorf("%s %s: Accept %q", r.Method, r.URL, r.Header.Get("Accept"))
		}
		if c == nil {
			continue
		}
		r.Body = io.NopCloser(bytes.NewReader(e.asked))
		if err := c.ValidateExchange(r, e.status, e.header, e.body); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d exchanges", len(rec.seen))
}
