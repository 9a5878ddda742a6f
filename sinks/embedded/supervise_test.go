//go:build unix && !noengine

package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/sinks/embedded"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// TestKilledChildIsReplaced kills the engine process under a writer: every acknowledged row is there afterwards,
// and the same connections go on working.
func TestKilledChildIsReplaced(t *testing.T) {
	e := enginetest.Start(t)
	conn := enginetest.Open(t, e)
	if err := conn.Exec(t.Context(), "CREATE TABLE acked (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 1000"); err != nil {
		t.Fatal(err)
	}
	acked := map[uint64]bool{}
	var mu sync.Mutex
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := uint64(0); ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := conn.Exec(context.Background(), fmt.Sprintf("INSERT INTO acked VALUES (%d)", n)); err == nil {
				mu.Lock()
				acked[n] = true
				mu.Unlock()
			}
		}
	})
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(acked) }
	for round := 1; round <= 3; round++ {
		before := count()
		waitFor(t, "rows are written", func() bool { return count() > before+20 })
		pid := e.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "another child serves", func() bool { p := e.PID(); return p != 0 && p != pid })
	}
	before := count()
	waitFor(t, "rows are written again", func() bool { return count() > before+20 })
	close(stop)
	writer.Wait()
	if e.Restarts() != 3 {
		t.Errorf("%d restarts, want 3", e.Restarts())
	}
	rows, err := conn.Query(t.Context(), "SELECT n, count() FROM acked GROUP BY n")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var n, times uint64
		if err := rows.Scan(&n, &times); err != nil {
			t.Fatal(err)
		}
		if times != 1 {
			t.Errorf("row %d is there %d times", n, times)
		}
		delete(acked, n)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if len(acked) > 0 {
		t.Errorf("%d acknowledged rows are lost: %v", len(acked), acked)
	}
}

// TestMemoryIsBounded: a statement that would take more than the whole engine may
// have fails, whatever its own settings allow, and the engine lives on.
func TestMemoryIsBounded(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	s.MaxMemoryBytes = 600 << 20
	e := enginetest.StartWith(t, s)
	conn, pid := enginetest.Open(t, e), e.PID()
	err := conn.Exec(t.Context(), "SELECT length(groupArray(number)) FROM numbers(400000000) SETTINGS max_memory_usage = 0, memory_usage_overcommit_max_wait_microseconds = 0")
	if ex := (*clickhouse.Exception)(nil); !errors.As(err, &ex) || ex.Code != 241 {
		t.Fatalf("error %v, want a *clickhouse.Exception with code 241", err)
	}
	if err := conn.Exec(t.Context(), "SELECT 1"); err != nil || e.PID() != pid {
		t.Errorf("afterwards: %v, process %d was %d", err, e.PID(), pid)
	}
}

// TestRoomIsReserved: the engine begins to write only while its disk has room to end.
func TestRoomIsReserved(t *testing.T) {
	var kept uint64
	row := enginetest.Open(t, enginetest.Start(t)).QueryRow(t.Context(), "SELECT keep_free_space FROM system.disks WHERE name = 'default'")
	if err := row.Scan(&kept); err != nil || kept < 64<<20 {
		t.Errorf("%d bytes are kept free, %v", kept, err)
	}
}

// TestRenewal: an engine that cannot read what it stored is started again, and not
// once for each of those who find that out.
func TestRenewal(t *testing.T) {
	e := enginetest.Start(t)
	conn, pid := enginetest.Open(t, e), e.PID()
	for range 3 {
		e.Renew(errors.New("a part cannot be read"))
	}
	waitFor(t, "another child serves", func() bool { p := e.PID(); return p != 0 && p != pid })
	e.Renew(errors.New("a part cannot be read"))
	if err := conn.Exec(t.Context(), "SELECT 1"); err != nil || e.Restarts() != 1 {
		t.Errorf("%v, %d restarts, want 1", err, e.Restarts())
	}
}

func TestSecondDaemonIsRefused(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	enginetest.StartWith(t, s)
	_, err := embedded.Start(t.Context(), s)
	var inUse *embedded.InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Dir != s.Dir {
		t.Fatalf("second start: %v, want an InUseError for %s and process %d", err, s.Dir, os.Getpid())
	}
	want := fmt.Sprintf("embedded engine: data directory %s is in use by process %d; stop it first, or talk to the running daemon", s.Dir, os.Getpid())
	if err.Error() != want {
		t.Errorf("got  %s\nwant %s", err, want)
	}
}

// TestForeignEngineIsRefused takes the daemon's own lock away, so that only the engine's remains, as when another
// tool with the same library has the directory open.
func TestForeignEngineIsRefused(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	enginetest.StartWith(t, s)
	if err := os.Remove(filepath.Join(s.Dir, "clickhouse", "lock")); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.Start(t.Context(), s)
	if _, ok := errors.AsType[*embedded.InUseError](err); !ok {
		t.Fatalf("second engine: %v, want an InUseError", err)
	}
}

func TestRestartKeepsData(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	for i := range 3 {
		e, err := embedded.Start(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		run(t, e, "CREATE TABLE IF NOT EXISTS kept (n UInt64) ENGINE = MergeTree ORDER BY n")
		if got := run(t, e, "SELECT count() FROM kept"); got != strconv.Itoa(i) {
			t.Errorf("start %d finds %s rows, want %d", i, got, i)
		}
		run(t, e, "INSERT INTO kept VALUES (1)")
		if err := e.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCloseEndsAnEndlessStatement: it is given 3 s and then killed; the process ends in order.
func TestCloseEndsAnEndlessStatement(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	e, err := embedded.Start(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	conn := enginetest.Open(t, e)
	ended := make(chan error, 1)
	go func() {
		ended <- conn.Exec(context.Background(), "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 0 FORMAT Null")
	}()
	waitFor(t, "the statement runs", func() bool {
		return run(t, e, "SELECT count() FROM system.processes WHERE query LIKE '%sipHash64%' AND query NOT LIKE '%processes%'") == "1"
	})
	if err := e.Close(context.Background()); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := <-ended; err == nil {
		t.Error("the endless statement ended well")
	}
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("ping after close succeeds")
	}
}

func TestStartErrors(t *testing.T) {
	good := enginetest.Settings(t, t.TempDir())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	noLibrary := filepath.Join(t.TempDir(), "libchdb.so")
	text := filepath.Join(t.TempDir(), "text.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		change func(*embedded.Settings)
		as     any
		want   string
	}{
		{
			"no library", func(s *embedded.Settings) { s.Library = noLibrary }, new(*embedded.LibraryError),
			"embedded engine: library " + noLibrary + " does not exist (it is named by the configuration); run `sitedrift engine install`, or on a machine without network `sitedrift engine install --from FILE`",
		},
		{
			"not installed", func(s *embedded.Settings) { s.Library, s.CacheDir = "", filepath.Dir(noLibrary) }, new(*embedded.LibraryError),
			"embedded engine: library " + filepath.Dir(noLibrary) + "/libchdb/26.7.3/libchdb.so is not installed; run `sitedrift engine install`, or on a machine without network `sitedrift engine install --from FILE`",
		},
		{"no library at all", func(s *embedded.Settings) { s.Library = text }, new(*embedded.LibraryError), "library " + text + " does not load: file too short; run `sitedrift engine install`"},
		{"port taken", func(s *embedded.Settings) { s.ListenHTTP = taken.Addr().String() }, new(*embedded.ListenError), "another program has this port; stop it, or choose another port"},
		{
			"open to the network", func(s *embedded.Settings) { s.ListenHTTP = "0.0.0.0:8123" }, new(*embedded.ListenError),
			"embedded engine: cannot serve HTTP on 0.0.0.0:8123: the embedded engine serves loopback addresses only (127.0.0.1, ::1, localhost); use a ClickHouse server for clients on other machines",
		},
		{"all interfaces", func(s *embedded.Settings) { s.ListenHTTP = ":8123" }, new(*embedded.ListenError), "loopback addresses only"},
		{"no directory", func(s *embedded.Settings) { s.Dir = "" }, nil, "embedded engine: no data directory is configured"},
		{
			"child fails", func(s *embedded.Settings) { s.Command = []string{"/bin/sh", "-c", "echo out of luck >&2; exit 7"} }, new(*embedded.ChildError),
			"embedded engine: the engine process ended with exit status 7: out of luck",
		},
		{"child is missing", func(s *embedded.Settings) { s.Command = []string{"/nowhere/sitedrift"} }, nil, "start /nowhere/sitedrift"},
		{"child hangs", func(s *embedded.Settings) {
			s.Command, s.StartTimeout = []string{"/bin/sh", "-c", "exec sleep 600"}, 200*time.Millisecond
		}, nil, "embedded engine: it did not serve within 200ms"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := good
			s.Dir = t.TempDir()
			tc.change(&s)
			e, err := embedded.Start(t.Context(), s)
			if err == nil {
				e.Close(t.Context())
				t.Fatal("it started")
			}
			if tc.as != nil && !errors.As(err, tc.as) {
				t.Errorf("error is a %T, want a %T", err, tc.as)
			}
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %s\nwant %s", err, tc.want)
			}
			if s.Dir == "" {
				return
			}
			again := good // nothing is left locked
			again.Dir = s.Dir
			enginetest.StartWith(t, again)
		})
	}
}

// TestLongDataPath: a Unix socket's path must fit into about 100 bytes, a data directory need not.
func TestLongDataPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	run(t, enginetest.StartWith(t, enginetest.Settings(t, dir)), "SELECT 1")
}

// TestChildDiesWithDaemon runs a daemon in another process, kills it, and starts on its directory at once: the
// orphaned engine ends by itself and its end is waited for.
func TestChildDiesWithDaemon(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(self, "-test.run=TestDaemonProcess")
	daemon.Env = append(os.Environ(), "EMBEDDED_TEST_DAEMON="+s.Dir)
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var socket string
	if _, err := fmt.Fscanf(out, "engine %d %s\n", &pid, &socket); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = daemon.Wait()
	e := enginetest.StartWith(t, s)
	if got := run(t, e, "SELECT count() FROM of_the_dead"); got != "1" {
		t.Errorf("%s rows of the killed daemon, want 1", got)
	}
	waitFor(t, "the orphan is gone", func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) || zombie(pid) })
}

// zombie: where nobody reaps orphans, a dead process keeps its entry.
func zombie(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	return strings.HasPrefix(rest, "Z")
}

// TestDaemonProcess is the other process of TestChildDiesWithDaemon.
func TestDaemonProcess(t *testing.T) {
	dir := os.Getenv("EMBEDDED_TEST_DAEMON")
	if dir == "" {
		return // not asked for: this is the parent's run
	}
	e, err := embedded.Start(context.Background(), enginetest.Settings(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	run(t, e, "CREATE TABLE of_the_dead (n UInt8) ENGINE = MergeTree ORDER BY n")
	run(t, e, "INSERT INTO of_the_dead VALUES (1)")
	fmt.Printf("engine %d x\n", e.PID())
	select {} // until killed
}
