package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/config"
)

// TestWaitsForTheStateDatabase: a daemon that starts before its database is alive
// and not ready, and goes on as soon as the database answers.
func TestWaitsForTheStateDatabase(t *testing.T) {
	dsn, err := url.Parse(statetest.StartCluster(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
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
	for name, text := range map[string]string{
		"state":         dsn.String(),
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
	go func() {
		a, err := openWaiting(t.Context(), cfg, zap.NewNop(), needs{})
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
	if code, body := ask("/readyz"); code != http.StatusServiceUnavailable || body != "waiting for the state database\n" {
		t.Errorf("/readyz says %d %q", code, body)
	}
	if code, _ := ask("/healthz"); code != http.StatusOK {
		t.Errorf("/healthz says %d", code)
	}
	if err := os.Symlink(socket, filepath.Join(dir, "socket")); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}
