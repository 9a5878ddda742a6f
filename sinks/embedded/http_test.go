//go:build unix && !noengine

package embedded_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// TestTruncatedInsertInsertsNothing breaks request bodies off in ways that a client's crash or a cut line does.
func TestTruncatedInsertInsertsNothing(t *testing.T) {
	e := enginetest.Shared(t)
	run(t, e, "CREATE TABLE cut (s String) ENGINE = MergeTree ORDER BY s")
	line := strings.Repeat("x", 99) + "\n"
	for _, tc := range []struct{ name, head, body string }{
		{"content length", "Content-Length: 1000000\r\n\r\n", strings.Repeat(line, 500)},
		{"chunk", "Transfer-Encoding: chunked\r\n\r\n", "ffff\r\n" + strings.Repeat(line, 100)},
		{"between chunks", "Transfer-Encoding: chunked\r\n\r\n", "64\r\n" + line + "\r\n"},
		{"after megabytes", "Transfer-Encoding: chunked\r\n\r\n", strings.Repeat("64\r\n"+line+"\r\n", 30_000)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := e.Options().DialContext(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprintf(c, "POST /?query=INSERT+INTO+cut+FORMAT+LineAsString HTTP/1.1\r\nHost: x\r\nX-ClickHouse-Key: %s\r\n%s%s", e.Token(), tc.head, tc.body)
			if err := c.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				defer res.Body.Close()
				if text, _ := io.ReadAll(res.Body); res.StatusCode == http.StatusOK {
					t.Errorf("a truncated body was acknowledged: %s", text)
				}
			}
			waitFor(t, "the insert is over", func() bool {
				return run(t, e, "SELECT count() FROM system.processes WHERE query LIKE 'INSERT INTO cut%'") == "0"
			})
			if got := run(t, e, "SELECT count() FROM cut"); got != "0" {
				t.Errorf("%s rows of a truncated body", got)
			}
		})
	}
}

func TestInsertForms(t *testing.T) {
	e := enginetest.Shared(t)
	run(t, e, "CREATE TABLE forms (s String) ENGINE = MergeTree ORDER BY s")
	for _, tc := range []struct {
		name, query, body string
		want              string
	}{
		{"rows in the body", "INSERT INTO forms FORMAT LineAsString", "a\nb\n", "a,b"},
		{"statement and rows in the body", "", "INSERT INTO forms FORMAT LineAsString\na\nb\n", "a,b"},
		{"values", "", "INSERT INTO forms VALUES ('a'), ('FORMAT x')", "FORMAT x,a"},
		{"values apart", "INSERT INTO forms VALUES", "('a')", "a"},
		{"select", "", "INSERT INTO forms SELECT 'FORMAT TSV'", "FORMAT TSV"},
		{"columns and settings", "INSERT INTO forms (s) SETTINGS async_insert = 0 FORMAT JSONEachRow", `{"s":"a"}`, "a"},
		{"parameters", "INSERT INTO {t:Identifier} FORMAT LineAsString", "a", "a"},
		{"no rows", "INSERT INTO forms FORMAT LineAsString", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			run(t, e, "TRUNCATE TABLE forms")
			q := url.Values{"param_t": {"forms"}}
			if tc.query != "" {
				q.Set("query", tc.query)
			}
			if status, _, text := post(t, e, q, strings.NewReader(tc.body)); status != 200 {
				t.Fatalf("%d %s", status, text)
			}
			if got := run(t, e, "SELECT arrayStringConcat(groupArray(s), ',') FROM (SELECT s FROM forms ORDER BY s)"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestHeadsComeOnce: a result in several blocks has one head, whatever its format.
func TestHeadsComeOnce(t *testing.T) {
	e := enginetest.Shared(t)
	for _, format := range []string{"CSVWithNames", "TSVWithNames", "TabSeparatedWithNamesAndTypes", "JSONCompactEachRowWithNames", "JSONCompactEachRowWithNamesAndTypes"} {
		if got := run(t, e, "SELECT number AS head FROM numbers(4) WHERE number > 10 FORMAT "+format); strings.Count(got, "head") != 1 {
			t.Errorf("%s of no rows: %q", format, got)
		}
		if got := run(t, e, "SELECT number AS head FROM numbers(4) SETTINGS max_block_size = 1 FORMAT "+format); strings.Count(got, "head") != 1 {
			t.Errorf("%s: %q", format, got)
		}
	}
	if got := run(t, e, "SELECT number AS n FROM numbers(3) SETTINGS max_block_size = 1 FORMAT JSONCompact"); strings.Count(got, `"meta"`) != 1 {
		t.Errorf("JSONCompact: %s", got)
	}
}

// TestRowsOfAnyWidth: Native rows begin with the number of columns, which may be a byte that reads as white space.
func TestRowsOfAnyWidth(t *testing.T) {
	e := enginetest.Shared(t)
	conn := enginetest.Open(t, e)
	for _, width := range []int{8, 9, 10, 11, 12, 13, 32} {
		var columns, names []string
		var rows proto.Input
		for i := range width {
			value := &proto.ColStr{}
			value.Append("x")
			name := fmt.Sprintf("c%d", i)
			columns, names, rows = append(columns, "`"+name+"` String"), append(names, "`"+name+"`"), append(rows, proto.InputColumn{Name: name, Data: value})
		}
		var block proto.Buffer
		if err := (proto.Block{Columns: width, Rows: 1}).EncodeRawBlock(&block, 0, rows); err != nil {
			t.Fatal(err)
		}
		table := fmt.Sprintf("`sitedrift`.`wide%d`", width)
		run(t, e, "CREATE TABLE "+table+" ("+strings.Join(columns, ", ")+") ENGINE = MergeTree ORDER BY c0")
		const lengths = 40
		for pad := range lengths {
			sql := "INSERT INTO " + table + strings.Repeat(" ", pad) + " (" + strings.Join(names, ", ") + ")"
			if err := conn.InsertFormat(t.Context(), "Native", sql, bytes.NewReader(block.Buf)); err != nil {
				t.Errorf("%d columns, %d spaces: %v", width, pad, err)
			}
		}
		if got := run(t, e, "SELECT count() FROM "+table); got != strconv.Itoa(lengths) {
			t.Errorf("%d columns: %s rows of %d", width, got, lengths)
		}
	}
}

// TestEachInsertHasItsOwnToken: sessions serve one insert after the other, and a token that stayed would make the engine
// take new rows for old ones.
func TestEachInsertHasItsOwnToken(t *testing.T) {
	e := enginetest.Shared(t)
	run(t, e, "CREATE TABLE tokens (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100")
	for _, token := range []string{"a", "b", "it's", "b", "c", "a"} {
		q := url.Values{"query": {"INSERT INTO tokens FORMAT TSV"}, "insert_deduplication_token": {token}}
		if status, _, text := post(t, e, q, strings.NewReader("1\n")); status != 200 {
			t.Fatalf("%d %s", status, text)
		}
	}
	if got := run(t, e, "SELECT count() FROM tokens"); got != "4" {
		t.Errorf("%s rows of 4 tokens", got)
	}
}

func TestSessions(t *testing.T) {
	e := enginetest.Shared(t)
	in := func(id string, more ...string) url.Values {
		v := url.Values{"session_id": {id}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	must := func(q url.Values, sql, want string) {
		t.Helper()
		status, _, text := post(t, e, q, strings.NewReader(sql))
		if text = strings.TrimSpace(text); status != 200 || text != want {
			t.Errorf("%s in %v: %d %q, want %q", sql, q, status, text, want)
		}
	}
	must(in("a"), "CREATE TEMPORARY TABLE scratch (n UInt8)", "")
	must(in("a"), "INSERT INTO scratch VALUES (1)", "")
	must(in("a"), "SELECT n FROM scratch", "1")
	const ask = "SELECT value FROM system.settings WHERE name = 'max_block_size'"
	must(in("a"), "SET max_block_size = 111", "")
	must(in("a"), ask, "111")
	must(in("a", "max_block_size", "222"), ask, "222")
	must(in("a"), ask, "111") // a URL setting is for its statement
	for _, tc := range []struct {
		q    url.Values
		sql  string
		want string
	}{
		{in("b"), "SELECT n FROM scratch", "60"},
		{nil, "SELECT n FROM scratch", "60"},
		{in("never opened", "session_check", "1"), "SELECT 1", "372"},
		{in("a", "session_timeout", "0"), "SELECT 1", "374"},
		{in("a", "session_timeout", "99999"), "SELECT 1", "374"},
		{in("a", "readonly", "1"), "SELECT 1", "36"},
	} {
		if got := code(t, e, tc.q, tc.sql); got != tc.want {
			t.Errorf("%s in %v: code %q, want %s", tc.sql, tc.q, got, tc.want)
		}
	}
	// Busy: refused, not queued.
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	busy.Go(func() {
		rq, _ := http.NewRequestWithContext(ctx, http.MethodPost, "http://engine/?session_id=a", strings.NewReader("SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 0 -- busy"))
		rq.SetBasicAuth("x", e.Token())
		if res, err := socketClient(t, e).Do(rq); err == nil {
			res.Body.Close()
		}
	})
	waitFor(t, "the session is busy", func() bool {
		return run(t, e, "SELECT count() FROM system.processes WHERE query LIKE '%-- busy' AND query NOT LIKE '%processes%'") == "1"
	})
	if got := code(t, e, in("a"), "SELECT 1"); got != "373" {
		t.Errorf("busy session: code %q, want 373", got)
	}
	cancel()
	busy.Wait()
	waitFor(t, "the session is free", func() bool { return code(t, e, in("a"), "SELECT 1") == "" })
	must(in("a", "close_session", "1"), "SELECT n FROM scratch", "1")
	if got := code(t, e, in("a", "session_check", "1"), "SELECT 1"); got != "372" {
		t.Errorf("closed session: code %q, want 372", got)
	}
	must(in("short", "session_timeout", "1"), "SELECT 1", "1")
	waitFor(t, "the session has timed out", func() bool {
		time.Sleep(1500 * time.Millisecond) // asking keeps it: so ask seldom
		return code(t, e, in("short", "session_check", "1", "session_timeout", "1"), "SELECT 1") == "372"
	})
}

// TestRequestsShareNothing: whatever a request does to its session, the next one
// finds none of it, although quiet sessions serve again.
func TestRequestsShareNothing(t *testing.T) {
	e := enginetest.Shared(t)
	const ask = "SELECT currentDatabase(), (SELECT value FROM system.settings WHERE name = 'max_block_size'), (SELECT count() FROM system.tables WHERE is_temporary)"
	_, _, before := post(t, e, nil, strings.NewReader(ask))
	for _, c := range []struct {
		q   url.Values
		sql string
	}{
		{nil, "SET max_block_size = 111"},
		{nil, "USE system"},
		{nil, "CREATE TEMPORARY TABLE scratch (n UInt8)"},
		{nil, "SELECT 1 SETTINGS max_block_size = 112"},
		{nil, "SELECT throwIf(1)"},
		{url.Values{"max_block_size": {"113"}}, "SELECT 1"},
		{url.Values{"database": {"system"}}, "SELECT 1"},
		{url.Values{"readonly": {"1"}}, "SELECT 1"},
	} {
		post(t, e, c.q, strings.NewReader(c.sql))
		for range 3 {
			if status, _, after := post(t, e, nil, strings.NewReader(ask)); status != 200 || after != before {
				t.Errorf("after %s in %v: %d %q, want %q", c.sql, c.q, status, after, before)
			}
		}
	}
	if status, _, text := post(t, e, nil, strings.NewReader("CREATE TEMPORARY TABLE scratch (n UInt8)")); status != 200 {
		t.Errorf("after a request that could only read: %d %s", status, text)
	}
}

func TestLoopback(t *testing.T) {
	for _, guests := range []bool{false, true} {
		t.Run(fmt.Sprintf("guests %v", guests), func(t *testing.T) {
			s := enginetest.Settings(t, t.TempDir())
			s.ListenHTTP, s.ListenReadOnly = "127.0.0.1:0", guests
			e := enginetest.StartWith(t, s)
			base := "http://" + e.HTTPAddr() + "/"
			c := &http.Client{Transport: &http.Transport{}}
			defer c.CloseIdleConnections()
			ask := func(password, path, sql string) int {
				t.Helper()
				status, _ := request(t, c, base+path, password, sql)
				return status
			}
			if got := ask(e.Token(), "", "CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n"); got != 200 {
				t.Fatalf("with the token: status %d", got)
			}
			want := map[bool][2]int{false: {401, 401}, true: {200, 403}}[guests]
			if got := ask("", "", "SELECT count() FROM t"); got != want[0] {
				t.Errorf("guest reads: status %d, want %d", got, want[0])
			}
			for _, sql := range []string{
				"INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (n UInt8) ENGINE = Memory", "CREATE TEMPORARY TABLE u (n UInt8)",
				"SET max_threads = 1", "ALTER TABLE t DELETE WHERE 1", "KILL QUERY WHERE 1", "SYSTEM STOP MERGES", "OPTIMIZE TABLE t", "TRUNCATE TABLE t",
				"CREATE TABLE u (n UInt8) ENGINE = Memory PARALLEL WITH DROP TABLE t",
			} {
				for _, path := range []string{"", "?readonly=0", "?readonly=2"} {
					if got := ask("", path, sql); got != want[1] {
						t.Errorf("guest with %q: %s: status %d, want %d", path, sql, got, want[1])
					}
				}
			}
			if got := ask("", "?query="+url.QueryEscape("INSERT INTO t FORMAT TSV"), "1\n"); got != want[1] {
				t.Errorf("guest inserts a stream: status %d, want %d", got, want[1])
			}
			if got := ask("", "?session_id=x", "SELECT 1"); got == 200 {
				t.Error("guest opens a session")
			}
			if got := ask("wrong", "", "SELECT 1"); got != 401 {
				t.Errorf("wrong password: status %d, want 401", got)
			}
			if got := run(t, e, "SELECT count() FROM t"); got != "0" {
				t.Errorf("guests wrote %s rows", got)
			}
			// A name that a browser was made to resolve to this machine.
			rq, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"?query=SELECT+1", nil)
			if err != nil {
				t.Fatal(err)
			}
			rq.Host = "evil.example:8123"
			rq.SetBasicAuth("x", e.Token())
			res, err := c.Do(rq)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 403 {
				t.Errorf("foreign host name: status %d, want 403", res.StatusCode)
			}
		})
	}
}

// TestGetChangesNothing: a link must not, whoever follows it.
func TestGetChangesNothing(t *testing.T) {
	e := enginetest.Shared(t)
	for sql, want := range map[string]int{"SELECT 1": 200, "CREATE TABLE by_link (n UInt8) ENGINE = Memory": 403} {
		rq, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://engine/?query="+url.QueryEscape(sql), nil)
		if err != nil {
			t.Fatal(err)
		}
		rq.SetBasicAuth("x", e.Token())
		res, err := socketClient(t, e).Do(rq)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET %s: status %d, want %d", sql, res.StatusCode, want)
		}
	}
}

// TestManyAtOnce runs more clients than there are slots.
func TestManyAtOnce(t *testing.T) {
	e := enginetest.Shared(t)
	run(t, e, "CREATE TABLE many (n UInt64) ENGINE = MergeTree ORDER BY n")
	errs := make(chan error, 150)
	var wg sync.WaitGroup
	client := socketClient(t, e)
	for i := range cap(errs) {
		wg.Go(func() {
			errs <- func() error {
				rq, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://engine/?query=INSERT+INTO+many+FORMAT+TSV", strings.NewReader(fmt.Sprintln(i)))
				if err != nil {
					return err
				}
				rq.SetBasicAuth("x", e.Token())
				res, err := client.Do(rq)
				if err != nil {
					return err
				}
				defer res.Body.Close()
				if text, _ := io.ReadAll(res.Body); res.StatusCode != 200 {
					return fmt.Errorf("%d %s", res.StatusCode, text)
				}
				return nil
			}()
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if got := run(t, e, "SELECT count(), uniqExact(n) FROM many"); got != "150\t150" {
		t.Errorf("got %s", got)
	}
}

// TestOneTokenPerStart: a token of an earlier life opens nothing.
func TestOneTokenPerStart(t *testing.T) {
	a, b := enginetest.Start(t), enginetest.Start(t)
	if a.Token() == b.Token() || len(a.Token()) < 26 {
		t.Error("tokens are not fresh")
	}
}
