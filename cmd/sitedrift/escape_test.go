package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// FuzzEscape: whatever is written, in whatever pieces, nothing that steers comes
// out, what does not steer comes out as it is, and JSON keeps its value.
func FuzzEscape(f *testing.F) {
	for _, s := range []string{"", "plain\tand\n", "\x1b[31mred\x1b[0m", "\u009b2J", "\u202egnp.drowssap\u202c", "del \x7f", "\x9b raw", "half \xe2\x80", "שלום 🔒", "\r\n", "\u061c\u200e\u2066"} {
		f.Add(s, uint8(1))
		f.Add(s, uint8(7))
	}
	f.Fuzz(func(t *testing.T, s string, piece uint8) {
		got := throughEscaping(t, []byte(s), int(piece)+1)
		if !utf8.ValidString(got) {
			t.Fatalf("%q is no UTF-8", got)
		}
		for _, r := range got {
			if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
				t.Fatalf("%U came out", r)
			}
		}
		if utf8.ValidString(s) && !strings.ContainsFunc(s, steers) && got != s {
			t.Fatalf("%q became %q", s, got)
		}
		want := strings.ToValidUTF8(s, "\ufffd")
		document, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var back string
		if err := json.Unmarshal([]byte(throughEscaping(t, document, int(piece)+1)), &back); err != nil || back != want {
			t.Fatalf("%q is read as %q, %v", want, back, err)
		}
	})
}

// throughEscaping writes text in pieces.
func throughEscaping(t *testing.T, text []byte, piece int) string {
	t.Helper()
	var b bytes.Buffer
	w := &escaping{w: &b}
	for len(text) > 0 {
		n := min(piece, len(text))
		if written, err := w.Write(text[:n]); err != nil || written != n {
			t.Fatal(written, err)
		}
		text = text[n:]
	}
	w.finish()
	return b.String()
}
