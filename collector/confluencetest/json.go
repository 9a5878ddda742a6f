package confluencetest

import (
	"strconv"
	"unicode/utf8"
)

// The answers are written with append instead of encoding/json: a first snapshot
// of a large site must be limited by the client under test, not by the simulator.

const hexDigits = "0123456789abcdef"

// appendString appends s as a JSON string, with characters beyond ASCII as they
// are, like the v2 API writes them.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		b = appendEscaped(b, c)
		from = i + 1
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendASCII appends s as a JSON string in which everything beyond ASCII is a
// \u escape (a surrogate pair where needed). The v1 endpoints use it, so that a
// client meets both spellings of the same name.
func appendASCII(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= 0x20 && c != '"' && c != '\\' {
				b = append(b, c)
			} else {
				b = appendEscaped(b, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		if r >= 0x10000 {
			r -= 0x10000
			b = appendUnit(b, 0xd800+uint16(r>>10))
			b = appendUnit(b, 0xdc00+uint16(r&0x3ff))
			continue
		}
		b = appendUnit(b, uint16(r))
	}
	return append(b, '"')
}

func appendEscaped(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, '\\', 'n')
	case '\t':
		return append(b, '\\', 't')
	case '\r':
		return append(b, '\\', 'r')
	default:
		return appendUnit(b, uint16(c))
	}
}

func appendUnit(b []byte, u uint16) []byte {
	return append(b, '\\', 'u', hexDigits[u>>12], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}

// appendID appends a numeric id as a JSON string, the way Confluence writes ids.
func appendID(b []byte, id int64) []byte {
	b = append(b, '"')
	b = strconv.AppendInt(b, id, 10)
	return append(b, '"')
}

// appendOptional appends a string, or null when it is empty.
func appendOptional(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

func appendBoolPointer(b []byte, v *bool) []byte {
	if v == nil {
		return append(b, "null"...)
	}
	return strconv.AppendBool(b, *v)
}
