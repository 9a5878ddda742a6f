package vault

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func mustSeal(t *testing.T, v *Vault, plain string, ad []byte) []byte {
	t.Helper()
	sealed, err := v.Seal([]byte(plain), ad)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealedValueOpensOnlyInItsOwnRow(t *testing.T) {
	v, err := Create(filepath.Join(t.TempDir(), "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, v, "canary-token", AssociatedData("acme", "3lo", 4))
	if bytes.Contains(sealed, []byte("canary")) {
		t.Fatal("the plaintext is readable in the sealed value")
	}
	plain, err := v.Open(sealed, AssociatedData("acme", "3lo", 4))
	if err != nil || string(plain) != "canary-token" {
		t.Fatalf("open = %q, %v", plain, err)
	}
	for name, ad := range map[string][]byte{
		"another tenant":     AssociatedData("globex", "3lo", 4),
		"another kind":       AssociatedData("acme", "pat", 4),
		"another generation": AssociatedData("acme", "3lo", 5),
		"shifted boundary":   AssociatedData("acme3", "lo", 4),
		"none":               nil,
	} {
		if _, err := v.Open(sealed, ad); !errors.Is(err, ErrMoved) {
			t.Errorf("%s: err = %v, want ErrMoved", name, err)
		}
	}
	altered := bytes.Clone(sealed)
	altered[len(altered)-1] ^= 1
	for name, bad := range map[string][]byte{"altered": altered, "cut": sealed[:4], "empty": nil, "not ours": []byte("hello, world")} {
		if _, err := v.Open(bad, AssociatedData("acme", "3lo", 4)); !errors.Is(err, ErrMoved) {
			t.Errorf("%s: err = %v, want ErrMoved", name, err)
		}
	}
}

func TestAssociatedDataIsInjective(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOfN(rapid.SampledFrom([]rune{'a', 'b', 0, 1, 2, '3'}), 0, 4, -1)
		a, b := text.Draw(t, "tenant a"), text.Draw(t, "tenant b")
		ka, kb := text.Draw(t, "kind a"), text.Draw(t, "kind b")
		ga, gb := rapid.Int64Range(0, 3).Draw(t, "generation a"), rapid.Int64Range(0, 3).Draw(t, "generation b")
		same := a == b && ka == kb && ga == gb
		if bytes.Equal(AssociatedData(a, ka, ga), AssociatedData(b, kb, gb)) != same {
			t.Fatalf("(%q %q %d) and (%q %q %d): equal bytes = %v", a, ka, ga, b, kb, gb, !same)
		}
	})
}

func TestForeignKeyFileSaysSo(t *testing.T) {
	dir := t.TempDir()
	ours, err := Create(filepath.Join(dir, "ours.key"))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := Create(filepath.Join(dir, "theirs.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, ours, "token", nil)
	_, err = theirs.Open(sealed, nil)
	if !errors.Is(err, ErrUnknownKey) {
		t.Fatalf("err = %v, want ErrUnknownKey", err)
	}
	if !strings.Contains(err.Error(), "theirs.key") || !strings.Contains(err.Error(), "restore the key file") {
		t.Errorf("the error does not name the file and the way out: %v", err)
	}
}

func TestKeyFileMustBeItsOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	if _, err := Create(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode = %v, %v, want 0600", st.Mode(), err)
	}
	for _, mode := range []fs.FileMode{0o640, 0o604, 0o660, 0o644, 0o620} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: err = %v, want one that says chmod 600", mode, err)
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err != nil {
		t.Errorf("mode 400: %v", err)
	}
}

// What Kubernetes mounts from a Secret belongs to root and is read by the group
// of the container's user.
func TestKeyFileOfTheAdministrator(t *testing.T) {
	for _, c := range []struct {
		perm        fs.FileMode
		owner, self int
		exposed     bool
	}{
		{0o440, 0, 65532, false},
		{0o640, 0, 65532, false},
		{0o440, 0, 0, true},       // root hands nothing over to itself
		{0o440, 1000, 1000, true}, // its own file, for others too
		{0o440, 1000, 65532, true},
		{0o440, -1, 65532, true},
		{0o444, 0, 65532, true},
		{0o460, 0, 65532, true},
		{0o400, 0, 65532, false},
	} {
		if got := exposed(c.perm, c.owner, c.self); got != c.exposed {
			t.Errorf("mode %o of user %d, asked by user %d: exposed = %v", c.perm, c.owner, c.self, got)
		}
	}
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	v, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, v, "token", nil)
	if _, err := Create(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second create: %v, want fs.ErrExist", err)
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Open(sealed, nil); err != nil {
		t.Errorf("the first key is gone: %v", err)
	}
	if _, err := Open(path + ".absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent file: %v, want fs.ErrNotExist", err)
	}
}

func TestBrokenKeyFileIsNotQuoted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	if err := os.WriteFile(path, []byte(`{"primaryKeyId": 1, "key": [{"keyData": {"value": "canary"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path)
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("err = %v, want one that does not quote the file", err)
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("a directory was taken as a key file")
	}
}

func TestRotationKeepsOldValuesReadable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	v, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(path) // another process, which runs on
	if err != nil {
		t.Fatal(err)
	}
	old := mustSeal(t, v, "old", nil)
	id, err := v.AddKey()
	if err != nil {
		t.Fatal(err)
	}
	if got := v.Keys(); len(got) != 2 || got[0] != id {
		t.Errorf("keys = %v, want two with %d first", got, id)
	}
	fresh := mustSeal(t, v, "new", nil)
	if v.SealedWithPrimary(old) || !v.SealedWithPrimary(fresh) {
		t.Error("the new key is not the one that seals")
	}
	reopened, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]*Vault{"same": v, "reopened": reopened, "running": other} {
		for want, sealed := range map[string][]byte{"old": old, "new": fresh} {
			if plain, err := reader.Open(sealed, nil); err != nil || string(plain) != want {
				t.Errorf("%s vault, %s value: %q, %v", name, want, plain, err)
			}
		}
	}
	// A second rotation by the process with the older view must not drop the first one's key.
	if _, err := other.AddKey(); err != nil {
		t.Fatal(err)
	}
	if got := other.Keys(); len(got) != 3 {
		t.Errorf("keys after the second rotation = %v, want three", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode after rotation = %v, %v", st.Mode(), err)
	}
	if err := os.WriteFile(path+".new", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := v.AddKey(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("rotation beside another: %v, want fs.ErrExist", err)
	}
}

func TestEphemeralVault(t *testing.T) {
	v, err := Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	sealed := mustSeal(t, v, "x", nil)
	if _, err := v.AddKey(); err != nil {
		t.Fatal(err)
	}
	if plain, err := v.Open(sealed, nil); err != nil || string(plain) != "x" {
		t.Errorf("open = %q, %v", plain, err)
	}
}

func BenchmarkSealOpen(b *testing.B) {
	v, err := Ephemeral()
	if err != nil {
		b.Fatal(err)
	}
	token, ad := bytes.Repeat([]byte("t"), 2500), AssociatedData("acme", "3lo", 1)
	for b.Loop() {
		sealed, err := v.Seal(token, ad)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := v.Open(sealed, ad); err != nil {
			b.Fatal(err)
		}
	}
}

// TestOldKeysGo: another process that has the file open seals with the new key at
// once, and what only a dropped key opens is said to be so.
func TestOldKeysGo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vault.key")
	v, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	row := AssociatedData("acme", "3lo", 1)
	old := mustSeal(t, other, "canary-token", row)
	first := v.Keys()[0]
	if _, err := v.AddKey(); err != nil {
		t.Fatal(err)
	}
	if v.SealedWithPrimary(old) {
		t.Error("the old key counts as the primary one")
	}
	if sealed := mustSeal(t, other, "canary-token", row); !v.SealedWithPrimary(sealed) {
		t.Error("a process that had the file open seals with the old key")
	}
	dropped, err := v.DropOldKeys()
	if err != nil || len(dropped) != 1 || dropped[0] != first || len(v.Keys()) != 1 {
		t.Fatalf("dropped %v, %v; left %v", dropped, err, v.Keys())
	}
	again, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*Vault{v, again} {
		if _, err := v.Open(old, row); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("what the dropped key sealed: %v", err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key file: %v, %v", info.Mode(), err)
	}
	if dropped, err := v.DropOldKeys(); err != nil || len(dropped) != 0 {
		t.Errorf("nothing to drop: %v, %v", dropped, err)
	}
}

// TestReplacedKeyFileIsJudged: a file that is not trusted neither seals, nor opens,
// nor becomes part of the next rotation.
func TestReplacedKeyFileIsJudged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "vault.key")
	v, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	proof := mustSeal(t, v, "proof", nil)
	v.Trust(func(candidate *Vault) error {
		_, err := candidate.Open(proof, nil)
		return err
	})
	if err := os.Rename(path, path+".right"); err != nil {
		t.Fatal(err)
	}
	foreign, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if sealed := mustSeal(t, v, "token", nil); !v.SealedWithPrimary(sealed) || foreign.SealedWithPrimary(sealed) {
		t.Error("a foreign key seals")
	}
	if _, err := v.Open(mustSeal(t, foreign, "token", nil), nil); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a foreign key opens: %v", err)
	}
	if _, err := v.AddKey(); !errors.Is(err, ErrUnknownKey) || len(v.Keys()) != 1 {
		t.Errorf("a foreign key file is rotated: %v", err)
	}
	right, err := Open(path + ".right")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := right.AddKey(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".right", path); err != nil {
		t.Fatal(err)
	}
	if sealed := mustSeal(t, v, "token", nil); !right.SealedWithPrimary(sealed) {
		t.Error("the right file with its newer key is not taken up")
	}
}

// TestRotationNeedsRoom: whoever cannot write beside the key file, as where secrets are
// mounted, learns what to do; the key stays as it was.
func TestRotationNeedsRoom(t *testing.T) {
	v, err := Create(filepath.Join(t.TempDir(), strings.Repeat("k", 252))) // no file with a longer name can be made beside it
	if err != nil {
		t.Fatal(err)
	}
	before := v.Keys()
	if _, err := v.AddKey(); err == nil || !strings.Contains(err.Error(), "cannot be written: rotate a copy of the file") {
		t.Error(err)
	}
	if got := v.Keys(); len(got) != 1 || got[0] != before[0] {
		t.Errorf("keys were %v and are %v", before, got)
	}
}
