//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// Built tells whether this build has the engine's binding.
const Built = true

// RunChild is the engine process: it loads the library, opens the data directory and serves the sockets that the
// daemon handed over, until ctx ends, SIGTERM arrives or the daemon is gone, which it sees by the end of its
// standard input, whatever way the daemon ended. It returns the process's exit code; what went wrong is one line
// on stderr. The process must do nothing else, and exit afterwards.
func RunChild(ctx context.Context, args []string, stderr io.Writer) int {
	say := func(code int, err error) int {
		fmt.Fprintln(stderr, err)
		return code
	}
	o, err := parseChildOptions(args, stderr)
	if err != nil {
		return say(exitUsage, err)
	}
	who, err := readAccess(os.Stdin)
	if err != nil {
		return say(exitUsage, err)
	}
	signal.Ignore(syscall.SIGINT) // Ctrl-C is the daemon's affair: it stops the child in its turn
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	ctx, orphaned := context.WithCancelCause(ctx)
	defer orphaned(nil)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		orphaned(errOrphaned)
	}()

	listeners, err := inheritedListeners(o.http)
	if err != nil {
		return say(exitUsage, err)
	}
	lib, err := chdb.Load(o.library)
	if err != nil {
		return say(exitLibrary, err)
	}
	l := layout{o.dir}
	root, err := openEngine(lib, l, o.memory)
	if err != nil {
		return say(exitEngine, err)
	}
	srv, err := front.New(front.Settings{
		Library: lib, Path: l.store(), Database: Database, Token: who.Token, Readers: who.Readers, Views: who.Views,
	})
	if err != nil {
		return say(exitEngine, err)
	}
	err = serve(ctx, srv, listeners, o.guests, stderr)
	if errors.Is(context.Cause(ctx), errOrphaned) {
		// Nobody is left to clean up after the daemon.
		if a, ok := listeners[0].Addr().(*net.UnixAddr); ok {
			removeSocket(a.Name)
		}
	}
	if err != nil {
		return say(exitFailed, err)
	}
	root.Close()
	lib.Shutdown()
	return 0
}

var errOrphaned = errors.New("the daemon is gone")

// openEngine starts the engine; the session returned keeps it open.
func openEngine(lib *chdb.Library, l layout, memory int64) (*chdb.Session, error) {
	config, err := l.writeConfig(memory)
	if err != nil {
		return nil, err
	}
	if err := os.Chdir(l.empty()); err != nil {
		return nil, err
	}
	root, err := lib.Open("--path="+l.store(), "--config-file="+config)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, l.store())
	}
	if err := root.Exec("CREATE DATABASE IF NOT EXISTS " + Database + " ENGINE = Atomic"); err != nil {
		return nil, fmt.Errorf("create database %s: %w", Database, err)
	}
	return root, nil
}

// inheritedListeners takes over the Unix socket and, if it is there, the loopback socket behind it.
func inheritedListeners(http bool) ([]net.Listener, error) {
	fds := []uintptr{fdSocket}
	if http {
		fds = append(fds, fdHTTP)
	}
	var ls []net.Listener
	for _, fd := range fds {
		f := os.NewFile(fd, "socket")
		l, err := net.FileListener(f)
		_ = f.Close() // FileListener has made a copy
		if err != nil {
			return nil, fmt.Errorf("the daemon's socket (file %d) is missing: %w", fd, err)
		}
		ls = append(ls, l)
	}
	return ls, nil
}

// serve answers on the listeners until ctx ends, then lets statements finish, then kills them.
func serve(ctx context.Context, srv *front.Server, listeners []net.Listener, guests bool, stderr io.Writer) error {
	var servers []*http.Server
	failed := make(chan error, len(listeners))
	for i, l := range listeners {
		h := &http.Server{
			Handler:           srv,
			ReadHeaderTimeout: 30 * time.Second,
			IdleTimeout:       10 * time.Minute,
			ErrorLog:          log.New(stderr, "", 0),
		}
		if i > 0 {
			h.Handler = srv.Loopback(guests)
		}
		servers = append(servers, h)
		go func() { failed <- h.Serve(l) }()
	}
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	grace := time.AfterFunc(childGrace, srv.KillAll)
	defer grace.Stop()
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), childLimit)
	defer cancel()
	ended := make(chan error, len(servers))
	for _, h := range servers {
		go func() { ended <- h.Shutdown(limit) }()
	}
	for range servers {
		if e := <-ended; e != nil {
			return errors.Join(err, fmt.Errorf("statements did not end in time: %w", e))
		}
	}
	srv.Close()
	return err
}
