package confluencetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// node is an object of an answer before a document's selection is applied to it.
// Members are values, other nodes, lists ([]any), or resolvers.
type node struct {
	typ    string
	fields map[string]any
}

// resolver computes a member when a document asks for it.
type resolver func(x *execution, f *ast.Field, args map[string]any) (any, *gqlError)

// execution answers one document. The site is locked for reading meanwhile.
type execution struct {
	c       *call
	schema  *ast.Schema
	drift   drift
	doc     *ast.QueryDocument
	vars    map[string]any
	errors  []*gqlError
	path    []any    // response keys and indexes down to the field at hand
	names   []string // first names of the fields down to it, without indexes
	objects int      // what the answer costs
	struck  bool     // a fault of one field was applied
}

// record is an object of the answer: members in the order of the selection.
type record []member

type member struct {
	key   string
	value any
}

// run executes an operation and returns its data, nil when the root became null.
func (x *execution) run(op *ast.OperationDefinition) any {
	data, ok := x.object(&node{typ: x.schema.Query.Name, fields: queryFields()}, []ast.SelectionSet{op.SelectionSet})
	if !ok {
		return nil
	}
	return data
}

// selected is one member of an object and all the places that ask for it.
type selected struct {
	key    string
	fields []*ast.Field
}

// collect flattens fragments and merges fields with the same response key.
func (x *execution) collect(typ string, sets []ast.SelectionSet) []selected {
	var list []selected
	var add func(ast.SelectionSet)
	add = func(set ast.SelectionSet) {
		for _, sel := range set {
			switch sel := sel.(type) {
			case *ast.Field:
				if !x.included(sel.Directives) {
					continue
				}
				i := slices.IndexFunc(list, func(s selected) bool { return s.key == sel.Alias })
				if i < 0 {
					list = append(list, selected{key: sel.Alias})
					i = len(list) - 1
				}
				list[i].fields = append(list[i].fields, sel)
			case *ast.InlineFragment:
				if x.included(sel.Directives) && x.applies(sel.TypeCondition, typ) {
					add(sel.SelectionSet)
				}
			case *ast.FragmentSpread:
				if f := x.doc.Fragments.ForName(sel.Name); x.included(sel.Directives) && x.applies(f.TypeCondition, typ) {
					add(f.SelectionSet)
				}
			}
		}
	}
	for _, set := range sets {
		add(set)
	}
	return list
}

func (x *execution) included(list ast.DirectiveList) bool {
	for _, d := range list {
		on, _ := d.ArgumentMap(x.vars)["if"].(bool)
		if d.Name == "skip" && on || d.Name == "include" && !on {
			return false
		}
	}
	return true
}

// applies tells whether a fragment on a type fits an object.
func (x *execution) applies(condition, typ string) bool {
	return condition == "" || condition == typ ||
		slices.ContainsFunc(x.schema.PossibleTypes[condition], func(d *ast.Definition) bool { return d.Name == typ })
}

// object applies a selection. ok is false when a member that may not be null is.
func (x *execution) object(n *node, sets []ast.SelectionSet) (r record, ok bool) {
	for _, s := range x.collect(n.typ, sets) {
		v, ok := x.field(n, s)
		if !ok {
			return nil, false
		}
		r = append(r, member{s.key, v})
	}
	return r, true
}

func (x *execution) field(n *node, s selected) (value any, ok bool) {
	f := s.fields[0]
	if f.Name == "__typename" {
		return n.typ, true
	}
	def := x.schema.Types[n.typ].Fields.ForName(f.Name)
	name := x.drift.original(n.typ, f.Name)
	x.path, x.names = append(x.path, s.key), append(x.names, name)
	defer func() { x.path, x.names = x.path[:len(x.path)-1], x.names[:len(x.names)-1] }()

	raw, failed := x.resolve(n, f, name)
	before := len(x.errors)
	if failed != nil {
		x.fail(failed, f)
		raw = nil
	}
	sets := make([]ast.SelectionSet, len(s.fields))
	for i, same := range s.fields {
		sets[i] = same.SelectionSet
	}
	value, ok = x.complete(def.Type, raw, sets)
	if !ok && len(x.errors) == before {
		x.fail(&gqlError{
			message:        fmt.Sprintf("The field at path '/%s' was declared as a non null type, but the code involved in retrieving data has wrongly returned a null value.", x.slashed()),
			classification: "NullValueInNonNullableField",
		}, f)
	}
	if !ok && !def.Type.NonNull {
		return nil, true
	}
	return value, ok
}

// resolve finds the raw value of a field, unless a rule or a fault forbids it.
func (x *execution) resolve(n *node, f *ast.Field, name string) (any, *gqlError) {
	if refused := x.refusal(); refused != nil {
		return nil, refused
	}
	if fault := x.c.fault; fault != nil && fault.Kind == FaultPartialData && !x.struck && x.strikes(fault) {
		x.struck = true
		e := &gqlError{message: fault.Body, classification: fault.Classification, status: fault.Status}
		if e.message == "" {
			e.message = "Exception while fetching data (/" + x.slashed() + ") : upstream service answered 500"
		}
		if e.classification == "" {
			e.classification = "DataFetchingException"
		}
		return nil, e
	}
	raw := n.fields[name]
	if r, ok := raw.(resolver); ok {
		return r(x, f, f.ArgumentMap(x.vars))
	}
	return raw, nil
}

// strikes tells whether a fault means the field at hand: the one it names, else
// the first that is no mere namespace.
func (x *execution) strikes(f *Fault) bool {
	at := strings.Join(x.names, ".")
	if f.Field != "" {
		return at == f.Field
	}
	return at != "confluence" && at != "ecosystem"
}

// fail notes an error of the field at hand.
func (x *execution) fail(e *gqlError, f *ast.Field) {
	e.path = slices.Clone(x.path)
	e.locations = []gqlerror.Location{{Line: f.Position.Line, Column: f.Position.Column}}
	x.errors = append(x.errors, e)
}

func (x *execution) slashed() string {
	parts := make([]string, len(x.path))
	for i, p := range x.path {
		parts[i] = fmt.Sprint(p)
	}
	return strings.Join(parts, "/")
}

// complete gives a raw value the form of its type. ok is false when the value is
// null and may not be.
func (x *execution) complete(typ *ast.Type, raw any, sets []ast.SelectionSet) (value any, ok bool) {
	if raw == nil {
		return nil, !typ.NonNull
	}
	if typ.Elem != nil {
		items := raw.([]any)
		list := make([]any, len(items))
		for i, item := range items {
			x.path = append(x.path, i)
			v, ok := x.complete(typ.Elem, item, sets)
			x.path = x.path[:len(x.path)-1]
			if !ok {
				return nil, !typ.NonNull
			}
			list[i] = v
		}
		return list, true
	}
	if n, isNode := raw.(*node); isNode {
		x.objects++
		r, ok := x.object(n, sets)
		if !ok {
			return nil, !typ.NonNull
		}
		return r, true
	}
	return raw, true
}

// appendData writes a completed value as JSON.
func appendData(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case string:
		return appendString(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case record:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, m.key), ':')
			b = appendData(b, m.value)
		}
		return append(b, '}')
	case []any:
		b = append(b, '[')
		for i, item := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendData(b, item)
		}
		return append(b, ']')
	default:
		panic(fmt.Sprintf("confluencetest: a resolver returned a %T", v))
	}
}

// optional is null for an empty string.
func optional(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// deref is null for a nil pointer.
func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}
