//go:build unix

package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// maxSocketPath is below the least that systems allow for a Unix socket's path: 104 bytes on macOS, 108 on Linux.
const maxSocketPath = 100

const socketName = "engine.sock"

// listenUnix opens a socket that only this user can reach: mode 0600 in a new directory of mode 0700, in the first
// place that can be written and whose path is short enough. The data directory comes last: it may lie deep, or on
// a file system without sockets.
func listenUnix(dataDir string) (*net.UnixListener, string, error) {
	var errs []error
	for _, parent := range []string{os.Getenv("XDG_RUNTIME_DIR"), os.TempDir(), "/tmp", dataDir} {
		if parent == "" || len(parent)+len("/sitedrift-0123456789/")+len(socketName) > maxSocketPath {
			continue
		}
		dir, err := os.MkdirTemp(parent, "sitedrift-")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		path := filepath.Join(dir, socketName)
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err == nil {
			err = os.Chmod(path, 0o600)
		}
		if err != nil {
			removeSocket(path)
			errs = append(errs, err)
			continue
		}
		l.SetUnlinkOnClose(false) // removeSocket does it, with the directory
		return l, path, nil
	}
	return nil, "", fmt.Errorf("embedded engine: no place for a socket: %w", errors.Join(errs...))
}

// removeSocket removes a socket of listenUnix and its directory.
func removeSocket(path string) {
	_ = os.Remove(path)
	_ = os.Remove(filepath.Dir(path)) // only ever an empty directory
}
