package confluencetest

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

// coerceVariables checks the variables of a request against the operation and
// fills in defaults. Where the validator that came with the parser takes a string
// for a number, or an enumeration's value in other capitals, this does not. A
// variable that the operation does not declare is ignored, as GraphQL says.
func coerceVariables(schema *ast.Schema, op *ast.OperationDefinition, given map[string]any) (map[string]any, *gqlError) {
	values := map[string]any{}
	for _, def := range op.VariableDefinitions {
		v, ok := given[def.Variable]
		if !ok && def.DefaultValue != nil {
			fallback, err := def.DefaultValue.Value(nil)
			if err != nil {
				return nil, invalidVariable(def.Variable, err.Error())
			}
			values[def.Variable] = fallback
			continue
		}
		if !ok {
			if def.Type.NonNull {
				return nil, invalidVariable(def.Variable, "Variable '"+def.Variable+"' has coerced Null value for NonNull type '"+def.Type.String()+"'")
			}
			continue
		}
		coerced, reason := coerce(schema, def.Type, v)
		if reason != "" {
			return nil, invalidVariable(def.Variable, reason)
		}
		values[def.Variable] = coerced
	}
	return values, nil
}

func invalidVariable(name, reason string) *gqlError {
	return &gqlError{message: "Variable '" + name + "' has an invalid value : " + reason, classification: "ValidationError"}
}

// coerce turns a decoded JSON value into one of a type: Int into int64, an input
// object into a map. reason says what is wrong with it.
func coerce(schema *ast.Schema, typ *ast.Type, v any) (coerced any, reason string) {
	if v == nil {
		if typ.NonNull {
			return nil, "null is not a valid '" + typ.String() + "'"
		}
		return nil, ""
	}
	if typ.Elem != nil {
		list, ok := v.([]any)
		if !ok {
			list = []any{v}
		}
		result := make([]any, len(list))
		for i := range list {
			if result[i], reason = coerce(schema, typ.Elem, list[i]); reason != "" {
				return nil, reason
			}
		}
		return result, ""
	}
	def := schema.Types[typ.NamedType]
	switch def.Kind {
	case ast.Enum:
		if name, ok := v.(string); ok && def.EnumValues.ForName(name) != nil {
			return name, ""
		}
		return nil, fmt.Sprintf("Literal value not in allowable values for enum '%s' - '%v'", def.Name, v)
	case ast.InputObject:
		return coerceObject(schema, def, v)
	default:
		return coerceScalar(typ.NamedType, v)
	}
}

func coerceObject(schema *ast.Schema, def *ast.Definition, v any) (any, string) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Sprintf("Expected a map for input type '%s' but was '%v'", def.Name, v)
	}
	for name := range m {
		if def.Fields.ForName(name) == nil {
			return nil, fmt.Sprintf("The variables input contains a field name '%s' that is not defined for input object type '%s'", name, def.Name)
		}
	}
	result := map[string]any{}
	for _, f := range def.Fields {
		value, ok := m[f.Name]
		if !ok {
			if f.Type.NonNull && f.DefaultValue == nil {
				return nil, fmt.Sprintf("Field '%s' of input object type '%s' is missing", f.Name, def.Name)
			}
			continue
		}
		coerced, reason := coerce(schema, f.Type, value)
		if reason != "" {
			return nil, reason
		}
		result[f.Name] = coerced
	}
	return result, ""
}

func coerceScalar(typ string, v any) (any, string) {
	number, isNumber := v.(json.Number)
	whole, err := strconv.ParseInt(number.String(), 10, 64)
	isWhole := isNumber && err == nil
	switch typ {
	case "Int":
		if isWhole && whole >= math.MinInt32 && whole <= math.MaxInt32 {
			return whole, ""
		}
	case "Long":
		if isWhole {
			return whole, ""
		}
		if s, ok := v.(string); ok {
			if n, err := strconv.ParseInt(s, 10, 64); err == nil {
				return n, ""
			}
		}
	case "Float":
		if f, err := number.Float64(); isNumber && err == nil {
			return f, ""
		}
	case "ID":
		if isWhole {
			return number.String(), ""
		}
		if s, ok := v.(string); ok {
			return s, ""
		}
	case "Boolean":
		if b, ok := v.(bool); ok {
			return b, ""
		}
	default:
		if s, ok := v.(string); ok {
			return s, ""
		}
	}
	return nil, fmt.Sprintf("Expected a value that can be converted to type '%s' but it was '%v'", typ, v)
}
