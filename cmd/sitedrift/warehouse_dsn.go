package main

import (
	"net/http"
	"net/url"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// parseWarehouse reads the address of a ClickHouse server. The driver takes https with
// a parameter beside it alone, which says the same.
func parseWarehouse(dsn string) (*ch.Options, error) {
	if u, err := url.Parse(dsn); err == nil && u.Scheme == "https" && !u.Query().Has("secure") {
		q := u.Query()
		q.Set("secure", "true")
		u.RawQuery = q.Encode()
		dsn = u.String()
	}
	return ch.ParseDSN(dsn)
}

// freshPassword is the way to a server whose user or password may change while the
// daemon works: both are read anew for each request.
type freshPassword struct {
	http.RoundTripper
	address func() (string, error)
}

// RoundTrip implements http.RoundTripper. The driver puts a password into a header of
// ClickHouse's over https, and into that of HTTP otherwise.
func (f freshPassword) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _, basic := r.BasicAuth()
	own := r.Header.Get("X-ClickHouse-Key") != ""
	dsn, err := f.address()
	if err != nil || !basic && !own { // goes on with what it was before
		return f.RoundTripper.RoundTrip(r)
	}
	if o, err := parseWarehouse(dsn); err == nil && o.Auth.Password != "" {
		r = r.Clone(r.Context())
		if basic {
			r.SetBasicAuth(o.Auth.Username, o.Auth.Password)
		} else {
			r.Header.Set("X-ClickHouse-User", o.Auth.Username)
			r.Header.Set("X-ClickHouse-Key", o.Auth.Password)
		}
	}
	return f.RoundTripper.RoundTrip(r)
}
