package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
)

// steers reports whether a character could steer a terminal or turn the reading
// direction. Line feeds and tabs do neither.
func steers(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// escaping is what a command's output and log pass last. A character that steers
// leaves as \u and four digits, a byte that is no UTF-8 as U+FFFD (Invariant 10).
// In JSON such a character stands in strings only, so whoever parses it reads the
// same value; in texts for people printable has replaced it before. Safe for
// concurrent use.
type escaping struct {
	w    io.Writer
	mu   sync.Mutex
	rest []byte // the begin of a character whose end was not written yet
}

func (e *escaping) Write(p []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	text := p
	if len(e.rest) > 0 {
		text = append(e.rest, p...)
	}
	whole := len(text) - len(begun(text))
	e.rest = bytes.Clone(text[whole:])
	if _, err := e.w.Write(escape(text[:whole])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// finish writes what stands for a character that was never ended.
func (e *escaping) finish() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.rest) > 0 {
		_, _ = e.w.Write(escape(e.rest)) // there is nobody to tell
		e.rest = nil
	}
}

// begun is the begin of a character at the end of text, if it has no end.
func begun(text []byte) []byte {
	for i := 1; i < utf8.UTFMax && i <= len(text); i++ {
		if last := text[len(text)-i:]; utf8.RuneStart(last[0]) {
			if utf8.FullRune(last) {
				return nil
			}
			return last
		}
	}
	return nil
}

// escape returns text itself if nothing in it steers.
func escape(text []byte) []byte {
	if utf8.Valid(text) && !bytes.ContainsFunc(text, steers) {
		return text
	}
	safe := make([]byte, 0, len(text)+16)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if steers(r) { // all of them have four digits at most
			safe = fmt.Appendf(safe, "\\u%04x", r)
		} else {
			safe = utf8.AppendRune(safe, r)
		}
		text = text[size:]
	}
	return safe
}

// terminal is the terminal behind w that a person watches, for what steers it on
// purpose, such as a bar; nil if there is none.
func terminal(w io.Writer) *os.File {
	if e, ok := w.(*escaping); ok {
		w = e.w
	}
	if f, ok := w.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		return f
	}
	return nil
}
