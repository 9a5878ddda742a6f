package main

import "syscall"

// noCoreDump keeps what is in memory, tokens among it, out of files that the system
// writes of a process that crashed; the engine's process inherits that (Invariant 9).
// Whoever may not lower the limit has one of nothing already.
func noCoreDump() { _ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) }
