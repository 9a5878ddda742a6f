package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// errNoDaemon says that no daemon listens on the control socket.
var errNoDaemon = errors.New("no daemon is running")

// message is one line of an operation's answer: an event, or its end.
type message struct {
	Event  json.RawMessage `json:"event,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Exit   int             `json:"exit,omitempty"`
}

// controlSocket listens for the command line. Only the daemon's own user can
// reach it: the directory is 0700 and the socket 0600.
func controlSocket(path string) (net.Listener, error) {
	if other, err := (&net.Dialer{}).DialContext(context.Background(), "unix", path); err == nil {
		_ = other.Close()
		return nil, fmt.Errorf("another daemon answers on the control socket %s (server.control_socket): give each replica on one machine a data_dir of its own", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove the control socket of an earlier daemon: %w", err)
	}
	old := syscall.Umask(0o077)
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket (set server.control_socket to a shorter or writable path): %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil { // narrower than the umask made it; never wider
		return nil, errors.Join(fmt.Errorf("make the control socket its owner's alone: %w", err), l.Close())
	}
	return l, nil
}

// serveControl answers operations until the listener is closed. Those under way then
// may end, as runs may, for grace, and are cut off after it: one that the end of the
// process cut off would be taken for a run that died with it (Invariant 7).
func serveControl(ctx context.Context, l net.Listener, a *app, grace time.Duration) error {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{operation}", func(w http.ResponseWriter, r *http.Request) {
		op, ok := findOperation(r.PathValue("operation"))
		if !ok {
			http.NotFound(w, r)
			return
		}
		params, err := io.ReadAll(io.LimitReader(r.Body, 16<<20))
		if err != nil {
			return
		}
		uid, err := callerOf(r.Context())
		if err != nil || !mayControl(uid, os.Geteuid()) {
			a.log.Warn("a command was refused: it comes from another user", zap.String("name", op.name), zap.Int("uid", uid), zap.Error(err))
			http.Error(w, "forbidden", http.StatusForbidden)
			return
		}
		a.log.Info("operation", zap.String("name", op.name))
		var mu sync.Mutex
		out := json.NewEncoder(w)
		send := func(m message) {
			mu.Lock()
			defer mu.Unlock()
			if out.Encode(m) == nil {
				_ = http.NewResponseController(w).Flush()
			}
		}
		result, err := op.perform(r.Context(), a, actorOf(uid), params, func(event any) {
			if raw, err := json.Marshal(event); err == nil {
				send(message{Event: raw})
			}
		})
		send(ending(result, err))
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }, ConnContext: withCaller}
	if err := srv.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	stop := time.AfterFunc(grace, cut)
	defer stop.Stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+afterCut)
	defer cancel()
	if err := srv.Shutdown(ending); err != nil && !errors.Is(err, net.ErrClosed) {
		a.log.Warn("an operation did not end", zap.Error(err))
	}
	return nil
}

// afterCut is how long an operation that is cut off has to clean up.
const afterCut = 10 * time.Second

// mayControl tells whether a user may give commands to a daemon of another: who
// runs it, and root. The socket's mode says the same; this holds also where
// somebody widened it.
func mayControl(uid, daemon int) bool { return uid == daemon || uid == 0 }

// caller is the user behind a connection.
type caller struct {
	uid int
	err error
}

type callerKey struct{}

func withCaller(ctx context.Context, c net.Conn) context.Context {
	uid, err := peer(c)
	return context.WithValue(ctx, callerKey{}, caller{uid, err})
}

func callerOf(ctx context.Context) (uid int, err error) {
	c, ok := ctx.Value(callerKey{}).(caller)
	if !ok {
		return -1, errors.New("the connection has no user")
	}
	return c.uid, c.err
}

// errForeignDaemon says that whoever listens on the control socket is not asked.
var errForeignDaemon = errors.New("the control socket is another user's")

// dialDaemon connects to a control socket whose process may have what commands
// carry. While no daemon runs, others can make a socket where they can write.
func dialDaemon(ctx context.Context, socket string, may func(uid int) bool) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if uid, err := peer(c); err != nil || !may(uid) {
		return nil, errors.Join(errForeignDaemon, err, c.Close())
	}
	return c, nil
}

// mayServe tells whether a user's daemon may have the commands of another: one's own,
// and root's. Root asks whom it likes.
func mayServe(uid, self int) bool { return uid == self || uid == 0 || self == 0 }

// ending is the last message of an operation.
func ending(result any, err error) message {
	if err == nil {
		var raw json.RawMessage
		if raw, err = json.Marshal(result); err == nil {
			return message{Result: raw}
		}
	}
	m := message{Error: err.Error(), Exit: exitRuntime}
	if e := (*exitError)(nil); errors.As(err, &e) {
		m.Exit = e.code
	}
	return m
}

// remote runs an operation in the daemon.
func remote(ctx context.Context, socket, name string, params json.RawMessage, onEvent func(json.RawMessage) error) (json.RawMessage, error) {
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialDaemon(ctx, socket, func(uid int) bool { return mayServe(uid, os.Geteuid()) })
	}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://sitedrift/v1/"+name, bytes.NewReader(params))
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	resp, err := client.Do(req)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR) {
		return nil, errNoDaemon
	}
	switch {
	case errors.Is(err, errForeignDaemon):
		return nil, fmt.Errorf("the control socket %s is held by another user's process, and commands may carry secrets, so nothing was sent: if it is the daemon, run this as its user; if not, set server.control_socket to a place where others cannot write", socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the control socket %s belongs to a daemon of another user: run this as that user", socket)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("ask the daemon on %s: %w", socket, err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusForbidden:
		return nil, fmt.Errorf("the daemon on %s belongs to another user: run this as that user", socket)
	default:
		return nil, fmt.Errorf("the daemon does not know the operation %q: it is of another version; restart it", name)
	}
	return readAnswer(ctx, resp.Body, name, onEvent)
}

// readAnswer reads what the daemon sends of an operation, to its last message.
func readAnswer(ctx context.Context, body io.Reader, name string, onEvent func(json.RawMessage) error) (json.RawMessage, error) {
	lines := bufio.NewReader(body)
	for {
		line, err := lines.ReadBytes('\n')
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			return nil, fmt.Errorf("the daemon ended in the middle of %s: what was published stays, nothing was stored half; see its log, start it and try again", name)
		}
		var m message
		switch err := json.Unmarshal(line, &m); {
		case err != nil:
			return nil, fmt.Errorf("the daemon's answer is not understood: %w", err)
		case m.Event != nil:
			if err := onEvent(m.Event); err != nil {
				return nil, err
			}
		case m.Error != "":
			return nil, &exitError{m.Exit, errors.New(m.Error)}
		default:
			return m.Result, nil
		}
	}
}
