package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Bytes is an amount of memory or storage.
type Bytes int64

// Units of Bytes.
const (
	KiB Bytes = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

// units in the order in which a size is written: the largest that fits.
var units = [...]struct {
	name string
	size Bytes
}{
	{"TiB", TiB},
	{"GiB", GiB},
	{"MiB", MiB},
	{"KiB", KiB},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// String writes the size with the largest unit that leaves no fraction.
func (b Bytes) String() string {
	for _, u := range units {
		if b != 0 && b%u.size == 0 {
			return fmt.Sprintf("%d%s", b/u.size, u.name)
		}
	}
	return fmt.Sprintf("%dB", int64(b))
}

// parseBytes reads a number with a unit. A number alone is refused: 2048 has
// meant megabytes to some and bytes to others.
func parseBytes(v string) (Bytes, bool) {
	for _, u := range units {
		num, ok := strings.CutSuffix(v, u.name)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
		if err != nil || f < 0 || math.IsNaN(f) || f*float64(u.size) >= math.MaxInt64 {
			return 0, false
		}
		return Bytes(f * float64(u.size)), true
	}
	return 0, false
}
