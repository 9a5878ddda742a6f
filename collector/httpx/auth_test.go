package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// renewable is a credential that a refresh helps.
type renewable struct {
	mu         sync.Mutex
	generation int64
	refused    int
	err        error
}

func (r *renewable) Authorization(context.Context) (string, int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("Bearer %s-%d", canary, r.generation), r.generation, nil
}

func (r *renewable) Refused(_ context.Context, generation int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	if r.err == nil && r.generation == generation {
		r.generation++
	}
	return r.err
}

func TestRefusedCredentialIsRenewedOnce(t *testing.T) {
	for name, test := range map[string]struct {
		accepts string
		err     error
		body    string
		calls   int64
		refused int
		class   Class
	}{
		"renewed":       {"Bearer " + canary + "-1", nil, `{"message":"Unauthorized"}`, 2, 1, ""},
		"still refused": {"no", nil, `{"message":"Unauthorized"}`, 2, 1, ClassUnauthorized},
		"dead grant":    {"no", errors.New("consent is needed"), `{"message":"Unauthorized"}`, 1, 1, ClassUnauthorized},
		"scope":         {"no", nil, `{"message":"Unauthorized; scope does not match"}`, 1, 0, ClassScopeMissing},
	} {
		t.Run(name, func(t *testing.T) {
			auth := &renewable{err: test.err}
			srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != test.accepts {
					w.WriteHeader(401)
					_, _ = io.WriteString(w, test.body)
					return
				}
				_, _ = io.WriteString(w, good)
			})
			// A POST too: what was refused was not done.
			_, err := client(t, srv.URL, newClock(), func(o *Options) { o.Auth = auth }).Do(t.Context(), Request{Method: "POST", Ref: "/a"})
			if ClassOf(err) != test.class || test.class == "" && err != nil || test.err != nil && !errors.Is(err, test.err) {
				t.Errorf("err = %v, want %q", err, test.class)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the token: %v", err)
			}
			if srv.calls.Load() != test.calls || auth.refused != test.refused {
				t.Errorf("%d calls, %d refusals; want %d, %d", srv.calls.Load(), auth.refused, test.calls, test.refused)
			}
		})
	}
}

type noToken struct{ error }

func (n noToken) Authorization(context.Context) (string, int64, error) { return "", 0, n.error }
func (n noToken) Refused(context.Context, int64) error                 { return n.error }

func TestCredentials(t *testing.T) {
	var got string
	srv := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		_, _ = io.WriteString(w, good)
	})
	for want, auth := range map[string]Authorizer{"Bearer k": Bearer("k"), "Basic YUBiOnQ=": Basic("a@b", "t"), "": Anonymous()} {
		if _, err := client(t, srv.URL, newClock(), func(o *Options) { o.Auth = auth }).Do(t.Context(), Request{Ref: "/a"}); err != nil || got != want {
			t.Errorf("sent %q, want %q (%v)", got, want, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", Bearer(canary), Basic("a", canary), client(t, srv.URL, newClock())); strings.Contains(text, canary) {
		t.Error("a printed credential shows its token")
	}
	gone := errors.New("gone")
	calls := srv.calls.Load()
	_, err := client(t, srv.URL, newClock(), func(o *Options) { o.Auth = noToken{gone} }).Do(t.Context(), Request{Ref: "/a"})
	if ClassOf(err) != ClassCredential || !errors.Is(err, gone) || srv.calls.Load() != calls {
		t.Errorf("without a token: %v", err)
	}
}
