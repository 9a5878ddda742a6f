// Package clickhouse is the warehouse: it keeps every version of every row in
// ClickHouse and shows readers whole runs only.
//
// Runs append to tables (<dataset>_versions, changes_log, coverage_log,
// runs_log) under their attempt number, the seq. Nobody sees such rows until
// [Warehouse.Show] moves the heads: one small table with the last decided seq of
// each tenant and dataset, and the seqs below it that never were decided. Every
// view reads heads first and lets through what they cover, so that a statement
// sees a run whole or not at all (Invariant 2). That the order "heads, then data"
// holds for several views in one statement is the work of ClickHouse's setting
// enable_shared_storage_snapshot_in_query, which is on from version 25.12.
//
// All tables and views derive from the declarations in package schemas; see
// table.go and view.go for the templates, [Warehouse.Plan] and
// [Warehouse.Migrate] for how a database is brought to them. Rows travel in
// ClickHouse's Native format, encoded straight from schemas.Block.
//
// The package knows nothing of the core that calls it, nor of where ClickHouse
// runs: a server, a cluster, or the engine of sinks/embedded.
package clickhouse
