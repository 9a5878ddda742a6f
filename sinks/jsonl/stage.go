package jsonl

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sitedrift/sitedrift/schemas"
)

// Stage writes the attempt's file, durably, under a name that readers pass over.
// A repeated attempt replaces its file; one that is shown already is left alone.
func (s *Sink) Stage(ctx context.Context, d *schemas.Delta) error {
	dir, err := s.attemptDir(d.Tenant, d.Group)
	if err != nil {
		return err
	}
	base := filepath.Join(dir, fmt.Sprintf("%d-%s", d.Seq, d.RunID))
	if _, err := os.Stat(base + shown); err == nil {
		return nil
	}
	if err := s.makeDir(d.Tenant, d.Group); err != nil {
		return fmt.Errorf("jsonl sink: %w", err)
	}
	tmp, err := os.CreateTemp(dir, ".attempt-*")
	if err != nil {
		return fmt.Errorf("jsonl sink: %w", err)
	}
	w := bufio.NewWriterSize(tmp, 1<<16)
	err = writeDelta(ctx, w, d)
	if err == nil {
		err = errors.Join(w.Flush(), tmp.Chmod(0o640), tmp.Sync())
	}
	err = errors.Join(err, tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), base+staged)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("jsonl sink: stage attempt %d of tenant %s: %w", d.Seq, d.Tenant, err)
	}
	return nil
}

// makeDir makes the directory of a tenant's group and syncs the ones above it,
// so that a file below is not lost with its directory.
func (s *Sink) makeDir(tenant, group string) error {
	dir := filepath.Join(s.dir, tenant, group)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Join(s.dir, tenant)), syncDir(s.dir))
}

// writeDelta writes the run first, then what it found.
func writeDelta(ctx context.Context, w *bufio.Writer, d *schemas.Delta) error {
	parts := []string{}
	for _, p := range d.Parts {
		if p.Head.Seq != d.Seq || p.Head.Tenant != d.Tenant || p.Head.Dataset != p.Table.Name {
			return fmt.Errorf("the head of %s is of tenant %s, dataset %s, attempt %d", p.Table.Name, p.Head.Tenant, p.Head.Dataset, p.Head.Seq)
		}
		parts = append(parts, p.Table.Name)
	}
	l := line{w: w}
	l.run(d.Run, parts)
	for _, p := range d.Parts {
		for _, s := range []struct {
			blocks schemas.Blocks
			write  func(b *schemas.Block, i int)
		}{
			{p.Rows, func(b *schemas.Block, i int) { l.version(p.Head, b, i) }},
			{p.Changes, func(b *schemas.Block, i int) { l.record("change", b, i) }},
			{p.Coverage, func(b *schemas.Block, i int) { l.record("coverage", b, i) }},
		} {
			if s.blocks == nil {
				continue
			}
			for b, err := range s.blocks {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					return err
				}
				for i := range b.N {
					s.write(b, i)
				}
			}
		}
	}
	return l.err
}

// readParts reads the datasets of an attempt from the first line of its file.
func readParts(path string) ([]string, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) { // shown in between
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	first, err := bufio.NewReader(f).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var run struct {
		Type  string   `json:"type"`
		Parts []string `json:"parts"`
	}
	if err := json.Unmarshal(first, &run); err != nil || run.Type != "run" {
		return nil, fmt.Errorf("%s does not begin with a run: take it away", path)
	}
	return run.Parts, nil
}

// Runs appends runs that stand alone to runs.jsonl, durably. When writing
// fails the file is cut back to what it was.
func (s *Sink) Runs(_ context.Context, runs []schemas.Run) error {
	if len(runs) == 0 {
		return nil
	}
	for _, r := range runs {
		if r.Gate != "" {
			return fmt.Errorf("jsonl sink: run %s of tenant %s waits for %s to be shown: it belongs to a delta", r.RunID, r.Tenant, r.Gate)
		}
	}
	s.runs.Lock()
	defer s.runs.Unlock()
	f, err := os.OpenFile(filepath.Join(s.dir, runsFile), os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // the group may read it, like the attempts
	if err != nil {
		return fmt.Errorf("jsonl sink: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil {
		w := bufio.NewWriter(f)
		l := line{w: w}
		for _, r := range runs {
			l.run(r, nil)
		}
		if err = errors.Join(l.err, w.Flush(), f.Sync()); err != nil {
			err = errors.Join(err, f.Truncate(size))
		}
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("jsonl sink: append %d runs: %w", len(runs), err)
	}
	if size == 0 {
		return syncDir(s.dir)
	}
	return nil
}

// cutTornLine cuts a file back to its last line end.
func cutTornLine(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || len(data) == 0 || data[len(data)-1] == '\n' {
		return err
	}
	end := len(data)
	for end > 0 && data[end-1] != '\n' {
		end--
	}
	return os.Truncate(path, int64(end))
}

// syncDir makes names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
