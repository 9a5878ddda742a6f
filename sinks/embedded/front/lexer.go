package front

import (
	"iter"
	"strings"
)

// kind is what a token is to the rules of this package.
type kind byte

const (
	kindWord   kind = iota // a bare word: keyword, name, number
	kindQuoted             // an identifier in back or double quotes
	kindString             // a string: single quotes or heredoc
	kindMark               // one byte of punctuation
	kindOdd                // bytes that the engine may take for quotes and this lexer does not
)

// token is one piece of a statement: sql[start:end].
type token struct {
	kind       kind
	start, end int
}

// tokens cuts a statement as the engine's own lexer does, as far as it matters for finding words outside strings
// and comments. White space and comments are left out. It never fails: an open string or comment ends the text.
func tokens(sql string) iter.Seq[token] {
	return func(yield func(token) bool) {
		for i := skipSpace(sql, 0); i < len(sql); i = skipSpace(sql, i) {
			t := token{kindMark, i, i + 1}
			switch c := sql[i]; {
			case c == '\'':
				t.kind, t.end = kindString, quotedEnd(sql, i)
			case c == '"' || c == '`':
				t.kind, t.end = kindQuoted, quotedEnd(sql, i)
			case c == '$' && heredocEnd(sql, i) > 0:
				t.kind, t.end = kindString, heredocEnd(sql, i)
			case isWordByte(c) || c == '$':
				t.kind, t.end = kindWord, wordEnd(sql, i)
			case c >= 0x80 || c == 0:
				t.kind = kindOdd
			}
			if !yield(t) {
				return
			}
			i = t.end
		}
	}
}

// skipSpace jumps over white space and comments from i on.
func skipSpace(sql string, i int) int {
	for i < len(sql) {
		rest := sql[i:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			i++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return len(sql)
			}
			i += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return len(sql)
			}
			i += end + 4
		default:
			return i
		}
	}
	return i
}

// quotedEnd is behind the closing quote. A doubled quote is taken for two quoted pieces in a row, which comes to
// the same here.
func quotedEnd(sql string, i int) int {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(sql)
}

// heredocEnd is behind $tag$ ... $tag$, 0 if none begins at i.
func heredocEnd(sql string, i int) int {
	tagEnd := i + 1
	for tagEnd < len(sql) && isWordByte(sql[tagEnd]) {
		tagEnd++
	}
	if tagEnd >= len(sql) || sql[tagEnd] != '$' {
		return 0
	}
	tag := sql[i : tagEnd+1]
	end := strings.Index(sql[tagEnd+1:], tag)
	if end < 0 {
		return 0
	}
	return tagEnd + 1 + end + len(tag)
}

func wordEnd(sql string, i int) int {
	for i < len(sql) && (isWordByte(sql[i]) || sql[i] == '$') {
		i++
	}
	return i
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
