package vault_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/sitedrift/sitedrift/collector/vault"
)

// FuzzOpen: nothing opens that was not sealed, and nothing that was, once a byte
// of it or of its row is another.
func FuzzOpen(f *testing.F) {
	v, err := vault.Ephemeral()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(nil), []byte(nil), 0)
	f.Add([]byte{1, 0, 0, 0, 0}, []byte("acme"), 3)
	f.Add(bytes.Repeat([]byte{1}, 40), []byte("\x00"), 7)
	f.Fuzz(func(t *testing.T, text, associated []byte, flip int) {
		if got, err := v.Open(text, associated); err == nil {
			t.Fatalf("%x opened as %x", text, got)
		}
		sealed, err := v.Seal(text, associated)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Open(sealed, associated); err != nil || !bytes.Equal(got, text) {
			t.Fatalf("opened as %x, %v", got, err)
		}
		if _, err := v.Open(sealed, append(bytes.Clone(associated), 0)); err == nil {
			t.Fatal("opened in another row")
		}
		sealed[uint(flip)%uint(len(sealed))] ^= 1
		if _, err := v.Open(sealed, associated); err == nil {
			t.Fatal("opened with another byte")
		}
	})
}

// FuzzKeyFile: whatever a key file holds, it is refused without a word of it, or
// it seals and opens.
func FuzzKeyFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "vault.key")
	if _, err := vault.Create(path); err != nil {
		f.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(bytes.Replace(good, []byte("ENABLED"), []byte("DISABLED"), 1))
	f.Add(bytes.Replace(good, []byte("TINK"), []byte("RAW"), 1))
	f.Add([]byte(`{"primaryKeyId":1,"key":[]}`))
	f.Add([]byte(`{"primaryKeyId":"1","key":[{"keyData":null}]}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := vault.Open(path)
		if err != nil {
			if text := bytes.TrimSpace(data); len(text) > 12 && bytes.Contains([]byte(err.Error()), text) {
				t.Fatalf("the error quotes the file: %v", err)
			}
			return
		}
		sealed, err := v.Seal([]byte("secret"), nil)
		if err != nil {
			return // a keyset without a key in use
		}
		if got, err := v.Open(sealed, nil); err != nil || string(got) != "secret" {
			t.Fatalf("%q, %v", got, err)
		}
	})
}
