package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wordings turn the parser's messages, which speak of its own states, into
// what is usually wrong.
var wordings = []struct{ has, message, hint string }{
	{"cannot start any token", "has a character that YAML does not allow there", "put the value in double quotes"},
	{"mapping values are not allowed", "has a second colon in a value, or wrong indentation", "put values with a colon and a space in quotes, and indent keys of one section alike"},
	{"did not find expected key", "is not indented as the lines around it, or a key lacks its colon", "indent keys of one section alike, and write key: value"},
	{"could not find expected ':'", "has a key without a colon", "write key: value"},
	{"did not find expected '-' indicator", "is not indented as the other entries of the list", "start each entry with - in the same column"},
	{"did not find expected ',' or ']'", "has a list that opens with [ and is not closed", "add the missing comma or ]"},
	{"did not find expected ',' or '}'", "has a section that opens with { and is not closed", "add the missing comma or }"},
	{"unexpected end of stream", "has a quote that is not closed", "add the missing quote"},
	{"unknown escape character", `has a backslash in double quotes that starts no known escape`, "use single quotes, or write two backslashes"},
	{"unknown anchor", "uses an alias (*name) whose anchor (&name) does not exist", "put values that start with * in quotes, such as cron expressions"},
	{"while scanning an alias", "has a value that starts with *, which YAML takes for an alias", "put the value in quotes, such as cron expressions"},
	{"alphabetic or numeric character", "has a value that starts with * or &, which YAML takes for an alias or anchor", "put the value in quotes, such as cron expressions"},
	{"block sequence entries are not allowed", "has a - where no list can start", "start the list on a line of its own"},
	{"block collections are not allowed", "has a section where a single value belongs", "start it on a line of its own"},
	{"UTF-8", "is not encoded in UTF-8", "save the file as UTF-8"},
	{"UTF-16", "is not encoded in UTF-8", "save the file as UTF-8"},
	{"control characters", "contains a control character", "remove it, or write it as an escape in double quotes"},
	{"exceeded max depth", "is nested too deeply", "compare it with the example file"},
}

// syntax words an error of the YAML parser anew.
func (l *loader) syntax(err error, src []byte) Problem {
	p := Problem{File: l.file, Message: "is not valid YAML", Hint: "compare it with the example file"}
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if _, scanErr := fmt.Sscanf(text, "line %d:", &p.Line); scanErr == nil {
		_, text, _ = strings.Cut(text, ": ")
	}
	if line := tabLine(src); line > 0 {
		p.Line = line
		p.Message, p.Hint = "is indented with a tab", "use spaces"
		return p
	}
	for _, w := range wordings {
		if strings.Contains(text, w.has) {
			p.Message, p.Hint = w.message, w.hint
			break
		}
	}
	lines := bytes.Split(bytes.TrimRight(src, "\n"), []byte("\n"))
	if p.Line == 0 {
		p.Line = 1 + max(0, slices.IndexFunc(lines, func(line []byte) bool { return suspect(line, text) }))
	}
	p.Line = min(p.Line, len(lines)) // an open quote is reported behind the end
	return p
}

// suspect finds the line of an error that the parser reports without one.
func suspect(line []byte, text string) bool {
	if _, name, ok := strings.Cut(text, "unknown anchor '"); ok {
		name, _, _ = strings.Cut(name, "'")
		return bytes.Contains(line, []byte("*"+name))
	}
	return !utf8.Valid(line) || bytes.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\r' })
}

// tabLine is the first line whose indentation contains a tab, or 0.
func tabLine(src []byte) int {
	for i, line := range bytes.Split(src, []byte("\n")) {
		text := bytes.TrimLeft(line, " \t")
		if len(text) > 0 && text[0] != '#' && bytes.ContainsRune(line[:len(line)-len(text)], '\t') {
			return i + 1
		}
	}
	return 0
}
