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
	"syscall"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// TestTrouble: what lies with the server is told from what lies with the statement,
// and the text says where, what, why and what to do, without the address of the
// driver's request.
func TestTrouble(t *testing.T) {
	w := &Warehouse{at: "the warehouse at ch:8123"}
	answer := func(code int32, text string) error {
		return fmt.Errorf("insert into t: %w", &ch.HTTPError{StatusCode: http.StatusInternalServerError, Err: &ch.Exception{Code: code, Message: text}})
	}
	dialed := func(err error) error {
		return &url.Error{Op: "Post", URL: "http://ch:8123/?secret=1", Err: &net.OpError{Op: "dial", Net: "tcp", Err: err}}
	}
	for _, c := range []struct {
		err  error
		want string // empty: no trouble
	}{
		{
			answer(164, "default: Cannot execute query in readonly mode. (READONLY) (version 25.12.1.1 (official build))"),
			"the warehouse at ch:8123 lets this user only read: give the user a settings profile without readonly (default: Cannot execute query in readonly mode. (READONLY, code 164))",
		},
		{
			answer(75, "Cannot write to file /var/lib/clickhouse/store/x, errno: 28, strerror: No space left on device. (CANNOT_WRITE_TO_FILE_DESCRIPTOR)"),
			"the warehouse at ch:8123 has no space left on its disk: free some space, or give it a larger disk (Cannot write to file /var/lib/clickhouse/store/x, errno: 28, strerror: No space left on device. (CANNOT_WRITE_TO_FILE_DESCRIPTOR, code 75))",
		},
		{
			answer(516, "sitedrift: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)"),
			"the warehouse at ch:8123 does not let this user in: check name and password in warehouse.dsn, and the host rules of the user (sitedrift: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED, code 516))",
		},
		{
			answer(999, "Session expired. (KEEPER_EXCEPTION)"),
			"the warehouse at ch:8123 has lost replicas or its Keeper: look at system.replicas and at Keeper; runs go on by themselves when most replicas are back (Session expired. (KEEPER_EXCEPTION, code 999))",
		},
		{
			dialed(os.NewSyscallError("connect", syscall.ECONNREFUSED)),
			"the warehouse at ch:8123 does not answer: start it, or look at the network between; runs go on by themselves when it answers (connection refused)",
		},
		{
			dialed(&net.DNSError{Err: "no such host", Name: "ch"}),
			"the warehouse at ch:8123 does not answer: start it, or look at the network between; runs go on by themselves when it answers (dial tcp: lookup ch: no such host)",
		},
		{
			&url.Error{Op: "Post", URL: "http://ch:8123/?secret=1", Err: io.EOF},
			"the warehouse at ch:8123 does not answer: start it, or look at the network between; runs go on by themselves when it answers (the connection was cut)",
		},
		{
			&ch.HTTPError{StatusCode: http.StatusBadGateway, Err: errors.New("response body: no upstream")},
			"the warehouse at ch:8123 does not answer: start it, or look at the network between; runs go on by themselves when it answers ([HTTP 502] response body: no upstream)",
		},
		{answer(60, "Table sitedrift.spaces does not exist. (UNKNOWN_TABLE)"), ""},
		{answer(159, "Timeout exceeded: elapsed 60 seconds. (TIMEOUT_EXCEEDED)"), ""},
		{&url.Error{Op: "Post", URL: "http://ch:8123/", Err: errors.New("read rows for t: column name has 3 values")}, ""},
	} {
		got := w.trouble(t.Context(), c.err)
		switch {
		case c.want == "" && !errors.Is(got, ErrUnavailable) && got == c.err: //nolint:errorlint // untouched
		case c.want != "" && errors.Is(got, ErrUnavailable) && errors.Is(got, c.err) && got.Error() == c.want:
		default:
			t.Errorf("%v\n got: %v\nwant: %s", c.err, got, c.want)
		}
	}
	own := &Warehouse{at: "the embedded engine", embedded: true}
	for code, want := range map[int32]string{
		241: "the embedded engine is out of memory: raise warehouse.max_memory, or lower limits.concurrency (as it says. (NAME, code 241))",
		236: "the embedded engine is being stopped: it is started again by itself (as it says. (NAME, code 236))",
	} {
		if got := own.trouble(t.Context(), answer(code, "as it says. (NAME)")); got.Error() != want {
			t.Errorf("got: %v\nwant: %s", got, want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.trouble(ended, io.EOF); errors.Is(err, ErrUnavailable) {
		t.Errorf("what the caller ended is taken for a trouble: %v", err)
	}
}
