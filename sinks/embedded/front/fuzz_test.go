//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// FuzzRequest: whatever is sent to the port, it is understood or refused; a guest
// and a reader only read, and a reader gets no setting, session, database or format
// that is not one of a reader's (Invariant 7).
func FuzzRequest(f *testing.F) {
	for _, seed := range []struct{ method, query, encoding, body string }{
		{"POST", "query=SELECT+1", "", ""},
		{"GET", "query=SELECT+1&max_execution_time=5", "", ""},
		{"POST", "", "", "INSERT INTO t FORMAT TSV\n1\t2"},
		{"POST", "query=INSERT+INTO+t+FORMAT+CSV%0A1", "", "2\n"},
		{"POST", "readonly=0&query=DROP+TABLE+x", "", ""},
		{"POST", "session_id=a&session_timeout=1e9&query=SELECT+1", "", ""},
		{"POST", "decompress=1", "", "\x00\x01"},
		{"POST", "", "gzip", "\x1f\x8b\x08"},
		{"POST", "", "zstd", "\x28\xb5\x2f\xfd\x00"},
		{"PUT", "", "", "SELECT 1"},
		{"POST", "additional_table_filters=%7B%7D&query=SELECT+1", "", ""},
		{"POST", "param_x=1&database=system&query=SELECT+1+FORMAT+Null+FORMAT+TSV", "", ""},
		{"POST", "a%00b=1", "", "SELECT 1"},
		{"HEAD", "query=%FF", "br", ""},
		{"POST", "default_format=Template&query=(SELECT 1) -- x", "", "\n"},
	} {
		for as := range uint8(3) {
			f.Add(seed.method, seed.query, seed.encoding, []byte(seed.body), as)
		}
	}
	s := &Server{Settings: Settings{Database: "sitedrift", Limits: Limits{StatementBytes: 1 << 16, InsertBytes: 1 << 18, Idle: time.Second}}}
	f.Fuzz(func(t *testing.T, method, query, encoding string, body []byte, as uint8) {
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", strings.NewReader(string(body)))
		r.Method, r.URL.RawQuery = method, query
		r.Header.Set("Content-Encoding", encoding)
		who := caller{guest: as%3 == 1}
		if as%3 == 2 {
			who.reader = &reading{Reader: Reader{Tenant: "acme"}}
		}
		rq, err := s.parse(httptest.NewRecorder(), r, who)
		if err != nil {
			fail(httptest.NewRecorder(), err)
			return
		}
		defer rq.close()
		if rq.insert != nil {
			_, _ = io.Copy(io.Discard, rq.body)
		}
		if strings.TrimSpace(rq.text()) == "" {
			t.Fatal("an empty statement")
		}
		if (who.guest || who.reader != nil) && (!rq.reading || rq.readOnly != "1" || rq.session != "") {
			t.Fatalf("%+v may do more than read", rq)
		}
		if method != http.MethodPost && !rq.reading {
			t.Fatalf("%s may do more than read", method)
		}
		if who.reader == nil {
			return
		}
		if rq.database != "sitedrift" || !readerMayUse(rq.format) || rq.insert != nil && keyword(rq.sql) != "INSERT" {
			t.Fatalf("a reader gets %q in %q", rq.format, rq.database)
		}
		for _, x := range rq.settings {
			if !readerMaySet(x.name) {
				t.Fatalf("a reader sets %q", x.name)
			}
		}
		for _, x := range rq.limits(1) {
			if x.name == "max_execution_time" && strings.TrimLeft(x.value, "0123456789") != "" {
				t.Fatalf("a reader has %q seconds", x.value)
			}
		}
	})
}

// FuzzGuard: whatever the statement, it is judged, and what passes as a single one
// has nothing behind a semicolon; what passes as reading begins as such; cutting its
// format off leaves the rest as it was.
func FuzzGuard(f *testing.F) {
	for _, s := range []string{
		"SELECT 1", "SELECT 1;", "SELECT 1; DROP TABLE x", "SELECT ';' ; -- x", "select file('/etc/passwd')", "SELECT `fi\\x6ce`('x')", "WITH 1 AS x SELECT x FORMAT CSV", "SELECT $a$;$a$;", "(SELECT 1) FORMAT /* x */ TSV ;",
		"EXPLAIN AST SELECT 1", "SELECT 1 /*; */", "KILL QUERY", "SHOW TABLES PARALLEL WITH DROP TABLE x", "\x00", "‘", "BACKUP TABLE t TO S3('x')",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		_ = checkReach(sql)
		if checkSingle(sql) == nil {
			ended := false
			for tok := range tokens(sql) {
				mark := sql[tok.start:tok.end] == ";" && tok.kind == kindMark
				if ended && !mark {
					t.Fatalf("%q passes as one statement", sql)
				}
				ended = ended || mark
			}
		}
		if checkReading(sql) == nil {
			switch keyword(sql) {
			case "SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN":
			default:
				t.Fatalf("%q passes as reading", sql)
			}
		}
		statement, format := cutFormat(sql, "TSV")
		if !strings.HasPrefix(sql, statement) || format == "" {
			t.Fatalf("%q is cut into %q and %q", sql, statement, format)
		}
		if statement != sql && !strings.Contains(sql[len(statement):], format) {
			t.Fatalf("%q has no format %q", sql, format)
		}
		_, _ = streams(sql, "TSV")
	})
}
