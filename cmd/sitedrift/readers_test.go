package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// TestReaderTokens: short ones and shared ones are refused, and hashes go on.
func TestReaderTokens(t *testing.T) {
	reader := func(name, token string) config.Reader {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return config.Reader{Name: name, Tenant: "acme", Token: config.FileRef(file)}
	}
	const long = "0123456789abcdef01234567"
	got, err := resolveReaders([]config.Reader{reader("one", long)})
	if err != nil || got[0] != (front.Reader{Name: "one", Tenant: "acme", Token: front.HashToken(long)}) {
		t.Errorf("resolved %v, %v", got, err)
	}
	for want, list := range map[string][]config.Reader{
		"readers[0].token: the token of one has fewer than 24 characters": {reader("one", long[1:])},
		"readers[1].token: two has the token of one":                      {reader("one", long), reader("two", long)},
		"does not exist": {{Name: "one", Tenant: "acme", Token: config.FileRef("/nowhere/token")}},
	} {
		if _, err := resolveReaders(list); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), long[1:]) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
