package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// FuzzAnswer: whatever comes over the control socket, the command gets a result or
// an error, each event before it, and never waits for more.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		`{"event":{"a":1}}` + "\n" + `{"result":[]}` + "\n", `{"error":"x","exit":2}` + "\n", "{}\n", "null\n", "\n", `{"event":null,"result":null}` + "\n", `{"result":`, "[]\n", `{"error":1}` + "\n", `{"exit":-1,"error":"\u001b"}` + "\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		events := 0
		got, err := readAnswer(t.Context(), bytes.NewReader(text), "pause", func(raw json.RawMessage) error {
			events++
			if !json.Valid(raw) {
				t.Fatalf("event %q", raw)
			}
			return nil
		})
		if err == nil && got != nil && !json.Valid(got) || err != nil && (got != nil || err.Error() == "") || events > bytes.Count(text, []byte("\n")) {
			t.Fatalf("%q after %d events, %v", got, events, err)
		}
	})
}

// FuzzActions: whatever the parameters of an operation are, what goes on record
// before it begins can be told, of nothing that was asked to be kept secret.
func FuzzActions(f *testing.F) {
	for i, params := range []string{
		`{"tenant":"acme","datasets":["spaces"]}`, `{"tenant":"acme","kind":"api_token","secret":"hunter2-secret"}`, `{"id":"acme","erase":true}`, `{"tenants":[{"ID":"a"}],"dry_run":false}`,
		`null`, `[]`, `{"tenants":null}`, `{"id":1}`, ``,
	} {
		f.Add(uint8(i), []byte(params))
	}
	all := operations()
	f.Fuzz(func(t *testing.T, which uint8, params []byte) {
		o := all[int(which)%len(all)]
		if o.actions == nil {
			return
		}
		for _, a := range o.actions(params, nil) {
			if a.Name == "" || strings.Contains(a.Name+a.Detail, "hunter2-secret") && strings.Contains(string(params), `"secret":"hunter2-secret"`) {
				t.Fatalf("%s: %+v", o.name, a)
			}
		}
	})
}

// FuzzCSV: whatever a text is, a reader of CSV gets one cell for it, in which
// nothing steers, and no cell that a spreadsheet may make of it, with commas,
// semicolons or tabs, is a formula.
func FuzzCSV(f *testing.F) {
	for _, s := range []string{"", "=1+1", "＝1", "\t=1", "\r\n-1", " \u00a0+1", "a;=1", "a,\"\n@b", "'=1", "\u202e=1", "=\x00", "plain", "\x85=1", "\u2028@x", "|=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		value, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		p := &csvRows{w: csv.NewWriter(&b)}
		if err := errors.Join(p.add(queryEvent{Columns: []string{"a", "b"}}), p.add(queryEvent{Rows: [][]clickhouse.Value{{value, clickhouse.Value("-7")}}}), p.close()); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 || len(rows[1]) != 2 || rows[1][1] != "-7" {
			t.Fatalf("%q, %v", rows, err)
		}
		cell := rows[1][0]
		if strings.ContainsFunc(cell, steers) {
			t.Fatalf("steers: %q", cell)
		}
		for _, piece := range strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
			if strings.ContainsAny(firstOf(strings.TrimSpace(piece)), "=+-@＝＋－＠") {
				t.Fatalf("a formula: %q in %q", piece, cell)
			}
		}
	})
}

// firstOf is the first character of a text, as a text.
func firstOf(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
