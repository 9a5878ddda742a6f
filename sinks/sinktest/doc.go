// Package sinktest holds the suite that each sink passes: what is staged stays
// hidden until its head is shown, void attempts never come to light, everything
// may be repeated, and a crash in between loses and doubles nothing
// (Invariants 2 and 3).
//
// A sink's test hands Run a function that opens a fresh sink together with a
// reader for what people would see; see sinks/jsonl for the smallest one.
package sinktest
