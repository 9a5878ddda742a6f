package oauth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// The classes of errors; test for them with errors.Is.
var (
	// ErrNeedsReconsent says that the grant is proven dead: a person has to
	// consent again (`sitedrift connect`).
	ErrNeedsReconsent = errors.New("consent is needed again")
	// ErrNeedsNewToken says that a token, a key or a client secret has expired or is
	// refused: an operator has to make a new one (`sitedrift connect`).
	ErrNeedsNewToken = errors.New("a new one is needed")
	// ErrClientConfig says that the app's id, secret or endpoints are wrong. The
	// grant may be well.
	ErrClientConfig = errors.New("the OAuth app is not configured right")
	// ErrTemporary says that the provider or the store could not answer; the
	// next try may.
	ErrTemporary = errors.New("no access token for the moment")
	// ErrStillRefused says that the API refuses an access token that the
	// provider issued just now.
	ErrStillRefused = errors.New("the API refuses a fresh access token")
	// ErrClosed says that the process is shutting down.
	ErrClosed = errors.New("token refreshing is shut down")
)

// Error is a failure to get an access token or a grant. It holds no part of an
// answer but its error code and its description, cut and escaped.
type Error struct {
	Class  error // ErrNeedsReconsent, ErrNeedsNewToken, ErrClientConfig, ErrTemporary or ErrStillRefused
	Op     string
	Tenant string
	Kind   string

	Status      int           // HTTP status, 0: no answer
	Code        string        // error of RFC 6749, section 5.2
	Description string        // error_description
	RetryAfter  time.Duration // as the provider asked

	Hint  string // what to do next
	Cause error  // never quotes an answer's body
}

// Error names operation, tenant, answer, cause and the next step.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Tenant != "" {
		fmt.Fprintf(&b, " of tenant %s (%s)", e.Tenant, e.Kind)
	}
	fmt.Fprintf(&b, ": %v", e.Class)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": the provider answered %d", e.Status)
	}
	if e.Code != "" {
		b.WriteString(" " + e.Code)
	}
	if e.Description != "" {
		fmt.Fprintf(&b, " (%s)", e.Description)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Hint != "" {
		b.WriteString("; " + e.Hint)
	}
	return b.String()
}

// Unwrap gives the class and the cause.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Class}
	}
	return []error{e.Class, e.Cause}
}

// clean cuts text from an answer to 200 characters and escapes what could
// confuse a terminal or a log line (Invariant 10).
func clean(text string) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		if n++; n > 200 {
			b.WriteString("...")
			break
		}
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// transportCause takes the URL off a transport error and keeps the rest.
func transportCause(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// isTransport tells an error of the connection from one of the content.
func isTransport(err error) bool {
	var u *url.Error
	return errors.As(err, &u) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &t) && t.Timeout()
}
