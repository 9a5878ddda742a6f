// Package sinks is the room for the places that runs deliver to. It holds no
// code: the interface belongs to its consumer (package collector), and a sink
// fits it structurally, with the plain types of package schemas.
//
// clickhouse is the warehouse: it also remembers, so the next run is compared
// with it. jsonl writes files of JSON lines. embedded runs the engine that
// clickhouse talks to when there is no server. sinktest is the suite that each
// sink passes.
package sinks
