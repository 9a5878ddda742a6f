package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// document parses the text into nodes. Syntax errors become a problem. False
// when there is nothing to read.
func (l *loader) document(src []byte) (*yaml.Node, bool) {
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, false
	case err != nil:
		l.problems = append(l.problems, l.syntax(err, src))
		return nil, false
	}
	root := doc.Content[0]
	l.places[""] = root
	switch err := dec.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		l.problems = append(l.problems, l.syntax(err, src))
	default:
		l.problemAt(&second, "", "starts a second document", "keep one document, and remove the line ---")
	}
	return root, true
}

// mapping reads the keys of a section.
func (l *loader) mapping(n *yaml.Node, at string, fields []field) {
	n = target(n)
	if isNull(n) {
		return // a section whose keys are all commented out
	}
	if n.Kind != yaml.MappingNode {
		l.problemAt(n, at, "is "+what(n)+" where a section of keys belongs", "write its keys indented below it, as key: value")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := join(at, key.Value)
		switch line, dup := seen[key.Value]; {
		case key.Kind != yaml.ScalarNode:
			l.problemAt(key, at, "has "+what(key)+" for a key", "write the key as a plain word")
			continue
		case key.Value == "<<":
			l.problemAt(key, at, "merges another section with <<, which is not supported", "write the keys out")
			continue
		case dup:
			l.problemAt(key, name, fmt.Sprintf("is given twice; the first is on line %d", line), "remove one of them")
			continue
		}
		seen[key.Value] = key.Line
		f, ok := find(fields, key.Value)
		if !ok {
			l.problemAt(key, name, "is not a known key", suggest(key.Value, at, fields))
			continue
		}
		l.places[name] = value
		if isNull(target(value)) && f.sub == nil {
			l.places[name] = key
		}
		l.value(f, value, name)
	}
}

func (l *loader) value(f field, n *yaml.Node, at string) {
	switch {
	case f.sub != nil:
		l.mapping(n, at, f.sub)
	case f.item != nil:
		l.list(f, n, at)
	default:
		l.scalar(f, n, at)
	}
}

func (l *loader) list(f field, n *yaml.Node, at string) {
	n = target(n)
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		l.problemAt(n, at, "is "+what(n)+" where a list belongs", "start each entry with - on a line of its own")
		return
	}
	for i, item := range n.Content {
		name := fmt.Sprintf("%s[%d]", at, i)
		l.places[name] = item
		sub := f.item(i)
		if isNull(target(item)) {
			l.problemAt(item, name, "is empty", "write its keys after the -, or remove it")
			continue
		}
		l.mapping(item, name, sub)
		for _, s := range sub {
			_, given := l.places[join(name, s.key)]
			if s.must && !given && target(item).Kind == yaml.MappingNode {
				l.problemAt(item, join(name, s.key), "is missing", "add "+s.key+": to this entry")
			}
		}
	}
}

func (l *loader) scalar(f field, n *yaml.Node, at string) {
	n = target(n)
	switch {
	case isNull(n):
		l.problem(at, "has no value", f.hint())
	case n.Kind != yaml.ScalarNode:
		l.problemAt(n, at, "is "+what(n)+" where "+f.want+" belongs", "write it on one line, as key: value")
	case n.Value == "":
		l.problemAt(n, at, "is empty", f.hint())
	default:
		if fault := f.scalar(l, n.Value); fault != nil {
			l.problemAt(n, at, fault.message, fault.hint)
		}
	}
}

// hint is the advice for a key whose value is missing.
func (f field) hint() string {
	switch {
	case f.must:
		return "write " + f.want
	case f.value == "" && f.from == "":
		return "write " + f.want + ", or remove the key"
	default:
		return "write " + f.want + ", or remove the key to get its default"
	}
}

func find(fields []field, key string) (field, bool) {
	for _, f := range fields {
		if f.key == key {
			return f, true
		}
	}
	return field{}, false
}

// target follows an alias to what it stands for.
func target(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode && n.Alias != nil {
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	return n.Kind == 0 || n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func what(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return "a single value"
	}
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}
