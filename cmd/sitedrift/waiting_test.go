package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/config"
)

// TestWaitsForTheStateDatabase: a daemon that starts before its database is alive
// and not ready, from its first moment on and until it serves. It says that the
// database does not answer, then that it belongs to a newer release, and goes on as
// soon as a backup of before is there.
func TestWaitsForTheStateDatabase(t *testing.T) {
	t.Parallel()
	cluster := statetest.StartCluster(t)
	dsn, err := url.Parse(cluster.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	store, err := state.OpenPostgres(t.Context(), dsn.String())
	if err == nil {
		err = store.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(dsn.Path, "/")
	cluster.Exec(t, name, "CREATE TABLE backup AS SELECT version FROM sitedrift_state_oldest; INSERT INTO sitedrift_state_version (version_id, is_applied) VALUES (9001, TRUE); UPDATE sitedrift_state_oldest SET version = 9001")
	dir, q := t.TempDir(), dsn.Query()
	socket := q.Get("host")
	q.Set("host", filepath.Join(dir, "socket")) // where nothing is yet
	dsn.RawQuery = q.Encode()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	mute, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	for name, text := range map[string]string{
		"state":         fmt.Sprintf("postgres://sitedrift@%s/x?sslmode=disable", mute.Addr()),
		"sitedrift.yml": fmt.Sprintf("data_dir: data\nstate: \"file:%s/state\"\nserver: {metrics: %q}\n", dir, address),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := config.Load(filepath.Join(dir, "sitedrift.yml"), checks())
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	core, logs := observer.New(zapcore.WarnLevel)
	says := func(text string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			for _, e := range logs.FilterMessage("waiting for the state database").All() {
				if strings.Contains(fmt.Sprint(e.ContextMap()["error"]), text) {
					return
				}
			}
			if time.Now().After(deadline) {
				t.Fatalf("the log does not say %q: %v", text, logs.All())
			}
		}
	}
	p, err := startProbes(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	go func() {
		a, err := openWaiting(t.Context(), cfg, zap.New(core), needs{}, p)
		if err == nil {
			err = a.close(t.Context())
		}
		opened <- err
	}()
	ask := func(path string) (int, string) {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			resp, err := http.Get("http://" + address + path)
			if err == nil {
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				return resp.StatusCode, string(body)
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	answers := func(ready, metric string) {
		t.Helper()
		if code, body := ask("/readyz"); code != http.StatusServiceUnavailable || body != ready+"\n" {
			t.Errorf("/readyz says %d %q, want %q", code, body, ready)
		}
		if code, _ := ask("/healthz"); code != http.StatusOK {
			t.Errorf("/healthz says %d", code)
		}
		if code, body := ask("/metrics"); code != http.StatusOK || strings.Contains(body, "\nsitedrift_ready") != (metric != "") || !strings.Contains(body, metric) {
			t.Errorf("/metrics says %d %q, want %q", code, body, metric)
		}
	}
	answers("starting", "") // the first try is under way
	says("does not answer: start it, or look at the network between (no answer in time)")
	answers("waiting for the state database", `sitedrift_ready{part="state"} 0`)
	if err := os.WriteFile(filepath.Join(dir, "state"), []byte(dsn.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	says("does not answer: start it, or look at the network between (nothing has made this socket)")
	if err := os.Symlink(socket, filepath.Join(dir, "socket")); err != nil {
		t.Fatal(err)
	}
	says("only releases that know version 9001 or newer may use it")
	cluster.Exec(t, name, "DELETE FROM sitedrift_state_version WHERE version_id = 9001; UPDATE sitedrift_state_oldest SET version = (SELECT version FROM backup)")
	if err := <-opened; err != nil {
		t.Error(err)
	}
	if code, _ := ask("/healthz"); code != http.StatusOK { // it has not begun to serve
		t.Errorf("/healthz says %d", code)
	}
}
