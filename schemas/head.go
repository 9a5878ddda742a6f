package schemas

import (
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"time"

	"github.com/google/uuid"
)

// Head is the watermark of one dataset of one tenant: readers see rows whose
// seq is at most Seq and not in Void, and nothing else.
type Head struct {
	Tenant     string
	Dataset    string
	Group      string
	Seq        uint64   // the last decided attempt
	Void       []uint64 // attempts at most Seq that never decided, ascending
	Epoch      uint32   // counts stretches under one fingerprint; the first is 1
	Rows       uint64   // current rows at the head
	Digest     Digest   // sum over the current rows, see Digest
	ObservedAt time.Time
	RunID      uuid.UUID
}

// Seen is what a warehouse holds of one group of a tenant, whoever decided it.
type Seen struct {
	Tenant, Group string
	Last          uint64     // the greatest attempt number of any row
	Heads         []SeenHead // one for each dataset of the group
}

// SeenHead is a head as readers are shown it, and what lies above it.
type SeenHead struct {
	Head    Head     // Seq 0: never shown
	Version int      // of the declaration that wrote it
	Above   []uint64 // attempts above Seq that left rows, ascending
}

// Digest is the sum modulo 2^128 of the 128-bit digests of a set of rows. It
// does not depend on their order, so a run can keep it by adding and
// subtracting what changed. The zero Digest stands for no rows.
type Digest struct{ Hi, Lo uint64 }

// Add returns d plus o modulo 2^128.
func (d Digest) Add(o Digest) Digest {
	lo, carry := bits.Add64(d.Lo, o.Lo, 0)
	hi, _ := bits.Add64(d.Hi, o.Hi, carry)
	return Digest{hi, lo}
}

// Sub returns d minus o modulo 2^128.
func (d Digest) Sub(o Digest) Digest {
	lo, borrow := bits.Sub64(d.Lo, o.Lo, 0)
	hi, _ := bits.Sub64(d.Hi, o.Hi, borrow)
	return Digest{hi, lo}
}

// String is the digest as 32 hexadecimal digits, most significant first.
func (d Digest) String() string {
	b := d.Bytes()
	return hex.EncodeToString(b[:])
}

// Bytes is the digest as 16 bytes, most significant first.
func (d Digest) Bytes() [16]byte {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], d.Hi)
	binary.BigEndian.PutUint64(b[8:], d.Lo)
	return b
}

// DigestFromBytes is the inverse of Bytes.
func DigestFromBytes(b [16]byte) Digest {
	return Digest{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}
}
