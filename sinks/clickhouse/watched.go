package clickhouse

import (
	"context"
	"io"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// watched is a connection whose errors are looked at for troubles of the server.
type watched struct {
	driver.Conn
	trouble func(ctx context.Context, err error) error
}

func (c watched) Ping(ctx context.Context) error { return c.trouble(ctx, c.Conn.Ping(ctx)) }

func (c watched) Exec(ctx context.Context, query string, args ...any) error {
	return c.trouble(ctx, c.Conn.Exec(ctx, query, args...))
}

func (c watched) Query(ctx context.Context, query string, args ...any) (driver.Rows, error) {
	rows, err := c.Conn.Query(ctx, query, args...)
	return rows, c.trouble(ctx, err)
}

func (c watched) QueryRow(ctx context.Context, query string, args ...any) driver.Row {
	return watchedRow{c.Conn.QueryRow(ctx, query, args...), ctx, c.trouble}
}

func (c watched) QueryFormat(ctx context.Context, format, query string, args ...any) (io.ReadCloser, error) {
	body, err := c.Conn.QueryFormat(ctx, format, query, args...)
	return body, c.trouble(ctx, err)
}

func (c watched) InsertFormat(ctx context.Context, format, query string, body io.Reader) error {
	return c.trouble(ctx, c.Conn.InsertFormat(ctx, format, query, body))
}

func (c watched) PrepareBatch(ctx context.Context, query string, options ...driver.PrepareBatchOption) (driver.Batch, error) {
	batch, err := c.Conn.PrepareBatch(ctx, query, options...)
	return batch, c.trouble(ctx, err)
}

// watchedRow is a row whose errors are looked at.
type watchedRow struct {
	driver.Row
	ctx     context.Context
	trouble func(ctx context.Context, err error) error
}

func (r watchedRow) Err() error { return r.trouble(r.ctx, r.Row.Err()) }

func (r watchedRow) Scan(dest ...any) error { return r.trouble(r.ctx, r.Row.Scan(dest...)) }
