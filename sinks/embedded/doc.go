// Package embedded runs ClickHouse as part of the daemon: no server to install, the same SQL.
//
// The engine is libchdb. It lives in a child process ([RunChild]), so that a crash or an out-of-memory kill in it
// does not take the daemon along; the daemon holds the sockets, watches the child and starts it again ([Start]).
// Clients connect with an unmodified clickhouse-go over the ClickHouse HTTP interface on a Unix socket
// ([Engine.Options]); a loopback TCP port for curl, notebooks and dashboards can be switched on.
//
// The library file is found by [Find] and fetched, by name and hash, by [Install]; starting never downloads.
//
// Below: package chdb binds the library, package front serves it over HTTP, package enginetest gives other
// packages' tests a real engine. Package clickhouse (sinks/clickhouse) is the main client and knows nothing of
// this one: to it the engine is one more set of connection options.
//
// A build with the tag noengine, or for a platform without the library, leaves the binding out and stays static:
// [Start] and [RunChild] then say so.
package embedded
