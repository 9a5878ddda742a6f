package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// ErrUnavailable says that the server cannot be used now for a reason that lies
// with the server and not with the statement: whoever runs it can mend that while
// the daemon waits. The error itself is mostly a *Trouble.
var ErrUnavailable = errors.New("the warehouse cannot be used now")

// Trouble is why a server cannot be used now.
type Trouble struct {
	At   string // the server: "the warehouse at" hosts and ports
	What string // that it does or lacks, as a predicate: "has no space left on its disk"
	Do   string // what to do about it
	Err  error  // as the server or the network told it
}

func (e *Trouble) Error() string {
	return fmt.Sprintf("%s %s: %s (%v)", e.At, e.What, e.Do, cause(e.Err))
}

// Unwrap gives the server's own error.
func (e *Trouble) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrUnavailable) true.
func (e *Trouble) Is(target error) bool { return target == ErrUnavailable }

// cause is what the server or the network said, without what the ways to it add:
// the driver's address has all settings of a statement.
func cause(err error) error {
	if address, ok := errors.AsType[*url.Error](err); ok {
		err = address.Err
	}
	var call *os.SyscallError
	switch {
	case errors.As(err, &call):
		return call.Err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection was cut")
	}
	return queryError(err)
}

// unfitError says that the server itself has to be changed. It is ErrUnavailable.
type unfitError struct{ error }

func (e unfitError) Unwrap() error { return e.error }

// Is makes errors.Is(err, ErrUnavailable) true.
func (unfitError) Is(target error) bool { return target == ErrUnavailable }

// remedy is what an exception means and what to do about it.
type remedy struct{ what, do string }

// The remedies by what is wrong.
var (
	silent   = remedy{"does not answer", "start it, or look at the network between; runs go on by themselves when it answers"}
	stopping = remedy{"is being stopped", "runs go on by themselves when it is back"}
	full     = remedy{"has no space left on its disk", "free some space, or give it a larger disk"}
	lost     = remedy{"has lost replicas or its Keeper", "look at system.replicas and at Keeper; runs go on by themselves when most replicas are back"}
	crowded  = remedy{"has too much to do", "look at system.processes and system.merges, or lower limits.concurrency"}
	hungry   = remedy{"is out of memory", "raise max_memory_usage of the user or max_server_memory_usage, or lower limits.concurrency"}
	damaged  = remedy{"cannot read what it stored", "look at the disk, and with CHECK TABLE for the parts: a server detaches broken ones when it starts"}
	refused  = remedy{"does not let this user in", "check name and password in warehouse.dsn, and the host rules of the user"}
)

// embeddedDo is what to do about the embedded engine, where it is something else.
var embeddedDo = map[string]string{
	silent.what:   "it is started again by itself; if that repeats itself, the log says why it ends",
	stopping.what: "it is started again by itself",
	damaged.what:  "it is started again by itself and gives up what it cannot read; the next run finds what is missing, and reads it anew",
	hungry.what:   "raise warehouse.max_memory, or lower limits.concurrency",
}

// remedies by code (ClickHouse source, ErrorCodes.cpp). A code that can come from
// the statement alone, such as a time limit, is not here.
var remedies = map[int32]remedy{
	164:                   {"lets this user only read", "give the user a settings profile without readonly"},
	193:                   refused, // wrong password
	201:                   {"has a quota that is used up", "raise the user's quota, or wait until it begins anew"},
	202:                   crowded, // too many queries at once
	209:                   silent,  // of another replica
	210:                   silent,
	236:                   stopping,
	241:                   hungry,
	242:                   {"has a table that is read-only", "look at is_readonly and zookeeper_exception in system.replicas: most often its Keeper is away"},
	243:                   full,
	codeCorrupted:         damaged,
	252:                   crowded, // too many parts
	285:                   lost,
	codeUnsatisfiedQuorum: lost,
	289:                   lost,
	319:                   lost, // nobody knows whether an insert has its quorum
	425:                   silent,
	439:                   crowded, // no thread
	codeAccessDenied:      {"refuses what a grant would allow", "run deployments/clickhouse-grants.sql as an administrator; the text in brackets names the grant"},
	516:                   refused,
	999:                   lost,
}

// trouble makes a *Trouble of an error that tells of one, and leaves others. What
// the end of ctx brought about is none.
func (w *Warehouse) trouble(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil || errors.Is(err, ErrUnavailable) {
		return err
	}
	r, found := remedyFor(err)
	if !found {
		return err
	}
	if do, ok := embeddedDo[r.what]; ok && w.embedded {
		r.do = do
	}
	t := &Trouble{At: w.at, What: r.what, Do: r.do, Err: err}
	w.health.ail(t)
	if r.what == damaged.what && w.renew != nil {
		w.renew(err)
	}
	return t
}

func remedyFor(err error) (remedy, bool) {
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		if strings.Contains(e.Message, "No space left on device") {
			return full, true
		}
		r, found := remedies[e.Code]
		return r, found
	}
	if answer, ok := errors.AsType[*ch.HTTPError](err); ok { // of something between, such as a load balancer
		gone := answer.StatusCode == http.StatusBadGateway || answer.StatusCode == http.StatusServiceUnavailable || answer.StatusCode == http.StatusGatewayTimeout
		return silent, gone
	}
	var network *net.OpError
	var name *net.DNSError
	for _, cut := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE, os.ErrDeadlineExceeded, context.DeadlineExceeded} {
		if errors.Is(err, cut) {
			return silent, true
		}
	}
	return silent, errors.As(err, &network) || errors.As(err, &name)
}
