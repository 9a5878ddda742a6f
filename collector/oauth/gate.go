package oauth

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
)

// drainFor bounds how long a refresh waits for calls in flight.
const drainFor = 60 * time.Second

// gate holds API calls back while a refresh is about to end the access token
// that they would use, and tells when those in flight are over. A nil gate is
// always open.
type gate struct {
	mu     sync.Mutex
	flying int
	shut   chan struct{} // closed when the gate opens; nil while it is open
	idle   chan struct{} // closed when the last call in flight is over; nil while the gate is open
}

// enter waits until the gate is open and counts the call. It tells whether it
// had to wait.
func (g *gate) enter(ctx context.Context) (waited bool, err error) {
	for {
		g.mu.Lock()
		shut := g.shut
		if shut == nil {
			g.flying++
			g.mu.Unlock()
			return waited, nil
		}
		g.mu.Unlock()
		waited = true
		select {
		case <-shut:
		case <-ctx.Done():
			return waited, context.Cause(ctx)
		}
	}
}

// leave ends a call.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.flying--; g.flying == 0 && g.idle != nil {
		close(g.idle)
		g.idle = nil
	}
}

// close lets no further call in. The channel is closed when none is in flight.
func (g *gate) close() (idle <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut == nil {
		g.shut = make(chan struct{})
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle = g.idle
	if g.flying == 0 {
		close(g.idle)
		g.idle = nil
	}
	return idle
}

// open lets calls in again.
func (g *gate) open() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut != nil {
		close(g.shut)
		g.shut, g.idle = nil, nil
	}
}

// gateOf returns the gate of a credential.
func (t *Tokens) gateOf(k key) *gate {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gates[k]
	if g == nil {
		g = &gate{}
		t.gates[k] = g
	}
	return g
}

// drain shuts the gate and waits for the calls in flight, but not forever: one
// that hangs, or whose caller waits for this very refresh, is left to be refused
// and sent again. The gate opens when the refresh is over, however it ends.
func (t *Tokens) drain(k key) error {
	idle := t.gateOf(k).close()
	timer := time.NewTimer(drainFor)
	defer timer.Stop()
	select {
	case <-idle:
	case <-timer.C:
		t.Log.Warn("API calls are still in flight, and the token is refreshed under them", zap.String("tenant", k.tenant), zap.String("kind", k.kind))
	case <-t.waiting.Done():
		return ErrClosed
	}
	return nil
}

// Transport returns next, or a transport in front of it where a refresh of the
// credential ends the access token in use: there, all API calls of this process
// with that credential must go through it. A refresh lets the calls that are in
// flight finish, until their bodies are read or closed, and calls that come
// meanwhile wait for it, as far as their context lets them, and go out with the
// new token. Calls of other processes are answered with 401, for which there is
// Refused.
func (t *Tokens) Transport(c collector.Credential, next http.RoundTripper) http.RoundTripper {
	if c.Kind != collector.CredentialKindDCOAuth {
		return next
	}
	k := key{c.Tenant, c.Kind}
	return &gated{next: next, tokens: t, key: k, gate: t.gateOf(k)}
}

type gated struct {
	next   http.RoundTripper
	tokens *Tokens
	key    key
	gate   *gate
}

// RoundTrip implements http.RoundTripper.
func (g *gated) RoundTrip(r *http.Request) (*http.Response, error) {
	waited, err := g.gate.enter(r.Context())
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	over := sync.OnceFunc(g.gate.leave)
	handedOn := false
	defer func() {
		if !handedOn {
			over()
		}
	}()
	if waited {
		r = g.renewed(r)
	}
	resp, err := g.next.RoundTrip(r)
	if err == nil && resp.Body != nil {
		resp.Body = &counted{resp.Body, over}
		handedOn = true
	}
	return resp, err
}

// renewed gives a request that waited the token that came meanwhile: the one
// that it was made with is dead.
func (g *gated) renewed(r *http.Request) *http.Request {
	g.tokens.mu.Lock()
	held, ok := g.tokens.cache[g.key]
	g.tokens.mu.Unlock()
	if !ok || !held.usable(g.tokens.Now()) || r.Header.Get("Authorization") == "" {
		return r
	}
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+held.access.Reveal())
	return r
}

// counted is a body whose call is over when it is read to its end or closed.
type counted struct {
	io.ReadCloser
	over func()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		c.over()
	}
	return n, err
}

func (c *counted) Close() error {
	defer c.over()
	return c.ReadCloser.Close()
}
