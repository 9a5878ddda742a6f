package jsonl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/sitedrift/sitedrift/schemas"
)

// Sink writes below one directory. It is safe for concurrent use inside one
// process; two processes must not share a directory.
type Sink struct {
	dir  string
	runs sync.Mutex // runs.jsonl
}

const (
	shown    = ".jsonl"
	staged   = ".jsonl.staged"
	runsFile = "runs.jsonl"
)

// Open makes the directory if it is missing, and takes away what a crash left:
// a part of a line at the end of runs.jsonl, and files that were being written.
func Open(dir string) (*Sink, error) {
	if dir == "" {
		return nil, errors.New("jsonl sink: no directory is configured")
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, fmt.Errorf("jsonl sink: %w", err)
	}
	s := &Sink{dir: dir}
	if err := cutTornLine(filepath.Join(dir, runsFile)); err != nil {
		return nil, fmt.Errorf("jsonl sink: %w", err)
	}
	torn, err := filepath.Glob(filepath.Join(escapeGlob(dir), "*", "*", ".attempt-*"))
	for _, path := range torn {
		err = errors.Join(err, os.Remove(path))
	}
	if err != nil {
		return nil, fmt.Errorf("jsonl sink: %w", err)
	}
	return s, nil
}

// escapeGlob keeps a directory's own name from being a pattern.
func escapeGlob(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// segment is what a directory may be called: no separator, no leading dot, and
// nothing that a shell or another file system takes for something else.
var segment = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// attemptDir is where the files of a tenant's group are. Tenant ids come from
// people, so each is checked to be a plain name before it becomes a path.
func (s *Sink) attemptDir(tenant, group string) (string, error) {
	for _, n := range []string{tenant, group} {
		if !segment.MatchString(n) {
			return "", fmt.Errorf("jsonl sink: %q cannot be a directory: letters, digits, dot, dash and underscore, at most 128, not beginning with a dot", n)
		}
	}
	return filepath.Join(s.dir, tenant, group), nil
}

// attempt is a staged file, as its name and first line tell.
type attempt struct {
	path  string
	seq   uint64
	parts []string // datasets whose rows it holds
}

// stagedAttempts lists the staged files of a tenant's group.
func (s *Sink) stagedAttempts(tenant, group string) ([]attempt, error) {
	dir, err := s.attemptDir(tenant, group)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("jsonl sink: %w", err)
	}
	var list []attempt
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), staged)
		if !ok {
			continue
		}
		number, _, _ := strings.Cut(name, "-")
		seq, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("jsonl sink: %s is not named <attempt>-<run>%s: take it away", filepath.Join(dir, e.Name()), staged)
		}
		a := attempt{path: filepath.Join(dir, e.Name()), seq: seq}
		if a.parts, err = readParts(a.path); err != nil {
			return nil, fmt.Errorf("jsonl sink: %w", err)
		}
		list = append(list, a)
	}
	return list, nil
}

// of reports whether the head decides about the attempt. The datasets of an
// attempt are decided together, so any one of them will do, but one that the
// attempt did not touch says nothing: it may count the number as void.
func (a attempt) of(h schemas.Head) bool { return slices.Contains(a.parts, h.Dataset) }

// Show gives the files of decided attempts their names. Repeating it, or
// showing an older head after a newer one, changes nothing. Between two files
// of several heads a reader may see one and not the other; each is whole.
func (s *Sink) Show(ctx context.Context, heads []schemas.Head) error {
	return s.each(ctx, heads, func(h schemas.Head, a attempt) error {
		if a.seq > h.Seq || slices.Contains(h.Void, a.seq) {
			return nil
		}
		return os.Rename(a.path, strings.TrimSuffix(a.path, staged)+shown)
	})
}

// Sweep deletes the files of void attempts.
func (s *Sink) Sweep(ctx context.Context, heads []schemas.Head) error {
	return s.each(ctx, heads, func(h schemas.Head, a attempt) error {
		if !slices.Contains(h.Void, a.seq) {
			return nil
		}
		return os.Remove(a.path)
	})
}

// each calls do for every staged attempt and a head that decides about it, and
// makes what it did durable.
func (s *Sink) each(ctx context.Context, heads []schemas.Head, do func(schemas.Head, attempt) error) error {
	for _, h := range heads {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := s.stagedAttempts(h.Tenant, h.Group)
		if err != nil {
			return err
		}
		for _, a := range list {
			if !a.of(h) {
				continue
			}
			// Two heads of one attempt may be shown at once by two callers.
			if err := do(h, a); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("jsonl sink: %w", err)
			}
		}
		if len(list) > 0 {
			if err := syncDir(filepath.Dir(list[0].path)); err != nil {
				return fmt.Errorf("jsonl sink: %w", err)
			}
		}
	}
	return nil
}
