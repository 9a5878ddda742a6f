//go:build !unix

package vault

import "io/fs"

// owner is unknown on systems whose files have no user id.
func owner(fs.FileInfo) int { return -1 }
