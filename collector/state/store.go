package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/sitedrift/sitedrift/collector"
)

// Store holds tenants, work, ledger and credentials. Its methods are safe for
// concurrent use by many goroutines; on PostgreSQL also by many processes with
// a Store each.
type Store struct {
	db    *pool     // tenants, work, ledger
	vault *pool     // credentials; the same as db on PostgreSQL
	lock  io.Closer // the lock of the directory; nil on PostgreSQL
}

var (
	_ collector.Work   = (*Store)(nil)
	_ collector.Ledger = (*Store)(nil)
)

// Close closes the databases, then lets go of the directory.
func (s *Store) Close() error {
	errs := []error{s.db.Close()}
	if s.vault != s.db {
		errs = append(errs, s.vault.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// Ping reports whether the databases answer and would take rows: nil, or
// ErrUnreachable or ErrUnfit.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.db.ping(ctx); err != nil || s.vault == s.db {
		return err
	}
	return s.vault.ping(ctx)
}

// pool is a connection pool with the few words that differ by dialect.
type pool struct {
	*sql.DB
	dialect    string // "sqlite" or "postgres"
	skipLocked string // ends a SELECT that locks the rows of work (w) and lanes (l)
	ownClock   string // the database's time as an expression; empty: it has none that counts
	readOnly   string // asks whether a transaction is one that takes no rows; empty: none begins then
	explain    func(error) error
}

// ping begins a transaction that could write, and ends it.
func (d *pool) ping(ctx context.Context) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return d.explain(err)
	}
	defer tx.Rollback()
	if d.readOnly == "" {
		return nil
	}
	var readOnly bool
	if err := tx.QueryRowContext(ctx, d.readOnly).Scan(&readOnly); err != nil {
		return d.explain(err)
	}
	if readOnly {
		return d.explain(errReadOnly)
	}
	return nil
}

// clock is the time that leases and heartbeats go by, as an expression: the
// database's, since the clocks of replicas differ, or the caller's, given as a
// parameter, where there is one process only. When work is due is the caller's
// affair everywhere.
func (d *pool) clock(parameter string) string {
	given := "CAST(" + parameter + " AS BIGINT)"
	if d.ownClock == "" {
		return given
	}
	return "COALESCE(" + d.ownClock + ", " + given + ")" // a parameter must stand somewhere
}

// tx runs fn in a transaction and commits it when fn returns nil.
func (d *pool) tx(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := d.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	if err := fn(tx); err != nil {
		// The cause counts; a rollback that fails ends with the connection.
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}
