package front

import (
	"strings"
	"testing"
)

func testContract() contract {
	return contract{
		database: "sitedrift", views: wordSet("changes spaces_at"), tables: wordSet("changes spaces_at changes_log"),
		functions: wordSet("count sum plus in notin globalin exists lambda equals"),
	}
}

// TestContract gives trees as the engine prints them, and such as it never should.
func TestContract(t *testing.T) {
	const from = "SelectWithUnionQuery (children 1)\n ExpressionList (children 1)\n  SelectQuery (children 1)\n   TablesInSelectQuery (children 1)\n    TablesInSelectQueryElement (children 1)\n     TableExpression (children 1)\n      "
	const with = "SelectWithUnionQuery (children 1)\n WithElement (children 1)\n TableExpression\n  "
	const column = "SelectWithUnionQuery (children 1)\n "
	for tree, served := range map[string]bool{
		from + "TableIdentifier changes (alias c)":                                                   true,
		from + "TableIdentifier sitedrift.changes":                                                   true,
		from + "Function spaces_at (alias s) (children 1)":                                           true,
		from + "Function sitedrift.spaces_at (children 1)":                                           true,
		from + "Function VALUES (children 1)":                                                        true,
		from + "TableIdentifier changes_log":                                                         false,
		from + "TableIdentifier changes_log (alias changes)":                                         false,
		from + "TableIdentifier system.changes":                                                      false,
		from + "TableIdentifier sitedrift.sitedrift.changes":                                         false,
		from + "TableIdentifier own":                                                                 false,
		from + "TableIdentifier ":                                                                    false,
		from + "Function count (children 1)":                                                         false,
		from + "Function merge (children 1)":                                                         false,
		with + "TableIdentifier own":                                                                 true,
		with + "TableIdentifier changes_log":                                                         false,
		with + "TableIdentifier other.own":                                                           false,
		column + "Function sumIf (children 1)":                                                       true,
		column + "Function countDistinctOrNull (children 1)":                                         true,
		column + "Function If (children 1)":                                                          false,
		column + "Function numbers (children 1)":                                                     false,
		column + "Function file (children 1)":                                                        false,
		column + "Function in\n  ExpressionList\n   Identifier changes_log":                          true, // on the left it is a column
		column + "Function in\n  ExpressionList\n   Identifier a\n   Identifier changes":             true,
		column + "Function in\n  ExpressionList\n   Identifier a\n   Identifier changes_log":         false,
		column + "Function globalIn\n  ExpressionList\n   Identifier a\n   Identifier system.tables": false,
		column + "Function exists\n  ExpressionList\n   Identifier changes_log":                      false,
		column + "Function plus\n  ExpressionList\n   Identifier a\n   Identifier changes_log":       true,
		column + "Set": false,
		column + "Asterisk\n  ColumnsTransformerList\n   ColumnsApplyTransformer": false,
		column + "Identifier a\nDropQuery":                                        false,
		column + "Identifier a\nSelectWithUnionQuery":                             false,
		column + "    Identifier a":                                               false,
		"DescribeQuery (children 1)\n TableExpression\n  TableIdentifier changes": true,
		"ExistsViewQuery sitedrift changes (children 2)":                          true,
		"ExistsTableQuery  changes (children 1)":                                  true,
		"ExistsTableQuery  changes_log (children 1)":                              false,
		"ExistsTableQuery system tables (children 2)":                             false,
		"ExistsDatabaseQuery sitedrift":                                           false,
		// A format that nobody checked.
		from + "TableIdentifier changes\n Identifier XML":                                                              false,
		"DescribeQuery (children 2)\n TableExpression\n  TableIdentifier changes\n Identifier XML":                     false,
		"ExistsTableQuery sitedrift changes (children 2)\n Identifier sitedrift\n Identifier changes":                  true,
		"ExistsTableQuery sitedrift changes (children 3)\n Identifier sitedrift\n Identifier changes\n Identifier XML": false,
		"ExistsViewQuery  changes (children 1)\n Identifier changes":                                                   true,
		"ExistsViewQuery  changes (children 2)\n Identifier changes\n Identifier XML":                                  false,
		"TableExpression\n TableIdentifier changes":                                                                    false,
		"DropQuery":                  false,
		"":                           false,
		"\n":                         false,
		"[\"SelectWithUnionQuery\"]": false,
	} {
		if err := testContract().check(tree); (err == nil) != served {
			t.Errorf("%s\n%v, want it served: %t", strings.ReplaceAll(tree, "\n", "|"), err, served)
		}
	}
}

// FuzzContract: whatever a tree looks like, a table of rows is named in none that passes.
func FuzzContract(f *testing.F) {
	f.Add("SelectWithUnionQuery (children 1)\n TableIdentifier changes")
	f.Add("DescribeQuery\n TableExpression\n  Function merge\n   ExpressionList")
	f.Add("SelectWithUnionQuery\n WithElement\n TableIdentifier changes_log")
	f.Fuzz(func(t *testing.T, tree string) {
		if testContract().check(tree) != nil {
			return
		}
		for line := range strings.SplitSeq(tree, "\n") {
			kind, rest, _ := strings.Cut(strings.TrimLeft(line, " "), " ")
			if kind == "TableIdentifier" && (strings.HasPrefix(rest, "changes_log (") || rest == "changes_log" || strings.HasPrefix(rest, "system.")) {
				t.Errorf("%q passes", tree)
			}
		}
	})
}

func TestCutFormat(t *testing.T) {
	for sql, want := range map[string][2]string{
		"SELECT 1":                           {"SELECT 1", "TSV"},
		"SELECT 1 format JSON ;":             {"SELECT 1 ", "JSON"},
		"SELECT 1 FORMAT /* x */ CSV -- end": {"SELECT 1 ", "CSV"},
		"SELECT 'FORMAT CSV'":                {"SELECT 'FORMAT CSV'", "TSV"},
		"SELECT `FORMAT` CSV":                {"SELECT `FORMAT` CSV", "TSV"},
		"SELECT 1 FORMAT CSV FORMAT Null":    {"SELECT 1 FORMAT CSV ", "Null"},
		"SELECT 1 FORMAT CSV SETTINGS a = 1": {"SELECT 1 FORMAT CSV SETTINGS a = 1", "TSV"},
	} {
		if statement, format := cutFormat(sql, "TSV"); statement != want[0] || format != want[1] {
			t.Errorf("%s: %q, %q", sql, statement, format)
		}
	}
}
