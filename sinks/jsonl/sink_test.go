package jsonl

import (
	"bufio"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/sinktest"
)

func openSink(t *testing.T, dir string) *Sink {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) *sinktest.Harness {
		dir := filepath.Join(t.TempDir(), "out [1]")
		return &sinktest.Harness{
			Sink:   openSink(t, dir),
			Read:   func() []sinktest.Record { return read(t, dir) },
			Reopen: func() sinktest.Sink { return openSink(t, dir) },
		}
	})
}

// read reads what a consumer takes: files whose names end in .jsonl.
func read(t *testing.T, dir string) []sinktest.Record {
	t.Helper()
	var list []sinktest.Record
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var l struct {
				Type, Dataset string
				Data          struct {
					Tenant    string `json:"tenant_id"`
					Dataset   string
					Seq       uint64
					Name      string
					Operation string
					Entity    string `json:"entity_name"`
					State     string
					Outcome   string
				}
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				t.Errorf("%s: %q: %v", path, lines.Text(), err)
			}
			list = append(list, sinktest.Record{
				Type: l.Type, Tenant: l.Data.Tenant, Dataset: l.Dataset + l.Data.Dataset, Seq: l.Data.Seq,
				Text: l.Data.Name + l.Data.Operation + l.Data.Entity + l.Data.State + l.Data.Outcome,
			})
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestNames: a tenant's id becomes a directory only when it is a plain name.
func TestNames(t *testing.T) {
	dir := t.TempDir()
	s := openSink(t, filepath.Join(dir, "out"))
	for _, tenant := range []string{"", ".", "..", "../x", "a/b", `a\b`, ".hidden", "a\x00b", "a b", "é", strings.Repeat("a", 129)} {
		a := sinktest.Attempt{Tenant: tenant, Seq: 1, Spaces: []string{"x"}}
		if err := s.Stage(t.Context(), a.Delta()); err == nil {
			t.Errorf("tenant %q was taken", tenant)
		}
		if err := s.Show(t.Context(), []schemas.Head{{Tenant: tenant, Group: "posture", Seq: 1}}); err == nil {
			t.Errorf("tenant %q was shown", tenant)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("files beside the directory: %v, %v", entries, err)
	}
}

// TestTornFiles: what a crash in the middle of a write leaves is taken away.
func TestTornFiles(t *testing.T) {
	dir := t.TempDir()
	s := openSink(t, dir)
	run := sinktest.Attempt{Tenant: "t", Seq: 1}.Alone()
	if err := s.Runs(t.Context(), []schemas.Run{run}); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, runsFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"type":"run","data":{"run`); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tmp := filepath.Join(dir, "t", "posture", ".attempt-123")
	if err := os.MkdirAll(filepath.Dir(tmp), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tmp, []byte("{"), 0o640); err != nil {
		t.Fatal(err)
	}
	s = openSink(t, dir)
	if _, err := os.Stat(tmp); err == nil {
		t.Error("the unfinished file is still there")
	}
	run.RunID, run.Seq = uuid.New(), 2
	if err := s.Runs(t.Context(), []schemas.Run{run}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir); len(got) != 2 || got[0].Seq != 1 || got[1].Seq != 2 {
		t.Errorf("runs after a torn line: %+v", got)
	}
}

// TestForeignFile: a file that is none of ours stops the sink with a name.
func TestForeignFile(t *testing.T) {
	dir := t.TempDir()
	s := openSink(t, dir)
	path := filepath.Join(dir, "t", "posture", "7-x.jsonl.staged")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"7-x.jsonl.staged": "nonsense", "x.jsonl.staged": "{}"} {
		file := filepath.Join(filepath.Dir(path), name)
		if err := os.WriteFile(file, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		err := s.Show(t.Context(), []schemas.Head{{Tenant: "t", Dataset: "spaces", Group: "posture", Seq: 9}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with %s: %v", name, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
