package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/schemas"
)

// Settings says where the warehouse is and what it holds.
type Settings struct {
	// Options are those of the driver; the protocol must be HTTP, because rows
	// travel as raw Native streams. They are not changed. Auth.Database does
	// not matter: every name is written with its database.
	Options *ch.Options
	// Embedded says that the server is this program's own engine, so that errors
	// do not send people to a server that they do not have.
	Embedded bool
	// Renew, if set, starts a server again that cannot read what it stored. It returns
	// at once, and may be called often.
	Renew func(why error)
	// Free, if set, tells how many bytes are free on the server's disk. Otherwise the
	// server is asked, which costs a statement for each insert.
	Free func() (uint64, error)
	// Cluster, when set, makes Replicated tables ON CLUSTER with that name, and
	// asks for a quorum on inserts and sequential consistency on reads. It has
	// one shard: every replica holds all rows.
	Cluster  string
	Datasets []*schemas.Dataset
	// Installation identifies the state database that decides what is
	// visible. Two of them on one warehouse would undo each other's heads.
	Installation uuid.UUID
	Log          *zap.Logger
	Now          func() time.Time
	// Trace, if set, is called at the named points of Stage and Show. Tests
	// stop or kill the process there.
	Trace func(point string)
}

// Warehouse is a ClickHouse database as the place where runs are stored and
// compared with. It is safe for concurrent use.
type Warehouse struct {
	conn     driver.Conn // its session is in no database that may be missing; its errors are watched for troubles
	people   driver.Conn // for Query: unqualified names are those of the contract
	layout   layout
	datasets []*schemas.Dataset
	versions map[string]int // of each dataset's declaration
	install  uuid.UUID
	log      *zap.Logger
	now      func() time.Time
	trace    func(string)
	at       string // what and where the server is, for people
	embedded bool
	renew    func(error)
	free     func() (uint64, error)
	health   health
	parts    partCheck
	least    uint64 // leastRoom; a test has another one
}

// Oldest version of ClickHouse with which a statement over several views sees
// one state of the shared tables by default (ClickHouse changelog, 25.12,
// enable_shared_storage_snapshot_in_query).
const oldestMajor, oldestMinor = 25, 12

// Open connects and checks that the server can keep the warehouse's promises.
// It changes nothing; see Migrate. ErrUnavailable when the server does not answer,
// refuses, or is too old: it may be mended while the caller waits.
func Open(ctx context.Context, s Settings) (*Warehouse, error) {
	if s.Options == nil {
		return nil, errors.New("clickhouse: no connection options given")
	}
	if s.Options.Protocol != ch.HTTP {
		return nil, errors.New("clickhouse: the warehouse speaks ClickHouse's HTTP interface: give an http:// or https:// address (port 8123 or 8443), not the native one")
	}
	if err := schemas.Check(s.Datasets); err != nil {
		return nil, err
	}
	w := &Warehouse{
		layout: layout{database: Database, cluster: s.Cluster}, datasets: s.Datasets, versions: map[string]int{},
		install: s.Installation, log: s.Log, now: s.Now, trace: s.Trace,
		at: "the warehouse at " + strings.Join(s.Options.Addr, ", "), embedded: s.Embedded, renew: s.Renew, free: s.Free, least: leastRoom,
	}
	if w.embedded {
		w.at = "the embedded engine"
	}
	if w.log == nil {
		w.log = zap.NewNop()
	}
	if w.now == nil {
		w.now = time.Now
	}
	if w.trace == nil {
		w.trace = func(string) {}
	}
	for _, d := range s.Datasets {
		w.versions[d.Name] = d.Version
	}
	own := *s.Options
	own.Auth.Database = "default"
	withPlainDial(&own)
	people := *s.Options
	people.Auth.Database = w.layout.database
	withPlainDial(&people)
	if s.Cluster != "" {
		own.Settings, people.Settings = clusterSettings(own.Settings), clusterSettings(people.Settings)
	}
	conn, err := ch.Open(&own)
	if err != nil {
		return nil, fmt.Errorf("clickhouse: connection options: %w", err)
	}
	w.conn = watched{conn, w.trouble}
	if w.people, err = ch.Open(&people); err != nil {
		return nil, errors.Join(fmt.Errorf("clickhouse: connection options: %w", err), w.conn.Close())
	}
	if err := w.checkServer(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Close closes the connections. Streams that are still open end with an error.
func (w *Warehouse) Close() error { return errors.Join(w.conn.Close(), w.people.Close()) }

func (w *Warehouse) checkServer(ctx context.Context) error {
	var version, shared string
	row := w.conn.QueryRow(ctx, "SELECT version(), toString(getSetting('enable_shared_storage_snapshot_in_query'))")
	if err := row.Scan(&version, &shared); err != nil {
		var e *ch.Exception
		if errors.As(err, &e) && e.Code == codeUnknownSetting {
			return unfitError{fmt.Errorf("clickhouse: %s is too old: it does not know the setting enable_shared_storage_snapshot_in_query; version %d.%d or newer is needed: upgrade the server, or use the embedded engine", w.at, oldestMajor, oldestMinor)}
		}
		if errors.Is(err, ErrUnavailable) { // says all
			return err
		}
		return fmt.Errorf("clickhouse: ask the server for its version: %w", err)
	}
	if err := checkVersion(version, shared); err != nil {
		return unfitError{err}
	}
	return nil
}

func checkVersion(version, shared string) error {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return fmt.Errorf("clickhouse: the server says its version is %q, which is not one", version)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil {
		return fmt.Errorf("clickhouse: the server says its version is %q, which is not one", version)
	}
	if major < oldestMajor || major == oldestMajor && minor < oldestMinor {
		return fmt.Errorf("clickhouse: the server has version %s, but %d.%d or newer is needed: with older ones a statement over several views could see half a run; upgrade the server, or use the embedded engine", version, oldestMajor, oldestMinor)
	}
	// Invariant 2 rests on this setting.
	if shared != "1" && shared != "true" {
		return errors.New("clickhouse: the server has enable_shared_storage_snapshot_in_query switched off, with which a statement over several views can see half a run: set it to 1 in the profile of every user that reads, and take off a `compatibility` setting below 25.12")
	}
	return nil
}

// Codes of ClickHouse's exceptions (its source, ErrorCodes.cpp).
const (
	codeUnknownTable    = 60
	codeUnknownDatabase = 81
	codeUnknownSetting  = 115
	codeNoSuchPart      = 232
	codeCorrupted       = 246
	codeAccessDenied    = 497
	// Another insert into the table waits for its quorum, or the last one did not get it.
	codeUnsatisfiedQuorum = 286
)
