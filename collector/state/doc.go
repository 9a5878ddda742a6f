// Package state is the coordinator of sitedrift: tenants, work, the ledger of
// attempts, and stored credentials, in SQLite files for one process or in
// PostgreSQL for many.
//
// It implements the ports collector.Work and collector.Ledger, and the
// credential methods that package oauth asks for. ClickHouse stores what runs
// found; this package decides which run counts. Each method is one short
// transaction, and no transaction is open while anything else is waited for.
//
// # One SQL text, two databases
//
// Every statement is written once and runs on both: placeholders are $1, $2
// (SQLite reads them as well), times are BIGINT milliseconds in UTC, lists are
// JSON text, and UPDATE .. RETURNING is understood by both. The one difference is
// the row lock of a claim, kept in a field of the connection: PostgreSQL gets
// FOR UPDATE SKIP LOCKED, SQLite begins its transactions IMMEDIATE and so has
// one writer at a time. The suite in statetest runs on both.
//
// # Durability
//
// Both SQLite files run with WAL and synchronous=FULL: a commit that was
// reported survives a power cut. The credentials need it because a rotated
// refresh token exists nowhere else, the ledger because an attempt number that
// is forgotten would be given out twice. On PostgreSQL the sessions refuse a
// server default of synchronous_commit=off.
package state
