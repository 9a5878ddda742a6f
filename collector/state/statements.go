package state

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
)

// maxKept bounds the statements that a connection keeps prepared. The package has
// fewer texts; those with lists of rows come in as many forms as there are lengths.
const maxKept = 200

// keeping is a connector to SQLite whose connections keep what they have prepared.
// SQLite plans a statement in more time than it needs to run most of ours, and
// database/sql forgets the plan with each call. (pgx keeps statements by itself.)
type keeping struct{ driver.Connector }

// Connect implements driver.Connector.
func (k keeping) Connect(ctx context.Context) (driver.Conn, error) {
	c, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := c.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a connection of the SQLite driver is a %T, which lacks methods", c), c.Close())
	}
	return &keepingConn{sqliteConn: conn, kept: map[string]sqliteStmt{}}, nil
}

// sqliteConn and sqliteStmt are what database/sql uses of the driver's types.
type (
	sqliteConn interface {
		driver.Conn
		driver.ConnBeginTx
		driver.ConnPrepareContext
		driver.Pinger
		driver.SessionResetter
		driver.Validator
	}
	sqliteStmt interface {
		driver.Stmt
		driver.StmtExecContext
		driver.StmtQueryContext
	}
)

// keepingConn runs statements as ones that it has prepared before. database/sql
// sees to it that one goroutine uses it at a time.
type keepingConn struct {
	sqliteConn
	kept map[string]sqliteStmt // idle ones, by text
}

// ExecContext implements driver.ExecerContext.
func (c *keepingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(ctx, args)
	return result, c.giveBack(query, s, err)
}

// QueryContext implements driver.QueryerContext.
func (c *keepingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, c.giveBack(query, s, err)
	}
	return &keptRows{Rows: rows, done: func(err error) error { return c.giveBack(query, s, err) }}, nil
}

// Close implements driver.Conn.
func (c *keepingConn) Close() error {
	var errs []error
	for _, s := range c.kept {
		errs = append(errs, s.Close())
	}
	clear(c.kept)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// take returns a statement that nobody else has until it is given back.
func (c *keepingConn) take(ctx context.Context, query string) (sqliteStmt, error) {
	if s, ok := c.kept[query]; ok {
		delete(c.kept, query)
		return s, nil
	}
	prepared, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s, ok := prepared.(sqliteStmt)
	if !ok {
		return nil, errors.Join(fmt.Errorf("a statement of the SQLite driver is a %T, which lacks methods", prepared), prepared.Close())
	}
	return s, nil
}

// giveBack keeps a statement for its next use. One that ended with err is not used
// again, nor one whose text was taken a second time meanwhile. It returns err.
func (c *keepingConn) giveBack(query string, s sqliteStmt, err error) error {
	if _, twice := c.kept[query]; err != nil || twice {
		return errors.Join(err, s.Close())
	}
	if len(c.kept) == maxKept {
		for text, other := range c.kept { // any one
			delete(c.kept, text)
			if err := other.Close(); err != nil {
				return errors.Join(err, s.Close())
			}
			break
		}
	}
	c.kept[query] = s
	return nil
}

// keptRows gives its statement back when it is closed.
type keptRows struct {
	driver.Rows
	done func(error) error // nil after the first call
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	if r.done != nil {
		err, r.done = r.done(err), nil
	}
	return err
}
