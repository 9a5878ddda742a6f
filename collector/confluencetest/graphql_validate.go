package confluencetest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

// gqlError is one entry of errors[].
type gqlError struct {
	message        string
	path           []any // nil: left out
	locations      []gqlerror.Location
	classification string
	status         int    // extensions.statusCode; 0: left out
	scopesKey      string // extension that names the missing scopes; empty: none
	scopes         []string
}

func (e *gqlError) append(b []byte) []byte {
	b = appendString(append(b, `{"message":`...), e.message)
	if e.path != nil {
		b = append(b, `,"path":[`...)
		for i, p := range e.path {
			if i > 0 {
				b = append(b, ',')
			}
			if name, ok := p.(string); ok {
				b = appendString(b, name)
			} else {
				b = fmt.Append(b, p)
			}
		}
		b = append(b, ']')
	}
	if len(e.locations) > 0 {
		b = append(b, `,"locations":[`...)
		for i, l := range e.locations {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"line":%d,"column":%d}`, l.Line, l.Column)
		}
		b = append(b, ']')
	}
	b = appendString(append(b, `,"extensions":{"classification":`...), e.classification)
	if e.status != 0 {
		b = fmt.Appendf(b, `,"statusCode":%d`, e.status)
	}
	if e.scopesKey != "" {
		b = appendStrings(append(appendString(append(b, ','), e.scopesKey), ':'), e.scopes)
	}
	return append(b, "}}"...)
}

func appendStrings(b []byte, list []string) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, s)
	}
	return append(b, ']')
}

// javaNames are what graphql-java, which the real gateway speaks like, calls the
// rules of the parser's validator.
var javaNames = map[string]string{
	"FieldsOnCorrectType": "FieldUndefined", "FragmentsOnCompositeTypes": "FragmentTypeConditionInvalid", "KnownArgumentNames": "UnknownArgument",
	"KnownDirectives": "UnknownDirective", "KnownFragmentNames": "UndefinedFragment", "KnownTypeNames": "UnknownType", "KnownRootType": "UnknownOperation",
	"NoFragmentCycles": "FragmentCycle", "NoUndefinedVariables": "UndefinedVariable", "NoUnusedFragments": "UnusedFragment", "NoUnusedVariables": "UnusedVariable",
	"OverlappingFieldsCanBeMerged": "FieldsConflict", "PossibleFragmentSpreads": "InvalidFragmentType", "ProvidedRequiredArguments": "MissingFieldArgument",
	"UniqueArgumentNames": "DuplicateArgumentNames", "UniqueVariableNames": "DuplicateVariableName", "UniqueFragmentNames": "DuplicateFragmentName",
	"UniqueOperationNames": "DuplicateOperationName", "ValuesOfCorrectType": "WrongType", "VariablesAreInputTypes": "NonInputTypeOnVariable",
	"VariablesInAllowedPosition": "VariableTypeMismatch",
}

// parseDocument turns the text of a document into its tree.
func parseDocument(query string) (*ast.QueryDocument, *gqlError) {
	doc, err := parser.ParseQuery(&ast.Source{Input: query})
	if err == nil {
		return doc, nil
	}
	e := &gqlError{message: "Invalid syntax", classification: "InvalidSyntax"}
	if g, ok := errors.AsType[*gqlerror.Error](err); ok {
		e.locations = g.Locations
		e.message = "Invalid syntax : " + g.Message
		if len(g.Locations) > 0 {
			e.message = fmt.Sprintf("Invalid syntax : %s at line %d column %d", g.Message, g.Locations[0].Line, g.Locations[0].Column)
		}
	}
	return nil, e
}

// place is where in a document a field stands.
type place struct {
	field *ast.Field
	arg   string // set for the value of an argument
	value *ast.Value
	path  string // response keys joined with slashes
}

// places indexes fields and argument values by position, because the validator
// reports positions only.
type places map[gqlerror.Location]place

func (ps places) add(set ast.SelectionSet, path string) {
	for _, sel := range set {
		switch sel := sel.(type) {
		case *ast.Field:
			p := place{field: sel, path: strings.TrimPrefix(path+"/"+sel.Alias, "/")}
			ps[gqlerror.Location{Line: sel.Position.Line, Column: sel.Position.Column}] = p
			for _, arg := range sel.Arguments {
				ps.addValue(p, arg.Name, arg.Value)
			}
			ps.add(sel.SelectionSet, p.path)
		case *ast.InlineFragment:
			ps.add(sel.SelectionSet, path)
		}
	}
}

func (ps places) addValue(p place, arg string, v *ast.Value) {
	p.arg, p.value = arg, v
	ps[gqlerror.Location{Line: v.Position.Line, Column: v.Position.Column}] = p
	for _, child := range v.Children {
		ps.addValue(p, arg, child.Value)
	}
}

// validateDocument checks a document against a schema and resolves its fields.
func validateDocument(schema *ast.Schema, doc *ast.QueryDocument) []*gqlError {
	list := validator.ValidateWithRules(schema, doc, nil)
	if len(list) == 0 {
		return nil
	}
	where := places{}
	for _, op := range doc.Operations {
		where.add(op.SelectionSet, "")
	}
	for _, f := range doc.Fragments {
		where.add(f.SelectionSet, f.Name)
	}
	result := make([]*gqlError, len(list))
	for i, g := range list {
		e := &gqlError{locations: g.Locations, classification: "ValidationError"}
		var at place
		if len(g.Locations) > 0 {
			at = where[g.Locations[0]]
		}
		kind, text := describe(g, at)
		if at.path != "" {
			kind += "@[" + at.path + "]"
		}
		e.message = "Validation error (" + kind + ") : " + text
		result[i] = e
	}
	return result
}

// describe words an error the way graphql-java does, as far as its words are known.
func describe(g *gqlerror.Error, at place) (kind, text string) {
	kind, text = javaNames[g.Rule], g.Message
	if kind == "" {
		kind = g.Rule
	}
	quoted := strings.Split(g.Message, `"`)
	switch {
	case at.field == nil:
	case g.Rule == "FieldsOnCorrectType" && at.field.ObjectDefinition != nil:
		text = fmt.Sprintf("Field '%s' in type '%s' is undefined", at.field.Name, at.field.ObjectDefinition.Name)
	case g.Rule == "KnownArgumentNames" && len(quoted) > 2:
		text = fmt.Sprintf("Unknown field argument '%s'", quoted[1])
	case g.Rule == "ProvidedRequiredArguments" && len(quoted) > 4:
		text = fmt.Sprintf("Missing field argument '%s'", quoted[3])
	case g.Rule == "ScalarLeafs" && at.field.Definition != nil:
		if kind = "SubselectionRequired"; len(at.field.SelectionSet) > 0 {
			kind = "SubselectionNotAllowed"
			text = fmt.Sprintf("Subselection not allowed on leaf type '%s' of field '%s'", at.field.Definition.Type, at.field.Name)
		} else {
			text = fmt.Sprintf("Subselection required for type '%s' of field '%s'", at.field.Definition.Type, at.field.Name)
		}
	case g.Rule == "ValuesOfCorrectType" && at.value != nil:
		text = fmt.Sprintf("argument '%s' with value '%s' is not a valid '%s' - %s", at.arg, at.value, at.value.ExpectedType, g.Message)
	}
	return kind, text
}

// chooseOperation finds the operation that a request is about.
func chooseOperation(doc *ast.QueryDocument, name string) (*ast.OperationDefinition, *gqlError) {
	op := doc.Operations.ForName(name)
	switch {
	case op != nil:
		return op, nil
	case name == "" && len(doc.Operations) > 1:
		return nil, &gqlError{message: "Must provide operation name if query contains multiple operations.", classification: "ValidationError"}
	case len(doc.Operations) == 0:
		return nil, &gqlError{message: "The document holds no operation.", classification: "ValidationError"}
	default:
		return nil, &gqlError{message: "Unknown operation named '" + name + "'.", classification: "ValidationError"}
	}
}
