//go:build unix

package vault

import (
	"io/fs"
	"syscall"
)

// owner is the user id of a file's owner, -1 when it is not known.
func owner(st fs.FileInfo) int {
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(sys.Uid)
	}
	return -1
}
