package embedded

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"testing"
)

// FuzzUnpack: whatever the file is that is given for the engine, nothing but the
// pinned library is taken out of it.
func FuzzUnpack(f *testing.F) {
	library := []byte("the library")
	p := pin{member: "package/lib", library: fingerprint{int64(len(library)), "not its hash"}, tarball: fingerprint{1, "nor this"}}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range []string{"../escape", "package/lib"} {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(library)), Mode: 0o777}); err != nil {
			f.Fatal(err)
		}
		if _, err := w.Write(library); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	if err := z.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:b.Len()/2])
	f.Add(library)
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0})
	f.Add([]byte{0x1f, 0x8b})
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
		if err := os.WriteFile(from, data, 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(to)
		if err := unpack(t.Context(), from, to, p, newReporter(nil)); err == nil {
			t.Fatalf("%d bytes pass for the engine", len(data))
		}
		if info, err := os.Stat(to); err == nil && (info.Mode().Perm()&0o111 != 0 || info.Size() > p.library.size+1) {
			t.Fatalf("left: %v with %d bytes", info.Mode(), info.Size())
		}
	})
}

// FuzzAccess: whatever is on the engine's standard input, it serves nobody without
// a token.
func FuzzAccess(f *testing.F) {
	for _, line := range []string{`{"token":"t","readers":[{"Name":"a","Tenant":"b","Token":[1,2]}],"views":["spaces"]}` + "\n", "{}\n", "null\n", "\n", `{"token":"t"}`, `{"token":1}` + "\n", "[]\n"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if a, err := readAccess(bytes.NewReader(line)); err == nil && (a.Token == "" || !bytes.Contains(line, []byte("\n"))) {
			t.Fatalf("%q opens it: %+v", line, a)
		}
	})
}
