package vault

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	tinkpb "github.com/tink-crypto/tink-go/v2/proto/tink_go_proto"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// ErrUnknownKey says that a ciphertext was sealed with a key that this key file does not hold.
var ErrUnknownKey = errors.New("sealed with a key that is not in the key file")

// ErrMoved says that the key fits, and the ciphertext or the row around it was
// changed: it was sealed for another tenant, kind or generation, or damaged.
var ErrMoved = errors.New("the sealed value does not belong to this row, or was altered")

// Vault seals and opens secrets. It is safe for concurrent use.
type Vault struct {
	path  string // empty: keys live in memory only
	trust func(*Vault) error

	mu      sync.RWMutex
	handle  *keyset.Handle
	aead    tink.AEAD
	keys    map[uint32]bool
	primary uint32
	seen    fileStamp
}

// fileStamp tells whether the key file was replaced since it was read.
type fileStamp struct {
	modified time.Time
	size     int64
}

// Ephemeral returns a vault whose key is never written anywhere; what it seals
// cannot be opened by another process.
func Ephemeral() (*Vault, error) {
	handle, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make an encryption key: %w", err)
	}
	v := &Vault{}
	return v, v.use(handle)
}

// Trust lets check judge each key file that takes the place of the one in force,
// before anything is sealed or opened with it: check gets the new file's keys as a
// vault, and where it returns an error the present keys stay. It must not use this
// vault. Call Trust before the vault is shared.
func (v *Vault) Trust(check func(candidate *Vault) error) { v.trust = check }

// read reads the key file as it is now, and has it judged. The caller holds mu.
func (v *Vault) read() (*keyset.Handle, fileStamp, error) {
	handle, seen, err := readKeyFile(v.path)
	if err != nil || v.trust == nil {
		return handle, seen, err
	}
	candidate := &Vault{}
	if err := candidate.use(handle); err != nil {
		return nil, fileStamp{}, err
	}
	return handle, seen, v.trust(candidate)
}

// Seal encrypts plaintext bound to associated (see AssociatedData), with the key
// that is the primary one in the key file now. The answer is 33 bytes longer than
// the plaintext.
func (v *Vault) Seal(plaintext, associated []byte) ([]byte, error) {
	if err := v.refresh(); err != nil {
		return nil, err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	sealed, err := v.aead.Encrypt(plaintext, associated)
	if err != nil {
		return nil, fmt.Errorf("encrypt a secret: %w", err)
	}
	return sealed, nil
}

// Open decrypts what Seal made with the same associated data. It returns
// ErrUnknownKey or ErrMoved, wrapped, when that cannot be. A key that another
// process added to the key file meanwhile is found.
func (v *Vault) Open(sealed, associated []byte) ([]byte, error) {
	id, err := keyID(sealed)
	if err != nil {
		return nil, err
	}
	v.mu.RLock()
	known, primitive := v.keys[id], v.aead
	v.mu.RUnlock()
	if !known {
		if primitive, known, err = v.reload(id); err != nil {
			return nil, err
		}
	}
	if !known {
		return nil, fmt.Errorf("open a sealed value: %w: it needs key %d, %s holds %v; restore the key file that belongs to this data",
			ErrUnknownKey, id, v.name(), v.Keys())
	}
	plaintext, err := primitive.Decrypt(sealed, associated)
	if err != nil {
		return nil, fmt.Errorf("open a sealed value with key %d: %w", id, ErrMoved)
	}
	return plaintext, nil
}

// Keys returns the ids of the keys that open what was sealed, the primary one,
// which seals, first.
func (v *Vault) Keys() []uint32 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	ids := []uint32{v.primary}
	for id := range v.keys {
		if id != v.primary {
			ids = append(ids, id)
		}
	}
	return ids
}

// SealedWithPrimary reports whether sealed was made with the present primary
// key. Values for which it says false should be sealed anew before an old key
// is taken out of the key file.
func (v *Vault) SealedWithPrimary(sealed []byte) bool {
	id, err := keyID(sealed)
	v.mu.RLock()
	defer v.mu.RUnlock()
	return err == nil && id == v.primary
}

// AssociatedData binds a sealed value to one row and one generation of it. The
// encoding is length-prefixed, so no two different triples give the same bytes
// (Invariant 10).
func AssociatedData(tenant, kind string, generation int64) []byte {
	const domain = "sitedrift credential v1"
	b := make([]byte, 0, len(domain)+len(tenant)+len(kind)+8+3*binary.MaxVarintLen64)
	for _, part := range [...]string{domain, tenant, kind} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	return binary.BigEndian.AppendUint64(b, uint64(generation))
}

func (v *Vault) name() string {
	if v.path == "" {
		return "the keyset in memory"
	}
	return "key file " + v.path
}

// use makes handle the keyset in force. The caller holds mu or is alone.
func (v *Vault) use(handle *keyset.Handle) error {
	primitive, err := aead.New(handle)
	if err != nil {
		return fmt.Errorf("%s: not a keyset for AES-256-GCM: %w", v.name(), err)
	}
	info := handle.KeysetInfo()
	keys := make(map[uint32]bool, len(info.GetKeyInfo()))
	for _, k := range info.GetKeyInfo() {
		if k.GetOutputPrefixType() != tinkpb.OutputPrefixType_TINK {
			return fmt.Errorf("%s: key %d writes no key id into what it seals; make the key file with sitedrift", v.name(), k.GetKeyId())
		}
		keys[k.GetKeyId()] = k.GetStatus() == tinkpb.KeyStatusType_ENABLED
	}
	v.handle, v.aead, v.keys, v.primary = handle, primitive, keys, info.GetPrimaryKeyId()
	return nil
}

// refresh takes up a key file that another process replaced: what is sealed from
// now on must not need a key that is about to be taken out. A file that cannot be
// read now, or is not trusted, changes nothing.
func (v *Vault) refresh() error {
	if v.path == "" {
		return nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	st, err := os.Stat(v.path)
	if err != nil || (fileStamp{st.ModTime(), st.Size()}) == v.seen {
		return nil //nolint:nilerr // the keys in memory are good
	}
	handle, seen, err := v.read()
	if err != nil {
		return nil //nolint:nilerr // the same
	}
	if err := v.use(handle); err != nil {
		return err
	}
	v.seen = seen
	return nil
}

// reload reads the key file again if it changed since it was last read.
func (v *Vault) reload(id uint32) (tink.AEAD, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.path != "" && !v.keys[id] {
		if st, err := os.Stat(v.path); err == nil && (fileStamp{st.ModTime(), st.Size()}) != v.seen {
			handle, seen, err := v.read()
			if err != nil {
				return nil, false, err
			}
			if err := v.use(handle); err != nil {
				return nil, false, err
			}
			v.seen = seen
		}
	}
	return v.aead, v.keys[id], nil
}

// keyID reads the id that Tink writes in front of a ciphertext: one byte of
// version and the key id in four (Tink, "Wire format").
func keyID(sealed []byte) (uint32, error) {
	if len(sealed) < 5 || sealed[0] != 1 {
		return 0, fmt.Errorf("open a sealed value of %d bytes: it was not sealed by this vault: %w", len(sealed), ErrMoved)
	}
	return binary.BigEndian.Uint32(sealed[1:5]), nil
}
