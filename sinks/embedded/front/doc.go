// Package front serves the ClickHouse HTTP interface from an engine in the same process, closely enough that an
// unmodified clickhouse-go (Protocol: HTTP), curl, notebooks and dashboards work against it.
//
// What it keeps from a server: parameters and settings in the URL, INSERT data in the body, streamed results,
// errors with codes also in mid-stream, sessions, LZ4, ZSTD and gzip. What it adds: every request without a
// session_id runs in an engine session of its own, so nothing set by one statement is seen by the next; a
// client that goes away stops its statement; at most a fixed number of statements run at once.
//
// What it does not serve: external tables, deflate and brotli, user names (a token says who asks), progress headers.
//
// Blocks in the Native format leave as the engine writes them, at protocol revision 0. A driver asks for the
// server's revision first and decodes by the answer, so that one answer ([Server] writes it itself) says 0.
package front
