package clickhouse

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// FuzzRows: whatever a server sends as the rows of a result, they are rows of JSON
// values, or end with an error.
func FuzzRows(f *testing.F) {
	for _, text := range []string{"[1,null,\"a\"]\n[\"2\"]\n", "[1", "{}\n", "\n\n[]\n", "[\"\\ud800\",1e999]\n", "null\n", "[1]\n__exception__\r\nx", strings.Repeat("[", 20000)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := &Result{lines: bufio.NewReader(strings.NewReader(text)), body: io.NopCloser(nil), cancel: func() {}}
		for row, err := range r.Rows() {
			if err != nil {
				return
			}
			for _, v := range row {
				if !json.Valid(v) {
					t.Fatalf("%q", v)
				}
				if text := v.Text(); v.Null() != (text == "NULL" && string(v) == "null") {
					t.Fatalf("%q is NULL: %v", v, v.Null())
				}
			}
		}
	})
}

// FuzzQueryError: whatever an exception says, people get a paragraph of it.
func FuzzQueryError(f *testing.F) {
	for _, text := range []string{
		"Code: 62. DB::Exception: Syntax error: failed at position 1. Expected one of: a, b, c. (SYNTAX_ERROR) (version 26.7.1.1 (official build))", "(version ()", "()", "", "Stack trace:", "\nStack trace:\n0. x", " Expected one of: " + strings.Repeat("x", 300),
	} {
		f.Add(int32(62), text)
	}
	f.Fuzz(func(t *testing.T, code int32, text string) {
		var refused *QueryError
		if err := queryError(&ch.Exception{Code: code, Message: text}); !errors.As(err, &refused) || refused.Code != int(code) {
			t.Fatal(err)
		}
		if strings.Contains(refused.Message, "\nStack trace:") || strings.TrimSpace(refused.Message) != refused.Message || len(refused.Message) > len(text) {
			t.Fatalf("%q became %q", text, refused.Message)
		}
	})
}

// FuzzText: a literal is one, of printable ASCII, whatever stands in it, and the
// same text for whoever undoes its escapes (Invariant 10).
func FuzzText(f *testing.F) {
	for _, s := range []string{"", "'", `\`, `\'`, "'; DROP TABLE x; --", "\x00\n", "é‘’", "\xff", `\x41`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, literal := range []string{text(s), hexText([]byte(s))} {
			inner := literal[1 : len(literal)-1]
			if literal[0] != '\'' || literal[len(literal)-1] != '\'' || strings.ContainsFunc(literal, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%q is written as %s", s, literal)
			}
			var back strings.Builder
			for i := 0; i < len(inner); i++ {
				switch {
				case inner[i] == '\'':
					t.Fatalf("%q ends early in %s", s, literal)
				case inner[i] != '\\':
					back.WriteByte(inner[i])
				case inner[i+1] == 'x':
					n, err := strconv.ParseUint(inner[i+2:i+4], 16, 8)
					if err != nil {
						t.Fatal(err)
					}
					back.WriteByte(byte(n))
					i += 3
				default:
					i++
					back.WriteByte(inner[i])
				}
			}
			if back.String() != s {
				t.Fatalf("%q is written as %s, which is %q", s, literal, back.String())
			}
		}
	})
}
