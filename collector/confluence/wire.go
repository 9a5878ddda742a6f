package confluence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
)

// ident is an id, as text whatever its JSON type: Confluence writes numbers
// beyond 2^53 as strings today, and as numbers in places. Missing and null are "".
type ident string

// UnmarshalJSON takes a string or a number and keeps it digit by digit.
func (i *ident) UnmarshalJSON(b []byte) error {
	s, err := scalar(b, "string or number")
	*i = ident(s)
	return err
}

// term is a word out of a small vocabulary, such as the key of an operation.
// Frequent words share their memory: a million grants speak of thirty operations.
type term string

// UnmarshalJSON takes a string.
func (t *term) UnmarshalJSON(b []byte) error {
	if len(b) > 2 && b[0] == '"' {
		if word, ok := frequent[string(b[1:len(b)-1])]; ok {
			*t = word
			return nil
		}
		s, err := scalar(b, "string")
		*t = term(s)
		return err
	}
	if string(b) == "null" || string(b) == `""` {
		*t = ""
		return nil
	}
	return typeError(b, "string")
}

// frequent are the words of space permissions (Confluence Cloud REST v2, "Get
// space permissions assignments", and values seen beyond it). Others work, too.
var frequent = vocabulary(
	"user", "group", "role", "access-class",
	"use", "create", "read", "update", "delete", "copy", "move", "export", "purge", "purge_version", "administer", "restore",
	"create_space", "restrict_content", "archive", "manage_users", "archive_space",
	"page", "blogpost", "comment", "attachment", "whiteboard", "database", "embed", "folder", "space", "application", "userProfile",
)

func vocabulary(words ...string) map[string]term {
	m := make(map[string]term, len(words))
	for _, w := range words {
		m[w] = term(w)
	}
	return m
}

// scalar reads a JSON string or number; null is "".
func scalar(b []byte, want string) (string, error) {
	switch {
	case len(b) == 0 || string(b) == "null":
		return "", nil
	case b[0] == '"':
		if plain(b) {
			return string(b[1 : len(b)-1]), nil
		}
		var s string
		err := json.Unmarshal(b, &s)
		return s, err
	case (b[0] == '-' || '0' <= b[0] && b[0] <= '9') && want != "string":
		return string(b), nil
	default:
		return "", typeError(b, want)
	}
}

// plain reports whether a JSON string needs no decoding.
func plain(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c >= 0x7f || c == '\\' {
			return false
		}
	}
	return true
}

// typeError complains about a value. The decoder adds the path to it; what is
// left of the body behind the value tells decode the offset.
func typeError(b []byte, want string) error {
	value := "object"
	switch b[0] {
	case '[':
		value = "array"
	case 't', 'f':
		value = "bool"
	case '"':
		value = "string"
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		value = "number"
	}
	return &json.UnmarshalTypeError{Value: value + ", expected " + want, Type: reflect.TypeFor[ident](), Offset: -int64(cap(b))}
}

// flag is a truth value that can also be null or left out, which differ: the
// flags of guests are null when the site does not tell, and left out when they
// were not asked for.
type flag uint8

// The values of a flag.
const (
	flagMissing flag = iota
	flagNull
	flagFalse
	flagTrue
)

// UnmarshalJSON takes true, false or null.
func (f *flag) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true":
		*f = flagTrue
	case "false":
		*f = flagFalse
	case "null":
		*f = flagNull
	default:
		return typeError(b, "bool")
	}
	return nil
}

// known is the flag as a truth value, nil when the site did not tell.
func (f flag) known() *bool {
	switch f {
	case flagTrue:
		return new(true)
	case flagFalse:
		return new(false)
	default:
		return nil
	}
}

// malformed says that an answer with a good status could not be understood.
type malformed struct{ why string }

func (m *malformed) Error() string { return "malformed answer: " + m.why }

func malformedf(format string, args ...any) error {
	return &malformed{why: fmt.Sprintf(format, args...)}
}

// maxValues bounds the values of one answer. Two bytes of it, such as "0,", can take
// hundreds when they are decoded, so the bound on an answer's length does not hold
// back one that fills the memory (Invariant 7). Long pages have some ten thousand.
const maxValues = 1 << 19

// crowded reports whether JSON has more than maxValues values. All but the last of
// an array or object are followed by a comma; those of texts do not count.
func crowded(body []byte) bool {
	if bytes.Count(body, []byte{','}) <= maxValues { // nearly always, and at no cost
		return false
	}
	values, text := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			text = !text
		case text && c == '\\':
			i++
		case !text && c == ',':
			values++
		}
	}
	return values > maxValues
}

// decode reads a JSON answer. The error says what stands there instead, with the
// path and the byte offset where they are known.
func decode(body []byte, into any) error {
	if crowded(body) {
		return malformedf("more than %d values in one answer of %d bytes", maxValues, len(body))
	}
	err := json.Unmarshal(body, into)
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		offset := wrongType.Offset
		if offset < 0 { // from typeError, whose slice was cut out of the body
			offset += int64(cap(body))
		}
		path := wrongType.Field
		if path == "" {
			path = "the answer"
		}
		return malformedf("%s is %s at byte %d", path, wrongType.Value, offset)
	case errors.As(err, &syntax):
		return malformedf("not JSON at byte %d of %d: %v", syntax.Offset, len(body), err)
	default:
		return malformedf("%v", err)
	}
}

// checkJSON tells pages for people, such as a login form with status 200, from
// answers of the API.
func checkJSON(body []byte, h http.Header) error {
	kind := h.Get("Content-Type")
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return malformedf("empty body, content type %q", cut(kind, 80))
	case trimmed[0] == '<' || strings.Contains(strings.ToLower(kind), "html"):
		return malformedf("not JSON but content type %q", cut(kind, 80))
	default:
		return nil
	}
}

// optional is nil for a value that is hidden: null, left out or empty.
func optional(s *string) *string {
	if s == nil || *s == "" {
		return nil
	}
	return s
}

func optionalID(i ident) *string {
	if i == "" {
		return nil
	}
	return new(string(i))
}
