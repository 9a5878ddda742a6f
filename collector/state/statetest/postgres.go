package statetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a PostgreSQL cluster in a temporary directory, reachable over a
// Unix socket only, gone at the end of its test.
type Cluster struct {
	bin       string // where its programs are
	socket    string
	databases atomic.Int64
	log       lockedBuffer
	command   func() *exec.Cmd // the server, not started yet
	running   *server
}

// StartCluster initializes and starts a cluster with the installed PostgreSQL,
// as a user without rights when the test runs as root. It fails the test when
// none is installed. Settings are passed on as "name=value"; fsync is off
// unless they turn it on.
func StartCluster(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	// A short path: Unix socket names end at 107 bytes.
	dir, err := os.MkdirTemp("/tmp", "sdpg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	attr, err := unprivileged(dir)
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	initdb := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "sitedrift", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync")
	initdb.SysProcAttr = attr
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	args := []string{"-D", data}
	for _, s := range append([]string{"listen_addresses=", "unix_socket_directories=" + dir, "fsync=off", "full_page_writes=off", "max_connections=200"}, settings...) {
		args = append(args, "-c", s)
	}
	c := &Cluster{bin: bin, socket: dir}
	c.command = func() *exec.Cmd {
		server := exec.Command(filepath.Join(bin, "postgres"), args...)
		server.SysProcAttr, server.Dir, server.Stdout, server.Stderr = attr, dir, &c.log, &c.log
		return server
	}
	t.Cleanup(func() { c.Stop(t) })
	c.Start(t)
	return c
}

// server is a process of PostgreSQL.
type server struct {
	process *os.Process
	ended   <-chan error
}

// Start starts the server again after Stop, and returns when it answers.
func (c *Cluster) Start(t testing.TB) {
	t.Helper()
	command := c.command()
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		// The kernel kills the server when the thread that started it dies
		// (see unprivileged), so this one is kept until the server has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := command.Start()
		started <- err
		if err == nil {
			ended <- command.Wait()
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("start postgres: %v", err)
	}
	c.running = &server{command.Process, ended}
	c.awaitReady(t)
}

// Stop shuts the server down as its administrator would in a hurry: its clients
// are cut off. Nothing happens when it is stopped already.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	if c.running == nil {
		return
	}
	// SIGINT is PostgreSQL's fast shutdown.
	if err := c.running.process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("stop postgres: %v", err)
	}
	select {
	case err := <-c.running.ended:
		if err != nil {
			t.Errorf("postgres ended with %v:\n%s", err, &c.log)
		}
	case <-time.After(time.Minute):
		_ = c.running.process.Kill()
		t.Errorf("postgres did not stop within a minute:\n%s", &c.log)
	}
	c.running = nil
}

// Crash ends the server at once: the next start recovers what was committed.
func (c *Cluster) Crash(t testing.TB) {
	t.Helper()
	if c.running == nil {
		return
	}
	// SIGQUIT is PostgreSQL's immediate shutdown.
	if err := c.running.process.Signal(syscall.SIGQUIT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("crash postgres: %v", err)
	}
	select {
	case <-c.running.ended: //nolint:errcheck // it ends with whatever status
	case <-time.After(time.Minute):
		_ = c.running.process.Kill()
		t.Errorf("postgres did not end within a minute:\n%s", &c.log)
	}
	c.running = nil
}

func (c *Cluster) awaitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, c.dsn("postgres"))
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("postgres does not answer: %v\n%s", err, &c.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Database creates an empty database and returns how to connect to it.
func (c *Cluster) Database(t testing.TB) (dsn string) {
	t.Helper()
	name := fmt.Sprintf("t%d", c.databases.Add(1))
	c.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
	return c.dsn(name)
}

// Exec runs statements in a database of the cluster as its superuser.
func (c *Cluster) Exec(t testing.TB, database, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, c.dsn(database))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Dump backs a database up as its administrator does, with pg_dump.
func (c *Cluster) Dump(t testing.TB, dsn string) []byte {
	t.Helper()
	var said bytes.Buffer
	dump := exec.CommandContext(t.Context(), filepath.Join(c.bin, "pg_dump"), "--format=custom", "--dbname="+dsn)
	dump.Stderr = &said
	out, err := dump.Output()
	if err != nil {
		t.Fatalf("pg_dump: %v\n%s", err, &said)
	}
	return out
}

// Restore puts a dump in the place of a database that nobody uses.
func (c *Cluster) Restore(t testing.TB, dsn string, dump []byte) {
	t.Helper()
	at, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(at.Path, "/")
	c.Exec(t, "postgres", "DROP DATABASE "+name)
	c.Exec(t, "postgres", "CREATE DATABASE "+name+" TEMPLATE template0")
	restore := exec.CommandContext(t.Context(), filepath.Join(c.bin, "pg_restore"), "--exit-on-error", "--dbname="+dsn)
	restore.Stdin = bytes.NewReader(dump)
	if out, err := restore.CombinedOutput(); err != nil {
		t.Fatalf("pg_restore: %v\n%s", err, out)
	}
}

func (c *Cluster) dsn(database string) string {
	q := url.Values{"host": {c.socket}, "sslmode": {"disable"}}
	return "postgres://sitedrift@/" + database + "?" + q.Encode()
}

// binaries finds the directory of initdb and postgres: next to the one in PATH,
// or where Debian puts them, the newest version first.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			if _, err := os.Stat(filepath.Join(filepath.Dir(real), "postgres")); err == nil {
				return filepath.Dir(real), nil
			}
		}
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL found (initdb and postgres, in PATH or /usr/lib/postgresql/*/bin), and this test needs a real one: run `make deps`, or install the Debian package postgresql")
	}
	newest := slices.MaxFunc(found, func(a, b string) int {
		if len(a) != len(b) { // 9 before 15
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return filepath.Dir(newest), nil
}

// lockedBuffer collects the server's log while the test may read it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
