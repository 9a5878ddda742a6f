//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"
)

// Waiting time between two starts: doubled after each failure, back to the least once a child served this long.
const (
	backoffMin  = 100 * time.Millisecond
	backoffMax  = 15 * time.Second
	healthyTime = time.Minute
)

// supervise replaces the child whenever it ends, until run is cancelled. c is the first one, which serves.
func (e *Engine) supervise(run context.Context, c *child) {
	defer close(e.ended)
	log := e.settings.Log
	<-c.done
	why, wait := c.failure(), backoffMin
	for {
		e.gone(why)
		if run.Err() != nil {
			return
		}
		log.Error("embedded engine ended and is started again", zap.Error(why), zap.Duration("wait", wait))
		if pause(run, wait) != nil {
			return
		}
		e.restarts.Add(1)
		wait = min(2*wait, backoffMax)
		next, err := e.launch(run)
		if err != nil {
			why = err
			continue
		}
		if !e.serving(run, next) {
			next.kill()
			<-next.done
			return
		}
		log.Info("embedded engine is up again", zap.Int("pid", next.pid()), zap.Int("restarts", e.Restarts()))
		up := time.Now()
		<-next.done
		if time.Since(up) > healthyTime {
			wait = backoffMin
		}
		why = next.failure()
	}
}

// serving makes c the present child and lets connections through. It refuses once Close has begun: Close stops
// the child that it finds here, and would miss a later one.
func (e *Engine) serving(run context.Context, c *child) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if run.Err() != nil {
		return false
	}
	e.child, e.last = c, nil
	close(e.ready)
	return true
}

// gone holds new connections back until the next child serves.
func (e *Engine) gone(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child != nil {
		e.child, e.ready = nil, make(chan struct{})
	}
	e.last = why
}

// launch starts a child and waits until it answers.
func (e *Engine) launch(ctx context.Context) (*child, error) {
	c, err := e.spawn()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, e.settings.StartTimeout,
		fmt.Errorf("embedded engine: it did not serve within %s", e.settings.StartTimeout))
	defer cancel()
	pong := make(chan error, 1)
	go func() { pong <- e.ping(ctx) }()
	select {
	case err = <-pong:
	case <-c.done:
		cancel()
		<-pong //nolint:errcheck // the child has ended, which is what is told
		return nil, e.explain(c)
	}
	if err != nil {
		c.kill()
		<-c.done
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, err
	}
	return c, nil
}

// ping asks for a sign of life. The listening socket is there before the child is, so the question waits in its
// queue until the child takes it.
func (e *Engine) ping(ctx context.Context) error {
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", e.socket)
	}}
	rq, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine.localhost/ping", nil)
	if err != nil {
		return err
	}
	res, err := t.RoundTrip(rq)
	if err != nil {
		return fmt.Errorf("embedded engine: no answer from it: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("embedded engine: it answers with status %d", res.StatusCode)
	}
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// explain turns the end of a child that never served into the error for it.
func (e *Engine) explain(c *child) error {
	err := c.failure()
	var ce *ChildError
	if !errors.As(err, &ce) {
		return err
	}
	switch code := c.exitCode(); {
	case code == exitLibrary:
		reason := strings.TrimPrefix(strings.ReplaceAll(ce.Stderr, e.library+": ", ""), "load engine library ")
		return &LibraryError{e.library, "does not load: " + strings.TrimRight(reason, "; ")}
	case code == exitEngine && foreignLock(ce.Stderr):
		return &InUseError{Dir: e.settings.Dir}
	}
	return err
}
