package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// InstallSettings says where the engine's library comes from and goes to.
type InstallSettings struct {
	CacheDir string    // empty: DefaultCacheDir
	From     string    // a file handed over: the npm tarball, libchdb.so, or libchdb.so.zst. Empty: fetch with npm
	Progress io.Writer // what happens, for people; nil: silent. A bar when it is a terminal, else lines
}

// Install puts the pinned library into the cache and returns its path. It does nothing but check the hash when it
// is there already. The file is hashed while it is unpacked and takes its place, by rename, only after size and
// hash were found right; nothing of a download is executed (npm runs no scripts for `npm pack`). It needs about
// 0.8 GB of disk for a moment. Several may run at once.
func Install(ctx context.Context, s InstallSettings) (path string, err error) {
	return install(ctx, s, pinned(runtime.GOOS, runtime.GOARCH))
}

func install(ctx context.Context, s InstallSettings, p pin) (string, error) {
	path, err := cachePath(s.CacheDir, p)
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	unlock, err := lockWait(ctx, filepath.Join(dir, "install.lock"))
	if err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	defer unlock()
	rep := newReporter(s.Progress)
	if _, err := findCached(s.CacheDir, p); err == nil && s.From == "" {
		if err := verifyFile(ctx, path, p, rep); err == nil {
			rep.line("engine library %s is installed: %s", p.version, path)
			return path, nil
		}
		rep.line("the installed file is damaged: fetching it again")
	}
	tmp, err := os.MkdirTemp(dir, ".install-")
	if err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	defer os.RemoveAll(tmp)
	from := s.From
	if from == "" {
		if from, err = fetch(ctx, tmp, p, rep); err != nil {
			return "", err
		}
	}
	unpacked := filepath.Join(tmp, "libchdb.so")
	if err := unpack(ctx, from, unpacked, p, rep); err != nil {
		return "", err
	}
	if err := os.Rename(unpacked, path); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return "", fmt.Errorf("install engine: %w", err)
	}
	rep.line("engine library %s is installed: %s", p.version, path)
	return path, nil
}

// fetch asks the npm client, with the registry and proxy it is configured for, to put the tarball into dir.
func fetch(ctx context.Context, dir string, p pin, rep *reporter) (string, error) {
	if p.spec == "" {
		return "", fmt.Errorf("install engine: no library build is published for %s/%s; "+
			"name a libchdb %s or newer in the configuration, or use a ClickHouse server", runtime.GOOS, runtime.GOARCH, p.version)
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("install engine: the npm client is needed to fetch %s and is not in PATH; "+
			"install it, or fetch the package elsewhere (`npm pack %s`) and hand it over with --from: %w", p.spec, p.spec, err)
	}
	rep.line("fetching %s with npm (%d MB)", p.spec, p.tarball.size/1_000_000)
	cmd := exec.CommandContext(ctx, npm, "pack", p.spec, "--ignore-scripts", "--silent", "--pack-destination", dir)
	cmd.Dir = dir // away from any project's own npm configuration
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", fmt.Errorf("install engine: %w", ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("install engine: npm pack %s: %w: %s", p.spec, err, lastLines(stderr.String(), 5))
	}
	lines := strings.Fields(string(out))
	if len(lines) == 0 {
		return "", errors.New("install engine: npm pack named no file")
	}
	return filepath.Join(dir, filepath.Base(lines[len(lines)-1])), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// lastLines keeps the end of a text: where programs say what went wrong.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "; ")
}
