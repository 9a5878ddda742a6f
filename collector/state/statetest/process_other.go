//go:build unix && !linux

package statetest

import "syscall"

// unprivileged is how the server's processes are started. PostgreSQL refuses to
// run as root; outside of Linux the test has to be run as somebody else.
func unprivileged(string) (*syscall.SysProcAttr, error) { return &syscall.SysProcAttr{}, nil }
