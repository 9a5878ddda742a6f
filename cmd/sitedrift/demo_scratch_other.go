//go:build !linux

package main

// scratch is the usual place for temporary files.
func scratch() string { return "" }
