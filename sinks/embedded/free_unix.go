//go:build unix

package embedded

import (
	"fmt"
	"syscall"
)

// Free is how many bytes are free on the engine's disk.
func (e *Engine) Free() (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(e.layout.store(), &s); err != nil {
		return 0, fmt.Errorf("embedded engine: ask for the room on the disk of %s: %w", e.layout.store(), err)
	}
	return uint64(s.Bavail) * uint64(s.Bsize), nil //nolint:gosec,unconvert,nolintlint // neither is negative, and their types differ by system
}
