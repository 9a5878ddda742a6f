package vault

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
)

// maxKeyFile bounds what is read as a key file; a keyset of hundreds of keys fits.
const maxKeyFile = 1 << 20

// Open reads the key file at path. It refuses a file that others than its owner
// can read or write, and an error that is fs.ErrNotExist says that there is none.
func Open(path string) (*Vault, error) {
	handle, seen, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	v := &Vault{path: path, seen: seen}
	if err := v.use(handle); err != nil {
		return nil, err
	}
	return v, nil
}

// Create makes a key file at path with one new key, mode 0600. It never
// overwrites: an error that is fs.ErrExist says that the file is there already.
func Create(path string) (*Vault, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}
	if err := writeNew(path, handle); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("key file %s is there already; it is not overwritten, since what it sealed would be lost: %w", path, fs.ErrExist)
		}
		return nil, fmt.Errorf("write key file %s: %w", path, err)
	}
	return Open(path)
}

// AddKey adds a new key to the key file and makes it the primary one; what
// older keys sealed still opens. Running processes find the key when they first
// need it. It returns the new key's id. Two rotations at once are refused.
func (v *Vault) AddKey() (uint32, error) {
	return v.rotate(func(m *keyset.Manager, _ *tinkpb.KeysetInfo) (uint32, error) {
		id, err := m.Add(aead.AES256GCMKeyTemplate())
		if err != nil {
			return 0, fmt.Errorf("make an encryption key: %w", err)
		}
		if err := m.SetPrimary(id); err != nil {
			return 0, fmt.Errorf("make key %d the primary one: %w", id, err)
		}
		return id, nil
	})
}

// rotate changes the keyset and its file. No second process does so at the same
// time.
func (v *Vault) rotate(change func(*keyset.Manager, *tinkpb.KeysetInfo) (uint32, error)) (uint32, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	handle := v.handle
	next := v.path + ".new"
	if v.path != "" {
		// Creating the next file is the lock against a second rotation; the
		// current one is read after that, so that no key is dropped.
		f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			return 0, fmt.Errorf("another rotation of key file %s is under way, or %s is left over from one that was cut off: then remove it (%w)", v.path, next, fs.ErrExist)
		}
		if err != nil {
			return 0, fmt.Errorf("the folder of key file %s cannot be written: rotate a copy of the file where it can be, and give that to all replicas (%w)", v.path, err)
		}
		_ = f.Close()
		defer os.Remove(next)
		if handle, _, err = v.read(); err != nil {
			return 0, err
		}
	}
	manager := keyset.NewManagerFromHandle(handle)
	id, err := change(manager, handle.KeysetInfo())
	if err != nil {
		return 0, err
	}
	if handle, err = manager.Handle(); err != nil {
		return 0, fmt.Errorf("build the keyset with key %d: %w", id, err)
	}
	if v.path != "" {
		if err := replace(v.path, next, handle); err != nil {
			return 0, fmt.Errorf("write key file %s: %w", v.path, err)
		}
		if st, err := os.Stat(v.path); err == nil {
			v.seen = fileStamp{st.ModTime(), st.Size()}
		}
	}
	return id, v.use(handle)
}

// DropOldKeys takes all keys but the primary one out of the key file, and returns
// their ids. What they sealed cannot be opened any more: seal it anew first.
func (v *Vault) DropOldKeys() ([]uint32, error) {
	var dropped []uint32
	_, err := v.rotate(func(m *keyset.Manager, info *tinkpb.KeysetInfo) (uint32, error) {
		for _, k := range info.GetKeyInfo() {
			if k.GetKeyId() == info.GetPrimaryKeyId() {
				continue
			}
			if err := m.Delete(k.GetKeyId()); err != nil {
				return 0, fmt.Errorf("take key %d out: %w", k.GetKeyId(), err)
			}
			dropped = append(dropped, k.GetKeyId())
		}
		return info.GetPrimaryKeyId(), nil
	})
	return dropped, err
}

func readKeyFile(path string) (*keyset.Handle, fileStamp, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("open key file: %w", err)
	}
	defer f.Close()
	// Asked of the open file, so that the file checked is the file read.
	st, err := f.Stat()
	if err != nil {
		return nil, fileStamp{}, fmt.Errorf("key file %s: %w", path, err)
	}
	switch mode := st.Mode(); {
	case !mode.IsRegular():
		return nil, fileStamp{}, fmt.Errorf("key file %s is not a regular file", path)
	case exposed(mode.Perm(), owner(st), os.Getuid()):
		return nil, fileStamp{}, fmt.Errorf("key file %s has mode %#o, so that others than its owner can use it; run: chmod 600 %s", path, mode.Perm(), path)
	case st.Size() > maxKeyFile:
		return nil, fileStamp{}, fmt.Errorf("key file %s has %d bytes and cannot be a keyset", path, st.Size())
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(f))
	if err != nil {
		// The cause may quote the file, which holds the key.
		return nil, fileStamp{}, fmt.Errorf("key file %s is not a keyset in JSON; restore it from its backup", path)
	}
	return handle, fileStamp{st.ModTime(), st.Size()}, nil
}

// exposed reports whether others than the user of this process can use a file.
// One that belongs to root and that a group may read was handed to that group by
// the administrator: so Kubernetes gives secrets to a container's user.
func exposed(perm fs.FileMode, owner, self int) bool {
	if owner == 0 && self != 0 {
		perm &^= 0o040
	}
	return perm&0o077 != 0
}

func encode(handle *keyset.Handle) ([]byte, error) {
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&b)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func writeNew(path string, handle *keyset.Handle) error {
	data, err := encode(handle)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := fill(f, data); err != nil {
		_ = os.Remove(path)
		return err
	}
	return syncDir(path)
}

// replace writes handle to the file next, which exists and is ours, and moves it over path.
func replace(path, next string, handle *keyset.Handle) error {
	data, err := encode(handle)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err := fill(f, data); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	return syncDir(path)
}

// fill writes data durably and closes f.
func fill(f *os.File, data []byte) error {
	_, err := f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// syncDir makes the name of path durable: a key that seals must outlive a power cut.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
