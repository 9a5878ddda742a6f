// Package config reads the one YAML file that sitedrift is run with.
//
// Loading starts from Default, accepts known keys only, and reports every
// problem at once, each with file, line, column, key, what is wrong and what to
// write instead (Errors, Problem). A file that loads without problems is
// complete: the rest of the program checks nothing again.
//
// Secrets never stand in the file. Where one is needed the file names a place,
// env:NAME or file:/path, and a Ref carries that name until the moment of use;
// so a Config can be printed and logged without leaking anything (Invariant 9).
//
// Each key is declared once, in fields.go, with its kind, default, bounds and
// meaning; the parser, the suggestions for misspelt keys and the commented
// example file (Reference) all come from that declaration.
//
// The package knows nothing of the collector or the sinks. What it cannot check
// without them, the syntax of schedules, is handed in as Checks.
package config
