package schemas

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/google/uuid"
)

// KeyHash identifies an entity inside its partition.
type KeyHash [16]byte

// RowHash stands for the compared values of a row.
type RowHash [32]byte

// Hasher holds the scratch space of hashing. Its zero value is ready; it is not
// safe for concurrent use.
type Hasher struct{ buf []byte }

// RowDigest is the 128-bit digest of one current row, the unit of a Digest sum.
// The hash is cryptographic because the watched people write the content
// (Invariant 10).
func (h *Hasher) RowDigest(partition string, key KeyHash, row RowHash) Digest {
	b := append(h.buf[:0], "sitedrift row\x00"...)
	b = appendText(b, partition)
	b = append(b, key[:]...)
	b = append(b, row[:]...)
	h.buf = b
	sum := sha256.Sum256(b)
	return DigestFromBytes([16]byte(sum[:16]))
}

// EventID is the identity of a change event: it derives from what was compared
// with what, never from the run, so a run repeated after a crash repeats its
// ids (Invariant 3).
func EventID(tenant, dataset, partition string, key KeyHash, baseline uint64, kind ChangeKind, row RowHash) uuid.UUID {
	b := []byte("sitedrift event\x00")
	for _, s := range []string{tenant, dataset, partition, string(kind)} {
		b = appendText(b, s)
	}
	b = append(b, key[:]...)
	b = binary.BigEndian.AppendUint64(b, baseline)
	b = append(b, row[:]...)
	sum := sha256.Sum256(b)
	id := uuid.UUID(sum[:16])
	id[6] = id[6]&0x0f | 0x80 // version 8: custom (RFC 9562)
	id[8] = id[8]&0x3f | 0x80
	return id
}
