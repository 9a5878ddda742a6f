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
	if other, err := net.Dial("unix", path); err == nil {
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
	return l, nil
}

// serveControl answers operations until the listener is closed.
func serveControl(ctx context.Context, l net.Listener, a *app) error {
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
		result, err := op.run(r.Context(), a, params, func(event any) {
			if raw, err := json.Marshal(event); err == nil {
				send(message{Event: raw})
			}
		})
		send(ending(result, err))
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	if err := srv.Serve(l); !errors.Is(err, net.ErrClosed) && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control socket: %w", err)
	}
	return nil
}

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
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
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
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("the control socket %s belongs to a daemon of another user: run this as that user", socket)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("ask the daemon on %s: %w", socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the daemon does not know the operation %q: it is of another version; restart it", name)
	}
	lines := bufio.NewReader(resp.Body)
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
