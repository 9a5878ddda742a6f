package httpx

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"
)

// maxErrorBody bounds what is read of an answer that is no success.
const maxErrorBody = 64 << 10

// maxPooled is the largest buffer that is kept for later.
const maxPooled = 4 << 20

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func recycle(b *bytes.Buffer) {
	if b.Cap() <= maxPooled {
		b.Reset()
		buffers.Put(b)
	}
}

// NewTransport returns a transport for API calls: connections are kept for many
// sites behind few hosts, and answers' headers are bounded. It connects to
// addresses of the public internet and to the allowed networks; to a proxy that
// the environment names (HTTPS_PROXY, NO_PROXY) only if its address is one of
// these, and what lies behind that is for the proxy to decide.
func NewTransport(allowed ...netip.Prefix) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Control: guard(allowed).control}).DialContext
	t.MaxIdleConns = 256
	t.MaxIdleConnsPerHost = 64
	t.MaxResponseHeaderBytes = 256 << 10
	return t
}

// refusedError marks a 401 that a newer credential may help.
type refusedError struct{ generation int64 }

func (*refusedError) Error() string { return "the credential is refused" }

// try sends r once and reads the answer into buf. It tells whether a failure may pass by itself.
func (c *Client) try(ctx context.Context, r Request, u *url.URL, buf *bytes.Buffer, try int) (_ *http.Response, fail *Error, again bool) {
	fail = &Error{Op: r.Op, Method: r.Method, URLPath: clean(u.Path)}
	if err := c.admit(ctx, r.Points); err != nil {
		fail.Class, fail.Cause = ClassThrottled, err
		if e, ok := errors.AsType[*Error](err); ok {
			fail.Message, fail.RetryAfter, fail.Cause = e.Message, e.RetryAfter, nil
		}
		return nil, fail, false
	}
	header, generation, err := c.Auth.Authorization(ctx)
	if err != nil {
		fail.Class, fail.Cause = ClassCredential, err
		return nil, fail, false
	}

	ctx, cancel := context.WithTimeout(ctx, c.AttemptTimeout)
	defer cancel()
	c.stats.Calls.Add(1)
	if try > 1 {
		c.stats.Retries.Add(1)
	}
	resp, err := c.wire.RoundTrip(c.request(ctx, r, u, header))
	if err != nil {
		fail.Class, fail.Cause = transportClass(err), cause(err)
		if fail.Class != ClassWrongOrigin { // whose error names the address
			fail.Cause = fmt.Errorf("%s: %w", u.Host, fail.Cause)
		}
		_, untrusted := errors.AsType[*tls.CertificateVerificationError](err) // does not pass by itself in a moment
		return nil, fail, fail.Class != ClassWrongOrigin && !untrusted
	}
	defer resp.Body.Close()
	if c.Budget != nil {
		c.Budget.observe(c.Tenant, resp.StatusCode, resp.Header)
	}
	fail.Status = resp.StatusCode
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		buf.Reset()
		_, _ = buf.ReadFrom(io.LimitReader(resp.Body, maxErrorBody))
		return nil, fail, c.judge(fail, resp.Header, buf.Bytes(), generation)
	}
	if again, err := c.read(resp, buf, fail); err != nil {
		fail.Cause = err
		return nil, fail, again
	}
	return resp, nil, false
}

// admit waits for the app's budget and the tenant's limiter.
func (c *Client) admit(ctx context.Context, points int) error {
	if c.Budget != nil {
		if err := c.Budget.Wait(ctx, c.Tenant, points); err != nil {
			return err
		}
	}
	c.stats.Points.Add(int64(points))
	if c.Limiter == nil {
		return nil
	}
	now := c.Now()
	slot := c.Limiter.ReserveN(now, 1)
	if !slot.OK() {
		return errors.New("the tenant's limiter lets nothing through: its burst is below 1")
	}
	wait := slot.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	if endsBefore(ctx, wait) {
		slot.CancelAt(now)
		return &Error{Class: ClassThrottled, Message: "the tenant's requests per second are used up", RetryAfter: wait}
	}
	if err := c.Sleep(ctx, wait); err != nil {
		slot.CancelAt(c.Now())
		return err
	}
	return nil
}

func (c *Client) request(ctx context.Context, r Request, u *url.URL, authorization string) *http.Request {
	h := make(http.Header, len(r.Header)+4)
	maps.Copy(h, r.Header)
	if h.Get("Accept") == "" {
		h["Accept"] = []string{"application/json"}
	}
	if c.UserAgent != "" {
		h["User-Agent"] = []string{c.UserAgent}
	}
	if authorization != "" {
		h["Authorization"] = []string{authorization}
	}
	req := &http.Request{Method: r.Method, URL: u, Host: u.Host, Header: h, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if r.Body != nil {
		if h.Get("Content-Type") == "" {
			h["Content-Type"] = []string{"application/json"}
		}
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
		req.ContentLength = int64(len(r.Body))
		if r.Idempotent { // lets the transport use another connection if the kept one was closed
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		}
	}
	return req.WithContext(ctx)
}

// read takes the whole body of a success into buf and looks whether it can be
// the JSON that was asked for: a body cut by a proxy, or a login page, is worth
// another try.
func (c *Client) read(resp *http.Response, buf *bytes.Buffer, fail *Error) (again bool, err error) {
	tooLarge := fmt.Errorf("the answer is larger than %d bytes", c.MaxBody)
	if resp.ContentLength > c.MaxBody {
		fail.Class = ClassTooLarge
		return false, tooLarge
	}
	buf.Reset()
	if resp.ContentLength > 0 {
		buf.Grow(int(resp.ContentLength) + bytes.MinRead) // exact, so that ReadFrom never grows it
	}
	n, err := buf.ReadFrom(io.LimitReader(resp.Body, c.MaxBody+1))
	c.stats.Bytes.Add(n)
	switch {
	case err != nil:
		fail.Class = transportClass(err)
		return true, fmt.Errorf("the answer broke off after %d bytes: %w", n, cause(err))
	case n > c.MaxBody:
		fail.Class = ClassTooLarge
		return false, tooLarge
	case resp.StatusCode == http.StatusNoContent || resp.Request != nil && !wantsJSON(resp.Request):
		return false, nil
	}
	body := bytes.TrimSpace(buf.Bytes())
	switch {
	case len(body) == 0:
		err = errors.New("the answer is empty")
	case body[0] == '<':
		err = errors.New("the answer is a web page, not JSON")
	case body[0] == '{' && body[len(body)-1] != '}', body[0] == '[' && body[len(body)-1] != ']', body[0] == '"' && (len(body) == 1 || body[len(body)-1] != '"'):
		err = fmt.Errorf("the answer of %d bytes is cut off", n)
	default:
		return false, nil
	}
	fail.Class = ClassMalformed
	return true, err
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "json")
}

// judge classifies an answer that is no success.
func (c *Client) judge(fail *Error, h http.Header, body []byte, generation int64) (again bool) {
	fail.Message = message(body)
	switch s := fail.Status; {
	case s == http.StatusUnauthorized:
		// The gateway's own words tell a missing scope from a dead token; a
		// refresh does not help the first (Confluence.js, "OAuth 2.0" guide).
		if strings.Contains(strings.ToLower(fail.Message), "scope does not match") {
			fail.Class = ClassScopeMissing
			return false
		}
		fail.Class, fail.Cause = ClassUnauthorized, &refusedError{generation}
		return false
	case s == http.StatusForbidden, s == http.StatusUnavailableForLegalReasons:
		fail.Class = ClassForbidden
		return false
	case s == http.StatusNotFound, s == http.StatusGone:
		fail.Class = ClassNotFound
		return false
	case s == http.StatusRequestTimeout:
		fail.Class = ClassTimeout
		return true
	case s == http.StatusTooManyRequests:
		c.stats.Throttled.Add(1)
		fail.Class, fail.RetryAfter = ClassThrottled, serverDelay(h, c.Now())
		return true
	case s >= 500:
		fail.Class = ClassServer
		fail.RetryAfter, _ = ParseRetryAfter(h.Get("Retry-After"), c.Now())
		return s == 500 || s == 502 || s == 503 || s == 504
	case s < 400:
		fail.Class, fail.Cause = ClassWrongOrigin, errors.New("the server redirects, which is not followed: check the site's URL")
		return false
	}
	fail.Class = ClassBadRequest
	return false
}

func transportClass(err error) Class {
	var t interface{ Timeout() bool }
	switch {
	case errors.Is(err, errOffOrigin), errors.Is(err, errNetwork):
		return ClassWrongOrigin
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &t) && t.Timeout():
		return ClassTimeout
	}
	return ClassNetwork
}

// cause drops the addresses from a connection's error where it can: those of this
// end change from try to try and make the same error look new.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return fmt.Errorf("%s: %w", op.Op, op.Err)
	}
	return err
}
