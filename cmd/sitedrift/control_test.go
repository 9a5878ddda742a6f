//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// TestControlSocketIsPrivate: others cannot open it, and who connects is known by
// the kernel's word.
func TestControlSocketIsPrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	l, err := controlSocket(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	var d net.Dialer
	client, err := d.DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if uid, err := callerOf(withCaller(t.Context(), server)); err != nil || uid != os.Geteuid() {
		t.Errorf("the caller is %d, %v", uid, err)
	}
	if _, err := callerOf(withCaller(t.Context(), faceless{})); err == nil {
		t.Error("a caller without a user passes")
	}
}

type faceless struct{ net.Conn }

func TestWhoMayControl(t *testing.T) {
	for _, test := range []struct {
		uid, daemon int
		may         bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {65534, 0, false}, {-1, 1000, false}} {
		if mayControl(test.uid, test.daemon) != test.may {
			t.Errorf("uid %d at a daemon of uid %d: not %v", test.uid, test.daemon, test.may)
		}
	}
}

// TestForeignDaemonGetsNothing: whoever made a socket in the daemon's place, where
// others can write, hears no command.
func TestForeignDaemonGetsNothing(t *testing.T) {
	for _, test := range []struct {
		uid, self int
		may       bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, true}, {-1, 1000, false}} {
		if mayServe(test.uid, test.self) != test.may {
			t.Errorf("a daemon of uid %d for uid %d: not %v", test.uid, test.self, test.may)
		}
	}
	l, err := controlSocket(filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, may := range []bool{false, true} {
		asked := -1
		c, err := dialDaemon(t.Context(), l.Addr().String(), func(uid int) bool { asked = uid; return may })
		if asked != os.Geteuid() || (c != nil) != may || errors.Is(err, errForeignDaemon) == may {
			t.Errorf("asked about %d, may: %v: connected is %v, %v", asked, may, c != nil, err)
		}
		if c != nil {
			_ = c.Close()
		}
	}
}

// TestForeignCommandIsRefused: also where somebody widened the socket's mode, and
// the operation does not run.
func TestForeignCommandIsRefused(t *testing.T) {
	a, _, _ := connectedApp(t)
	l, err := controlSocket(filepath.Join(t.TempDir(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- serveControl(t.Context(), strangers{l}, a, 0) }()
	_, err = remote(t.Context(), l.Addr().String(), "pause", json.RawMessage(`{"id": "acme", "paused": true}`), func(json.RawMessage) error { return nil })
	if err == nil || errors.Is(err, errNoDaemon) || !strings.Contains(err.Error(), "belongs to another user") {
		t.Errorf("a stranger's command: %v", err)
	}
	if tenant, err := a.store.Tenant(t.Context(), "acme"); err != nil || tenant.Paused {
		t.Errorf("paused: %v, %v", tenant.Paused, err)
	}
	_ = l.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestStopWaitsForOperations: a stop lets what people asked for end, and cuts it off
// after a while, in order: the process does not end under it.
func TestStopWaitsForOperations(t *testing.T) {
	for name, grace := range map[string]time.Duration{"it ends": time.Hour, "it is cut off": 0} {
		t.Run(name, func(t *testing.T) {
			a, _, _ := connectedApp(t)
			a.cfg.Tenants = nil // as one that was added by hand
			// Somebody has the group, so that an erasure has to wait.
			job, ok, err := a.store.Take(t.Context(), "somebody", "acme", schemas.GroupPosture, nil, a.out.now(), time.Hour)
			if err != nil || !ok {
				t.Fatal(ok, err)
			}
			waits, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			a.out.trace = func(point string) {
				if point == "erase.waits" {
					once.Do(func() { close(waits); <-goOn })
				}
			}
			l, err := controlSocket(filepath.Join(t.TempDir(), "control.sock"))
			if err != nil {
				t.Fatal(err)
			}
			stopped, answered := make(chan error, 1), make(chan error, 1)
			go func() { stopped <- serveControl(t.Context(), l, a, grace) }()
			go func() {
				_, err := remote(t.Context(), l.Addr().String(), "remove", json.RawMessage(`{"id": "acme", "erase": true}`), func(json.RawMessage) error { return nil })
				answered <- err
			}()
			select {
			case <-waits:
			case err := <-answered:
				t.Fatalf("the erasure did not wait: %v", err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if grace > 0 { // the tenant is back, which ends it
				if err := a.store.PutTenant(t.Context(), collector.Tenant{ID: "acme", CreatedAt: a.out.now()}); err != nil {
					t.Fatal(err)
				}
				if err := a.store.Ended(t.Context(), job); err != nil {
					t.Fatal(err)
				}
			}
			close(goOn)
			if err := <-stopped; err != nil {
				t.Error(err)
			}
			trail, err := a.store.Actions(t.Context(), "acme", 1)
			if err != nil || len(trail) != 1 || trail[0].Unfinished {
				t.Errorf("when the daemon ends the trail says %+v, %v", trail, err)
			}
			if err := <-answered; err == nil || strings.Contains(err.Error(), "in the middle") {
				t.Errorf("the command was told %v", err)
			}
		})
	}
}

// strangers hides who connects, as a connection that is no Unix socket's does.
type strangers struct{ net.Listener }

func (s strangers) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return faceless{c}, nil
}

// TestMetricsPort: it answers three addresses to GET, nothing of the process, and
// listens on this machine alone unless it is told otherwise.
func TestMetricsPort(t *testing.T) {
	a, _, connect := connectedApp(t)
	connect("Somebody")
	if !strings.HasPrefix(a.cfg.Server.Metrics, "127.0.0.1:") {
		t.Errorf("listens on %s by default", a.cfg.Server.Metrics)
	}
	h := a.handler()
	for path, want := range map[string]int{
		"GET /metrics": http.StatusOK, "GET /healthz": http.StatusOK,
		"GET /": http.StatusNotFound, "GET /debug/pprof/": http.StatusNotFound, "GET /debug/pprof/heap": http.StatusNotFound, "GET /debug/vars": http.StatusNotFound,
		"GET /v1/pause": http.StatusNotFound, "POST /v1/pause": http.StatusNotFound, "POST /metrics": http.StatusMethodNotAllowed,
	} {
		method, at, _ := strings.Cut(path, " ")
		got := httptest.NewRecorder()
		h.ServeHTTP(got, httptest.NewRequest(method, at, http.NoBody))
		if got.Code != want {
			t.Errorf("%s: %d, want %d", path, got.Code, want)
		}
		if at == "/metrics" && want == http.StatusOK && !strings.Contains(got.Body.String(), `sitedrift_credential_ok{kind="3lo",tenant="acme"} 1`) {
			t.Errorf("metrics:\n%s", got.Body)
		}
	}
}

// TestMetricsUnderForeignName: a page whose name leads to this machine reads nothing.
func TestMetricsUnderForeignName(t *testing.T) {
	for at, hosts := range map[string]map[string]int{
		"127.0.0.1:9464": {"127.0.0.1:9464": 200, "localhost:9464": 200, "localhost": 200, "[::1]:9464": 200, "evil.example:9464": 421, "127.0.0.1.evil.example": 421, "": 421},
		"10.1.2.3:9464":  {"prometheus-target:9464": 200, "10.1.2.3:9464": 200},
	} {
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(at))
		for host, want := range hosts {
			got, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
			r.Host = host
			underOwnName(addr, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(got, r)
			if got.Code != want {
				t.Errorf("%q at %s: %d, want %d", host, at, got.Code, want)
			}
		}
	}
}

// TestEveryChangeIsRecorded: an operation either is known to change nothing, or
// says what goes into the audit trail.
func TestEveryChangeIsRecorded(t *testing.T) {
	reads := []string{"check", "ask_consent", "tenants", "audit", "query"}
	for _, o := range operations() {
		if recorded := o.actions != nil; recorded == slices.Contains(reads, o.name) {
			t.Errorf("%s: recorded is %v", o.name, recorded)
		} else if params := json.RawMessage(`{"tenants": [{"ID": "acme"}], "yes": true}`); recorded && len(o.actions(params, nil)) == 0 {
			t.Errorf("%s: is not on record when it begins", o.name)
		}
	}
}

// TestFailuresAreRecorded: what was tried and failed is in the trail, what was a
// mistake of the caller is not, and who did it is there. What begins is there
// before it changes anything.
func TestFailuresAreRecorded(t *testing.T) {
	a, _, _ := connectedApp(t)
	before, err := a.store.Actions(t.Context(), "", 100)
	if err != nil {
		t.Fatal(err)
	}
	failing := func(err error) operation {
		return changes("pause", needs{}, func(context.Context, *app, pauseParams, func(any)) (struct{}, error) {
			during, rerr := a.store.Actions(t.Context(), "acme", 1)
			if rerr != nil || len(during) != 1 || !during[0].Unfinished || during[0].Name != "tenants pause" || during[0].Actor != "alice (uid 7)" || during[0].Failure != "" {
				t.Errorf("while it is under way: %+v, %v", during, rerr)
			}
			return struct{}{}, err
		}, pauseActions)
	}
	for _, failure := range []error{errors.New("the disk is full"), usage("no such tenant")} {
		if _, err := failing(failure).perform(t.Context(), a, "alice (uid 7)", json.RawMessage(`{"id": "acme", "paused": true}`), nil); !errors.Is(err, failure) {
			t.Errorf("%v, want %v", err, failure)
		}
	}
	after, err := a.store.Actions(t.Context(), "", 100)
	if err != nil || len(after) != len(before)+1 {
		t.Fatalf("%d entries before, %d after, %v", len(before), len(after), err)
	}
	if e := after[len(before)]; e.Unfinished || e.Actor != "alice (uid 7)" || e.Name != "tenants pause" || e.Tenant != "acme" || e.Failure != "the disk is full" || e.At.IsZero() {
		t.Errorf("%+v", e)
	}
}
