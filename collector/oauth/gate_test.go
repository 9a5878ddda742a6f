package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
)

// apiClient is an API client of the Data Center site as a daemon makes it.
func (w *world) apiClient(tokens *oauth.Tokens) *httpx.Client {
	w.t.Helper()
	row := w.row()
	auth, err := tokens.Authorizer(row)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := httpx.New(httpx.Options{Base: w.dc.URL(), Auth: auth, Tenant: tenant, Transport: tokens.Transport(row, w.wire), Log: w.log})
	if err != nil {
		w.t.Fatal(err)
	}
	return client
}

func read(ctx context.Context, c *httpx.Client) error {
	_, err := c.Do(ctx, httpx.Request{Op: "list spaces", Ref: "/rest/api/space"})
	return err
}

// A refresh ends the tokens of calls in flight, so it waits for them, and new
// calls wait for it.
func TestRefreshWaitsForCallsInFlight(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	arrived, release := make(chan struct{}), make(chan struct{})
	var slow atomic.Bool
	slow.Store(true)
	tokens := w.dcProcess()
	transport := tokens.Transport(w.row(), roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := w.wire.RoundTrip(r)
		if err == nil && slow.CompareAndSwap(true, false) {
			close(arrived)
			resp.Body = slowBody{resp.Body, release}
		}
		return resp, err
	}))
	auth, err := tokens.Authorizer(w.row())
	if err != nil {
		t.Fatal(err)
	}
	client, err := httpx.New(httpx.Options{Base: w.dc.URL(), Auth: auth, Tenant: tenant, Transport: transport, Log: w.log})
	if err != nil {
		t.Fatal(err)
	}
	free := sync.OnceFunc(func() { close(release) })
	var group sync.WaitGroup
	defer group.Wait()
	defer free()
	group.Go(func() {
		if err := read(t.Context(), client); err != nil {
			t.Errorf("the call in flight: %v", err)
		}
	})
	<-arrived
	old, _ := header(t, auth)
	w.clock.Advance(115 * time.Minute) // time for a refresh
	refreshed := make(chan error, 1)
	go func() {
		_, _, err := tokens.Token(context.Background(), tenant, dcKind)
		refreshed <- err
	}()
	// A call that comes now has the old token and must not go out with it.
	for range 3 {
		group.Go(func() {
			if err := read(t.Context(), client); err != nil {
				t.Errorf("a call during the refresh: %v", err)
			}
		})
	}
	select {
	case err := <-refreshed:
		t.Fatalf("the refresh did not wait for the call in flight: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	if n := len(w.wire.refreshes()); n != 0 {
		t.Fatalf("%d refreshes while a call is in flight", n)
	}
	// One that got its header before all this is sent with the new token.
	group.Go(func() {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.dc.URL()+"/rest/api/space", nil)
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Authorization", old)
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Error(err)
			return
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK || req.Header.Get("Authorization") != old {
			t.Errorf("a call that waited: %d, or its request was changed", resp.StatusCode)
		}
	})
	time.Sleep(20 * time.Millisecond) // let it reach the gate
	free()
	if err := <-refreshed; w.heard(err) != nil {
		t.Fatal(err)
	}
	group.Wait()
	if s := w.dc.OAuthStats(); s.Rotations != 1 || s.AccessRefusals != 0 {
		t.Errorf("provider: %+v, want one rotation and no call with a dead token", s)
	}
	w.alive()
}

// slowBody ends only when it is released.
type slowBody struct {
	io.ReadCloser
	release <-chan struct{}
}

func (b slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		<-b.release
	}
	return n, err
}

func TestCallThatGivesUpWaiting(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	w.clock.Advance(115 * time.Minute)
	release, sent := make(chan struct{}), make(chan struct{})
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		close(sent)
		<-release
		return forward()
	})
	tokens := w.dcProcess()
	refreshed := make(chan error, 1)
	go func() {
		_, _, err := tokens.Token(context.Background(), tenant, dcKind)
		refreshed <- err
	}()
	<-sent
	ctx, cancel := context.WithCancel(t.Context())
	body := &closing{Reader: strings.NewReader("x"), closed: make(chan struct{})}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.dc.URL()+"/rest/api/space", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer old")
	failed := make(chan error, 1)
	go func() {
		resp, err := tokens.Transport(w.row(), w.wire).RoundTrip(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want context.Canceled", err)
	}
	<-body.closed // as http.RoundTripper promises
	close(release)
	if err := <-refreshed; w.heard(err) != nil {
		t.Fatal(err)
	}
}

type closing struct {
	io.Reader
	closed chan struct{}
}

func (c *closing) Close() error { close(c.closed); return nil }

// The gate opens whatever a refresh comes to, also a panic.
func TestGateOpensAfterAFailedRefresh(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	w.clock.Advance(110 * time.Minute)
	for name, change := range map[string]func(*oauth.Options){
		"panic": func(o *oauth.Options) { o.Trace = func(string) { panic("in the refresh") } },
		"store": func(o *oauth.Options) { o.Store = noClaims{w.store} },
	} {
		tokens := w.dcProcess(change)
		client := w.apiClient(tokens)
		if err := tokens.Refused(t.Context(), tenant, dcKind, w.row().Generation); !errors.Is(w.heard(err), oauth.ErrTemporary) {
			t.Fatalf("%s: %v", name, err)
		}
		if err := read(t.Context(), client); w.heard(err) != nil {
			t.Errorf("%s: a call after it: %v", name, err)
		}
		w.clock.Advance(2 * time.Minute) // the lease ends
	}
	w.mustToken(w.dcProcess())
	w.alive()
}

// While another process refreshes, this one's calls go on: they are refused at
// worst, and sent once more.
func TestGateIsOpenWhileAnotherProcessRefreshes(t *testing.T) {
	w := newDCWorld(t)
	w.connectDC()
	row := w.row()
	if _, ok, err := w.store.ClaimRefresh(t.Context(), tenant, dcKind, "another", w.clock.Now(), w.clock.Now().Add(time.Minute)); err != nil || !ok {
		t.Fatal(ok, err)
	}
	waits := 0
	tokens := w.dcProcess()
	tokens.Sleep = func(ctx context.Context, d time.Duration) error {
		if waits++; waits == 1 {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.dc.URL()+"/rest/api/space", nil)
			if err != nil {
				return err
			}
			resp, err := tokens.Transport(row, w.wire).RoundTrip(req)
			if err != nil {
				t.Errorf("a call while another process refreshes: %v", err)
				return err
			}
			_ = resp.Body.Close()
		}
		return w.clock.Sleep(ctx, d)
	}
	if err := tokens.Refused(t.Context(), tenant, dcKind, row.Generation); w.heard(err) != nil || waits == 0 {
		t.Errorf("%d waits, %v", waits, err)
	}
	w.alive()
}

// noClaims is a store that cannot write.
type noClaims struct{ oauth.Store }

func (noClaims) ClaimRefresh(context.Context, string, string, string, time.Time, time.Time) (collector.Credential, bool, error) {
	return collector.Credential{}, false, errDatabase
}

func TestOnlyGrantsThatEndTokensHaveAGate(t *testing.T) {
	w := newWorld(t)
	if got := w.process().Transport(collector.Credential{Tenant: tenant, Kind: kind}, w.wire); got != http.RoundTripper(w.wire) {
		t.Errorf("calls with a Cloud grant go through %T", got)
	}
}

// Two processes with several callers each read a site whose access tokens end
// all the time. Every call comes through in the end, and the grant lives.
func TestBusyProcessesOnDataCenter(t *testing.T) {
	w := newDCWorld(t, func(s *confluencetest.DataCenterSettings) { s.AccessTokenTTL = 10 * time.Minute })
	w.connectDC()
	began, base := time.Now(), w.clock.Now()
	var jumped atomic.Int64
	onRealTime := func(o *oauth.Options) {
		o.Now = func() time.Time { return base.Add(time.Since(began) + time.Duration(jumped.Load())) }
		o.Sleep = nil
	}
	w.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		time.Sleep(3 * time.Millisecond) // room for a second one
		return resp, err
	})
	processes := []*oauth.Tokens{w.dcProcess(onRealTime), w.dcProcess(onRealTime)}
	const rounds = 10
	for round := range rounds {
		step := 9*time.Minute + 10*time.Second // inside the early time: both processes want a new token, the old one still works
		if round%3 == 2 {
			step = 11 * time.Minute
		}
		jumped.Add(int64(step))
		w.clock.Advance(step)
		var group sync.WaitGroup
		for caller := range 8 {
			client := w.apiClient(processes[caller%2])
			group.Go(func() {
				for range 3 {
					if err := read(t.Context(), client); w.heard(err) != nil {
						t.Errorf("round %d: %v", round, err)
					}
				}
			})
		}
		group.Wait()
	}
	s := w.dc.OAuthStats()
	if s.Rotations != rounds || s.RefusedRefreshes != 0 || w.wire.maxBusy != 1 {
		t.Errorf("%d refreshes at once, provider: %+v", w.wire.maxBusy, s)
	}
	w.alive()
}
