package clickhouse

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestQueryValues(t *testing.T) {
	w := open(t, nil)
	for _, c := range []struct{ sql, typ, json, text string }{
		{"toUInt64(18446744073709551615)", "UInt64", "18446744073709551615", "18446744073709551615"},
		{"toInt64(-9223372036854775808)", "Int64", "-9223372036854775808", "-9223372036854775808"},
		{"toUInt128('340282366920938463463374607431768211455')", "UInt128", "340282366920938463463374607431768211455", "340282366920938463463374607431768211455"},
		{"toDateTime64('2026-03-01 12:00:00.120', 3, 'UTC')", "DateTime64(3, 'UTC')", `"2026-03-01 12:00:00.120"`, "2026-03-01 12:00:00.120"},
		{"NULL::Nullable(String)", "Nullable(String)", "null", "NULL"},
		{"'NULL'", "String", `"NULL"`, "NULL"},
		{"''", "String", `""`, ""},
		{`'a\0b\x01\n"\\/'`, "String", `"a\u0000b\u0001\n\"\\/"`, "a\x00b\x01\n\"\\/"},
		{"['x', '']", "Array(String)", `["x",""]`, `["x",""]`},
		{"map('a', 1)", "Map(String, UInt8)", `{"a":1}`, `{"a":1}`},
		{"(1, 'x')", "Tuple(UInt8, String)", `[1,"x"]`, `[1,"x"]`},
		{"true", "Bool", "true", "true"},
		{"1.5", "Float64", "1.5", "1.5"},
		{"nan", "Float64", `"nan"`, "nan"},
		{"toUUID('11111111-1111-4111-8111-111111111111')", "UUID", `"11111111-1111-4111-8111-111111111111"`, "11111111-1111-4111-8111-111111111111"},
		{"'🦊 \u202e'", "String", "\"🦊 \u202e\"", "🦊 \u202e"},
	} {
		r, err := w.Query(t.Context(), "SELECT "+c.sql+" AS v; -- and no more;\n ;")
		if err != nil {
			r, err = w.Query(t.Context(), "SELECT "+c.sql+" AS v ; ")
		}
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		n := 0
		for row, err := range r.Rows() {
			if err != nil {
				t.Fatal(err)
			}
			n++
			got, err := json.Marshal(row[0])
			if err != nil {
				t.Fatal(err)
			}
			var compact strings.Builder
			compact.Write(got)
			if r.Types[0] != c.typ || r.Columns[0] != "v" || compact.String() != c.json && string(row[0]) != c.json || row[0].Text() != c.text || row[0].Null() != (c.json == "null") {
				t.Errorf("%s: %s %s %s %q, want %s %s %q", c.sql, r.Columns, r.Types, row[0], row[0].Text(), c.typ, c.json, c.text)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d rows", c.sql, n)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestQueryStatements(t *testing.T) {
	w := open(t, nil)
	big := ask(t, w, "SELECT number, toString(number) FROM numbers(300000) -- comment")
	if len(big) != 300_000 {
		t.Errorf("%d of 300000 rows", len(big))
	}
	for _, c := range []struct {
		sql  string
		rows int
	}{
		{"SELECT 1 WHERE 0", 0},
		{"WITH 1 AS x SELECT x UNION ALL SELECT 2", 2},
		{"(SELECT 1)", 1},
		{"SHOW TABLES LIKE 'heads'", 1},
		{"DESCRIBE TABLE spaces", 13},
		{"EXPLAIN SYNTAX SELECT 1", 2},
		{"EXISTS TABLE heads", 1},
	} {
		r, err := w.Query(t.Context(), c.sql)
		if err != nil {
			t.Errorf("%s: %v", c.sql, err)
			continue
		}
		n := 0
		for _, err := range r.Rows() {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n != c.rows || len(r.Columns) == 0 || len(r.Columns) != len(r.Types) {
			t.Errorf("%s: %d rows, want %d; columns %v, types %v", c.sql, n, c.rows, r.Columns, r.Types)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestQueryErrors(t *testing.T) {
	w := open(t, nil)
	for _, c := range []struct {
		sql, message string
		code         int
	}{
		{"SELECT nothing FROM spaces", "nothing", 47},
		{"SELEC 1", "position 7", 62},
		{"SELECT * FROM no_such_view", "no_such_view", 60},
		{"SELECT throwIf(number = 150000, 'in the middle') FROM numbers(1000000)", "in the middle", 395},
		{"DROP TABLE heads", "", 164},
		{"INSERT INTO heads (tenant_id) VALUES ('x')", "", 164},
		{"SET readonly = 0", "readonly", 164},
	} {
		r, err := w.Query(t.Context(), c.sql)
		if err == nil {
			for _, e := range r.Rows() {
				err = e
			}
			_ = r.Close()
		}
		var q *QueryError
		if !errors.As(err, &q) {
			t.Errorf("%s: %v is no *QueryError", c.sql, err)
			continue
		}
		if q.Code != c.code || !strings.Contains(q.Message, c.message) {
			t.Errorf("%s: %v, want code %d with %q", c.sql, q, c.code, c.message)
		}
		for _, noise := range []string{"DB::Exception", "(version", "Stack trace", "Code:", "HTTP"} {
			if strings.Contains(q.Error(), noise) {
				t.Errorf("%s: the text says %q: %v", c.sql, noise, q)
			}
		}
	}
	if got := ask(t, w, "SELECT count() FROM system.tables WHERE database = 'sitedrift' AND name = 'heads'"); !cmp.Equal(got, [][]string{{"1"}}) {
		t.Errorf("heads: %v", got)
	}
}
