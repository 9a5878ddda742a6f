//go:build unix

// Package enginetest gives tests a real embedded engine.
//
// A package whose tests share one engine (it starts in a quarter of a second, but takes some 40 MB) says
//
//	func TestMain(m *testing.M) { enginetest.Main(m) }
//
// and calls [Shared]; each test then makes tables of its own. A test that breaks its engine calls [Start]. The
// engine's library is fetched when it is not installed. The engine process is a helper program, built once per
// test binary and without the race detector, which would only slow the C++ code's callers down.
package enginetest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// Main runs the tests of a binary, stops the shared engine and exits. It does not return.
func Main(m *testing.M) {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "enginetest:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Close stops the shared engine, for packages with a TestMain of their own.
func Close() error { return shared.close() }

// Settings are those of an engine in dir with the test child, for tests that change something about it.
func Settings(t testing.TB, dir string) embedded.Settings {
	t.Helper()
	p, err := prepare()
	if err != nil {
		t.Fatal(err)
	}
	return p.settings(dir)
}

// Start starts an engine for one test, in a directory of its own, and stops it when the test ends.
func Start(t testing.TB) *embedded.Engine {
	t.Helper()
	return StartWith(t, Settings(t, t.TempDir()))
}

// StartWith starts an engine with the given settings and stops it when the test ends.
func StartWith(t testing.TB, s embedded.Settings) *embedded.Engine {
	t.Helper()
	e, err := embedded.Start(context.Background(), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

// Shared returns the engine of this test binary and starts it on first use. Main or Close must stop it.
func Shared(t testing.TB) *embedded.Engine {
	t.Helper()
	e, err := shared.get()
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// Open connects to an engine and closes the connections when the test ends.
func Open(t testing.TB, e *embedded.Engine) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(e.Options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// shared is the one engine of the binary. Tests are the one place where a process-wide thing is what is wanted.
var shared sharedEngine

type sharedEngine struct {
	mu     sync.Mutex
	engine *embedded.Engine
	dir    string
}

func (s *sharedEngine) get() (*embedded.Engine, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.engine != nil {
		return s.engine, nil
	}
	p, err := prepare()
	if err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "sitedrift-enginetest-"); err != nil {
		return nil, err
	}
	s.engine, err = embedded.Start(context.Background(), p.settings(s.dir))
	return s.engine, err
}

func (s *sharedEngine) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir == "" {
		return nil
	}
	var err error
	if s.engine != nil {
		err = s.engine.Close(context.Background())
	}
	s.engine = nil
	defer func() { s.dir = "" }()
	if e := os.RemoveAll(s.dir); err == nil {
		err = e
	}
	return err
}
