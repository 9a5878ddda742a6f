package main

import (
	"errors"
	"net"
	"syscall"
)

// peer is the user at the other end of a connection to the control socket, as
// the kernel knows it.
func peer(c net.Conn) (uid int, err error) {
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a connection to a Unix socket")
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *syscall.Ucred
	cerr := raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err = errors.Join(err, cerr); err != nil {
		return 0, err
	}
	return int(cred.Uid), nil
}
