package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRefResolve(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	write := func(v string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(v), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resolve := func(text string) (string, error) {
		t.Helper()
		r, ok, f := parseRef(text, dir)
		if !ok || f != nil {
			t.Fatalf("parseRef(%q) = %v, %v", text, ok, f)
		}
		return r.Resolve()
	}

	t.Setenv("SITEDRIFT_TEST_SECRET", "from env")
	if v, err := resolve("env:SITEDRIFT_TEST_SECRET"); v != "from env" || err != nil {
		t.Errorf("env: %q, %v", v, err)
	}
	write("from file\n")
	for _, text := range []string{"file:secret", "file:" + file, "file://" + file} {
		if v, err := resolve(text); v != "from file" || err != nil {
			t.Errorf("%s: %q, %v", text, v, err)
		}
	}
	write("rotated")
	if v, err := resolve("file:secret"); v != "rotated" || err != nil {
		t.Errorf("after rotation: %q, %v", v, err)
	}

	t.Setenv("SITEDRIFT_TEST_SECRET", "")
	for text, want := range map[string]string{
		"env:SITEDRIFT_TEST_SECRET":  "is empty",
		"env:SITEDRIFT_TEST_MISSING": "is not set",
		"file:missing":               "does not exist",
		"file:" + dir:                "plain file",
	} {
		if v, err := resolve(text); err == nil || v != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q, %v; want an error with %q", text, v, err, want)
		}
	}
	write("\n")
	if _, err := resolve("file:secret"); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("empty file: %v", err)
	}
	if _, err := (Ref{}).Resolve(); err == nil {
		t.Error("the zero Ref resolves")
	}
}

// A plain address is allowed where nothing in it is secret.
func TestAddressWithoutPassword(t *testing.T) {
	const dsn = "postgres://sitedrift@db.example.com:5432/sitedrift?sslmode=verify-full"
	r, f := addressRef(dsn, "", "postgres", "postgresql")
	if f != nil {
		t.Fatal(f.message)
	}
	if v, err := r.Resolve(); v != dsn || err != nil || r.String() != dsn || r.IsZero() {
		t.Errorf("Resolve = %q, %v; String = %q", v, err, r)
	}
}

// Printing a Ref in any form shows the place of the secret and not the secret
// (Invariant 9).
func TestRefPrintsItsPlace(t *testing.T) {
	t.Setenv("SITEDRIFT_TEST_SECRET", "s3cr3t")
	r, _, _ := parseRef("env:SITEDRIFT_TEST_SECRET", "")
	if _, err := r.Resolve(); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if got := fmt.Sprintf(verb, r); strings.Contains(got, "s3cr3t") || !strings.Contains(got, "SITEDRIFT_TEST_SECRET") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]Bytes{
		"2GiB": 2 * GiB, "512 MiB": 512 * MiB, "1.5KiB": 1536, "1GB": 1e9, "7B": 7, "0B": 0,
	} {
		if got, ok := parseBytes(text); !ok || got != want {
			t.Errorf("parseBytes(%q) = %d, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "2048", "GiB", "-1GiB", "NaNGiB", "InfB", "99999999TiB", "2gib"} {
		if got, ok := parseBytes(text); ok {
			t.Errorf("parseBytes(%q) = %d, want refusal", text, got)
		}
	}
	for b, want := range map[Bytes]string{2 * GiB: "2GiB", 1536: "1536B", 3 * MiB: "3MiB", 1e9: "1GB", 0: "0B"} {
		if got := b.String(); got != want {
			t.Errorf("%d = %q, want %q", int64(b), got, want)
		}
		if back, ok := parseBytes(b.String()); !ok || back != b {
			t.Errorf("%s reads back as %d", b, back)
		}
	}
}
