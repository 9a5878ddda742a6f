package collector_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// The tests share an engine, a state database and a connection, and keep apart
// by their tenants.
var shared struct {
	once      sync.Once
	err       error
	store     *state.Store
	warehouse *clickhouse.Warehouse
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sitedrift-collector-")
	if err != nil {
		panic(err)
	}
	stateDir = dir
	code := m.Run()
	if shared.store != nil {
		err = shared.store.Close()
	}
	if shared.warehouse != nil {
		err = errors.Join(err, shared.warehouse.Close())
	}
	if err = errors.Join(err, enginetest.Close(), os.RemoveAll(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

var stateDir string

// open opens what the tests share.
func open(t *testing.T) (*state.Store, *clickhouse.Warehouse) {
	t.Helper()
	options := enginetest.Shared(t).Options()
	shared.once.Do(func() {
		ctx := context.Background()
		if shared.store, shared.err = state.OpenSQLite(ctx, stateDir); shared.err != nil {
			return
		}
		shared.warehouse, shared.err = clickhouse.Open(ctx, clickhouse.Settings{Options: options, Datasets: datasets.All(), Installation: installation, Log: zap.NewNop()})
		if shared.err == nil {
			_, shared.err = shared.warehouse.Migrate(ctx)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.store, shared.warehouse
}

var installation = uuid.MustParse("5eed0000-0000-4000-8000-000000000001")

// nextTenant numbers the tenants, so that no two tests, and no two rounds of
// one, see each other's rows.
var nextTenant atomic.Int64

// clock is moved by the test.
type clock struct{ ms atomic.Int64 }

func (c *clock) now() time.Time          { return time.UnixMilli(c.ms.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ms.Add(d.Milliseconds()) }

// world is a tenant, and all that a run needs, for real: the engine, the state
// database, and a site behind HTTP.
type world struct {
	t         *testing.T
	clock     *clock
	store     *state.Store
	warehouse *clickhouse.Warehouse
	runner    *collector.Runner
	tenant    collector.Tenant
	server    *sim.Server
	site      *sim.Site
	principal string
	scopes    []string
	attempt   time.Duration // limit of one request
}

func newWorld(t *testing.T, settings sim.SiteSettings) *world {
	t.Helper()
	w := newBareWorld(t, datasets.All())
	w.expect()
	settings.Name = w.tenant.ID
	w.server = sim.New(sim.Settings{Seed: 3, Now: w.clock.now, AccessTokenTTL: 1e6 * time.Hour})
	w.site = w.server.AddSite(settings)
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	w.scopes, w.principal, w.attempt = sim.AllScopes(), w.server.Collector().AccountID, 20*time.Second
	app := w.server.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1/callback"}, Scopes: w.scopes})
	tokens, _, err := w.server.Connect(sim.ConsentRequest{ClientID: app.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	transport := httpx.NewTransport(netip.MustParsePrefix("127.0.0.0/8"))
	t.Cleanup(transport.CloseIdleConnections)
	w.runner.Open = func(_ context.Context, tenant collector.Tenant, scope []*schemas.Dataset) (collector.Source, error) {
		client, err := httpx.New(httpx.Options{
			Base: w.server.APIURL() + "/ex/confluence/" + w.site.CloudID(), Auth: httpx.Bearer(tokens.AccessToken), Tenant: tenant.ID, Transport: transport,
			AttemptTimeout: w.attempt, MaxTries: 2, Now: w.clock.now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		})
		if err != nil {
			return nil, err
		}
		return confluence.New(confluence.Settings{
			Tenant: tenant.ID, Site: w.site.CloudID(), Tables: scope,
			Ways: []confluence.Way{{Kind: schemas.Credential3LO, Client: client, Principal: w.principal, Scopes: w.scopes}},
		}), nil
	}
	return w
}

// newBareWorld has no site; the test sets runner.Open.
func newBareWorld(t *testing.T, tables []*schemas.Dataset) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, tenant: collector.Tenant{ID: fmt.Sprintf("t%d", nextTenant.Add(1)), Name: "Test"}}
	w.clock.ms.Store(time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC).UnixMilli())
	w.tenant.CreatedAt = w.clock.now()
	w.store, w.warehouse = open(t)
	if err := w.store.PutTenant(t.Context(), w.tenant); err != nil {
		t.Fatal(err)
	}
	w.runner = &collector.Runner{
		Tables: tables, Ledger: w.store, Warehouse: w.warehouse,
		Record: func(ctx context.Context, r schemas.Run) error { return w.warehouse.Runs(ctx, []schemas.Run{r}) },
		Brake:  func(string) collector.Brake { return collector.DefaultBrake },
		Bounds: func(string) collector.Bounds {
			return collector.Bounds{PartitionRows: 1e6, RunBytes: 1e9, SpoolBytes: 1e9}
		},
		Concurrency: 3, Timeout: time.Hour, RangeKeys: 200, SpoolDir: t.TempDir(), SpoolMemory: 1 << 20, Glances: &collector.Glances{}, Suspects: &collector.Suspects{},
		Now: w.clock.now, Log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	}
	return w
}

// expect tells the warehouse what the tenant is meant to deliver.
func (w *world) expect() {
	w.t.Helper()
	var expected []schemas.Expected
	for _, d := range datasets.All() {
		expected = append(expected, schemas.Expected{Tenant: w.tenant.ID, Dataset: d.Name, Group: d.Group, Cadence: time.Hour})
	}
	if err := w.warehouse.Expect(w.t.Context(), w.clock.now(), expected); err != nil {
		w.t.Fatal(err)
	}
}

// run runs a group an hour after the run before.
func (w *world) run(group string, names ...string) schemas.Run {
	w.t.Helper()
	w.clock.advance(time.Hour)
	row, err := w.tryRun(group, names...)
	if err != nil {
		w.t.Fatalf("run of %s: %v", group, err)
	}
	return row
}

func (w *world) tryRun(group string, names ...string) (schemas.Run, error) {
	return w.runner.Run(w.t.Context(), collector.Request{Tenant: w.tenant, Group: group, Datasets: names, Trigger: collector.TriggerManual, Owner: uuid.NewString()})
}

// ask returns rows of a statement as texts; T stands for the tenant's id in it.
func (w *world) ask(sql string) [][]string {
	w.t.Helper()
	res, err := w.warehouse.Query(w.t.Context(), strings.ReplaceAll(sql, "$T", "'"+w.tenant.ID+"'"))
	if err != nil {
		w.t.Fatalf("%s: %v", sql, err)
	}
	defer res.Close()
	all := [][]string{}
	for row, err := range res.Rows() {
		if err != nil {
			w.t.Fatalf("%s: %v", sql, err)
		}
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = v.Text()
		}
		all = append(all, line)
	}
	return all
}

// want compares the answer of a statement with rows written as words.
func (w *world) want(sql string, rows ...string) {
	w.t.Helper()
	got := []string{}
	for _, r := range w.ask(sql) {
		got = append(got, strings.Join(r, " "))
	}
	if d := gocmp.Diff(append([]string{}, rows...), got); d != "" {
		w.t.Errorf("%s (-want +got):\n%s", sql, d)
	}
}

// stored counts the rows of every table of this tenant, visible or not.
func (w *world) stored() map[string]string {
	w.t.Helper()
	counts := map[string]string{}
	names := []string{"changes_log", "coverage_log", "runs_log", "heads"}
	for _, d := range datasets.All() {
		names = append(names, d.Name+"_versions")
	}
	for _, n := range names {
		counts[n] = w.ask("SELECT count() FROM sitedrift." + n + " WHERE tenant_id = $T")[0][0]
	}
	return counts
}

// equalsTruth compares the views with what the simulator says that the
// collecting person can see.
func (w *world) equalsTruth(groups ...string) {
	w.t.Helper()
	truth := w.site.Truth()
	want := map[string][]string{}
	add := func(dataset string, cells ...string) {
		want[dataset] = append(want[dataset], fmt.Sprintf("%q", cells))
	}
	for _, s := range truth.Spaces {
		add("spaces", s.ID, s.Key, s.Name, s.Status)
		for _, p := range truth.Permissions[s.ID] {
			add("space_permissions", s.ID, p.ID, p.PrincipalType, p.PrincipalID, p.Operation, p.Target)
		}
	}
	for _, g := range truth.Groups {
		add("groups", g.ID, g.Name)
		for _, m := range truth.Members[g.ID] {
			add("group_members", g.ID, m)
		}
	}
	for _, u := range truth.Users {
		add("users", u.AccountID, u.AccountType, u.AccountStatus, cmp.Or(u.Email, "NULL"))
		if u.Guest() {
			add("external_collaborators", u.AccountID)
		}
	}
	sql := map[string]string{
		"spaces":                 "space_id, space_key, name, status",
		"space_permissions":      "space_id, permission_id, principal_type, principal_id, operation, target_type",
		"groups":                 "group_id, name",
		"group_members":          "group_id, account_id",
		"users":                  "account_id, account_type, account_status, email",
		"external_collaborators": "account_id",
	}
	for _, d := range datasets.All() {
		columns, ok := sql[d.Name]
		if !ok || !slices.Contains(groups, d.Group) {
			continue
		}
		var got []string
		for _, r := range w.ask("SELECT " + columns + " FROM sitedrift." + d.Name + " WHERE tenant_id = $T") {
			got = append(got, fmt.Sprintf("%q", r))
		}
		slices.Sort(got)
		slices.Sort(want[d.Name])
		if diff := gocmp.Diff(want[d.Name], got); diff != "" {
			w.t.Errorf("%s differs from the site (-site +view):\n%s", d.Name, diff)
		}
	}
}
