package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// artifact is a small stand-in for the published package, with the pin that fits it.
type artifact struct {
	library, tarball []byte
	pin              pin
}

func makeArtifact(t *testing.T, library string) artifact {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for _, f := range []struct{ name, text string }{{"package/package.json", "{}"}, {libraryMember, library}, {"package/later.txt", "more"}} {
		if err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o755, Size: int64(len(f.text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	lib, tgz := sha256.Sum256([]byte(library)), sha512.Sum512(buf.Bytes())
	return artifact{[]byte(library), buf.Bytes(), pin{
		version: "1.2.3", spec: "@none/none@1", member: libraryMember,
		library: fingerprint{int64(len(library)), hex.EncodeToString(lib[:])},
		tarball: fingerprint{int64(buf.Len()), base64.StdEncoding.EncodeToString(tgz[:])},
	}}
}

func writeFile(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInstallFrom(t *testing.T) {
	a := makeArtifact(t, "\x7fELF the library")
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"package.tgz": a.tarball, "libchdb.so": a.library, "libchdb.so.zst": enc.EncodeAll(a.library, nil),
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			var said bytes.Buffer
			path, err := install(t.Context(), InstallSettings{CacheDir: cache, From: writeFile(t, name, data), Progress: &said}, a.pin)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(got, a.library) {
				t.Errorf("installed %q, %v", got, err)
			}
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o555 {
				t.Errorf("mode %v, %v; want 0555", fi.Mode(), err)
			}
			if found, err := findCached(cache, a.pin); err != nil || found != path {
				t.Errorf("find: %s, %v", found, err)
			}
			if want := "engine library 1.2.3 is installed: " + path; !strings.Contains(said.String(), want) {
				t.Errorf("said %q, want %q", said.String(), want)
			}
			// There already: nothing is fetched, only checked (the spec names no package that exists).
			if again, err := install(t.Context(), InstallSettings{CacheDir: cache}, a.pin); err != nil || again != path {
				t.Errorf("again: %s, %v", again, err)
			}
		})
	}
}

func TestInstallRefusesAnythingElse(t *testing.T) {
	a := makeArtifact(t, "the library")
	other := makeArtifact(t, "the virus!!") // same length
	shorter := makeArtifact(t, "short")
	swapped := a.pin // right library in a tarball that is not the published one
	swapped.tarball = other.pin.tarball
	swapped.tarball.size = a.pin.tarball.size
	for _, tc := range []struct {
		name string
		data []byte
		pin  pin
		want string
	}{
		{"other.tgz", other.tarball, a.pin, "install engine: library in FILE is not the pinned build: its sha256 is " +
			other.pin.library.hash + ", not " + a.pin.library.hash + "; nothing was installed"},
		{"other.so", other.library, a.pin, "its sha256 is"},
		{"shorter.so", shorter.library, a.pin, "install engine: library in FILE is not the pinned build: it has 5 bytes or more, not 11; nothing was installed"},
		{"longer.so", append(bytes.Clone(a.library), 0), a.pin, "it has 12 bytes or more, not 11"},
		{"tarball.tgz", a.tarball, swapped, "install engine: FILE is not the pinned build: its sha512 is " + a.pin.tarball.hash},
		{"longer.tgz", append(bytes.Clone(a.tarball), make([]byte, 10)...), a.pin, "FILE is not the pinned build: it has"},
		{"cut.tgz", a.tarball[:len(a.tarball)/2], a.pin, "install engine: "},
		{"empty", nil, a.pin, "install engine: FILE is no engine library: EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := t.TempDir()
			from := writeFile(t, tc.name, tc.data)
			_, err := install(t.Context(), InstallSettings{CacheDir: cache, From: from}, tc.pin)
			if err == nil {
				t.Fatal("it was installed")
			}
			if want := strings.ReplaceAll(tc.want, "FILE", from); !strings.Contains(err.Error(), want) {
				t.Errorf("got  %s\nwant %s", err, want)
			}
			var missing *LibraryError
			if _, err := findCached(cache, tc.pin); !errors.As(err, &missing) {
				t.Errorf("find after a refused install: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(cache, "libchdb", "*", ".install-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestInstallRepairsADamagedFile(t *testing.T) {
	a := makeArtifact(t, "the library")
	cache := t.TempDir()
	path, err := install(t.Context(), InstallSettings{CacheDir: cache, From: writeFile(t, "a.tgz", a.tarball)}, a.pin)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(path, 0o755), os.WriteFile(path, []byte("the l1brary"), 0o755)); err != nil {
		t.Fatal(err)
	}
	// Same size, so that only the hash tells; npm is not there to fetch it from.
	t.Setenv("PATH", t.TempDir())
	if _, err := install(t.Context(), InstallSettings{CacheDir: cache}, a.pin); err == nil || !strings.Contains(err.Error(), "the npm client is needed to fetch @none/none@1") {
		t.Errorf("without npm: %v", err)
	}
	if _, err := install(t.Context(), InstallSettings{CacheDir: cache, From: writeFile(t, "a.tgz", a.tarball)}, a.pin); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); string(got) != "the library" {
		t.Errorf("still %q", got)
	}
}

func TestInstallStopsWithItsContext(t *testing.T) {
	a := makeArtifact(t, "the library")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := install(ctx, InstallSettings{CacheDir: t.TempDir(), From: writeFile(t, "a.tgz", a.tarball)}, a.pin); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

func TestFindWrongSize(t *testing.T) {
	a := makeArtifact(t, "the library")
	cache := t.TempDir()
	path := filepath.Join(cache, "libchdb", "1.2.3", "libchdb.so")
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("half"), 0o555)); err != nil {
		t.Fatal(err)
	}
	_, err := findCached(cache, a.pin)
	want := "embedded engine: library " + path + " has 4 bytes, build 1.2.3 has 11; run `sitedrift engine install`, or on a machine without network `sitedrift engine install --from FILE`"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestInstalledLibraryIsThePinnedOne hashes the real file that the other tests run on.
func TestInstalledLibraryIsThePinnedOne(t *testing.T) {
	p := pinned(runtime.GOOS, runtime.GOARCH)
	path, err := Install(t.Context(), InstallSettings{})
	if err != nil {
		t.Fatal(err)
	}
	if err := verifyFile(t.Context(), path, p, newReporter(nil)); err != nil {
		t.Error(err)
	}
	if pinned("linux", "arm64").spec != "" || pinned("darwin", "arm64").spec != "" {
		t.Error("a package is named for a platform that has none")
	}
}
