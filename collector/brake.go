package collector

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Brake decides when removals are too many to believe at once (Invariant 8).
type Brake struct {
	Share float64       // of the dataset's rows; more than this is held
	Rows  int           // fewer removals than this are never held
	Wait  time.Duration // how long a hold lasts before a second run may confirm it
}

// DefaultBrake is the brake unless configuration says otherwise.
var DefaultBrake = Brake{Share: 0.3, Rows: 20, Wait: 15 * time.Minute}

// goneSet gathers the entities that a reading would end.
type goneSet struct {
	keys   []uint64 // first 8 bytes of each key hash
	sample []string
}

const goneSample = 10

func (g *goneSet) add(key schemas.KeyHash, name func() string) {
	g.keys = append(g.keys, binary.BigEndian.Uint64(key[:8]))
	if len(g.sample) < goneSample {
		g.sample = append(g.sample, name())
	}
}

// holds reports whether the removals must wait. earlier is the dataset's hold
// from a run before, if there is one: removals that it already names, under the
// same fingerprint and long enough ago, are confirmed by being seen twice.
func (b Brake) holds(gone *goneSet, rows uint64, fingerprint string, earlier *Hold, now time.Time) bool {
	n := len(gone.keys)
	if earlier != nil && earlier.Fingerprint == fingerprint {
		if earlier.Approved {
			return false
		}
		if now.Sub(earlier.HeldAt) >= b.Wait {
			named := unpackKeys(earlier.Keys)
			n = 0
			for _, k := range gone.keys {
				if _, ok := slices.BinarySearch(named, k); !ok {
					n++
				}
			}
		}
	}
	return n > 0 && n >= b.Rows && float64(n) > b.Share*float64(rows)
}

// hold is the record of held removals. A hold that is still waiting stays as it
// is: a run in between must not start its time anew.
func (b Brake) hold(tenant, dataset, fingerprint string, run *Attempt, gone *goneSet, rows uint64, earlier *Hold, now time.Time) Hold {
	if earlier != nil && earlier.Fingerprint == fingerprint && now.Sub(earlier.HeldAt) < b.Wait {
		return *earlier
	}
	return Hold{
		Tenant: tenant, Dataset: dataset, Fingerprint: fingerprint, RunID: run.RunID, HeldAt: now,
		Removed: uint64(len(gone.keys)), Rows: rows, Sample: gone.sample, Keys: packKeys(gone.keys),
		Reason: fmt.Sprintf("%d of %d rows would end at once; more than %.0f %% wait for a second look", len(gone.keys), rows, 100*b.Share),
	}
}

func packKeys(keys []uint64) []byte {
	slices.Sort(keys)
	var w bytes.Buffer
	for _, k := range keys {
		w.Write(binary.BigEndian.AppendUint64(nil, k))
	}
	return w.Bytes()
}

func unpackKeys(packed []byte) []uint64 {
	keys := make([]uint64, len(packed)/8)
	for i := range keys {
		keys[i] = binary.BigEndian.Uint64(packed[8*i:])
	}
	return keys
}
