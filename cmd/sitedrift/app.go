package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded"
	"github.com/sitedrift/sitedrift/sinks/jsonl"
)

// needs says which parts an operation uses, so that a command without a daemon
// opens no more.
type needs struct {
	warehouse  bool
	unmigrated bool // the warehouse as it is found
	tokens     bool
}

// outside is what the parts take from the world; the demo and the crash tests
// give their own.
type outside struct {
	now    func() time.Time
	sleep  func(ctx context.Context, d time.Duration) error // nil: a timer
	trace  func(point string)
	vault  *vault.Vault  // nil: from the key file
	gather time.Duration // for how long rows of quiet runs are gathered; somebody may be waiting for one of the runs
	engine []string      // runs the engine's child; nil: this executable
}

func realWorld() outside {
	return outside{now: time.Now, trace: failpoints(), gather: 200 * time.Millisecond}
}

// app is the parts of sitedrift, joined.
type app struct {
	cfg   *config.Config
	out   outside
	log   *zap.Logger
	owner string

	store     *state.Store
	vault     *vault.Vault
	provider  oauth.Provider
	tokens    *oauth.Tokens
	engine    *embedded.Engine
	warehouse *clickhouse.Warehouse
	sinks     []collector.Sink // beside the warehouse
	recorder  *collector.Recorder
	runner    *collector.Runner
	scheduler *collector.Scheduler
	heartbeat *collector.Heartbeat // nil: no other replicas
	buried    chan struct{}        // told of dead replicas
	metrics   *metrics

	transport *http.Transport // to endpoints, and to sites of tenants without networks of their own
	budget    *httpx.Budget   // nil: no budget is kept
	mu        sync.Mutex
	limiters  map[string]*rate.Limiter
	reaches   map[string]*http.Transport // by tenant

	// rewriting is held by a backup, and by what takes rows out that heads count:
	// neither meets half of the other. Who holds a group's lease may wait for it; who
	// holds it waits for no lease.
	rewriting sync.Mutex
	erasing   sync.Mutex // held by the erasure of a tenant

	closers []func(context.Context) error
}

// tables are the declared datasets.
func tables() []*schemas.Dataset { return datasets.All() }

// open joins the parts that are needed. Whatever it opened is closed again when
// it fails.
func open(ctx context.Context, cfg *config.Config, out outside, log *zap.Logger, n needs) (a *app, err error) {
	a = &app{
		cfg: cfg, out: out, log: log, owner: ownerName(), metrics: newMetrics(), buried: make(chan struct{}, 1),
		transport: httpx.NewTransport(cfg.Network.Allow...), limiters: map[string]*rate.Limiter{}, reaches: map[string]*http.Transport{},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.close(context.WithoutCancel(ctx)))
			a = nil
		}
	}()
	if err := schemas.Check(tables()); err != nil {
		return a, err
	}
	if err := a.openState(ctx); err != nil {
		return a, err
	}
	if n.tokens {
		if err := a.joinReplicas(ctx); err != nil {
			return a, err
		}
		if err := a.openTokens(ctx); err != nil {
			return a, err
		}
	}
	if n.warehouse {
		if err := a.openWarehouse(ctx, n.unmigrated); err != nil {
			return a, err
		}
	}
	if n.warehouse && n.tokens {
		if err := a.adopt(ctx); err != nil {
			return a, err
		}
		a.join()
	}
	return a, nil
}

// ownerName names this process in leases.
func ownerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "host"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), uuid.NewString()[:8])
}

func (a *app) onClose(f func(context.Context) error) { a.closers = append(a.closers, f) }

// close closes the parts in the opposite order of their opening.
func (a *app) close(ctx context.Context) error {
	var errs []error
	for _, f := range slices.Backward(a.closers) {
		errs = append(errs, f(ctx))
	}
	a.closers = nil
	return errors.Join(errs...)
}

func (a *app) openState(ctx context.Context) (err error) {
	if err := os.MkdirAll(a.cfg.DataDir, 0o700); err != nil {
		if wrong := (*fs.PathError)(nil); errors.As(err, &wrong) {
			err = wrong.Err
		}
		return fmt.Errorf("cannot make the data directory %s (data_dir): %w", a.cfg.DataDir, err)
	}
	switch a.cfg.State.Driver {
	case config.DriverPostgres:
		if _, rerr := a.cfg.State.DSN.Resolve(); rerr != nil {
			return &exitError{exitUsage, fmt.Errorf("state: %w", rerr)}
		}
		a.store, err = state.OpenPostgresAt(ctx, a.cfg.State.DSN.Resolve)
	default:
		a.store, err = state.OpenSQLite(ctx, a.cfg.DataDir)
	}
	if err != nil {
		return err
	}
	a.onClose(func(context.Context) error { return a.store.Close() })
	if a.cfg.State.Driver == config.DriverSQLite {
		// The lock on the directory proves that nobody else is alive: what an
		// earlier process had leased is free.
		if _, err := a.store.RecoverLeases(ctx, ""); err != nil {
			return err
		}
	}
	return a.storeTenants(ctx)
}

func (a *app) openTokens(ctx context.Context) (err error) {
	if a.vault, err = a.openVault(ctx); err != nil {
		return err
	}
	if err := a.proveKey(ctx); err != nil {
		return err
	}
	a.vault.Trust(a.trustKeyFile)
	var secret vault.Secret
	if !a.cfg.OAuth.ClientSecret.IsZero() {
		text, err := a.cfg.OAuth.ClientSecret.Resolve()
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("oauth.client_secret: %w", err)}
		}
		secret = vault.NewSecret(text)
	}
	a.provider = oauth.AtlassianCloud(a.cfg.Endpoints.Auth, a.cfg.Endpoints.API, a.cfg.OAuth.ClientID, secret, a.cfg.OAuth.RedirectURL)
	a.tokens = oauth.NewTokens(oauth.Options{
		Provider: a.provider, Store: a.store, Vault: a.vault, Owner: a.owner, Transport: a.transport,
		Log: a.log.Named("oauth"), Now: a.out.now, Sleep: a.out.sleep, Trace: a.out.trace,
		ProviderFor: a.providerFor, Again: connectCommand,
	})
	a.onClose(a.tokens.Close)
	if points := a.cfg.Limits.PointsPerHour; points > 0 {
		a.budget = httpx.NewBudget(httpx.BudgetOptions{PointsPerHour: points, Replicas: a.heartbeat.Peers, Now: a.out.now, Sleep: a.out.sleep, Waiting: func(tenant string, until time.Time) {
			a.log.Warn("the app's points of this hour are used up: waiting (limits.points_per_hour)", zap.String("tenant", tenant), zap.Time("until", until))
		}})
	}
	return nil
}

// providerFor is the authorization server of a tenant's own site, which Data
// Center has.
func (a *app) providerFor(ctx context.Context, c collector.Credential) (oauth.Provider, error) {
	t, err := a.store.Tenant(ctx, c.Tenant)
	provider := oauth.DataCenter(t.SiteURL, c.ClientID, vault.Secret{}, "")
	provider.Transport = a.reach(c.Tenant)
	return provider, err
}

// openVault opens the key file; the first use makes one.
func (a *app) openVault(ctx context.Context) (*vault.Vault, error) {
	if a.out.vault != nil {
		return a.out.vault, nil
	}
	v, err := vault.Open(a.cfg.Vault.KeyFile)
	if !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	use, err := a.keyInUse(ctx)
	if err != nil {
		return nil, err
	}
	if use != "" {
		return nil, fmt.Errorf("the key file %s (vault.key_file) is missing, and %s: put it back from its backup; if it is lost for good, delete what is encrypted (%s) and connect each tenant again", a.cfg.Vault.KeyFile, use, a.credentialsPlace())
	}
	if err := os.MkdirAll(filepath.Dir(a.cfg.Vault.KeyFile), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the key file (vault.key_file): %w", err)
	}
	a.log.Info("made a new key for credentials: back it up, apart from the data directory", zap.String("key_file", a.cfg.Vault.KeyFile))
	return vault.Create(a.cfg.Vault.KeyFile)
}

// credentialsPlace says where credentials are stored.
func (a *app) credentialsPlace() string {
	if a.cfg.State.Driver == config.DriverPostgres {
		return "the rows of the tables credentials and vault_key of the state database"
	}
	return filepath.Join(a.cfg.DataDir, "vault.db")
}

func (a *app) openWarehouse(ctx context.Context, unmigrated bool) error {
	options, err := a.warehouseOptions(ctx)
	if err != nil {
		return err
	}
	installation, err := a.store.Installation(ctx)
	if err != nil {
		return err
	}
	var renew func(error)
	var free func() (uint64, error)
	if a.engine != nil {
		renew, free = a.engine.Renew, a.engine.Free
	}
	a.warehouse, err = clickhouse.Open(ctx, clickhouse.Settings{
		Options: options, Embedded: a.engine != nil, Renew: renew, Free: free, Cluster: a.cfg.Warehouse.Cluster, Datasets: tables(), Installation: installation, Log: a.log.Named("warehouse"), Now: a.out.now, Trace: a.out.trace,
	})
	if err != nil {
		return err
	}
	a.onClose(func(context.Context) error { return a.warehouse.Close() })
	if unmigrated {
		return nil
	}
	if _, err := a.warehouse.Migrate(ctx); err != nil {
		return err
	}
	if a.cfg.Sinks.JSONL.Dir != "" {
		sink, err := jsonl.Open(a.cfg.Sinks.JSONL.Dir)
		if err != nil {
			return err
		}
		a.sinks = append(a.sinks, sink)
	}
	return a.expect(ctx)
}

func (a *app) warehouseOptions(ctx context.Context) (*ch.Options, error) {
	w := a.cfg.Warehouse
	if w.Mode == config.ModeClickHouse {
		dsn, err := w.DSN.Resolve()
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("warehouse.dsn: %w", err)}
		}
		options, err := parseWarehouse(dsn)
		if err != nil {
			return nil, &exitError{exitUsage, errors.New("warehouse.dsn: not an address that the driver understands; write http://user:password@host:8123/ (the value is not shown: it may hold a password)")}
		}
		options.TransportFunc = func(t *http.Transport) (http.RoundTripper, error) { return freshPassword{t, w.DSN.Resolve}, nil }
		return options, nil
	}
	readers, err := resolveReaders(w.Readers)
	if err != nil {
		return nil, err
	}
	engine, err := embedded.Start(ctx, embedded.Settings{
		Dir: a.cfg.DataDir, Command: a.out.engine, Library: w.Library, MaxMemoryBytes: int64(w.MaxMemory),
		ListenHTTP: w.Listen, ListenReadOnly: w.ListenReadOnly, Readers: readers, Views: clickhouse.Views(tables()), Log: a.log.Named("engine"),
	})
	if err != nil {
		return nil, err
	}
	a.engine = engine
	a.onClose(engine.Close)
	return engine.Options(), nil
}

// join makes the runner and the scheduler of the opened parts.
func (a *app) join() {
	a.recorder = collector.NewRecorder(a.out.gather, a.allSinks()...)
	recording, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.recorder.Serve(recording) }()
	a.onClose(func(context.Context) error { stop(); <-done; return nil })
	l := a.cfg.Limits
	a.runner = &collector.Runner{
		Tables: tables(), Ledger: a.store, Warehouse: a.warehouse, Sinks: a.sinks, Open: a.source, Record: a.recorder.Record,
		Brake: a.brake, Bounds: a.bounds, Concurrency: l.TenantConcurrency, Timeout: l.RunTimeout, RangeKeys: 50_000, Glances: &collector.Glances{}, Suspects: &collector.Suspects{},
		SpoolDir: a.cfg.DataDir, SpoolMemory: 32 << 20, Now: a.out.now, Log: a.log.Named("run"), Trace: a.out.trace, Observe: a.metrics.observe,
	}
	a.scheduler = &collector.Scheduler{
		Work: a.store, Tenant: a.store.Tenant, Run: a.run, Dormant: a.dormant, Heartbeat: a.heartbeat, Usable: a.warehouse.Usable,
		Owner: a.owner, Workers: l.Concurrency, Lease: time.Minute, Jitter: a.cfg.Jitter, Grace: stopGrace, Now: a.out.now, Log: a.log.Named("schedule"),
	}
}

// dormant reports whether all that a tenant has is a grant that is proven dead.
func (a *app) dormant(ctx context.Context, tenant string) bool {
	stored, err := a.store.TenantCredentials(ctx, tenant)
	return err == nil && len(stored) > 0 && !slices.ContainsFunc(stored, func(c collector.Credential) bool { return c.State != collector.CredentialNeedsReconsent })
}

// limiter is the tenant's, shared by all its runs.
func (a *app) limiter(tenant string) *rate.Limiter {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.limiters[tenant]
	if l == nil {
		perSecond := a.limits(tenant).RequestsPerSecond
		l = rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond)))
		a.limiters[tenant] = l
	}
	return l
}

// reach is the transport of a tenant's requests. A tenant with networks of its own
// has a transport of its own: no other tenant's request finds a connection there
// that it could not have made (Invariant 7).
func (a *app) reach(tenant string) *http.Transport {
	t, ok := a.cfg.Tenant(tenant)
	if !ok || len(t.Network.Allow) == 0 {
		return a.transport
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.reaches[tenant] == nil {
		a.reaches[tenant] = httpx.NewTransport(slices.Concat(a.cfg.Network.Allow, t.Network.Allow)...)
	}
	return a.reaches[tenant]
}

// limits are those of a tenant.
func (a *app) limits(tenant string) config.Limits {
	if t, ok := a.cfg.Tenant(tenant); ok {
		return a.cfg.LimitsFor(t)
	}
	return a.cfg.Limits
}

func (a *app) brake(tenant string) collector.Brake {
	l := a.limits(tenant)
	return collector.Brake{Share: l.RemovalShare, Rows: l.RemovalRows, Wait: collector.DefaultBrake.Wait}
}

func (a *app) bounds(tenant string) collector.Bounds {
	l := a.limits(tenant)
	return collector.Bounds{PartitionRows: int64(l.PartitionRows), RunBytes: int64(l.RunBytes), SpoolBytes: int64(l.SpoolBytes)}
}
