package state

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxConns bounds the connections of one process; transactions are short, so a
// few serve many runs.
const maxConns = 16

// oldestPostgres is the oldest major version that is accepted.
const oldestPostgres = 13

// connectTimeout bounds the wait for a server that does not answer at all, unless
// the connection string says otherwise.
const connectTimeout = 5 * time.Second

// OpenPostgres is OpenPostgresAt an address that stays.
func OpenPostgres(ctx context.Context, dsn string) (*Store, error) {
	return OpenPostgresAt(ctx, func() (string, error) { return dsn, nil })
}

// OpenPostgresAt opens the state that many processes share. The tables are
// created in the first schema of the search path; give sitedrift a database or
// a schema of its own. address gives a URL or a list of keywords (PostgreSQL manual,
// "Connection Strings"); it is asked for user and password at each connection, so
// that both may change while the process works. Concurrent callers migrate one after
// the other.
// ErrUnreachable when the server does not answer, or not yet: it may later; ErrUnfit
// when it answers and something of it has to be mended. Leases
// and heartbeats go by the server's clock.
func OpenPostgresAt(ctx context.Context, address func() (string, error)) (*Store, error) {
	dsn, err := address()
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx keeps the password out of this text.
		return nil, fmt.Errorf("PostgreSQL connection string: %w", err)
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = connectTimeout
	}
	conns := stdlib.OpenDB(*cfg, stdlib.OptionBeforeConnect(func(_ context.Context, c *pgx.ConnConfig) error {
		if dsn, err := address(); err == nil { // else with what it was before
			if now, err := pgx.ParseConfig(dsn); err == nil {
				c.User, c.Password = now.User, now.Password
			}
		}
		return nil
	}), stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		// Invariant 5: a server that answers before the commit is on disk
		// would lose rotated tokens and attempt numbers in a crash.
		_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}))
	conns.SetMaxOpenConns(maxConns)
	conns.SetMaxIdleConns(maxConns)
	d := &pool{
		DB: conns, dialect: "postgres", skipLocked: " FOR UPDATE OF w, l SKIP LOCKED",
		ownClock: "(EXTRACT(EPOCH FROM statement_timestamp()) * 1000)::BIGINT",
		readOnly: "SELECT current_setting('transaction_read_only') = 'on'",
		explain:  func(err error) error { return explain(cfg, err) },
	}
	if err := prepare(ctx, d); err != nil {
		return nil, errors.Join(d.explain(err), conns.Close())
	}
	return &Store{db: d, vault: d}, nil
}

// prepare checks the server and brings its tables to the version of this release.
func prepare(ctx context.Context, d *pool) error {
	var version int
	if err := d.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::INTEGER`).Scan(&version); err != nil {
		return err
	}
	if err := checkServer(version); err != nil {
		return err
	}
	for _, m := range []migrations{stateMigrations, vaultMigrations} {
		if err := migrate(ctx, d, m); err != nil {
			return fmt.Errorf("bring its tables up to date: %w", err)
		}
	}
	return nil
}

// checkServer refuses servers that are too old, by their server_version_num.
func checkServer(version int) error {
	if version >= oldestPostgres*10_000 {
		return nil
	}
	return fmt.Errorf("the server is PostgreSQL %d, which is too old: %d or newer is needed", version/10_000, oldestPostgres)
}
