//go:build failpoint

package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// failpoints kills this process at the point that SITEDRIFT_FAILPOINT names, as
// NAME or NAME:COUNT (the COUNTth time it is reached), once the file that
// SITEDRIFT_FAILPOINT_ARMED names exists. With SITEDRIFT_FAILPOINT_SIGNAL=STOP it
// freezes instead, until somebody sends SIGCONT. It writes the point to standard
// error first, so that a test knows that it was hit.
func failpoints() func(string) {
	want, n := os.Getenv("SITEDRIFT_FAILPOINT"), 1
	if want == "" {
		return func(string) {}
	}
	if at := strings.LastIndexByte(want, ':'); at >= 0 { // names have colons too
		if count, err := strconv.Atoi(want[at+1:]); err == nil {
			want, n = want[:at], count
		}
	}
	armed := os.Getenv("SITEDRIFT_FAILPOINT_ARMED")
	freezes := os.Getenv("SITEDRIFT_FAILPOINT_SIGNAL") == "STOP"
	var passed atomic.Int64
	return func(point string) {
		if point != want {
			return
		}
		if _, err := os.Stat(armed); armed != "" && err != nil {
			return
		}
		if passed.Add(1) != int64(n) {
			return
		}
		fmt.Fprintf(os.Stderr, "failpoint %s hit\n", point)
		if freezes {
			thaw := make(chan os.Signal, 1)
			signal.Notify(thaw, syscall.SIGCONT)
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
			<-thaw // the stop may come a moment later than the call returns
			return
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}
