//go:build unix

package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.uber.org/zap"
)

// Engine is a running embedded engine. It is safe for concurrent use.
type Engine struct {
	settings Settings
	layout   layout
	library  string
	token    string
	socket   string
	unix     *net.UnixListener // held for the engine's life: connections wait here while a child is replaced
	http     *net.TCPListener  // nil: none
	lock     *os.File

	restarts atomic.Int64
	closing  context.CancelFunc // tells the supervisor to stop
	ended    chan struct{}      // closed when the supervisor has stopped

	mu      sync.Mutex
	child   *child        // the present one; nil between two
	ready   chan struct{} // closed while a child serves
	last    error         // why the last child ended
	renewed time.Time     // when Renew ended one
	once    sync.Once
	err     error // of Close
}

// Start finds the library, starts the engine process and returns when it answers. A child that ends later is
// started again, at the same socket and with the same token, until Close. Errors: [*LibraryError] (not installed,
// wrong file), [*InUseError] (another process has the data directory), [*ListenError] (loopback port taken or not
// loopback), [*ChildError] (the engine does not come up), [ErrNotBuilt]. ctx bounds the start only.
func Start(ctx context.Context, s Settings) (*Engine, error) {
	s, err := s.withDefaults()
	if err != nil {
		return nil, err
	}
	if !Built {
		return nil, ErrNotBuilt
	}
	e := &Engine{settings: s, layout: newLayout(s.Dir), token: rand.Text(), ready: make(chan struct{}), ended: make(chan struct{})}
	if e.library, err = Find(s.Library, s.CacheDir); err != nil {
		return nil, err
	}
	if err := e.layout.make(); err != nil {
		return nil, err
	}
	if e.lock, err = lockDir(ctx, s.Dir, e.layout.lock(), orphanPatience); err != nil {
		return nil, err
	}
	if err := e.listen(); err != nil {
		e.release()
		return nil, err
	}
	c, err := e.launch(ctx)
	if err != nil {
		e.release()
		return nil, err
	}
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	e.closing = cancel
	e.serving(run, c)
	s.Log.Info("embedded engine is up", zap.Int("pid", c.pid()), zap.String("dir", e.layout.root), zap.String("http", e.HTTPAddr()))
	go e.supervise(run, c)
	return e, nil
}

// orphanPatience is a little more than a child takes to end after its daemon was killed.
const orphanPatience = childLimit + 2*time.Second

// listen opens the sockets.
func (e *Engine) listen() (err error) {
	if e.unix, e.socket, err = listenUnix(e.layout.root); err != nil {
		return err
	}
	if e.settings.ListenHTTP == "" {
		return nil
	}
	l, err := net.Listen("tcp", e.settings.ListenHTTP)
	if err != nil {
		return &ListenError{e.settings.ListenHTTP, err}
	}
	e.http = l.(*net.TCPListener)
	return nil
}

// Options returns connection options for clickhouse-go, a new value on each call. They stay valid while the engine
// process is replaced: a new connection waits until one serves, at most for the dial timeout, and then fails with
// the reason why none does. Statements that were running when a process ended fail; nothing is retried here.
func (e *Engine) Options() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:        clickhouse.HTTP,
		Addr:            []string{"engine.localhost:80"},
		Auth:            clickhouse.Auth{Database: Database, Username: "default", Password: e.token},
		DialContext:     func(ctx context.Context, _ string) (net.Conn, error) { return e.dial(ctx) },
		TransportFunc:   directTransport,
		DialTimeout:     30 * time.Second,
		ReadTimeout:     30 * time.Minute, // until an INSERT or DDL is done; shorter limits belong into contexts
		MaxOpenConns:    32,
		MaxIdleConns:    8,
		ConnMaxLifetime: time.Hour,
	}
}

// directTransport keeps the environment's proxy out of the way to the socket.
func directTransport(t *http.Transport) (http.RoundTripper, error) {
	t.Proxy = nil
	t.IdleConnTimeout = 5 * time.Minute // below the child's own, so that no request meets a closing connection
	return t, nil
}

func (e *Engine) dial(ctx context.Context) (net.Conn, error) {
	e.mu.Lock()
	ready := e.ready
	e.mu.Unlock()
	select {
	case <-ready:
	case <-e.ended:
		return nil, errClosed
	case <-ctx.Done():
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.last != nil {
			return nil, fmt.Errorf("%w (waited: %w)", e.last, ctx.Err())
		}
		return nil, ctx.Err()
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", e.socket)
}

var errClosed = errors.New("embedded engine: closed")

// HTTPAddr is the loopback address that is served, with the port that was chosen for port 0; empty when none is.
func (e *Engine) HTTPAddr() string {
	if e.http == nil {
		return ""
	}
	return e.http.Addr().String()
}

// Token is the password that requests carry, new at each Start. It is a secret.
func (e *Engine) Token() string { return e.token }

// Restarts counts how often a child had to be replaced.
func (e *Engine) Restarts() int { return int(e.restarts.Load()) }

// PID is the process id of the present child, 0 while there is none.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil {
		return 0
	}
	return e.child.pid()
}

// renewEvery bounds how often a child is renewed: what a new start does not mend needs a person, and not a start
// after the other.
const renewEvery = 30 * time.Second

// Renew ends the present child, which the supervisor then replaces: a start gives up parts that cannot be read,
// such as a full disk leaves. It does nothing while there is no child, or half a minute after the last time, and
// returns at once.
func (e *Engine) Renew(why error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.child == nil || time.Since(e.renewed) < renewEvery {
		return
	}
	e.renewed = time.Now()
	e.settings.Log.Warn("embedded engine is to be started again: it cannot read what it stored", zap.Error(why))
	e.child.kill()
}

// Close stops the engine: SIGTERM, so that statements have 3 s to finish; SIGKILL after the stop timeout or when
// ctx ends, which loses nothing that was acknowledged. A second call returns what the first did.
func (e *Engine) Close(ctx context.Context) error {
	e.once.Do(func() {
		e.closing()
		e.mu.Lock()
		c := e.child
		e.mu.Unlock()
		if c != nil {
			e.err = c.stop(ctx, e.settings.StopTimeout)
		}
		<-e.ended
		e.release()
		e.settings.Log.Info("embedded engine is stopped", zap.Error(e.err))
	})
	return e.err
}

// release gives back what Start took.
func (e *Engine) release() {
	if e.unix != nil {
		_ = e.unix.Close()
		removeSocket(e.socket)
	}
	if e.http != nil {
		_ = e.http.Close()
	}
	e.lock.Close()
}
