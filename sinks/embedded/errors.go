package embedded

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// ErrNotBuilt is returned by Start and told by RunChild where the engine is not part of the build.
var ErrNotBuilt = errors.New("this build has no embedded engine: configure a ClickHouse server, or use a build for Linux or macOS without the tag noengine")

// A LibraryError says that the engine's library is missing or not the pinned one.
type LibraryError struct {
	Path    string // where it was looked for
	Problem string // what is wrong with it
}

func (e *LibraryError) Error() string {
	return fmt.Sprintf("embedded engine: library %s %s; run `sitedrift engine install`, or on a machine without network `sitedrift engine install --from FILE`",
		e.Path, e.Problem)
}

// An InUseError says that another process has the data directory open.
type InUseError struct {
	Dir string
	PID int // 0: not known
}

func (e *InUseError) Error() string {
	by := "another process"
	if e.PID != 0 {
		by = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("embedded engine: data directory %s is in use by %s; stop it first, or talk to the running daemon", e.Dir, by)
}

// A ListenError says that the loopback port cannot be served.
type ListenError struct {
	Addr string
	Err  error
}

func (e *ListenError) Error() string {
	if errors.Is(e.Err, syscall.EADDRINUSE) {
		return fmt.Sprintf("embedded engine: cannot serve SQL on %s: another program has this port; stop it, or choose another port", e.Addr)
	}
	return fmt.Sprintf("embedded engine: cannot serve HTTP on %s: %v", e.Addr, e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// A ChildError says that the engine process ended when it should have served.
type ChildError struct {
	Exit   string // how it ended, as "exit status 1"
	Stderr string // the last it said
}

func (e *ChildError) Error() string {
	if e.Stderr == "" {
		return "embedded engine: the engine process ended with " + e.Exit + " and said nothing"
	}
	return "embedded engine: the engine process ended with " + e.Exit + ": " + e.Stderr
}

// foreignLock recognizes the engine's complaint that its directory is locked by a process that does not know of
// our own lock, such as another tool with the same library.
func foreignLock(stderr string) bool { return strings.Contains(stderr, "Cannot lock file") }
