package httpx

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Class says what kind of failure an Error is. Decide by it, never by text.
type Class string

// The classes.
const (
	ClassUnauthorized Class = "unauthorized"  // 401 that a newer token does not help
	ClassScopeMissing Class = "scope_missing" // 401 since the token lacks a scope
	ClassForbidden    Class = "forbidden"     // 403, 451
	ClassNotFound     Class = "not_found"     // 404, 410; Confluence v2 also says so of what may not be seen
	ClassBadRequest   Class = "bad_request"   // another 4xx
	ClassThrottled    Class = "throttled"     // 429, or the budget is used up
	ClassServer       Class = "server"        // 5xx
	ClassTimeout      Class = "timeout"       // no whole answer in time
	ClassNetwork      Class = "network"       // no connection, or it broke
	ClassMalformed    Class = "malformed"     // an answer that is not what the API gives
	ClassTooLarge     Class = "too_large"     // an answer above the size cap
	ClassWrongOrigin  Class = "wrong_origin"  // a link, a redirect or a name that leads off the pinned origin or into a network that is not allowed
	ClassCredential   Class = "credential"    // no Authorization header could be had; see the cause
)

// Error is a failed request.
type Error struct {
	Class      Class
	Op         string        // what the caller was doing, such as "list spaces"
	Method     string        //
	URLPath    string        // without host and query
	Status     int           // 0: no answer
	Message    string        // the server's, cut to 200 characters and escaped
	RetryAfter time.Duration // how long to leave the server alone; 0: not said
	Tries      int           // how often it was sent
	Cause      error
}

// Error names operation, path, status, message and cause.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s: %s", e.Op, e.Method, e.URLPath, e.Class)
	if e.Status != 0 {
		fmt.Fprintf(&b, " (HTTP %d)", e.Status)
	}
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	if e.Tries > 1 {
		fmt.Fprintf(&b, ", after %d tries", e.Tries)
	}
	if e.RetryAfter > 0 {
		fmt.Fprintf(&b, "; again in %v", e.RetryAfter.Round(time.Second))
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ClassOf returns the class of the first *Error in err's tree, "" if there is none.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return ""
}

// Malformed is the error for an answer that arrived whole and does not decode.
func Malformed(op, path string, cause error) *Error {
	path, _, _ = strings.Cut(path, "?")
	return &Error{Class: ClassMalformed, Op: op, Method: "GET", URLPath: clean(path), Cause: cause}
}

// clean cuts foreign text to 200 characters and escapes what does not print (Invariant 10).
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

// message finds the text in an error answer. Confluence v2 sends a list of
// errors, v1 and the gateway a message; the organization API sends either.
func message(body []byte) string {
	var w struct {
		Message string `json:"message"`
		Error   string `json:"error"`
		Errors  []struct {
			Code   string `json:"code"`
			Title  string `json:"title"`
			Detail string `json:"detail"`
		} `json:"errors"`
	}
	// What does not fit a field leaves it empty, the other fields count.
	_ = json.Unmarshal(body, &w)
	parts := []string{w.Message, w.Error}
	for _, e := range w.Errors {
		parts = append(parts, e.Code, e.Title, e.Detail)
	}
	var said []string
	for _, p := range parts {
		if p = strings.TrimSpace(p); p != "" {
			said = append(said, p)
		}
	}
	return clean(strings.Join(said, ": "))
}
