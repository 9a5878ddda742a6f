package state_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("STATE_TEST_HOLD"); dir != "" {
		hold(dir)
	}
	if dsn := os.Getenv(fleetVariable); dsn != "" {
		if err := serveFleet(dsn); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

func openSQLite(t *testing.T, dir string) *state.Store {
	t.Helper()
	s, err := state.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	statetest.Run(t, func(t *testing.T) *state.Store { return openSQLite(t, t.TempDir()) })
}

// TestSQLiteIsDurable reads the settings that Invariant 5 rests on from the
// connections themselves, also from one that the pool opened anew.
func TestSQLiteIsDurable(t *testing.T) {
	s := openSQLite(t, t.TempDir())
	for range 2 {
		for file, settings := range state.Pragmas(t, s, "synchronous", "journal_mode", "foreign_keys", "secure_delete") {
			if settings["synchronous"] != "2" || settings["journal_mode"] != "wal" || settings["foreign_keys"] != "1" || settings["secure_delete"] != "1" {
				t.Errorf("%s runs with %v; want synchronous 2 (FULL), journal_mode wal, foreign_keys 1, secure_delete 1", file, settings)
			}
		}
		state.Reconnect(t, s)
	}
}

func TestSQLiteIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	s := openSQLite(t, dir)
	if err := s.PutTenant(t.Context(), collector.Tenant{ID: "acme"}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %o, want %o", path, got, want)
		}
		return nil
	})
	if err != nil || files < 4 { // two databases, at least one log, the lock
		t.Errorf("%d files, %v", files, err)
	}
	loose := t.TempDir()
	if err := os.Chmod(loose, 0o755); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(loose, "vault.db") // with the mode that a copy got
	if err := os.WriteFile(restored, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	openSQLite(t, loose)
	if info, err := os.Stat(restored); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("an open database was left at %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(loose); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("an open directory was left at %v, %v", info.Mode(), err)
	}
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if _, err := state.OpenSQLite(t.Context(), shared); err == nil || !strings.Contains(err.Error(), "shared") {
		t.Errorf("a shared directory: %v", err)
	}
}

// TestSQLiteKeeps: what was stored is there after a restart.
func TestSQLiteKeeps(t *testing.T) {
	dir := t.TempDir()
	s, err := state.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PutTenant(t.Context(), collector.Tenant{ID: "acme"}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openSQLite(t, dir).Tenant(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
}

// TestSQLiteInUse: a second process is refused at once, and let in as soon as
// the first is gone, however it went.
func TestSQLiteInUse(t *testing.T) {
	dir := t.TempDir()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), "STATE_TEST_HOLD="+dir)
	out, err := other.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := out.Read(line); err != nil || string(line) != "held\n" {
		t.Fatalf("the other process says %q, %v", line, err)
	}
	_, err = state.OpenSQLite(t.Context(), dir)
	var inUse *state.InUseError
	if !errors.Is(err, state.ErrInUse) || !errors.As(err, &inUse) || inUse.Dir != dir || inUse.PID != other.Process.Pid {
		t.Errorf("while process %d has it: %v", other.Process.Pid, err)
	}
	if !strings.Contains(err.Error(), dir) {
		t.Errorf("the error does not name the directory: %v", err)
	}
	if err := other.Process.Kill(); err != nil { // as a crash would
		t.Fatal(err)
	}
	_ = other.Wait() // reports the kill
	s := openSQLite(t, dir)
	if _, err := s.Tenant(t.Context(), "acme"); err != nil {
		t.Errorf("what the killed process had stored: %v", err)
	}
	if _, err := state.OpenSQLite(t.Context(), dir); !errors.Is(err, state.ErrInUse) {
		t.Errorf("a second time in one process: %v", err)
	}
}

// hold is the other process of TestSQLiteInUse.
func hold(dir string) {
	s, err := state.OpenSQLite(context.Background(), dir)
	if err == nil {
		err = s.PutTenant(context.Background(), collector.Tenant{ID: "acme"})
	}
	if err != nil {
		os.Stdout.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString("held\n")
	time.Sleep(time.Hour)
}

// TestErasedSecretsAreGone looks for the bytes of an erased credential in all
// files of the directory.
func TestErasedSecretsAreGone(t *testing.T) {
	dir := t.TempDir()
	s := openSQLite(t, dir)
	secret := strings.Repeat("sealed-marker-", 50)
	found := func() (in []string) {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(b), "sealed-marker-") {
				in = append(in, filepath.Base(f))
			}
		}
		return in
	}
	if _, err := s.PutConsent(t.Context(), collector.Credential{Tenant: "acme", Kind: "3lo", Sealed: []byte(secret), Generation: 1}); err != nil {
		t.Fatal(err)
	}
	if len(found()) == 0 {
		t.Fatal("the stored credential is in no file: this test looks in the wrong place")
	}
	if err := s.DeleteCredentials(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	if in := found(); len(in) > 0 {
		t.Errorf("the erased credential is still in %v", in)
	}
}

// TestSQLiteSaysWhatIsWrong: each error that a disk, another program or a damaged file
// brings about says what it is, where, and what to do, and can be waited out.
func TestSQLiteSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.db")
	open := func(options string) *sql.DB {
		t.Helper()
		db, err := sql.Open("sqlite", "file:"+file+options)
		if err != nil {
			t.Fatal(err)
		}
		db.SetMaxOpenConns(1)
		t.Cleanup(func() { db.Close() })
		return db
	}
	do := func(db *sql.DB, statements ...string) (err error) {
		for _, s := range statements {
			if _, err = db.ExecContext(t.Context(), s); err != nil {
				break
			}
		}
		return err
	}
	writer := open("")
	if err := do(writer, "CREATE TABLE t (a TEXT)", "BEGIN EXCLUSIVE"); err != nil {
		t.Fatal(err)
	}
	locked := do(open(""), "INSERT INTO t VALUES ('a')")
	if err := do(writer, "COMMIT"); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"is locked by another program":  locked,
		"is read-only":                  do(open("?mode=ro"), "INSERT INTO t VALUES ('a')"),
		"has no space left on its disk": do(writer, "PRAGMA max_page_count = 2", "INSERT INTO t VALUES (hex(zeroblob(100000)))"),
	} {
		if err := state.ExplainSQLite(file, err); !errors.Is(err, state.ErrUnfit) || state.What(err) != what || !strings.HasPrefix(err.Error(), file+" "+what+": ") {
			t.Errorf("%v; want %q", err, what)
		}
	}
	for _, name := range []string{"state.db", "vault.db"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Repeat([]byte("no database "), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := state.OpenSQLite(t.Context(), dir)
		if !errors.Is(err, state.ErrUnfit) || !strings.Contains(err.Error(), name+" is damaged, or no database: look at the disk, and put the state back from its backup") {
			t.Errorf("%s: %v", name, err)
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if err := openSQLite(t, dir).Ping(t.Context()); err != nil { // let go of, and well
			t.Error(err)
		}
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := state.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	versions := state.Versions(t, s, "state")
	known := int(versions[len(versions)-1])
	state.PretendMigrated(t, s, 9000, known) // it only added something
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = state.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatalf("a schema that a newer release marked as usable: %v", err)
	}
	state.PretendMigrated(t, s, 9001, known+1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = state.OpenSQLite(t.Context(), dir)
	if !errors.Is(err, state.ErrUnfit) || !strings.Contains(err.Error(), "newer release") {
		t.Fatalf("a database of a newer release: %v", err)
	}
	// The refusal let go of the directory.
	if _, err := state.OpenSQLite(t.Context(), dir); errors.Is(err, state.ErrInUse) {
		t.Error(err)
	}
}
