//go:build unix

package enginetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

const childPackage = "github.com/sitedrift/sitedrift/sinks/embedded/enginetest/child"

// memory is the engine's limit in tests: several run beside each other.
const memory = 4 << 30

// prepared is what an engine needs that is made once per test binary.
type prepared struct {
	library string
	child   string
}

func (p prepared) settings(dir string) embedded.Settings {
	return embedded.Settings{Dir: dir, Library: p.library, Command: []string{p.child}, MaxMemoryBytes: memory}
}

// prepare installs the library where it is missing and builds the child.
var prepare = sync.OnceValues(func() (prepared, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	library, err := embedded.Find("", "")
	if _, ok := errors.AsType[*embedded.LibraryError](err); ok {
		library, err = embedded.Install(ctx, embedded.InstallSettings{Progress: os.Stderr})
	}
	if err != nil {
		return prepared{}, err
	}
	child, err := buildChild(ctx)
	return prepared{library, child}, err
})

// buildChild builds the helper program and keeps it in the cache under the hash of its content, so that nothing
// is left behind by a test binary and two of them never see each other's half-written file.
func buildChild(ctx context.Context) (string, error) {
	cache, err := embedded.DefaultCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "enginetest")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	built := filepath.Join(tmp, "child")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", built, childPackage)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+os.Getenv("GOFLAGS")+" -buildvcs=false") // no -race, whatever the test has
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the engine child: %w: %s", err, out)
	}
	sum, err := hashFile(built)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "child-"+sum[:24])
	if err := os.Rename(built, path); err != nil {
		return "", err
	}
	return path, removeOld(dir, path)
}

// removeOld throws away children of earlier source versions.
func removeOld(dir, keep string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*-*"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if fi, err := os.Stat(f); err == nil && f != keep && time.Since(fi.ModTime()) > 24*time.Hour {
			_ = os.RemoveAll(f)
		}
	}
	return nil
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
