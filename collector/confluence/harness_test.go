package confluence_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is a simulated site with a client that is authorized for it.
type site struct {
	t     testing.TB
	srv   *confluencetest.Server
	sim   *confluencetest.Site
	token string
	wire  http.RoundTripper
	// options may be changed before the first source is made.
	options httpx.Options
}

func newSite(t testing.TB, settings confluencetest.SiteSettings) *site {
	t.Helper()
	srv := confluencetest.New(confluencetest.Settings{Seed: 7})
	sim := srv.AddSite(settings)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	s := &site{t: t, srv: srv, sim: sim}
	s.grant(confluencetest.AllScopes())
	wire := httpx.NewTransport()
	t.Cleanup(wire.CloseIdleConnections)
	s.options = httpx.Options{
		Base: srv.APIURL() + "/ex/confluence/" + sim.CloudID(), Tenant: "acme", Transport: wire,
		AttemptTimeout: 20 * time.Second, MaxTries: 3,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	return s
}

// grant consents anew, with the given scopes.
func (s *site) grant(scopes []string) {
	s.t.Helper()
	app := s.srv.AddApp(confluencetest.App{RedirectURIs: []string{"http://127.0.0.1/callback"}, Scopes: confluencetest.AllScopes()})
	tokens, _, err := s.srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: []string{s.sim.Name()}, Scopes: scopes})
	if err != nil {
		s.t.Fatal(err)
	}
	s.token = tokens.AccessToken
}

func (s *site) source(change ...func(*confluence.Settings)) *confluence.Source {
	s.t.Helper()
	s.options.Auth = httpx.Bearer(s.token)
	client, err := httpx.New(s.options)
	if err != nil {
		s.t.Fatal(err)
	}
	settings := confluence.Settings{
		Tenant: "acme", Site: s.sim.CloudID(),
		Ways: []confluence.Way{{Kind: schemas.Credential3LO, Client: client, Principal: s.srv.Collector().AccountID, Scopes: confluencetest.AllScopes()}},
	}
	for _, c := range change {
		c(&settings)
	}
	return confluence.New(settings)
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
		out.rows = append(out.rows, rowsOf(t, p.Rows)...)
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

// readAll does what a run does: parents before children, all partitions.
func readAll(t testing.TB, s *confluence.Source) snapshot {
	all := snapshot{}
	for _, table := range datasets.All() {
		all[table.Name] = map[string]reading{}
		if err := s.Reach(table); err != nil {
			all[table.Name][schemas.Whole] = reading{err: err}
			continue
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

func contains(rows []row, want row) bool {
	return slices.ContainsFunc(rows, func(r row) bool { return maps.Equal(r, want) })
}
