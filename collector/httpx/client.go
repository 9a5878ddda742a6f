package httpx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// Defaults of Options.
const (
	DefaultAttemptTimeout = 30 * time.Second
	DefaultMaxBody        = 32 << 20
	DefaultMaxTries       = 4
	DefaultBackoffMin     = time.Second
	DefaultBackoffMax     = 30 * time.Second
)

// Options configure a Client. Base is required.
type Options struct {
	Base   string // origin and path prefix, such as https://api.atlassian.com/ex/confluence/{cloudId}
	Auth   Authorizer
	Tenant string // names the tenant to the budget and in logs

	Transport http.RoundTripper // NewTransport() if nil, which reaches no loopback or private address; share one between clients
	Limiter   *rate.Limiter     // the tenant's, shared by its clients; nil: none
	Budget    *Budget           // the app's, shared by all tenants; nil: none

	AttemptTimeout time.Duration // for one try, body included
	MaxBody        int64         // bytes of an answer, after decompression
	MaxTries       int
	BackoffMin     time.Duration
	BackoffMax     time.Duration
	UserAgent      string

	Log    *zap.Logger
	Now    func() time.Time                                 // time.Now if nil
	Sleep  func(ctx context.Context, d time.Duration) error // a timer if nil
	Jitter func() float64                                   // in [0, 1); random if nil
}

// Client sends requests to one site with one credential. It is safe for
// concurrent use; ForRun gives copies that count on their own.
type Client struct {
	Options
	base  base
	wire  http.RoundTripper
	stats *Stats
}

// New checks o and returns a client that counts into a Stats of its own.
func New(o Options) (*Client, error) {
	b, err := parseBase(o.Base)
	if err != nil {
		return nil, err
	}
	if o.Auth == nil {
		o.Auth = Anonymous()
	}
	if o.Transport == nil {
		o.Transport = NewTransport()
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	o.AttemptTimeout = positive(o.AttemptTimeout, DefaultAttemptTimeout)
	o.MaxBody = positive(o.MaxBody, DefaultMaxBody)
	o.MaxTries = positive(o.MaxTries, DefaultMaxTries)
	o.BackoffMin = positive(o.BackoffMin, DefaultBackoffMin)
	o.BackoffMax = positive(o.BackoffMax, DefaultBackoffMax)
	return &Client{Options: o, base: b, wire: pinned{b, o.Transport}, stats: new(Stats)}, nil
}

// ForRun returns a client that counts into stats and shares all else.
func (c *Client) ForRun(stats *Stats) *Client {
	run := *c
	run.stats = stats
	return &run
}

// Stats returns what the client counts into.
func (c *Client) Stats() *Stats { return c.stats }

// Charge adds points that an answer turned out to cost beyond Request.Points.
func (c *Client) Charge(points int) {
	c.stats.Points.Add(int64(points))
	if c.Budget != nil {
		c.Budget.Charge(c.Tenant, points)
	}
}

// Request is one call.
type Request struct {
	Op     string // what it is for, in errors: "list spaces"
	Method string // GET if empty
	// Ref is a path from the root under the base, with or without a query, or a
	// link from an answer. Links off the base are refused.
	Ref        string
	Query      url.Values // added to the query of Ref
	Header     http.Header
	Body       []byte
	Idempotent bool // may be repeated although it is not a GET
	Points     int  // taken from the budget before the call, 1 if 0
}

// Response is a whole answer with a status of 2xx.
type Response struct {
	Status int
	Header http.Header
	Body   []byte // the caller's
}

// Do sends r and returns the answer, repeating it as the package says. Errors
// are *Error or that of ctx.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	var out Response
	err := c.call(ctx, r, func(resp *http.Response, body []byte) error {
		out = Response{Status: resp.StatusCode, Header: resp.Header, Body: bytes.Clone(body)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &out, nil
}

// Get sends a GET for ref with query added and calls use with the body, which
// is lent for that call only. Errors of use are returned as they are, and the
// request is not repeated for them.
func (c *Client) Get(ctx context.Context, op, ref string, query url.Values, use func(body []byte, h http.Header) error) error {
	return c.Call(ctx, Request{Op: op, Ref: ref, Query: query}, use)
}

// Call is Do for a body that is lent to use and not copied.
func (c *Client) Call(ctx context.Context, r Request, use func(body []byte, h http.Header) error) error {
	return c.call(ctx, r, func(resp *http.Response, body []byte) error { return use(body, resp.Header) })
}

func (c *Client) call(ctx context.Context, r Request, use func(resp *http.Response, body []byte) error) error {
	if r.Method == "" {
		r.Method = http.MethodGet
	}
	r.Points = positive(r.Points, 1)
	u, err := c.base.resolve(r.Ref)
	if err != nil {
		path, _, _ := strings.Cut(r.Ref, "?")
		return &Error{Class: ClassWrongOrigin, Op: r.Op, Method: r.Method, URLPath: clean(path), Cause: err}
	}
	if len(r.Query) > 0 {
		if u.RawQuery != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += r.Query.Encode()
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer recycle(buf)
	renewed := false
	for try := 1; ; try++ {
		resp, fail, again := c.try(ctx, r, u, buf, try) //nolint:bodyclose // try has read the body and closed it
		if fail == nil {
			return use(resp, buf.Bytes())
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: %w", r.Op, ctx.Err())
		}
		if refusal, ok := errors.AsType[*refusedError](fail.Cause); ok {
			fail.Cause = nil
			if renewed {
				return fail
			}
			if err := c.Auth.Refused(ctx, refusal.generation); err != nil {
				fail.Cause = err
				return fail
			}
			renewed = true // a newer header is there: once more, at once
			try--
			continue
		}
		fail.Tries = try
		if !again || r.Method != http.MethodGet && !r.Idempotent || try >= c.MaxTries {
			return fail
		}
		wait := max(c.backoff(try), fail.RetryAfter)
		if endsBefore(ctx, wait) {
			return fail // waiting for a try that cannot be made helps nobody
		}
		c.Log.Debug("request is repeated", zap.String("tenant", c.Tenant), zap.String("op", r.Op), zap.String("path", fail.URLPath),
			zap.String("class", string(fail.Class)), zap.Int("status", fail.Status), zap.Int("try", try), zap.Duration("wait", wait))
		if err := c.Sleep(ctx, wait); err != nil {
			return fmt.Errorf("%s: %w", r.Op, err)
		}
	}
}

// backoff doubles from BackoffMin to BackoffMax with full jitter, but never under a tenth of a second.
func (c *Client) backoff(try int) time.Duration {
	ceiling := c.BackoffMin
	for range try - 1 {
		ceiling = min(2*ceiling, c.BackoffMax)
	}
	return max(time.Duration(c.Jitter()*float64(ceiling)), min(100*time.Millisecond, ceiling))
}

// endsBefore tells whether ctx's deadline comes before wait is over. Deadlines
// of contexts are in real time, whatever clock is injected.
func endsBefore(ctx context.Context, wait time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < wait
}

func positive[T ~int | ~int64](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
