//go:build linux && !noengine

package main

import (
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
)

// wireState is what a wire lets through.
type wireState int

const (
	wireWhole   wireState = iota
	wireRefused           // connections are reset, and new ones too
	wireSilent            // nothing passes; connections stay
	wireDeaf              // requests pass, answers do not
)

// wire is a network cable that can be cut: it passes on to another address what
// connects to it. Bytes that it holds back come late, when it is whole again, as
// those of TCP do. It is safe for concurrent use.
type wire struct {
	listener        net.Listener
	network, target string

	mu    sync.Mutex
	whole *sync.Cond // the state has changed
	state wireState
	conns map[net.Conn]struct{}
}

// newWire listens on an address, whose network is that of the target, until the
// end of the test.
func newWire(t testing.TB, network, listen, target string) *wire {
	t.Helper()
	l, err := net.Listen(network, listen)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: l, network: network, target: target, conns: map[net.Conn]struct{}{}}
	w.whole = sync.NewCond(&w.mu)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serving.Go(func() { w.carry(c) })
			}
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.set(wireWhole)
		w.reset()
		serving.Wait()
	})
	return w
}

// address is where the wire listens.
func (w *wire) address() string { return w.listener.Addr().String() }

// set cuts the wire, or makes it whole.
func (w *wire) set(s wireState) {
	w.mu.Lock()
	w.state = s
	w.mu.Unlock()
	w.whole.Broadcast()
	if s == wireRefused {
		w.reset()
	}
}

// reset ends all connections as a host does that has forgotten them.
func (w *wire) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		abort(c)
	}
}

func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// carry passes the bytes of one connection on, both ways, until one side ends.
func (w *wire) carry(near net.Conn) {
	w.wait(wireSilent) // who connects to a silent host waits
	w.mu.Lock()
	refused := w.state == wireRefused
	w.mu.Unlock()
	if refused {
		abort(near)
		return
	}
	far, err := net.Dial(w.network, w.target)
	if err != nil { // the server is down
		abort(near)
		return
	}
	w.mu.Lock()
	w.conns[near], w.conns[far] = struct{}{}, struct{}{}
	w.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { w.pump(far, near, wireSilent); _ = far.Close(); _ = near.Close() })
	both.Go(func() { w.pump(near, far, wireSilent, wireDeaf); _ = far.Close(); _ = near.Close() })
	both.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, near)
	delete(w.conns, far)
}

// pump copies one direction, and holds bytes back in some states.
func (w *wire) pump(to, from net.Conn, held ...wireState) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		w.wait(held...)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// wait returns when the wire is in none of the states.
func (w *wire) wait(held ...wireState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for slices.Contains(held, w.state) {
		w.whole.Wait()
	}
}
