package clickhouse

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Result is the answer to a statement of a person. It must be closed.
type Result struct {
	Columns []string
	Types   []string // ClickHouse types

	body   io.ReadCloser
	lines  *bufio.Reader
	cancel context.CancelFunc
}

// Value is one value of a result as JSON: numbers of any width as numbers,
// dates and UUIDs as strings, arrays and maps as such, NULL as null.
type Value json.RawMessage

// Null reports whether the value is NULL.
func (v Value) Null() bool { return string(v) == "null" }

// Text is the value as people read it: a string without its quotes, everything
// else as in JSON. NULL is "NULL", which a string can be as well; see Null.
func (v Value) Text() string {
	if v.Null() {
		return "NULL"
	}
	var s string
	if len(v) > 0 && v[0] == '"' && json.Unmarshal(v, &s) == nil {
		return s
	}
	return string(v)
}

// MarshalJSON returns the value itself.
func (v Value) MarshalJSON() ([]byte, error) { return json.RawMessage(v).MarshalJSON() }

// UnmarshalJSON keeps the JSON as it is.
func (v *Value) UnmarshalJSON(text []byte) error { return (*json.RawMessage)(v).UnmarshalJSON(text) }

// QueryError is ClickHouse's refusal of a statement.
type QueryError struct {
	Code    int    // of ClickHouse
	Name    string // the code's name, when the server tells it
	Message string // one paragraph, without stack and version
}

func (e *QueryError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("%s (code %d)", e.Message, e.Code)
	}
	return fmt.Sprintf("%s (%s, code %d)", e.Message, e.Name, e.Code)
}

// Query runs one statement that reads, with unqualified names in the database
// of the contract. Statements that write are refused by the server, because the
// session is read-only. Errors of the statement are *QueryError; the rows may
// end with one too.
func (w *Warehouse) Query(ctx context.Context, sql string) (*Result, error) {
	sql = strings.TrimRight(strings.TrimSpace(sql), "; \t\r\n")
	ctx, cancel := context.WithCancel(ctx)
	r := &Result{cancel: cancel}
	if err := r.open(ctx, w, sql); err != nil {
		return nil, err
	}
	for _, into := range []*[]string{&r.Columns, &r.Types} {
		line, err := r.line()
		if errors.Is(err, io.EOF) { // a statement without a result
			break
		}
		if err == nil {
			err = json.Unmarshal(line, into)
		}
		if err != nil {
			return nil, errors.Join(queryError(err), r.Close())
		}
	}
	return r, nil
}

// open sends the statement. On an error the result is closed.
func (r *Result) open(ctx context.Context, w *Warehouse, sql string) error {
	settings := ch.Settings{
		"readonly": 1,
		// Whole numbers stay exact; NaN and infinity have no number in JSON.
		"output_format_json_quote_64bit_integers":   0,
		"output_format_json_quote_denormals":        1,
		"output_format_json_quote_decimals":         0,
		"output_format_json_validate_utf8":          1,
		"output_format_json_escape_forward_slashes": 0,
		"date_time_output_format":                   "simple",
	}
	body, err := w.people.QueryFormat(ch.Context(ctx, ch.WithSettings(settings)), "JSONCompactEachRowWithNamesAndTypes", sql)
	if err != nil {
		if why, found := remedyFor(err); found && why.what == damaged.what { // other troubles may be the statement's own
			_ = w.trouble(ctx, err)
		}
		r.cancel()
		return queryError(err)
	}
	r.body, r.lines = body, bufio.NewReaderSize(body, 1<<16)
	return nil
}

// Rows streams the rows. The slice and its values are the caller's to keep. An
// error is the last thing that it yields.
func (r *Result) Rows() iter.Seq2[[]Value, error] {
	return func(yield func([]Value, error) bool) {
		for {
			line, err := r.line()
			if errors.Is(err, io.EOF) {
				return
			}
			var raw []json.RawMessage
			if err == nil {
				err = json.Unmarshal(line, &raw)
			}
			if err != nil {
				yield(nil, queryError(err))
				return
			}
			row := make([]Value, len(raw))
			for i := range raw {
				row[i] = Value(raw[i])
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

// line is the next line that is not empty.
func (r *Result) line() ([]byte, error) {
	for {
		line, err := r.lines.ReadBytes('\n')
		if err != nil && (err != io.EOF || len(line) == 0) {
			return nil, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, nil
		}
	}
}

// Close ends the statement, also when rows are left.
func (r *Result) Close() error {
	r.cancel()
	return r.body.Close()
}

// Parts of an exception's text that tell people nothing.
var (
	exceptionHead    = regexp.MustCompile(`^(?:Code: \d+\. )?(?:DB::Exception: )?`)
	exceptionVersion = regexp.MustCompile(`\s*\(version [^()]*(?:\([^()]*\))?[^()]*\)\s*$`)
	exceptionName    = regexp.MustCompile(`\s*\(([A-Z][A-Z0-9_]+)\)\s*$`)
)

// queryError makes a *QueryError of an exception and leaves other errors.
func queryError(err error) error {
	var e *ch.Exception
	if !errors.As(err, &e) {
		return err
	}
	message, _, _ := strings.Cut(e.Message, "\nStack trace:")
	message, _, _ = strings.Cut(message, "\n0. ")
	message = exceptionVersion.ReplaceAllString(strings.TrimSpace(message), "")
	name := e.CodeName
	if m := exceptionName.FindStringSubmatch(message); m != nil {
		message, name = strings.TrimSuffix(message, m[0]), m[1]
	}
	message = exceptionHead.ReplaceAllString(message, "")
	// The list of all tokens that the parser would have liked helps nobody.
	if at := strings.Index(message, " Expected one of: "); at > 0 && len(message)-at > 200 {
		message = message[:at]
	}
	return &QueryError{Code: int(e.Code), Name: name, Message: strings.TrimSpace(message)}
}
