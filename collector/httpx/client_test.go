package httpx

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/time/rate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "c4n4ry"

// clock is moved by whoever sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 10, 17, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func (c *clock) total() (sum time.Duration) {
	for _, d := range c.slept {
		sum += d
	}
	return sum
}

// bad is a server that misbehaves in the first answers.
type bad struct {
	*httptest.Server
	calls atomic.Int64
}

func serve(t testing.TB, h func(call int, w http.ResponseWriter, r *http.Request)) *bad {
	t.Helper()
	b := &bad{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h(int(b.calls.Add(1)), w, r)
	}))
	t.Cleanup(b.Close)
	return b
}

func client(t testing.TB, base string, clock *clock, change ...func(*Options)) *Client {
	t.Helper()
	transport := NewTransport(loopback)
	t.Cleanup(transport.CloseIdleConnections)
	core, logs := observer.New(zap.DebugLevel)
	o := Options{
		Base: base, Auth: Bearer(canary), Tenant: "acme", Transport: transport, AttemptTimeout: 5 * time.Second,
		Now: clock.Now, Sleep: clock.Sleep, Jitter: func() float64 { return 0.99 }, Log: zap.New(core),
	}
	for _, f := range change {
		f(&o)
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, e := range logs.All() {
			if text := fmt.Sprint(e.Message, e.ContextMap()); strings.Contains(text, canary) {
				t.Errorf("the log shows the token: %s", text)
			}
		}
	})
	return c
}

const good = `{"results":[{"id":"1"}]}`

func cut(w http.ResponseWriter, head string) {
	conn, buf, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	_, _ = buf.WriteString(head)
	_ = buf.Flush()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a reset, not a decent end
	}
	_ = conn.Close()
}

func TestFaultsThatPassAreRepeated(t *testing.T) {
	for name, fault := range map[string]func(w http.ResponseWriter, r *http.Request){
		"500":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"502":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"503":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
		"504":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(504) },
		"408":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(408) },
		"429":             func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"reset at once":   func(w http.ResponseWriter, _ *http.Request) { cut(w, "") },
		"reset in header": func(w http.ResponseWriter, _ *http.Request) { cut(w, "HTTP/1.1 200 OK\r\nContent-Ty") },
		"reset in body": func(w http.ResponseWriter, _ *http.Request) {
			cut(w, "HTTP/1.1 200 OK\r\nContent-Length: 24\r\n\r\n"+good[:9])
		},
		"reset in chunk": func(w http.ResponseWriter, _ *http.Request) {
			cut(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n18\r\n"+good[:9])
		},
		"no HTTP":      func(w http.ResponseWriter, _ *http.Request) { cut(w, "SSH-2.0-OpenSSH_9.6\r\n") },
		"cut decently": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good[:9]) },
		"cut text":     func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `"READ_WR`) },
		"web page": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "<!doctype html><title>Sign in</title>")
		},
		"empty": func(http.ResponseWriter, *http.Request) {},
		"broken gzip": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, good)
		},
		"silence": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"stall in body": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, good[:9])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"endless header":   func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Long", strings.Repeat("x", 1<<20)) },
		"Content-Length 0": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "0") },
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			srv := serve(t, func(call int, w http.ResponseWriter, r *http.Request) {
				if call <= 2 {
					fault(w, r)
					return
				}
				_, _ = io.WriteString(w, good)
			})
			c := client(t, srv.URL, clock, func(o *Options) { o.AttemptTimeout = 300 * time.Millisecond })
			var got string
			err := c.Get(t.Context(), "list things", "/wiki/api/v2/things", nil, func(body []byte, _ http.Header) error {
				got = string(body)
				return nil
			})
			if err != nil || got != good {
				t.Fatalf("got %q, %v", got, err)
			}
			if s := c.Stats(); s.Calls.Load() != 3 || s.Retries.Load() != 2 {
				t.Errorf("%d calls, %d retries; want 3 and 2", s.Calls.Load(), s.Retries.Load())
			}
			if diff := cmp.Diff([]time.Duration{990 * time.Millisecond, 1980 * time.Millisecond}, clock.slept); diff != "" {
				t.Error("waits", diff)
			}
		})
	}
}

func TestFaultsThatStayGetAClass(t *testing.T) {
	page := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		h       func(http.ResponseWriter, *http.Request)
		class   Class
		status  int
		calls   int64
		message string
	}{
		"400 of v2":  {page(400, `{"errors":[{"status":400,"code":"INVALID_REQUEST_PARAMETER","title":"bad cursor","detail":null}]}`), ClassBadRequest, 400, 1, "INVALID_REQUEST_PARAMETER: bad cursor"},
		"401":        {page(401, `{"code":401,"message":"Unauthorized"}`), ClassUnauthorized, 401, 1, "Unauthorized"},
		"401, scope": {page(401, `{"code":401,"message":"Unauthorized; scope does not match"}`), ClassScopeMissing, 401, 1, "Unauthorized; scope does not match"},
		"403 of v1":  {page(403, `{"statusCode":403,"data":{"authorized":false},"message":"not permitted"}`), ClassForbidden, 403, 1, "not permitted"},
		"404":        {page(404, `<html>`), ClassNotFound, 404, 1, ""},
		"410":        {page(410, ``), ClassNotFound, 410, 1, ""},
		"451":        {page(451, ``), ClassForbidden, 451, 1, ""},
		"409":        {page(409, `{"message":"evil \u001b[31m`+strings.Repeat("x", 500)+`"}`), ClassBadRequest, 409, 1, `evil \u001b[31m` + strings.Repeat("x", 190) + "..."},
		"429":        {page(429, ``), ClassThrottled, 429, 4, ""},
		"500":        {page(500, `{"message":"oops"}`), ClassServer, 500, 4, "oops"},
		"501":        {page(501, ``), ClassServer, 501, 1, ""},
		"cut":        {page(200, `[{"a":1},`), ClassMalformed, 200, 4, ""},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://evil.example/", http.StatusFound)
		}, ClassWrongOrigin, 302, 1, ""},
		"too large": {page(200, `"`+strings.Repeat("x", 70_000)+`"`), ClassTooLarge, 200, 1, ""},
		"too large, known": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "70000")
			w.WriteHeader(200)
		}, ClassTooLarge, 200, 1, ""},
		"gzip bomb": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(bytes.Repeat([]byte(" "), 10<<20))
			_ = z.Close()
		}, ClassTooLarge, 200, 1, ""},
		"silence": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, ClassTimeout, 0, 4, ""},
		"resets":  {func(w http.ResponseWriter, _ *http.Request) { cut(w, "") }, ClassNetwork, 0, 4, ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) { test.h(w, r) })
			host := strings.TrimPrefix(srv.URL, "http://")
			c := client(t, srv.URL, newClock(), func(o *Options) {
				o.MaxBody = 64 << 10
				if test.class == ClassTimeout {
					o.AttemptTimeout = 50 * time.Millisecond
				}
			})
			err := c.Get(t.Context(), "list things", "/things?cursor="+canary, nil, func([]byte, http.Header) error {
				t.Error("a failure was handed on as a success")
				return nil
			})
			var e *Error
			if !errors.As(err, &e) || e.Class != test.class || ClassOf(err) != test.class || e.Status != test.status || e.Message != test.message {
				t.Fatalf("err = %v (%+v), want %s %d %q", err, e, test.class, test.status, test.message)
			}
			if text := err.Error(); strings.Contains(text, canary) || !strings.HasPrefix(text, "list things: GET /things: "+string(test.class)) {
				t.Errorf("error text: %s", text)
			} else if test.status == 0 && !strings.Contains(text, host) {
				t.Errorf("the error does not name the host %s: %s", host, text)
			}
			if n := srv.calls.Load(); n != test.calls || c.Stats().Calls.Load() != n {
				t.Errorf("%d calls, want %d", n, test.calls)
			}
		})
	}
}

func TestServerDelayCountsWhenLonger(t *testing.T) {
	now := newClock().Now()
	for name, test := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"seconds":      {map[string]string{"Retry-After": "17"}, 17 * time.Second},
		"HTTP date":    {map[string]string{"Retry-After": now.Add(40 * time.Second).Format(http.TimeFormat)}, 40 * time.Second},
		"timestamp":    {map[string]string{"Retry-After": "2026-03-02T10:18Z"}, time.Minute},
		"missing":      {nil, 990 * time.Millisecond},
		"nonsense":     {map[string]string{"Retry-After": "soon"}, 990 * time.Millisecond},
		"zero":         {map[string]string{"Retry-After": "0"}, 990 * time.Millisecond},
		"past":         {map[string]string{"Retry-After": "2021-05-10T11:00Z"}, 990 * time.Millisecond},
		"absurd":       {map[string]string{"Retry-After": "99999999999999999999"}, 65 * time.Minute},
		"burst bucket": {map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "2026-03-02T10:19Z"}, 2 * time.Minute},
		"quota":        {map[string]string{"Beta-RateLimit": `"tenant-app-quota";r=0;t=300`}, 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			srv := serve(t, func(call int, w http.ResponseWriter, _ *http.Request) {
				if call == 1 {
					for k, v := range test.header {
						w.Header().Set(k, v)
					}
					w.WriteHeader(429)
					return
				}
				_, _ = io.WriteString(w, good)
			})
			c := client(t, srv.URL, clock)
			if err := c.Get(t.Context(), "list", "/things", nil, func([]byte, http.Header) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]time.Duration{test.want}, clock.slept); diff != "" {
				t.Error(diff)
			}
			if c.Stats().Throttled.Load() != 1 {
				t.Error("the 429 was not counted")
			}
		})
	}
}

func TestOnlyIdempotentRequestsAreRepeated(t *testing.T) {
	for name, test := range map[string]struct {
		request Request
		calls   int64
	}{
		"GET":             {Request{}, 4},
		"POST":            {Request{Method: "POST", Body: []byte(`{}`)}, 1},
		"POST idempotent": {Request{Method: "POST", Body: []byte(`{"accountIds":["1"]}`), Idempotent: true}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || string(body) != string(test.request.Body) || len(body) > 0 && r.Header.Get("Content-Type") != "application/json" {
					t.Errorf("body %q, %v", body, err)
				}
				w.WriteHeader(503)
			})
			test.request.Ref = "/things"
			if _, err := client(t, srv.URL, newClock()).Do(t.Context(), test.request); ClassOf(err) != ClassServer {
				t.Error(err)
			}
			if srv.calls.Load() != test.calls {
				t.Errorf("%d calls, want %d", srv.calls.Load(), test.calls)
			}
		})
	}
}

func TestDeadlineBeforeTheNextTryEndsAtOnce(t *testing.T) {
	clock := newClock()
	srv := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1800")
		w.WriteHeader(429)
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := client(t, srv.URL, clock).Get(ctx, "list", "/things", nil, nil)
	var e *Error
	if !errors.As(err, &e) || e.Class != ClassThrottled || e.RetryAfter != 30*time.Minute || len(clock.slept) != 0 || srv.calls.Load() != 1 {
		t.Errorf("err = %v after %v and %d calls", err, clock.slept, srv.calls.Load())
	}
}

func TestEndOfTheContextIsNoFault(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	srv := serve(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	err := client(t, srv.URL, newClock()).Get(ctx, "list", "/things", nil, nil)
	if !errors.Is(err, context.Canceled) || ClassOf(err) != "" || srv.calls.Load() != 1 {
		t.Errorf("err = %v, %d calls", err, srv.calls.Load())
	}
}

func TestBodyIsLentAndOwned(t *testing.T) {
	srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</next>")
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"q":%q,"accept":%q,"agent":%q,"x":%q}`, r.URL.RawQuery, r.Header.Get("Accept"), r.UserAgent(), r.Header.Get("X-Experimental"))
	})
	c := client(t, srv.URL, newClock(), func(o *Options) { o.UserAgent = "sitedrift/1" })
	resp, err := c.Do(t.Context(), Request{Ref: "/a?x=1", Query: url.Values{"y": {"2 3"}}, Header: http.Header{"X-Experimental": {"opt-in"}}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"q":"x=1&y=2+3","accept":"application/json","agent":"sitedrift/1","x":"opt-in"}`
	if resp.Status != 201 || resp.Header.Get("Link") != "</next>" || string(resp.Body) != want {
		t.Errorf("%d %q", resp.Status, resp.Body)
	}
	for range 10 { // the buffer is used again, the answer is the caller's
		if _, err := c.Do(t.Context(), Request{Ref: "/" + strings.Repeat("b", 200)}); err != nil {
			t.Fatal(err)
		}
	}
	if string(resp.Body) != want {
		t.Error("the answer changed under its owner")
	}
	boom := errors.New("boom")
	calls := srv.calls.Load()
	if err := c.Get(t.Context(), "list", "/a", nil, func([]byte, http.Header) error { return boom }); !errors.Is(err, boom) || srv.calls.Load() != calls+1 {
		t.Errorf("the callback's error came back as %v after %d calls", err, srv.calls.Load()-calls)
	}
	err = Malformed("list", "/a?b="+canary, json.Unmarshal([]byte("{"), &struct{}{}))
	if ClassOf(err) != ClassMalformed || strings.Contains(err.Error(), canary) {
		t.Error(err)
	}
}

func TestRunsCountApart(t *testing.T) {
	srv := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) })
	c := client(t, srv.URL, newClock())
	var a, b Stats
	for i, run := range []*Client{c.ForRun(&a), c.ForRun(&b), c.ForRun(&b)} {
		if _, err := run.Do(t.Context(), Request{Ref: "/a"}); err != nil {
			t.Fatal(err)
		}
		run.Charge(i * 10)
	}
	if a.Calls.Load() != 1 || b.Calls.Load() != 2 || b.Bytes.Load() != int64(2*len(good)) || a.Points.Load() != 1 || b.Points.Load() != 32 || c.Stats().Calls.Load() != 0 {
		t.Errorf("a: %d calls, %d points; b: %d calls, %d bytes, %d points", a.Calls.Load(), a.Points.Load(), b.Calls.Load(), b.Bytes.Load(), b.Points.Load())
	}
}

func TestTenantsLimiter(t *testing.T) {
	clock := newClock()
	srv := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, good) })
	c := client(t, srv.URL, clock, func(o *Options) { o.Limiter = rate.NewLimiter(10, 5) })
	for range 25 {
		if _, err := c.Do(t.Context(), Request{Ref: "/a"}); err != nil {
			t.Fatal(err)
		}
	}
	if got := clock.total().Round(time.Millisecond); got != 2*time.Second {
		t.Errorf("25 requests at 10/s with a burst of 5 waited %v, want 2s", got)
	}
}
