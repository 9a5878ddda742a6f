package state

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Codes of PostgreSQL that a person can do something about (PostgreSQL manual,
// appendix A).
const (
	pgInvalidPassword    = "28P01"
	pgInvalidUser        = "28000"
	pgNoDatabase         = "3D000"
	pgNoSchema           = "3F000"
	pgNoRights           = "42501"
	pgReadOnly           = "25006"
	pgDiskFull           = "53100"
	pgTooManyConnections = "53300"
	pgClassResources     = "53" // out of memory and the like
	pgClassShuttingOff   = "57P"
	pgClassConnection    = "08"
)

// errReadOnly is what a server says of itself that answers and takes no rows.
var errReadOnly = errors.New("its transactions are read-only")

// explain says of an error of PostgreSQL what stands in the way and what to do about
// it: ErrUnreachable, or ErrUnfit. pgx keeps the password out of its texts.
func explain(cfg *pgx.ConnConfig, err error) error {
	host := cfg.Host // a directory of sockets, or
	if !strings.HasPrefix(host, "/") {
		host = net.JoinHostPort(host, strconv.Itoa(int(cfg.Port)))
	}
	answer, untrusted := (*pgconn.PgError)(nil), (*tls.CertificateVerificationError)(nil)
	what, do := "cannot be used as it is", ""
	switch {
	case errors.As(err, &answer):
		what, do = explainAnswer(cfg, answer)
	case errors.Is(err, errReadOnly):
		what, do = readOnly, readOnlyDo
	case errors.As(err, &untrusted):
		what, do = "shows a certificate that is not trusted", "name its authority with sslrootcert=FILE in the address, and the host as the certificate does"
	case strings.Contains(err.Error(), "server refused TLS connection"): // pgx has no value for it
		what, do = "does not speak TLS", "set ssl = on in its configuration, or, where nobody can listen on the way, give sslmode=disable in the address"
	case unreachable(err):
		what = ""
	}
	if what == "" {
		return &unreachableError{host, err}
	}
	at := "state database at " + host
	if do == "" {
		return unfitError{what, fmt.Errorf("%s: %w", at, err)}
	}
	return unfitError{what, fmt.Errorf("%s %s: %s (%w)", at, what, do, err)}
}

// What is wrong with a server that takes no rows, and what to do.
const (
	readOnly   = "is read-only"
	readOnlyDo = "a standby is, and a server whose default_transaction_read_only is on: give the address of the primary, or several with target_session_attrs=read-write"
)

// explainAnswer says what an answer of the server means and what to do; an empty what
// is a server that cannot be reached.
func explainAnswer(cfg *pgx.ConnConfig, answer *pgconn.PgError) (what, do string) {
	switch code := answer.Code; {
	case code == pgInvalidUser && strings.Contains(answer.Message, "no encryption"):
		return "takes encrypted connections alone", "give sslmode=verify-full in the address"
	case code == pgInvalidPassword, code == pgInvalidUser:
		return "does not let this user in", fmt.Sprintf("check the name %s, the password and pg_hba.conf", cfg.User)
	case code == pgNoDatabase:
		return "lacks its database", fmt.Sprintf("create it with CREATE DATABASE %s OWNER %s", cfg.Database, cfg.User)
	case code == pgNoSchema, code == pgNoRights:
		return "does not let this user work in its database", fmt.Sprintf("let %s own the database %s, or GRANT USAGE, CREATE on the schema to it", cfg.User, cfg.Database)
	case code == pgReadOnly:
		return readOnly, readOnlyDo
	case code == pgDiskFull:
		return "has no space left on its disk", "free some space, or give it a larger disk"
	case code == pgTooManyConnections:
		return "has no connection left", fmt.Sprintf("raise max_connections, or the limit of the role or database; each replica takes up to %d", maxConns)
	case strings.HasPrefix(code, pgClassResources), strings.HasPrefix(code, pgClassShuttingOff), strings.HasPrefix(code, pgClassConnection):
		return "", ""
	}
	return "cannot be used as it is", ""
}

// explainSQLite says the same of the files of a state directory.
func explainSQLite(path string, err error) error {
	said := (*sqlite.Error)(nil)
	if !errors.As(err, &said) {
		return unfitError{"cannot be used as it is", fmt.Errorf("%s: %w", path, err)}
	}
	what, do := "cannot be used as it is", "look at the disk"
	switch said.Code() & 0xff { // SQLite, "Result and Error Codes"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		what, do = "is locked by another program", "end what has the file open"
	case sqlite3.SQLITE_READONLY:
		what, do = readOnly, "give file and directory to the user of the daemon, and mount the disk for writing"
	case sqlite3.SQLITE_FULL:
		what, do = "has no space left on its disk", "free some space, or give it a larger disk"
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		what, do = "is damaged, or no database", "look at the disk, and put the state back from its backup"
	}
	return unfitError{what, fmt.Errorf("%s %s: %s (%w)", path, what, do, err)}
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
