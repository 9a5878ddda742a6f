//go:build unix

package embedded

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// child is one engine process.
type child struct {
	cmd  *exec.Cmd
	life io.Closer // the write end of its standard input: closing it is the daemon's death to it
	done chan struct{}
	err  error // of Wait; read after done
	tail *tail
}

// spawn starts a process with the sockets and the lock. It lives as long as the daemon: its standard input is a
// pipe that ends with us, even when we are killed.
func (e *Engine) spawn() (*child, error) {
	socket, err := e.unix.File()
	if err != nil {
		return nil, fmt.Errorf("embedded engine: %w", err)
	}
	defer socket.Close()
	files := []*os.File{socket, e.lock}
	if e.http != nil {
		f, err := e.http.File()
		if err != nil {
			return nil, fmt.Errorf("embedded engine: %w", err)
		}
		defer f.Close()
		files = append(files, f)
	}
	o := childOptions{library: e.library, dir: e.layout.root, memory: e.settings.MaxMemoryBytes, http: e.http != nil, guests: e.settings.ListenReadOnly}
	c := &child{done: make(chan struct{}), tail: &tail{log: e.settings.Log}}
	c.cmd = exec.Command(e.settings.Command[0], append(e.settings.Command[1:len(e.settings.Command):len(e.settings.Command)], o.args()...)...)
	c.cmd.Dir = e.layout.empty()
	c.cmd.Env = childEnv()
	c.cmd.ExtraFiles = files
	c.cmd.Stdout, c.cmd.Stderr = c.tail, c.tail
	c.cmd.WaitDelay = 2 * time.Second
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the terminal's Ctrl-C is for the daemon
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("embedded engine: %w", err)
	}
	c.life = stdin
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("embedded engine: start %s: %w", e.settings.Command[0], err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.done)
	}()
	if err := json.NewEncoder(stdin).Encode(access{e.token, e.settings.Readers, e.settings.Views}); err != nil { // ends the line
		c.kill()
		<-c.done
		return nil, c.failure()
	}
	return c, nil
}

// childEnv is what the engine gets of the environment: no secrets that the daemon was given there, and UTC, so
// that a time without a zone means the same on every machine.
func childEnv() []string {
	env := []string{"TZ=UTC"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "GOCOVERDIR", "GOTRACEBACK"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// failure tells how the child ended, after done.
func (c *child) failure() error {
	return &ChildError{Exit: c.cmd.ProcessState.String(), Stderr: c.tail.text()}
}

func (c *child) exitCode() int { return c.cmd.ProcessState.ExitCode() }

func (c *child) kill() { _ = c.cmd.Process.Kill() }

// stop ends the child in order, or by force after timeout.
func (c *child) stop(ctx context.Context, timeout time.Duration) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.kill()
		<-c.done
		return fmt.Errorf("embedded engine: killed, as it did not stop in time: %w", ctx.Err())
	}
	if _, ok := errors.AsType[*exec.ExitError](c.err); ok {
		return c.failure()
	}
	return nil
}

// tail logs what a child says, line by line, and keeps the end of it for error texts.
type tail struct {
	log  *zap.Logger
	mu   sync.Mutex
	open []byte // a line whose end has not come yet
	last []string
}

const (
	tailLines    = 8
	tailLineSize = 2000
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.open = append(t.open, b...)
	for {
		line, rest, ok := bytes.Cut(t.open, []byte{'\n'})
		if !ok && len(line) < tailLineSize {
			return len(b), nil
		}
		t.line(string(line[:min(len(line), tailLineSize)]))
		t.open = rest
	}
}

func (t *tail) line(s string) {
	if s = strings.TrimSpace(s); s == "" {
		return
	}
	t.log.Warn("embedded engine says", zap.String("text", s))
	t.last = append(t.last, s)
	if len(t.last) > tailLines {
		t.last = t.last[1:]
	}
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(append(slices.Clip(t.last), strings.TrimSpace(string(t.open))), "; ")
}
