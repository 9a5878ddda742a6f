package config

import (
	"cmp"
	"fmt"
	"strings"
)

// Problem is one mistake in a configuration file.
type Problem struct {
	File    string // as it was given to Load
	Line    int    // from 1; 0 when the problem is the whole file
	Column  int    // from 1, in characters
	Key     string // such as tenants[2].site; empty for a problem of the file's syntax
	Message string // what is wrong; never the value of a secret
	Hint    string // what to do about it
}

// String is the problem on one line: place, key, what is wrong, what to do.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	b.WriteString(": ")
	if p.Key != "" {
		b.WriteString(p.Key + ": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString("; " + p.Hint)
	}
	return b.String()
}

// Errors is every problem of a file, in the order of their lines.
type Errors struct {
	What     string // what they are in; "the configuration" if empty
	Problems []Problem
}

// Error lists the problems, one a line.
func (e *Errors) Error() string {
	if len(e.Problems) == 1 {
		return e.Problems[0].String()
	}
	lines := make([]string, len(e.Problems)+1)
	lines[0] = fmt.Sprintf("%d problems in %s:", len(e.Problems), cmp.Or(e.What, "the configuration"))
	for i, p := range e.Problems {
		lines[i+1] = "  " + p.String()
	}
	return strings.Join(lines, "\n")
}

// fault is what is wrong with a value and what to write instead.
type fault struct{ message, hint string }

func faultf(hint, format string, args ...any) *fault {
	return &fault{message: fmt.Sprintf(format, args...), hint: hint}
}
