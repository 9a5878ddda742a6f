package confluence_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is the time of a simulated world; it stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 2, 9, 21, 7, 123_000_000, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// site is a simulated site with a 3LO client that is authorized for it.
type site struct {
	t     testing.TB
	clock *clock
	srv   *confluencetest.Server
	sim   *confluencetest.Site
	org   *confluencetest.Organization // nil before the first organization key
	token string
	waits []time.Duration // what clients slept; they make one call at a time where it is looked at
	mu    sync.Mutex
	// happened counts what tests made happen for the sake of its audit records.
	happened int
	patience atomic.Int64 // of clients with an answer, in nanoseconds; 0: that of a try
	// options may be changed before the first source is made.
	options httpx.Options
}

// patienceFor is how long to wait for an answer under a fault: where none comes, what a
// site needs to begin one.
func patienceFor(f confluencetest.Fault) time.Duration {
	if f.Kind == confluencetest.FaultStall {
		return 100 * time.Millisecond
	}
	return 0
}

// impatient lets requests wait for the head of an answer only so long.
func impatient(next http.RoundTripper, patience *atomic.Int64) http.RoundTripper {
	return tripper(func(r *http.Request) (*http.Response, error) {
		limit := time.Duration(patience.Load())
		if limit == 0 {
			return next.RoundTrip(r)
		}
		ctx, cancel := context.WithCancel(r.Context())
		timer := time.AfterFunc(limit, cancel)
		resp, err := next.RoundTrip(r.WithContext(ctx))
		timer.Stop()
		return resp, err
	})
}

func newSite(t testing.TB, settings confluencetest.SiteSettings) *site {
	t.Helper()
	c := newClock()
	srv := confluencetest.New(confluencetest.Settings{Seed: 7, Now: c.Now, AccessTokenTTL: 1000 * 24 * time.Hour})
	sim := srv.AddSite(settings)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	s := &site{t: t, clock: c, srv: srv, sim: sim}
	s.grant(confluencetest.AllScopes())
	wire := httpx.NewTransport(netip.MustParsePrefix("127.0.0.0/8"))
	t.Cleanup(wire.CloseIdleConnections)
	s.options = httpx.Options{
		Tenant: "acme", Transport: impatient(wire, &s.patience), AttemptTimeout: 20 * time.Second, MaxTries: 3, Now: c.Now,
		Sleep: func(ctx context.Context, d time.Duration) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.waits = append(s.waits, d)
			return ctx.Err()
		},
	}
	return s
}

// grant consents anew, with the given scopes.
func (s *site) grant(scopes []string) {
	s.t.Helper()
	app := s.srv.AddApp(confluencetest.App{RedirectURIs: []string{"http://127.0.0.1/callback"}})
	tokens, _, err := s.srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: []string{s.sim.Name()}, Scopes: scopes})
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = tokens.AccessToken
}

// organization is the one that the site belongs to.
func (s *site) organization() *confluencetest.Organization { return s.organizationOf(40) }

// organizationOf is one with so many events in its log.
func (s *site) organizationOf(events int) *confluencetest.Organization {
	if s.org == nil {
		s.org = s.srv.AddOrganization(confluencetest.OrganizationSettings{Name: "Acme", Sites: []string{s.sim.Name()}, Domains: 5, Policies: 7, OtherUsers: 3, Events: events})
	}
	return s.org
}

// client is pinned to a base below the simulator.
func (s *site) client(base string, auth httpx.Authorizer) *httpx.Client {
	s.t.Helper()
	options := s.options
	options.Base, options.Auth = base, auth
	client, err := httpx.New(options)
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// way is a new credential of the kind with exactly these scopes. Where the kind
// knows none they are left out.
func (s *site) way(kind string, scopes []string) confluence.Way {
	s.t.Helper()
	w := confluence.Way{Kind: kind, Principal: s.srv.Collector().AccountID, Scopes: append([]string{}, scopes...)}
	gateway := s.srv.APIURL() + "/ex/confluence/" + s.sim.CloudID()
	switch kind {
	case schemas.Credential3LO:
		s.grant(append([]string{"offline_access"}, scopes...))
		w.Client = s.client(gateway, httpx.Bearer(s.token))
		w.GraphQL = &confluence.Gateway{Client: s.client(s.srv.APIURL(), httpx.Bearer(s.token)), Path: "/graphql"}
	case schemas.CredentialServiceAccount:
		app := s.srv.AddApp(confluencetest.App{ServiceAccount: true, Scopes: w.Scopes, ServiceSites: []string{s.sim.Name()}})
		w.Principal = app.ClientID
		w.Client = s.client(gateway, httpx.Bearer(s.serviceToken(app)))
	case schemas.CredentialScopedToken:
		token := s.srv.AddToken(confluencetest.APIToken{Scopes: w.Scopes})
		w.Client = s.client(gateway, httpx.Basic(token.Email, token.Token))
	case schemas.CredentialAPIToken:
		token := s.srv.AddToken(confluencetest.APIToken{})
		w.Scopes = nil
		w.Client = s.client(s.sim.URL(), httpx.Basic(token.Email, token.Token))
		w.GraphQL = &confluence.Gateway{Client: w.Client, Path: "/gateway/api/graphql"}
	case schemas.CredentialAdminKey:
		key := s.organization().AddAdminKey(w.Scopes, time.Time{})
		w.Principal = s.org.ID()
		w.Client = s.client(s.srv.APIURL()+"/admin", httpx.Bearer(key.Key))
	default:
		s.t.Fatalf("the harness cannot make a credential of the kind %s", kind)
	}
	return w
}

// serviceToken gets the access token of a service account.
func (s *site) serviceToken(app confluencetest.App) string {
	s.t.Helper()
	question, err := json.Marshal(map[string]string{"grant_type": "client_credentials", "client_id": app.ClientID, "client_secret": app.ClientSecret})
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := s.client(s.srv.AuthURL(), nil).Do(s.t.Context(), httpx.Request{Method: http.MethodPost, Ref: "/oauth/token", Body: question})
	if err != nil {
		s.t.Fatal(err)
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(answer.Body, &tokens); err != nil || tokens.AccessToken == "" {
		s.t.Fatalf("no access token in the answer of the token endpoint: %v", err)
	}
	return tokens.AccessToken
}

// cutPages makes all pages of the site shorter by a factor than they are asked for,
// as sites may, so that a small one has listings of several pages.
func (s *site) cutPages(factor int) {
	wire := s.options.Transport
	var sizes []string
	for _, name := range []string{"first", "limit"} {
		for _, size := range []int{100, 50} {
			sizes = append(sizes, fmt.Sprintf("%q:%d", name, size), fmt.Sprintf("%q:%d", name, size/factor))
		}
	}
	body := strings.NewReplacer(sizes...)
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		q := r.URL.Query()
		if limit, err := strconv.Atoi(q.Get("limit")); err == nil {
			q.Set("limit", strconv.Itoa(max(limit/factor, 1)))
			r.URL.RawQuery = q.Encode()
		}
		if r.Body != nil {
			asked, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			cut := body.Replace(string(asked))
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(cut)), int64(len(cut))
		}
		return wire.RoundTrip(r)
	})
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// source reads with the 3LO grant, unless a change says otherwise.
func (s *site) source(change ...func(*confluence.Settings)) *confluence.Source {
	s.t.Helper()
	settings := confluence.Settings{
		Tenant: "acme", Site: s.sim.CloudID(), Now: s.clock.Now,
		Ways: []confluence.Way{{
			Kind: schemas.Credential3LO, Principal: s.srv.Collector().AccountID, Scopes: confluencetest.AllScopes(),
			Client:  s.client(s.srv.APIURL()+"/ex/confluence/"+s.sim.CloudID(), httpx.Bearer(s.token)),
			GraphQL: &confluence.Gateway{Client: s.client(s.srv.APIURL(), httpx.Bearer(s.token)), Path: "/graphql"},
		}},
	}
	for _, c := range change {
		c(&settings)
	}
	return confluence.New(settings)
}

// with reads with these credentials instead.
func with(ways ...confluence.Way) func(*confluence.Settings) {
	return func(s *confluence.Settings) { s.Ways = ways }
}

// row is what a test sees of a row: all columns, by name, as JSON.
type row map[string]string

// reading is the outcome of one partition.
type reading struct {
	rows, unknown []row
	err           error
}

func (r reading) state() schemas.CoverageState {
	if r.err == nil {
		return schemas.CoverageComplete
	}
	var e *collector.ReadError
	if !errors.As(r.err, &e) {
		return "no ReadError: " + schemas.CoverageState(r.err.Error())
	}
	return e.State
}

func read(t testing.TB, s collector.Source, table *schemas.Dataset, partition string) reading {
	var out reading
	out.err = s.Read(t.Context(), table, partition, func(p collector.Page) error {
		for _, rows := range []schemas.Rows{p.Rows, p.Partly} {
			if rows != nil {
				out.rows = append(out.rows, rowsOf(t, rows)...)
			}
		}
		if p.Unknown != nil {
			out.unknown = append(out.unknown, rowsOf(t, p.Unknown)...)
		}
		return nil
	})
	return out
}

func rowsOf(t testing.TB, rows schemas.Rows) []row {
	b := schemas.NewBlock(rows.Table())
	for i := range rows.Len() {
		rows.AppendColumns(b, i)
	}
	list := make([]row, rows.Len())
	for i := range list {
		list[i] = row{}
		for c, info := range rows.Table().Columns {
			if got := b.Cols[c].Len(); got != rows.Len() {
				t.Fatalf("column %s has %d values for %d rows", info.Name, got, rows.Len())
			}
			list[i][info.Name] = string(b.Cols[c].AppendJSON(nil, i))
		}
	}
	return list
}

// snapshot is a reading of all datasets, by dataset and partition.
type snapshot map[string]map[string]reading

// readAll does what a run does: only what can be reached, parents before children,
// all partitions.
func readAll(t testing.TB, s *confluence.Source) snapshot {
	all := snapshot{}
	for _, table := range datasets.All() {
		all[table.Name] = map[string]reading{}
		if err := s.Reach(table); err != nil {
			all[table.Name][schemas.Whole] = reading{err: err}
			continue
		}
		if table.Append {
			s.Resume(table, "")
		}
		for _, p := range partitions(s, table) {
			all[table.Name][p] = read(t, s, table, p)
		}
	}
	return all
}

func partitions(s *confluence.Source, table *schemas.Dataset) []string {
	if table.PartitionColumn == "" {
		return []string{schemas.Whole}
	}
	return s.Partitions(table)
}

// sorted orders rows by their key columns, so that listings compare as sets.
func sorted(table *schemas.Dataset, rows []row) []row {
	out := slices.Clone(rows)
	slices.SortFunc(out, func(a, b row) int {
		for _, k := range table.KeyColumns() {
			if name := table.Columns[k].Name; a[name] != b[name] {
				if a[name] < b[name] {
					return -1
				}
				return 1
			}
		}
		return 0
	})
	return out
}

// lines are rows as texts, in order: quick to compare.
func lines(table *schemas.Dataset, rows []row) []string {
	list := make([]string, len(rows))
	var b strings.Builder
	for i, r := range rows {
		b.Reset()
		for _, c := range table.Columns {
			b.WriteString(r[c.Name])
			b.WriteByte(0)
		}
		if len(r) != len(table.Columns) {
			b.WriteString("and other columns")
		}
		list[i] = b.String()
	}
	slices.Sort(list)
	return list
}

// difference says how a reading differs from what it should be; empty: not at all.
func difference(table *schemas.Dataset, want, got []row) string {
	if slices.Equal(lines(table, want), lines(table, got)) {
		return ""
	}
	return cmp.Diff(sorted(table, want), sorted(table, got))
}

// untrue finds rows that are not among those of the truth, or are there twice.
func untrue(table *schemas.Dataset, want, got []row) string {
	left := map[string]int{}
	for _, line := range lines(table, want) {
		left[line]++
	}
	for _, line := range lines(table, got) {
		if left[line]--; left[line] < 0 {
			return line
		}
	}
	return ""
}

func contains(rows []row, want row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return maps.Equal(r, want) })
}
