package oauth_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/oauth"
)

// Behind localhost a browser may find either loopback address.
func TestCallbackHoldsBothLoopbackAddresses(t *testing.T) {
	held, err := net.Listen("tcp", "[::1]:0")
	if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
		held, err = net.Listen("tcp", "127.0.0.1:0") // of the one family that there is
	}
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	_, port, err := net.SplitHostPort(held.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	c := w.consent()
	c.Provider.RedirectURL = "http://localhost:" + port + "/callback"
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = c.Serve(ctx, w.request(), func(string) {
		t.Error("it serves beside somebody else")
		cancel() // nobody will come
	})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("somebody else has one of the addresses: %v", err)
	}
	address := held.Addr().String()
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	_, err = c.Serve(ctx, w.request(), func(start string) {
		defer cancel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/else", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "localhost:" + port
		if code, page := send(t, browser(t), r); code != http.StatusNotFound || !strings.Contains(page, "Open the address") {
			t.Errorf("%s: %d %s", address, code, page)
		}
	})
	if !errors.Is(err, oauth.ErrConsentExpired) || strings.Contains(err.Error(), "context") {
		t.Errorf("err = %v", err)
	}
}

// A code that comes in the last second is not told to have come too late.
func TestCodeThatIsOnItsWayIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	consent := w.consent()
	begun, over := make(chan struct{}), make(chan struct{})
	consent.Complete = func(context.Context, oauth.Request, string) (oauth.Result, error) {
		close(begun)
		<-over
		return oauth.Result{SiteURL: "there"}, nil
	}
	p, err := consent.Begin(w.request())
	if err != nil {
		t.Fatal(err)
	}
	state, cookie := begin(t, p)
	r := httptest.NewRequest(http.MethodGet, callback+"?code=x&state="+state, nil)
	r.AddCookie(cookie)
	go p.ServeHTTP(httptest.NewRecorder(), r)
	<-begun
	late, end := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer end()
	time.AfterFunc(10*time.Millisecond, func() { close(over) })
	if res, err := p.Wait(late); err != nil || res.SiteURL != "there" {
		t.Errorf("result %+v, %v", res, err)
	}
}
