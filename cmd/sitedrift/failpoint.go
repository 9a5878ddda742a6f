//go:build !failpoint

package main

// failpoints is what the parts call at the named points of their protocols:
// nothing, but in builds that crash tests make.
func failpoints() func(string) { return func(string) {} }
