package state

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
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
	host := cfg.Host // a directory of sockets, or
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(cfg.Port)))
	}
	at := "state database at " + host
	answer := (*pgconn.PgError)(nil)
	if !errors.As(err, &answer) {
		if unreachable(err) {
			return &unreachableError{host, err}
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
		return &unreachableError{host, err}
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

// unreachableError is an ErrUnreachable with what to do about it.
type unreachableError struct {
	host string
	err  error
}

func (e *unreachableError) Error() string {
	why := e.err
	answer, call, name := (*pgconn.PgError)(nil), (*os.SyscallError)(nil), (*net.DNSError)(nil)
	switch {
	case errors.As(e.err, &answer):
		why = answer
	case errors.Is(e.err, fs.ErrNotExist):
		why = errors.New("nothing has made this socket")
	case errors.As(e.err, &call):
		why = call.Err
	case errors.As(e.err, &name):
		why = fmt.Errorf("%s: %s", name.Name, name.Err)
	case pgconn.Timeout(e.err), errors.Is(e.err, context.DeadlineExceeded):
		why = errors.New("no answer in time")
	}
	return fmt.Sprintf("the state database at %s does not answer: start it, or look at the network between (%v)", e.host, why)
}

// Unwrap gives the cause.
func (e *unreachableError) Unwrap() error { return e.err }

// Is makes errors.Is(err, ErrUnreachable) true.
func (e *unreachableError) Is(target error) bool { return target == ErrUnreachable }
