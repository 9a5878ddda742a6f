//go:build unix && !noengine

package embedded_test

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
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sitedrift/sitedrift/sinks/embedded"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := errors.Join(enginetest.Close(), goleak.Find()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// socketClient talks HTTP to an engine as the driver does, for what the driver hides.
func socketClient(t *testing.T, e *embedded.Engine) *http.Client {
	t.Helper()
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return e.Options().DialContext(ctx, "")
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// post sends one request with the token and returns status, headers and body.
func post(t *testing.T, e *embedded.Engine, params url.Values, body io.Reader) (int, http.Header, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rq, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?"+params.Encode(), body)
	if err != nil {
		t.Fatal(err)
	}
	rq.SetBasicAuth("anyone", e.Token())
	res, err := socketClient(t, e).Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

// run executes a statement that must succeed and returns its output.
func run(t *testing.T, e *embedded.Engine, sql string) string {
	t.Helper()
	status, _, text := post(t, e, nil, strings.NewReader(sql))
	if status != http.StatusOK {
		t.Fatalf("%s: %d %s", sql, status, text)
	}
	return strings.TrimSuffix(text, "\n")
}

// code is the error code that a statement ends with, "" for none.
func code(t *testing.T, e *embedded.Engine, params url.Values, sql string) string {
	t.Helper()
	status, h, _ := post(t, e, params, strings.NewReader(sql))
	if c := h.Get("X-ClickHouse-Exception-Code"); c != "" {
		return c
	}
	if status != http.StatusOK {
		return fmt.Sprintf("status %d", status)
	}
	return ""
}

// request posts a statement with a password to any address.
func request(t *testing.T, c *http.Client, address, password, sql string) (int, http.Header) {
	t.Helper()
	rq, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		rq.SetBasicAuth("default", password)
	}
	res, err := c.Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header
}
