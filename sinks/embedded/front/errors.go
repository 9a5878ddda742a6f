//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
)

var errUnauthorized = exception(516, "AUTHENTICATION_FAILED",
	"this engine wants its token as the password (any user): HTTP basic authentication or the header X-ClickHouse-Key")

func errBody(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return exception(307, "TOO_MANY_BYTES", fmt.Sprintf("the request body is longer than %d bytes", tooLarge.Limit))
	}
	return exception(23, "CANNOT_READ_FROM_ISTREAM", "cannot read the request body: "+err.Error())
}

var codePattern = regexp.MustCompile(`Code: (\d+)\.`)

// fail answers with an error: status, code header, text.
func fail(w http.ResponseWriter, err error) {
	code := 1002
	if m := codePattern.FindStringSubmatch(err.Error()); m != nil {
		code, _ = strconv.Atoi(m[1])
	}
	h := w.Header()
	h.Set("X-ClickHouse-Exception-Code", strconv.Itoa(code))
	h.Set("Content-Type", "text/plain; charset=UTF-8")
	h.Set("X-Content-Type-Options", "nosniff")
	status := httpStatus(code)
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Basic realm="sitedrift"`)
	}
	w.WriteHeader(status)
	fmt.Fprintln(w, err)
}

// httpStatus follows a server's choice for the error codes that clients look at.
func httpStatus(code int) int {
	switch code {
	case 516: // AUTHENTICATION_FAILED
		return http.StatusUnauthorized
	case 497, 164: // ACCESS_DENIED, READONLY
		return http.StatusForbidden
	case 10, 16, 34, 46, 47, 60, 79, 81, 372: // unknown column, function, table, database, session
		return http.StatusNotFound
	case 27, 36, 41, 43, 50, 53, 62, 69, 70, 115, 117, 374, 456, 457: // the statement or its values are wrong
		return http.StatusBadRequest
	case 159: // TIMEOUT_EXCEEDED
		return http.StatusRequestTimeout
	case 307: // TOO_MANY_BYTES
		return http.StatusRequestEntityTooLarge
	case 48: // NOT_IMPLEMENTED
		return http.StatusNotImplemented
	}
	return http.StatusInternalServerError
}
