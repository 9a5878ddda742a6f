package oauth

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sitedrift/sitedrift/collector"
)

type answering func(*http.Request) (*http.Response, error)

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A call that hangs, or whose caller waits for the token itself, holds a refresh
// up for a minute and not longer; a process that shuts down does not wait at all.
func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.WarnLevel)
		tokens := NewTokens(Options{Log: zap.New(core)})
		row := collector.Credential{Tenant: "acme", Kind: collector.CredentialKindDCOAuth}
		transport := tokens.Transport(row, answering(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("never read"))}, nil
		}))
		send := func() *http.Response {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/rest/api/space", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := transport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		held := send()
		began := time.Now()
		k := key{row.Tenant, row.Kind}
		if err := tokens.drain(k); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != drainFor || logs.Len() != 1 {
			t.Errorf("waited %v with %d warnings, want %v with one", waited, logs.Len(), drainFor)
		}
		later := make(chan *http.Response)
		go func() { later <- send() }()
		synctest.Wait()
		select {
		case <-later:
			t.Error("a call came through the shut gate")
		default:
		}
		tokens.gateOf(k).open()
		second := <-later

		// Read to the end or closed, both end a call.
		if _, err := io.ReadAll(held.Body); err != nil {
			t.Fatal(err)
		}
		_ = second.Body.Close()
		_ = second.Body.Close() // and once only
		began = time.Now()
		if err := tokens.drain(k); err != nil || time.Since(began) != 0 {
			t.Errorf("with nothing in flight: %v after %v", err, time.Since(began))
		}
		tokens.gateOf(k).open()

		third := send()
		go func() {
			time.Sleep(time.Second)
			if err := tokens.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		began = time.Now()
		if err := tokens.drain(k); !errors.Is(err, ErrClosed) || time.Since(began) != time.Second {
			t.Errorf("at shutdown: %v after %v", err, time.Since(began))
		}
		_ = third.Body.Close()
		synctest.Wait()
	})
}

// A call that failed before it had a body is over, too.
func TestFailedCallsAreNotInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tokens := NewTokens(Options{})
		row := collector.Credential{Tenant: "acme", Kind: collector.CredentialKindDCOAuth}
		for name, next := range map[string]answering{
			"error": func(*http.Request) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
			"panic": func(*http.Request) (*http.Response, error) { panic("in the transport") },
		} {
			func() {
				defer func() { _ = recover() }()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://site/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := tokens.Transport(row, next).RoundTrip(req)
				if err == nil {
					_ = resp.Body.Close()
					t.Errorf("%s: no error", name)
				}
			}()
		}
		began := time.Now()
		if err := tokens.drain(key{row.Tenant, row.Kind}); err != nil || time.Since(began) != 0 {
			t.Errorf("drain: %v after %v", err, time.Since(began))
		}
	})
}
