// Package chdb binds the C API of libchdb, the ClickHouse engine as a shared library, without cgo.
//
// The library is opened at run time ([Load]) and holds one engine per process. A [Session] is an engine
// connection: its own settings, current database, temporary tables and parameters, and one statement at a time.
// Package front serves sessions over HTTP; package embedded finds the library and runs both in a child process.
//
// The binding needs a dynamic loader, which makes the binary dynamic too. Builds with the tag noengine, and
// platforms without a build of the library, leave everything but this comment out.
package chdb
