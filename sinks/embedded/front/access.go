//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"strings"
)

// Loopback serves a TCP port for people: curl, notebooks, dashboards. Requests must name a loopback host, so
// that a page in a browser cannot reach the engine under a name of its own that resolves to this machine. Readers
// ask with their tokens. With guests, and where there are no readers to keep apart, requests without a password
// may read, and change nothing; one with a wrong password is refused.
func (s *Server) Loopback(guests bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host) {
			fail(w, exception(497, "ACCESS_DENIED", "this port serves localhost only, not "+quote(r.Host)))
			return
		}
		if reader := s.reader(password(r)); reader != nil && !isPing(r) {
			s.serveReader(w, r, reader)
			return
		}
		if guests && len(s.readers) == 0 && !isPing(r) && password(r) == "" {
			s.serve(w, r, caller{guest: true})
			return
		}
		s.ServeHTTP(w, r)
	})
}

func (s *Server) authorized(r *http.Request) bool {
	return s.Token != "" && subtle.ConstantTimeCompare([]byte(password(r)), []byte(s.Token)) == 1
}

// password reads the request's password. The URL parameter of that name is not looked at: URLs end up in logs
// (Invariant 9).
func password(r *http.Request) string {
	if _, p, ok := r.BasicAuth(); ok {
		return p
	}
	return r.Header.Get("X-ClickHouse-Key")
}

func loopbackHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func isPing(r *http.Request) bool {
	return r.URL.Path == "/ping" || r.Method == http.MethodGet && r.URL.Path == "/" && !r.URL.Query().Has("query")
}

func ping(w http.ResponseWriter) { _, _ = io.WriteString(w, "Ok.\n") }
