package embedded

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWithoutEngineIsStatic: the server image's daemon must not load anything at run time, so the binding has to
// stay out of it, and the package has to say what is missing.
func TestWithoutEngineIsStatic(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", "noengine", "./enginetest/child")
	list.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := list.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for dep := range strings.FieldsSeq(string(out)) {
		if strings.HasPrefix(dep, "github.com/ebitengine/purego") || dep == "runtime/cgo" {
			t.Errorf("a build with the tag noengine contains %s", dep)
		}
	}
	bin := filepath.Join(t.TempDir(), "child")
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "noengine", "-o", bin, "./enginetest/child")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err = exec.CommandContext(t.Context(), bin).CombinedOutput()
	if got, want := string(out), ErrNotBuilt.Error()+"\n"; got != want || err == nil {
		t.Errorf("got %q, %v; want %q and an exit code", got, err, want)
	}
}
