package confluencetest

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
)

//go:embed graphql_schema.graphql
var gatewaySDL string

// gatewaySchema is the schema of every site whose schema did not drift.
var gatewaySchema = sync.OnceValue(func() *ast.Schema {
	schema, err := loadSchema(nil)
	if err != nil {
		panic("confluencetest: the gateway's schema does not load: " + err.Error())
	}
	return schema
})

// loadSchema parses the schema anew and lets edit change it before it is checked.
func loadSchema(edit func(*ast.SchemaDocument) error) (*ast.Schema, error) {
	doc, err := parser.ParseSchemas(validator.Prelude, &ast.Source{Name: "graphql_schema.graphql", Input: gatewaySDL})
	if err != nil {
		return nil, err
	}
	if edit != nil {
		if err := edit(doc); err != nil {
			return nil, err
		}
	}
	return validator.ValidateSchemaDocument(doc)
}

// drift is how a site's schema differs from the one that clients were written for.
type drift struct {
	schema *ast.Schema       // nil: not at all
	edits  []fieldEdit       // in order
	names  map[string]string // "Type.now" to the field's first name
}

// fieldEdit renames a field, or drops it when to is empty.
type fieldEdit struct{ typ, from, to string }

// RenameGraphQLField gives a field of the gateway's schema another name on this
// site, as happened to fields of the real schema without notice. Documents are
// validated against the new name; faults and [Site.OpenToOAuth] keep the old one.
func (s *Site) RenameGraphQLField(typ, from, to string) error {
	return s.changeSchema(fieldEdit{typ, from, to})
}

// DropGraphQLField takes a field out of the gateway's schema on this site.
func (s *Site) DropGraphQLField(typ, field string) error {
	return s.changeSchema(fieldEdit{typ: typ, from: field})
}

// ResetGraphQLSchema undoes all renamings and drops.
func (s *Site) ResetGraphQLSchema() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posture.drift = drift{}
}

func (s *Site) changeSchema(e fieldEdit) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := drift{names: map[string]string{}, edits: append(append([]fieldEdit(nil), s.posture.drift.edits...), e)}
	schema, err := loadSchema(func(doc *ast.SchemaDocument) error {
		for _, e := range d.edits {
			if err := d.apply(doc, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("change the GraphQL schema of site %q: %w", s.name, err)
	}
	d.schema = schema
	s.posture.drift = d
	return nil
}

func (d *drift) apply(doc *ast.SchemaDocument, e fieldEdit) error {
	def := doc.Definitions.ForName(e.typ)
	if def == nil {
		return fmt.Errorf("no type is called %q", e.typ)
	}
	field := def.Fields.ForName(e.from)
	if field == nil {
		return fmt.Errorf("type %q has no field %q now", e.typ, e.from)
	}
	if e.to == "" {
		kept := def.Fields[:0]
		for _, f := range def.Fields {
			if f != field {
				kept = append(kept, f)
			}
		}
		def.Fields = kept
		return nil
	}
	if def.Fields.ForName(e.to) != nil {
		return fmt.Errorf("type %q has a field %q already", e.typ, e.to)
	}
	first := d.original(e.typ, e.from)
	delete(d.names, e.typ+"."+e.from)
	d.names[e.typ+"."+e.to] = first
	field.Name = e.to
	return nil
}

// original returns the first name of a field, under which it is resolved.
func (d *drift) original(typ, field string) string {
	if name, ok := d.names[typ+"."+field]; ok {
		return name
	}
	return field
}

// graphqlSchema returns the schema of the site. The caller holds mu.
func (s *Site) graphqlSchema() *ast.Schema {
	if s.posture.drift.schema != nil {
		return s.posture.drift.schema
	}
	return gatewaySchema()
}
