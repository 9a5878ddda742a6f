package state

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// maxConns bounds the connections of one process; transactions are short, so a
// few serve many runs.
const maxConns = 16

// OpenPostgres opens the state that many processes share. The tables are
// created in the first schema of the search path; give sitedrift a database or
// a schema of its own. dsn is a URL or a list of keywords (PostgreSQL manual,
// "Connection Strings"). Concurrent callers migrate one after the other.
func OpenPostgres(ctx context.Context, dsn string) (*Store, error) {
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		// pgx keeps the password out of this text.
		return nil, fmt.Errorf("PostgreSQL connection string: %w", err)
	}
	conns := stdlib.OpenDB(*cfg, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		// Invariant 5: a server that answers before the commit is on disk
		// would lose rotated tokens and attempt numbers in a crash.
		_, err := c.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`)
		return err
	}))
	conns.SetMaxOpenConns(maxConns)
	conns.SetMaxIdleConns(maxConns)
	d := &pool{DB: conns, dialect: "postgres", skipLocked: " FOR UPDATE OF w, l SKIP LOCKED"}
	if err := conns.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to PostgreSQL at %s: %w", cfg.Host, err), conns.Close())
	}
	for _, m := range []migrations{stateMigrations, vaultMigrations} {
		if err := migrate(ctx, d, m); err != nil {
			return nil, errors.Join(fmt.Errorf("migrate PostgreSQL at %s: %w", cfg.Host, err), conns.Close())
		}
	}
	return &Store{db: d, vault: d}, nil
}
