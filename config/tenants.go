package config

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// maxImport bounds a list of tenants, in bytes.
const maxImport = 8 << 20

// ParseTenants reads a list of tenants to be imported: YAML with the key
// tenants:, or CSV whose first line names the columns, which are those keys of a
// tenant that have one value (id, name, site, ...). All problems come at once, as
// *Errors, each with its line; then there are no tenants. The name is for errors
// and, by its end, tells the format: .csv, .yml or .yaml; otherwise the first line does.
func ParseTenants(name string, src []byte, checks Checks) ([]Tenant, error) {
	if len(src) > maxImport {
		return nil, fmt.Errorf("%s is larger than 8 MiB: split it", name)
	}
	l := &loader{file: name, checks: checks, env: os.Getenv, places: map[string]*yaml.Node{}}
	c := &Config{}
	only := []field{list("tenants", "", func(i int) []field { return tenant(c, i) })}
	if isTable(name, src) {
		if root := l.table(src); root != nil {
			l.mapping(root, "", only)
		}
	} else if root, ok := l.document(src); ok {
		l.mapping(root, "", only)
	}
	l.tenants(c)
	if len(l.problems) == 0 && len(c.Tenants) == 0 {
		l.problemAt(nil, "tenants", "is missing or empty", "write at least one tenant")
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int { return a.Line - b.Line })
		return nil, &Errors{What: name, Problems: l.problems}
	}
	for i := range c.Tenants {
		if c.Tenants[i].Name == "" {
			c.Tenants[i].Name = c.Tenants[i].ID
		}
	}
	return c.Tenants, nil
}

// isTable reports whether a list is CSV: by its name or, where that says nothing, as
// that of standard input, by a first line that has commas and nothing of YAML.
func isTable(name string, src []byte) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return true
	case ".yml", ".yaml":
		return false
	}
	head, _, _ := bytes.Cut(src, []byte("\n"))
	return bytes.Contains(head, []byte(",")) && !bytes.ContainsAny(head, ":{[#")
}

// table turns CSV into the nodes of a list of tenants, so that both formats pass
// the same rules. Empty cells are keys that are left out.
func (l *loader) table(src []byte) *yaml.Node {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf")) // as spreadsheets write it
	if l.unreadable(src) {
		return nil
	}
	r := csv.NewReader(bytes.NewReader(src))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		l.csvProblem(err)
		return nil
	}
	rows := &yaml.Node{Kind: yaml.SequenceNode, Line: 2}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			l.csvProblem(err)
			if wrong := (*csv.ParseError)(nil); !errors.As(err, &wrong) || errors.Is(wrong.Err, csv.ErrQuote) {
				break // what follows cannot be told apart
			}
			continue
		}
		line, _ := r.FieldPos(0)
		item := &yaml.Node{Kind: yaml.MappingNode, Line: line, Column: 1}
		if len(row) != len(head) {
			l.problemAt(item, fmt.Sprintf("tenants[%d]", len(rows.Content)), "has "+strconv.Itoa(len(row))+" columns where the first line has "+strconv.Itoa(len(head)), "write one value for each column; empty ones too")
		}
		for i, value := range row {
			if value = strings.TrimSpace(value); value == "" || i >= len(head) {
				continue
			}
			line, column := r.FieldPos(i)
			item.Content = append(item.Content,
				&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.TrimSpace(head[i]), Line: line, Column: column},
				&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Line: line, Column: column})
		}
		rows.Content = append(rows.Content, item)
	}
	return &yaml.Node{Kind: yaml.MappingNode, Line: 1, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Tag: "!!str", Value: "tenants", Line: 1}, rows}}
}

// unreadable tells of lines that YAML would not take either: what is in them would
// reach ids, names and addresses.
func (l *loader) unreadable(src []byte) (found bool) {
	for i, line := range bytes.Split(src, []byte("\n")) {
		at := &yaml.Node{Line: i + 1}
		switch {
		case !utf8.Valid(line):
			l.problemAt(at, "tenants", "is not encoded in UTF-8", "save the file as UTF-8")
		case suspect(line, ""):
			l.problemAt(at, "tenants", "contains a control character", "remove it")
		default:
			continue
		}
		found = true
	}
	return found
}

func (l *loader) csvProblem(err error) {
	at := &yaml.Node{Line: 1}
	if errors.Is(err, io.EOF) {
		l.problemAt(at, "tenants", "is an empty file", "write a first line with the names of columns, such as id,name,site")
		return
	}
	message := err.Error()
	if wrong := (*csv.ParseError)(nil); errors.As(err, &wrong) {
		at.Line, at.Column, message = wrong.StartLine, wrong.Column, wrong.Err.Error()
	}
	l.problemAt(at, "tenants", "cannot be read as CSV here: "+message, "put values with commas, quotes or line ends in double quotes, and double the quotes inside")
}
