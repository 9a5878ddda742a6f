package confluencetest

import (
	"encoding/binary"
	"encoding/hex"
	"hash/fnv"
	"math/rand/v2"
)

// random is a source of reproducible choices. Every part of the simulator draws
// from its own one, named by a label, so that adding draws to one part does not
// change what another part generates from the same seed.
type random struct{ *rand.Rand }

func newRandom(seed uint64, label string) random {
	h := fnv.New64a()
	h.Write([]byte(label))
	return random{rand.New(rand.NewPCG(seed, h.Sum64()))}
}

// hex returns n random bytes in hexadecimal.
func (r random) hex(n int) string {
	b := make([]byte, (n+7)/8*8)
	for i := 0; i < len(b); i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return hex.EncodeToString(b[:n])
}

// uuid returns a random version 4 UUID.
func (r random) uuid() string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], r.Uint64())
	binary.BigEndian.PutUint64(b[8:], r.Uint64())
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// pick returns one element of a non-empty list.
func pick[T any](r random, list []T) T { return list[r.IntN(len(list))] }
