//go:build linux && !noengine

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// changedSources are files that a build has in the place of the checkout's, by their
// paths there (go help build, -overlay): the product has no switch for it. New files
// may be among them.
type changedSources map[string]string

// edit is a text of a source and what stands there in its place.
type edit struct{ out, in string }

// edit changes a file. Each text must be in it once, so that the product cannot move
// away under the edits; what says where they are kept.
func (c changedSources) edit(t testing.TB, what, file string, edits ...edit) {
	t.Helper()
	source, ok := c[file]
	if !ok {
		text, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		source = string(text)
	}
	for _, e := range edits {
		if n := strings.Count(source, e.out); n != 1 {
			t.Fatalf("%s: %s holds this text %d times, and it must be once; write it as it is there now:\n%s", what, file, n, e.out)
		}
		source = strings.Replace(source, e.out, e.in, 1)
	}
	c[file] = source
}

// compile runs go build on packages of the checkout with these sources, and with fail
// points.
func (c changedSources) compile(t testing.TB, args ...string) {
	t.Helper()
	dir, replace := t.TempDir(), map[string]string{}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for file, source := range c {
		path := filepath.Join(dir, fmt.Sprintf("%d%s", len(replace), filepath.Ext(file)))
		if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(root, file)] = path
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, text, 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", append([]string{"build", "-tags", "failpoint", "-overlay", overlay}, args...)...)
	build.Dir = root
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with changed sources: %v\n%s", err, out)
	}
}
