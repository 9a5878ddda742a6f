package state

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Codes of PostgreSQL that a person can do something about (PostgreSQL manual,
// appendix A).
const (
	pgInvalidPassword  = "28P01"
	pgInvalidUser      = "28000"
	pgNoDatabase       = "3D000"
	pgNoSchema         = "3F000"
	pgNoRights         = "42501"
	pgReadOnly         = "25006"
	pgClassResources   = "53" // too many connections, disk full, out of memory
	pgClassShuttingOff = "57P"
	pgClassConnection  = "08"
)

// explain says of an error at the opening of the state what stands in the way and
// what to do about it: ErrUnreachable, or ErrUnfit. pgx keeps the password out of its
// texts.
func explain(cfg *pgx.ConnConfig, err error) error {
	at := fmt.Sprintf("state database at %s", cfg.Host)
	answer := (*pgconn.PgError)(nil)
	if !errors.As(err, &answer) {
		if unreachable(err) {
			return fmt.Errorf("%s: %w: %w", at, ErrUnreachable, err)
		}
		return unfitError{fmt.Errorf("%s: %w", at, err)}
	}
	hint := ""
	switch code := answer.Code; {
	case code == pgInvalidPassword, code == pgInvalidUser:
		hint = fmt.Sprintf("it does not let user %s in: check the name, the password and pg_hba.conf", cfg.User)
	case code == pgNoDatabase:
		hint = fmt.Sprintf("there is no database %s: create it with CREATE DATABASE %s OWNER %s", cfg.Database, cfg.Database, cfg.User)
	case code == pgNoSchema, code == pgNoRights:
		hint = fmt.Sprintf("user %s may not do that in database %s: let it own the database, or GRANT USAGE, CREATE on the schema to it", cfg.User, cfg.Database)
	case code == pgReadOnly:
		hint = "it is read-only, as a standby is: give the address of the primary, or several with target_session_attrs=read-write"
	case strings.HasPrefix(code, pgClassResources), strings.HasPrefix(code, pgClassShuttingOff), strings.HasPrefix(code, pgClassConnection):
		return fmt.Errorf("%s: %w: %w", at, ErrUnreachable, err)
	default:
		return unfitError{fmt.Errorf("%s: %w", at, err)}
	}
	return unfitError{fmt.Errorf("%s: %s (%w)", at, hint, err)}
}

// unreachable reports whether an error that is no answer of the server comes from
// the way to it.
func unreachable(err error) bool {
	connect, network := (*pgconn.ConnectError)(nil), net.Error(nil)
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, net.ErrClosed) || pgconn.Timeout(err) || errors.Is(err, context.DeadlineExceeded)
}
