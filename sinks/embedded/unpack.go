package embedded

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// unpack writes the library found in the file from (a tarball, the library, or the library under zstd) to the new
// file to, mode 0555 and synced. Both the tarball and the library are hashed on the way; a wrong one is an error,
// and to must then be thrown away.
func unpack(ctx context.Context, from, to string, p pin, rep *reporter) error {
	f, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	in := bufio.NewReaderSize(readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return f.Read(b)
	}), 1<<20)
	magic, err := in.Peek(4)
	if err != nil {
		return fmt.Errorf("install engine: %s is no engine library: %w", from, err)
	}
	src, done := rep.bar("checking and unpacking", fi.Size(), in)
	defer done()
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return unpackTarball(src, from, to, p)
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(src)
		if err != nil {
			return fmt.Errorf("install engine: %s: %w", from, err)
		}
		defer z.Close()
		return writeLibrary(z, from, to, p.library)
	}
	return writeLibrary(src, from, to, p.library)
}

func unpackTarball(src io.Reader, from, to string, p pin) error {
	sum := newHashed(src, sha512.New())
	z, err := gzip.NewReader(sum)
	if err != nil {
		return fmt.Errorf("install engine: %s: %w", from, err)
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("install engine: %s holds no %s", from, p.member)
		}
		if err != nil {
			return fmt.Errorf("install engine: %s: %w", from, err)
		}
		if h.Name == p.member && h.Typeflag == tar.TypeReg {
			break
		}
	}
	if err := writeLibrary(t, from, to, p.library); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, sum); err != nil { // the rest counts for the tarball's hash
		return fmt.Errorf("install engine: %s: %w", from, err)
	}
	got := fingerprint{sum.n, base64.StdEncoding.EncodeToString(sum.h.Sum(nil))}
	return compareFingerprint(from, "sha512", got, p.tarball)
}

// writeLibrary copies src into a new file and checks what it copied.
func writeLibrary(src io.Reader, from, to string, want fingerprint) (err error) {
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := newHashed(io.LimitReader(src, want.size+1), sha256.New()) // one byte more shows a file that is too long
	if _, err := io.CopyBuffer(out, sum, make([]byte, 1<<20)); err != nil {
		return fmt.Errorf("install engine: unpack %s: %w", from, err)
	}
	got := fingerprint{sum.n, hex.EncodeToString(sum.h.Sum(nil))}
	if err := compareFingerprint("library in "+from, "sha256", got, want); err != nil {
		return err
	}
	if err := errors.Join(out.Chmod(0o555), out.Sync()); err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	return nil
}

// verifyFile hashes the installed library.
func verifyFile(ctx context.Context, path string, p pin, rep *reporter) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	defer f.Close()
	src, done := rep.bar("checking", p.library.size, readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return f.Read(b)
	}))
	defer done()
	sum := newHashed(src, sha256.New())
	if _, err := io.CopyBuffer(io.Discard, sum, make([]byte, 1<<20)); err != nil {
		return fmt.Errorf("install engine: %w", err)
	}
	return compareFingerprint(path, "sha256", fingerprint{sum.n, hex.EncodeToString(sum.h.Sum(nil))}, p.library)
}

func compareFingerprint(what, algorithm string, got, want fingerprint) error {
	switch {
	case got.size != want.size:
		return fmt.Errorf("install engine: %s is not the pinned build: it has %d bytes or more, not %d; nothing was installed", what, got.size, want.size)
	case got.hash != want.hash:
		return fmt.Errorf("install engine: %s is not the pinned build: its %s is %s, not %s; nothing was installed", what, algorithm, got.hash, want.hash)
	}
	return nil
}

// hashed counts and hashes what is read through it.
type hashed struct {
	r io.Reader
	h hash.Hash
	n int64
}

func newHashed(r io.Reader, h hash.Hash) *hashed { return &hashed{r: r, h: h} }

func (s *hashed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.h.Write(b[:n])
	s.n += int64(n)
	return n, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }
