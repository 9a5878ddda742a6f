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
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
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
