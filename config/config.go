package config

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Config is what the operator wrote, filled up with defaults and checked.
// It is not changed after loading, so it may be read concurrently.
type Config struct {
	File    string // the file it came from, absolute; empty when there was none
	DataDir string // absolute

	State     State
	Warehouse Warehouse
	Vault     Vault
	OAuth     OAuth
	Endpoints Endpoints
	Network   Network
	Tenants   []Tenant
	Schedules map[string]string // cron expression or Off, by group; every group has one
	Jitter    time.Duration     // starts are spread over this much after their tick
	Limits    Limits
	Retention Retention
	Server    Server
	Log       Log
	Sinks     Sinks
}

// Off is the value that turns a schedule or a listener off.
const Off = "off"

// Groups are the dataset groups that can be scheduled.
func Groups() []string { return slices.Clone(schemas.Groups) }

// Drivers of the state database.
const (
	DriverSQLite   = "sqlite"
	DriverPostgres = "postgres"
)

// State says where tenants, work, heads and credentials are kept.
type State struct {
	Driver string // DriverSQLite or DriverPostgres
	DSN    Ref    // address of PostgreSQL; zero for SQLite
}

// Modes of the warehouse.
const (
	ModeEmbedded   = "embedded"
	ModeClickHouse = "clickhouse"
)

// Warehouse says where rows, changes and runs are stored.
type Warehouse struct {
	Mode           string // ModeEmbedded or ModeClickHouse
	DSN            Ref    // address of the server; zero when embedded
	Cluster        string // of ClickHouse, whose every replica holds the tables; empty: one server
	Listen         string // loopback host:port where the embedded engine answers SQL; empty: nowhere
	ListenReadOnly bool   // that port refuses statements that write
	Readers        []Reader
	MaxMemory      Bytes  // limit of the embedded engine
	Library        string // path of libchdb; empty: the cache of "sitedrift engine install"
}

// AllTenants is the tenant of a reader who sees every tenant.
const AllTenants = "*"

// Reader may ask the contract's views on the embedded engine's port, and sees
// one tenant's rows there (Invariant 7).
type Reader struct {
	Name   string
	Tenant string // an id, or AllTenants
	Token  Ref
}

// Vault says where the key lies that credentials are encrypted with.
type Vault struct {
	KeyFile string // absolute
}

// OAuth is the 3LO app that "sitedrift connect" asks consent for.
type OAuth struct {
	ClientID     string // empty: no app configured
	ClientSecret Ref
	RedirectURL  string // loopback address that receives the consent, or a public https address
}

// Endpoints are the base addresses of Atlassian's shared services, without a
// trailing slash.
type Endpoints struct {
	Auth string
	API  string
}

// Network says what may be connected to beside the public internet, for the sake
// of endpoints and sites; databases are not asked after.
type Network struct {
	Allow []netip.Prefix
}

// Tenant is one customer with one Confluence site.
type Tenant struct {
	ID   string
	Name string // equals ID when the file has none
	Site string // base address without a trailing slash
	// Deployment is schemas.Cloud or schemas.DataCenter.
	Deployment string
	CloudID    string // lower-case UUID, or empty
	Paused     bool
	Schedules  map[string]string // as Config.Schedules; only the groups that differ
	Limits     TenantLimits
	Network    Network // beside the general one
}

// TenantLimits are the limits that a tenant may override.
type TenantLimits struct {
	RequestsPerSecond float64
	RemovalShare      float64
	RemovalRows       int
	PartitionRows     int
	RunBytes          Bytes
	SpoolBytes        Bytes
}

// Limits bound what runs may use and what they may publish unasked.
type Limits struct {
	Concurrency       int     // runs at once in this process
	TenantConcurrency int     // requests at once to one site
	RequestsPerSecond float64 // to one site
	PointsPerHour     int     // of the app's shared hourly quota at Atlassian; 0: no budget is kept
	RemovalShare      float64 // Invariant 8: more than this share of a dataset ...
	RemovalRows       int     // ... and at least this many rows are held back
	RunTimeout        time.Duration
	PartitionRows     int   // rows of one partition of a dataset
	RunBytes          Bytes // answers that a run reads
	SpoolBytes        Bytes // changes that a run keeps in the data directory until they are published
}

// Retention says for how many days history is kept; 0 keeps it for ever.
type Retention struct {
	HistoryDays int // versions and coverage that were replaced
	ChangesDays int
	RunsDays    int
	AuditDays   int
}

// MinRetentionDays is the shortest time that anything is kept: runs and audit
// records are looked at again within it.
const MinRetentionDays = 31

// Server says where the daemon listens for its operators.
type Server struct {
	Metrics       string // host:port of /metrics and health checks, or Off
	ControlSocket string // absolute path of the socket that the command line talks to
}

// Log says how the daemon logs.
type Log struct {
	Level  string // debug, info, warn, error
	Format string // json, console
}

// Sinks are written besides the warehouse.
type Sinks struct {
	JSONL JSONL
}

// JSONL writes changes as lines of JSON.
type JSONL struct {
	Dir string // absolute; empty: the sink is off
}

// Default is the configuration of an empty file, before paths are derived from
// the environment. Each call returns a fresh value.
func Default() *Config {
	return &Config{
		State: State{Driver: DriverSQLite},
		Warehouse: Warehouse{
			Mode:           ModeEmbedded,
			ListenReadOnly: true,
			MaxMemory:      2 * GiB,
		},
		OAuth: OAuth{RedirectURL: "http://127.0.0.1:8917/callback"},
		Endpoints: Endpoints{
			Auth: "https://auth.atlassian.com",
			API:  "https://api.atlassian.com",
		},
		Schedules: map[string]string{
			// Off the full hour, where everybody else starts too (Invariant 11).
			schemas.GroupPosture:   "23 * * * *",
			schemas.GroupInventory: "41 */6 * * *",
			schemas.GroupAudit:     "53 * * * *",
		},
		Jitter: 5 * time.Minute,
		Limits: Limits{
			Concurrency:       4,
			TenantConcurrency: 4,
			RequestsPerSecond: 10,
			PointsPerHour:     65000,
			RemovalShare:      0.3,
			RemovalRows:       20,
			RunTimeout:        2 * time.Hour,
			PartitionRows:     2_000_000,
			RunBytes:          64 * GiB,
			SpoolBytes:        16 * GiB,
		},
		Server: Server{Metrics: "127.0.0.1:9464"},
		Log:    Log{Level: "info", Format: "json"},
	}
}

// Tenant returns the tenant with the given id.
func (c *Config) Tenant(id string) (Tenant, bool) {
	i := slices.IndexFunc(c.Tenants, func(t Tenant) bool { return t.ID == id })
	if i < 0 {
		return Tenant{}, false
	}
	return c.Tenants[i], true
}

// Schedule is the cron expression that a group of a tenant runs on; false when
// it is switched off.
func (c *Config) Schedule(t Tenant, group string) (string, bool) {
	expr, ok := t.Schedules[group]
	if !ok {
		expr, ok = c.Schedules[group]
	}
	if expr == Off {
		return "", false
	}
	return expr, ok
}

// LimitsFor are the limits of a tenant's runs: the general ones with the
// tenant's own in their place.
func (c *Config) LimitsFor(t Tenant) Limits {
	l := c.Limits
	if t.Limits.RequestsPerSecond > 0 {
		l.RequestsPerSecond = t.Limits.RequestsPerSecond
	}
	if t.Limits.RemovalShare > 0 {
		l.RemovalShare = t.Limits.RemovalShare
	}
	if t.Limits.RemovalRows > 0 {
		l.RemovalRows = t.Limits.RemovalRows
	}
	l.PartitionRows = cmp.Or(t.Limits.PartitionRows, l.PartitionRows)
	l.RunBytes = cmp.Or(t.Limits.RunBytes, l.RunBytes)
	l.SpoolBytes = cmp.Or(t.Limits.SpoolBytes, l.SpoolBytes)
	return l
}
