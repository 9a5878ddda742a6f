package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// DefaultCacheDir is where fetched files are kept: $XDG_CACHE_HOME/sitedrift, or what the platform has in its place.
func DefaultCacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("embedded engine: no cache directory: %w; set one in the configuration", err)
	}
	return filepath.Join(dir, "sitedrift"), nil
}

// Find returns the engine's library: explicit if it is not empty, else the pinned build in cacheDir (empty: the
// default). An explicit file may be another build; it only has to be there. The cached one must have the pinned
// size; its hash was checked when it was installed, by the only code that writes there. The error is a
// [*LibraryError] when there is no usable file.
func Find(explicit, cacheDir string) (string, error) {
	if explicit != "" {
		fi, err := os.Stat(explicit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", &LibraryError{explicit, "does not exist (it is named by the configuration)"}
		case err != nil:
			return "", fmt.Errorf("embedded engine: library: %w", err)
		case !fi.Mode().IsRegular():
			return "", &LibraryError{explicit, "is no file (it is named by the configuration)"}
		}
		return filepath.Abs(explicit)
	}
	return findCached(cacheDir, pinned(runtime.GOOS, runtime.GOARCH))
}

func findCached(cacheDir string, p pin) (string, error) {
	path, err := cachePath(cacheDir, p)
	if err != nil {
		return "", err
	}
	fi, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", &LibraryError{path, "is not installed"}
	case err != nil:
		return "", fmt.Errorf("embedded engine: library: %w", err)
	case fi.Size() != p.library.size:
		return "", &LibraryError{path, fmt.Sprintf("has %d bytes, build %s has %d", fi.Size(), p.version, p.library.size)}
	}
	return path, nil
}

// cachePath is where the pinned library lies in the cache, absolute.
func cachePath(cacheDir string, p pin) (string, error) {
	if cacheDir == "" {
		var err error
		if cacheDir, err = DefaultCacheDir(); err != nil {
			return "", err
		}
	}
	path, err := filepath.Abs(filepath.Join(cacheDir, "libchdb", p.version, "libchdb.so"))
	if err != nil {
		return "", fmt.Errorf("embedded engine: cache directory %s: %w", cacheDir, err)
	}
	return path, nil
}
