//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// request is one HTTP request, understood.
type request struct {
	caller
	contract   contract // of a reader
	reading    bool     // may only read: a guest, a reader, or GET
	sql        string
	insert     *insertData // nil: body carries no rows
	body       io.Reader   // rows of an INSERT, decoded
	format     string
	database   string
	params     []chdb.Param
	settings   []setting
	readOnly   string // "", or the level to force after the settings
	queryID    string
	waitForEnd bool
	session    string
	ttl        time.Duration
	mustExist  bool // session_check
	endSession bool // close_session
	query      url.Values
	header     http.Header
	closers    []func()
}

type setting struct{ name, value string }

// notSettings are the URL parameters of the HTTP interface that name no engine setting (ClickHouse documentation,
// "HTTP Interface").
var notSettings = map[string]bool{
	"query": true, "database": true, "default_format": true, "client_protocol_version": true,
	"compress": true, "decompress": true, "session_id": true, "session_timeout": true, "session_check": true,
	"close_session": true, "query_id": true, "quota_key": true, "user": true, "password": true, "role": true,
	"wait_end_of_query": true, "buffer_size": true, "stacktrace": true, "enable_http_compression": true,
	"network_compression_method": true, "network_zstd_compression_level": true, "http_zlib_compression_level": true,
	"send_progress_in_http_headers": true, "http_headers_progress_interval_ms": true, "add_http_cors_header": true,
	"readonly": true, "log_comment": true,
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// headBytes is how much of a body is looked at for a statement that carries its rows behind it.
const headBytes = 256 << 10

func (s *Server) parse(w http.ResponseWriter, r *http.Request, as caller) (*request, error) {
	q := r.URL.Query()
	rq := &request{
		caller: as, query: q, header: r.Header,
		format:     cmp.Or(r.Header.Get("X-ClickHouse-Format"), q.Get("default_format"), "TabSeparated"),
		database:   cmp.Or(q.Get("database"), r.Header.Get("X-ClickHouse-Database"), s.Database),
		queryID:    q.Get("query_id"),
		waitForEnd: truth(q.Get("wait_end_of_query")),
		session:    q.Get("session_id"), mustExist: truth(q.Get("session_check")), endSession: truth(q.Get("close_session")),
		readOnly: q.Get("readonly"),
	}
	if err := rq.readSession(); err != nil {
		return nil, err
	}
	if err := rq.readSettings(); err != nil {
		return nil, err
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodGet, http.MethodHead: // as on a server: a link in a page must not change anything
		rq.reading = true
		if rq.readOnly == "" && rq.session == "" {
			rq.readOnly = "2"
		}
	default:
		return nil, exception(1002, "UNKNOWN_EXCEPTION", "method "+r.Method+" is not served: use GET or POST")
	}
	if as.guest || as.reader != nil {
		rq.reading, rq.readOnly = true, "1"
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, exception(48, "NOT_IMPLEMENTED", "external tables are not served by the embedded engine")
	}
	if err := rq.readStatement(s.Limits, w, r); err != nil {
		rq.close()
		return nil, err
	}
	if as.reader != nil {
		if err := rq.confine(s.Database); err != nil {
			rq.close()
			return nil, err
		}
	}
	return rq, nil
}

func (rq *request) readSession() error {
	if rq.session == "" {
		return nil
	}
	if rq.guest || rq.reader != nil {
		return exception(497, "ACCESS_DENIED", "sessions need the token")
	}
	if rq.readOnly != "" {
		return exception(36, "BAD_ARGUMENTS", "readonly cannot be set for one statement of a session: it could not be taken back")
	}
	rq.ttl = time.Minute
	if t := rq.query.Get("session_timeout"); t != "" {
		d, err := time.ParseDuration(t + "s")
		if err != nil || d <= 0 || d > time.Hour {
			return exception(374, "INVALID_SESSION_TIMEOUT", "session_timeout must be between 1 and 3600 seconds, got "+quote(t))
		}
		rq.ttl = d
	}
	return nil
}

// readSettings sorts the URL parameters into query parameters and engine settings, in a fixed order.
func (rq *request) readSettings() error {
	for name, values := range rq.query {
		if p, ok := strings.CutPrefix(name, "param_"); ok {
			rq.params = append(rq.params, chdb.Param{Name: p, Value: values[0]})
			continue
		}
		if notSettings[name] {
			continue
		}
		if !settingName.MatchString(name) {
			return exception(115, "UNKNOWN_SETTING", "URL parameter "+quote(name)+" is neither known nor a setting's name")
		}
		rq.settings = append(rq.settings, setting{name, values[0]})
	}
	slices.SortFunc(rq.settings, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return nil
}

// readStatement finds the statement (in the URL, in the body, or in both) and the rows behind it.
func (rq *request) readStatement(lim Limits, w http.ResponseWriter, r *http.Request) error {
	body, err := rq.decode(http.MaxBytesReader(w, idleReader{r.Body, http.NewResponseController(w), lim.Idle}, lim.InsertBytes))
	if err != nil {
		return exception(354, "ZLIB_INFLATE_FAILED", err.Error())
	}
	rq.sql = rq.query.Get("query")
	if d, ok := splitInsert(rq.sql); ok { // rows may begin in the URL
		rq.insert = &d
		rq.body = io.MultiReader(strings.NewReader(rq.sql[d.offset:]), body)
		return nil
	}
	head := make([]byte, headBytes)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return errBody(err)
	}
	if rq.sql == "" {
		if d, ok := splitInsert(string(head[:n])); ok {
			rq.insert = &d
			rq.body = io.MultiReader(strings.NewReader(string(head[d.offset:n])), body)
			return nil
		}
	}
	rest, err := io.ReadAll(io.LimitReader(body, lim.StatementBytes))
	if err != nil {
		return errBody(err)
	}
	if int64(n+len(rest)) > lim.StatementBytes {
		return exception(62, "SYNTAX_ERROR", fmt.Sprintf("the statement is longer than %d bytes", lim.StatementBytes))
	}
	rq.sql += string(head[:n]) + string(rest)
	if strings.TrimSpace(rq.sql) == "" {
		return exception(62, "SYNTAX_ERROR", "empty statement")
	}
	return nil
}

// zstdWindow is what every decoder should take (RFC 8878, section 3.1.1.1.2). A frame of a few bytes may ask for more
// memory than the engine has.
const zstdWindow = 8 << 20

// decode undoes the body's compression: HTTP's (gzip, zstd) and ClickHouse's own blocks (decompress=1).
func (rq *request) decode(body io.Reader) (io.Reader, error) {
	switch enc := rq.header.Get("Content-Encoding"); enc {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(zstdWindow))
		if err != nil {
			return nil, err
		}
		rq.closers = append(rq.closers, z.Close)
		body = z
	default:
		return nil, fmt.Errorf("Content-Encoding %q is not served: use gzip, zstd or none", enc)
	}
	if truth(rq.query.Get("decompress")) {
		body = compress.NewReader(body)
	}
	return endReader{body}, nil
}

// text is the statement as the engine will see it.
func (rq *request) text() string {
	if rq.insert != nil {
		return rq.insert.statement
	}
	return rq.sql
}

func (rq *request) close() {
	for _, f := range rq.closers {
		f()
	}
}

// endReader turns a wrapped io.EOF into a plain one, and every other error into an exception.
type endReader struct{ r io.Reader }

func (e endReader) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	switch {
	case err == nil || errors.Is(err, io.EOF):
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = errBody(err)
	case errors.Is(err, io.EOF):
		err = io.EOF
	default:
		err = errBody(err)
	}
	return n, err
}

// idleReader gives the client a new deadline before each read.
type idleReader struct {
	io.ReadCloser
	c    *http.ResponseController
	idle time.Duration
}

func (i idleReader) Read(b []byte) (int, error) {
	_ = i.c.SetReadDeadline(time.Now().Add(i.idle)) // tests' recorders have none
	return i.ReadCloser.Read(b)
}

func truth(v string) bool { return v == "1" || v == "true" }
