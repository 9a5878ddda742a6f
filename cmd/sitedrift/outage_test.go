//go:build linux && !noengine

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// ailment is what is wrong with the warehouse's server for a while.
type ailment struct {
	name     string
	settings string // sent along with each statement, so that the engine itself refuses
	answer   string // else: what a server answers
	cut      bool   // else: the connection ends without an answer
	table    string // only inserts into it, which are done when they are cut; empty: everything
	what     string // that the daemon says of it
}

// ailments are what befalls a server beside everything else that works.
var ailments = []ailment{
	{name: "read-only user", settings: "readonly=1", what: "lets this user only read"},
	{name: "out of memory", settings: "max_memory_usage=1&max_untracked_memory=1", what: "is out of memory"},
	{name: "full disk", settings: "min_free_disk_bytes_to_perform_insert=1000000000000000", what: "has no space left on its disk"},
	{
		name: "read-only table", table: "space_permissions_versions", what: "has a table that is read-only",
		answer: "Code: 242. DB::Exception: Table is in readonly mode: replica_path=/clickhouse/tables/0/replicas/a. (TABLE_IS_READ_ONLY) (version 25.12.1.649 (official build))",
	},
	{
		name: "missing grant", table: "changes_log", what: "refuses what a grant would allow",
		answer: "Code: 497. DB::Exception: sitedrift: Not enough privileges. To execute this query, it's necessary to have the grant INSERT(tenant_id) ON sitedrift.changes_log. (ACCESS_DENIED) (version 25.12.1.649 (official build))",
	},
	{name: "gone in the middle of a write", cut: true, table: "changes_log", what: "does not answer"},
	{name: "gone", cut: true, what: "does not answer"},
}

// sickServer stands before the engine and lets it be ill.
type sickServer struct {
	engine *httputil.ReverseProxy
	now    atomic.Pointer[ailment]
}

// newSickServer returns a server before the one at dsn, and its own dsn.
func newSickServer(t *testing.T, dsn string) (*sickServer, string) {
	t.Helper()
	at, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	s := &sickServer{engine: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: at.Host})}
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	at.Host = strings.TrimPrefix(front.URL, "http://")
	return s, at.String()
}

func (s *sickServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a := s.now.Load()
	if a == nil || a.table != "" && !insertsInto(r, a.table) {
		s.engine.ServeHTTP(w, r)
		return
	}
	switch {
	case a.settings != "":
		r.URL.RawQuery += "&" + a.settings
		s.engine.ServeHTTP(w, r)
	case a.answer != "":
		var code int
		_, _ = fmt.Sscanf(a.answer, "Code: %d.", &code)
		w.Header().Set("X-ClickHouse-Exception-Code", strconv.Itoa(code))
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, a.answer)
	default:
		if a.table != "" { // it is done, and nobody hears of it
			s.engine.ServeHTTP(httptest.NewRecorder(), r)
		}
		panic(http.ErrAbortHandler)
	}
}

// insertsInto reports whether the request is an INSERT into the table.
func insertsInto(r *http.Request, table string) bool {
	sql := r.URL.Query().Get("query")
	if sql == "" {
		body, _ := io.ReadAll(r.Body)
		r.Body, sql = io.NopCloser(bytes.NewReader(body)), string(body)
	}
	into, _, _ := strings.Cut(sql, "(")
	return strings.HasPrefix(sql, "INSERT") && strings.Contains(into, table)
}

// outage is a daemon whose databases fall ill.
type outage struct {
	*daemon
	t       *testing.T
	address string // of its probes
	seen    int    // of its log
}

// until waits for a condition.
func (o *outage) until(what string, met func() bool) {
	o.t.Helper()
	for deadline := time.Now().Add(patience); !met(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			o.t.Fatalf("no end of waiting until %s:\n%s", what, o.stacks())
		}
	}
}

// tells waits until the log says a text behind what it had said before.
func (o *outage) tells(text string) {
	o.t.Helper()
	o.until("the log says "+text, func() bool {
		at := strings.Index(o.log.String()[o.seen:], text)
		if at >= 0 {
			o.seen += at + len(text)
		}
		return at >= 0
	})
}

// probe is what /readyz answers.
func (o *outage) probe() string {
	resp, err := http.Get("http://" + o.address + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

// fails runs the posture group and wants its failure told.
func (o *outage) fails(want string) {
	o.t.Helper()
	raw, err := o.ask(o.t.Context(), "sync", syncParams{Tenant: o.world.tenant, Datasets: datasetsOf(schemas.GroupPosture)}, func(json.RawMessage) error { return nil })
	var runs []syncRun
	if err == nil {
		err = json.Unmarshal(raw, &runs)
	}
	if err != nil || len(runs) != 1 || !strings.Contains(runs[0].Error, want) {
		o.t.Fatalf("the run says %s, %v; want %q\n%s", raw, err, want, o.tail())
	}
}

// TestOutages runs the real program on databases that fall ill in each way that is
// known of them. Each time it says what is wrong and what to do, is not ready,
// begins no runs and tries again with growing pauses; when it is mended all goes on
// by itself. In the end the views show the truth, each run is told of once and
// nothing is there twice (Invariants 3 and 11). Then the state is restored from a
// backup, and all goes on as well.
func TestOutages(t *testing.T) {
	t.Parallel() // it waits for most of its time
	f := newFleet(t)
	dsn, err := os.ReadFile(filepath.Join(f.dir, "warehouse-dsn"))
	if err != nil {
		t.Fatal(err)
	}
	server, sick := newSickServer(t, string(dsn))
	f.write(t, "warehouse-dsn", sick)
	ports, err := freePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	w := f.replica(t, "daemon")
	w.faults = true
	address := "127.0.0.1:" + ports[0]
	w.write(t, "sitedrift.yml", strings.NewReplacer(
		"metrics: off", fmt.Sprintf("metrics: %q", address),
		filepath.Join(f.dir, "vault.key"), filepath.Join(w.dir, "vault.key"),
		`inventory: "@every 5m"`, `inventory: "@every 3s"`,
	).Replace(f.config))
	f.replica(t, "first").command(t, "tenants", "pause", f.tenant)

	// At the start: another installation's key, a server that is down, one that is too old.
	w.command(t, "vault", "create", filepath.Join(w.dir, "vault.key"))
	server.now.Store(&ailment{cut: true})
	calls := f.provider.TokenCalls()
	o := &outage{daemon: w.start(t, ""), t: t, address: address}
	o.tells("waiting for the right key file")
	o.tells("does not belong to this installation")
	o.until("it says that it is not ready", func() bool { return o.probe() == "503 waiting for the right key file\n" })
	key, err := os.ReadFile(filepath.Join(f.dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "vault.key", string(key))
	o.tells("waiting for the warehouse")
	o.tells("does not answer: start it")
	o.until("it says that it waits for the warehouse", func() bool { return o.probe() == "503 waiting for the warehouse\n" })
	server.now.Store(&ailment{answer: "Code: 115. DB::Exception: Unknown setting 'enable_shared_storage_snapshot_in_query'. (UNKNOWN_SETTING) (version 25.8.1.5101 (official build))"})
	o.tells("is too old")
	if n := f.provider.TokenCalls() - calls; n != 0 {
		t.Errorf("tokens were sent %d times by a daemon that could not start", n)
	}
	server.now.Store(nil)
	o.listens(t)
	o.sync(t, killGroups()...)
	state, err := os.ReadFile(filepath.Join(f.dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	backup := f.cluster.Dump(t, string(state))

	for i, a := range ailments {
		t.Log(a.name)
		if err := f.change(i + 1); err != nil {
			t.Fatal(err)
		}
		server.now.Store(&a)
		o.seen = len(o.log.String())
		o.fails(a.what)
		o.tells(a.what)
		if got := o.probe(); got != "503 warehouse "+a.what+"\n" {
			t.Errorf("%s: /readyz says %q", a.name, got)
		}
		o.tells("no runs are begun: the warehouse cannot be used")
		server.now.Store(nil)
		o.tells("the warehouse can be used again")
		o.until("it is ready", func() bool { return o.probe() == "200 ready\n" })
		o.sync(t, schemas.GroupPosture)
	}

	// The state database takes no rows for a while, as after a switch to a standby.
	name := path.Base(strings.SplitN(string(state), "?", 2)[0])
	cut := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" + name + "' AND pid <> pg_backend_pid()"
	f.cluster.Exec(t, "postgres", "ALTER DATABASE "+name+" SET default_transaction_read_only = on")
	f.cluster.Exec(t, "postgres", cut)
	o.until("it says that its state is read-only", func() bool {
		return strings.HasPrefix(o.probe(), "503 ") && strings.Contains(o.probe(), "state is read-only\n")
	})
	o.tells("give the address of the primary")
	f.cluster.Exec(t, "postgres", "ALTER DATABASE "+name+" RESET default_transaction_read_only")
	f.cluster.Exec(t, "postgres", cut)
	o.until("it is ready", func() bool { return o.probe() == "200 ready\n" })

	// The state database is restarted while runs begin every few seconds.
	o.pause(t, false)
	o.tells(`"trigger":"schedule"`)
	f.cluster.Stop(t)
	stopped := time.Now()
	o.tells("claim due work")
	o.until("it is not ready", func() bool { return strings.HasPrefix(o.probe(), "503 ") })
	o.until("its silence is noticed", func() bool { return strings.Contains(o.probe(), "heartbeat does not answer") })
	o.until("more than two ticks are missed", func() bool { return time.Since(stopped) > 8*time.Second })
	f.cluster.Start(t)
	o.until("it is ready", func() bool { return o.probe() == "200 ready\n" })
	o.tells(`"trigger":"catch_up"`)
	o.tells(`"trigger":"schedule"`)
	o.quiesce(t)

	got, err := o.shown(t.Context(), "")
	if diff := cmp.Diff(f.truth(), got); err != nil || diff != "" {
		t.Errorf("the views do not show the truth: %v (-want +got):\n%s", err, diff)
	}
	versions := o.history(t)
	checkHistory(t, versions, f.truth())
	o.checkRuns(t, versions)
	checkEvents(t, o.events(t), versions, f.truth())
	o.checkTenants(t)
	o.stop(t)

	// The backup of the state, from before all of this, is put back beside the
	// warehouse of now.
	f.cluster.Restore(t, string(state), backup)
	o.daemon, o.seen = w.start(t, ""), 0
	o.listens(t)
	o.tells("the state database is older than the warehouse")
	if got, err := o.shown(t.Context(), ""); err != nil || cmp.Diff(f.truth(), got) != "" {
		t.Errorf("with the state of a backup, the views do not show what was published: %v (-want +got):\n%s", err, cmp.Diff(f.truth(), got))
	}
	if err := f.change(len(ailments) + 1); err != nil {
		t.Fatal(err)
	}
	f.consent(t, w, "--replace") // its token has long been rotated
	o.mustShow(t, "with the state of a backup")
	versions = o.history(t)
	checkHistory(t, versions, f.truth())
	checkEvents(t, o.events(t), versions, f.truth())
	for _, r := range o.mustRows(t, "SELECT tenant_id, dataset_group, seq FROM runs GROUP BY tenant_id, dataset_group, seq HAVING uniqExact(run_id) > 1") {
		t.Errorf("number given out twice: %v", r)
	}
	o.stop(t)
	if t.Failed() {
		t.Log(o.tail())
	}
}

// TestStartOnSickStores: whatever a server answers at the start, and whatever is wrong
// with files of the state, is told with what to do, and waited for.
func TestStartOnSickStores(t *testing.T) {
	t.Parallel()
	engine, err := embedded.Start(t.Context(), embedded.Settings{Dir: t.TempDir(), Command: []string{program(t), "engine"}, ListenHTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	server, sick := newSickServer(t, fmt.Sprintf("http://default:%s@%s/", engine.Token(), engine.HTTPAddr()))
	cfg := config.Default()
	cfg.DataDir, cfg.Warehouse.Mode = t.TempDir(), config.ModeClickHouse
	if cfg.Warehouse.DSN, err = secretFile(t.TempDir(), sick); err != nil {
		t.Fatal(err)
	}
	start := func() error {
		a, err := open(t.Context(), cfg, realWorld(), zap.NewNop(), needs{warehouse: true})
		if err == nil {
			err = a.close(t.Context())
		}
		return err
	}
	for _, a := range append(slices.Clone(ailments),
		ailment{name: "another password", what: "does not let this user in", answer: "Code: 516. DB::Exception: sitedrift: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"},
		ailment{name: "a used up quota", what: "has a quota that is used up", answer: "Code: 201. DB::Exception: Quota for user has been exceeded. (QUOTA_EXCEEDED)"},
		ailment{name: "too many queries", what: "has too much to do", answer: "Code: 202. DB::Exception: Too many simultaneous queries. (TOO_MANY_SIMULTANEOUS_QUERIES)"},
	) {
		a.table = "" // nothing is written into a certain table at the start
		server.now.Store(&a)
		if err := start(); awaits(err).name != partWarehouse || !strings.Contains(err.Error(), a.what+": ") {
			t.Errorf("%s: %v; want %q", a.name, err, a.what)
		}
	}
	server.now.Store(nil)
	if err := start(); err != nil {
		t.Errorf("when it is well: %v", err)
	}
	if err := os.WriteFile(filepath.Join(cfg.DataDir, "state.db"), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, journal := range []string{"-wal", "-shm"} {
		_ = os.Remove(filepath.Join(cfg.DataDir, "state.db"+journal))
	}
	if err := start(); awaits(err).name != partState || !strings.Contains(err.Error(), "put the state back from its backup") {
		t.Errorf("a damaged state: %v", err)
	}
}

// TestPasswordOfTheWarehouseChanges: a new one is taken up with the next request,
// with and without TLS.
func TestPasswordOfTheWarehouseChanges(t *testing.T) {
	for scheme, listen := range map[string]func(http.Handler) *httptest.Server{"http": httptest.NewServer, "https": httptest.NewTLSServer} {
		file := filepath.Join(t.TempDir(), "dsn")
		a := &app{cfg: config.Default()}
		a.cfg.Warehouse.Mode, a.cfg.Warehouse.DSN = config.ModeClickHouse, config.FileRef(file)
		var seen []string
		server := listen(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			user, key, basic := r.BasicAuth()
			if !basic {
				user, key = r.Header.Get("X-ClickHouse-User"), r.Header.Get("X-ClickHouse-Key")
			}
			seen = append(seen, user+" "+key)
		}))
		t.Cleanup(server.Close)
		write := func(login string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(scheme+"://"+login+"@"+server.Listener.Addr().String()+"/?skip_verify=true"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("sitedrift:first")
		options, err := a.warehouseOptions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := ch.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.Exec(t.Context(), "SELECT 1") // no server is behind it
		write("other:second")
		_ = conn.Exec(t.Context(), "SELECT 1")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		_ = conn.Exec(t.Context(), "SELECT 1")
		if seen = slices.Compact(seen); !slices.Equal(seen, []string{"sitedrift first", "other second", "sitedrift first"}) {
			t.Errorf("%s: asked as %q", scheme, seen)
		}
	}
}
