package front

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// contract is what a reader's statement may name. It is checked on the tree that the engine's own parser makes of
// the statement (EXPLAIN AST, which runs nothing), and whatever this package does not know there is refused: no
// second opinion of the grammar can differ from the engine's (Invariant 7).
type contract struct {
	database  string
	views     map[string]bool // of the contract
	tables    map[string]bool // all tables and views that there are
	functions map[string]bool // lower case; of rows and aggregates
}

// nodes are the kinds of the tree that a reading statement consists of. Not among them, and so refused: Set
// (SETTINGS), ColumnsApplyTransformer (which does not show the function that it calls), and all that writes.
var nodes = wordSet(`ArrayJoin Asterisk CollationNode ColumnsExceptTransformer ColumnsListMatcher ColumnsRegexpMatcher ColumnsReplaceTransformer
	ColumnsReplaceTransformer::Replacement ColumnsTransformerList DescribeQuery ExistsTableQuery ExistsViewQuery ExpressionList Function Identifier
	InterpolateElement Literal OrderByElement QualifiedAsterisk QualifiedColumnsListMatcher QualifiedColumnsRegexpMatcher SampleRatio
	SelectIntersectExceptQuery SelectQuery SelectWithUnionQuery Subquery TableExpression TableIdentifier TableJoin TablesInSelectQuery
	TablesInSelectQueryElement WindowDefinition WindowListElement WithElement`)

// tableFunctions make rows of nothing but their arguments.
var tableFunctions = wordSet(`numbers numbers_mt generateseries generate_series values sqlstandardvalues null view`)

// hiddenNodes are what to say of refused nodes that people meet.
var hiddenNodes = map[string]string{
	"Set":                     "SETTINGS in a statement are refused: give those that are allowed in the URL",
	"ColumnsApplyTransformer": "APPLY is refused, because the function that it calls cannot be checked: write the calls out",
}

// takesTable are the functions whose right side may be the name of a table.
var takesTable = regexp.MustCompile(`(?i)^(?:global)?(?:not)?(?:null)?in(?:ignoreset)?$|^exists$`)

// node is a line of the tree that encloses the present one.
type node struct {
	kind, name string
	children   int // seen so far
}

// check reads the tree, a node a line, each indented by one space more than its parent. Names stand in it as they
// are, so one with a line end in it can make lines of its own: those are checked like all others, and can only
// make the statement refused.
func (c contract) check(tree string) error {
	lines := strings.Split(strings.TrimRight(tree, "\n"), "\n")
	with := slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(strings.TrimLeft(l, " "), "WithElement") })
	var open []node
	for i, line := range lines {
		depth := len(line) - len(strings.TrimLeft(line, " "))
		if depth > len(open) || depth == 0 && i > 0 {
			return refuse("its text cannot be checked: leave line ends out of quoted names")
		}
		open = open[:depth]
		kind, rest, _ := strings.Cut(line[depth:], " ")
		if !nodes[kind] {
			if why := hiddenNodes[kind]; why != "" {
				return refuse(why)
			}
			return refuse("it is no SELECT, DESCRIBE or EXISTS over the views, or has a part that cannot be checked (" + kind + ")")
		}
		if depth == 0 && !slices.Contains([]string{"SelectWithUnionQuery", "SelectIntersectExceptQuery", "DescribeQuery", "ExistsTableQuery", "ExistsViewQuery"}, kind) {
			return refuse("only SELECT, WITH, DESCRIBE and EXISTS are served, not " + kind)
		}
		name, _, _ := strings.Cut(rest, " (")
		if err := c.node(open, kind, name, with); err != nil {
			return err
		}
		if depth > 0 {
			open[depth-1].children++
		}
		open = append(open, node{kind: kind, name: name})
	}
	return nil
}

// node checks one node below those that are open.
func (c contract) node(open []node, kind, name string, with bool) error {
	parent := node{}
	if len(open) > 0 {
		parent = open[len(open)-1]
	}
	switch kind {
	case "TableIdentifier":
		return c.table(name, with)
	case "ExistsTableQuery", "ExistsViewQuery":
		database, table, _ := strings.Cut(name, " ")
		if database != "" {
			table = database + "." + table
		}
		return c.table(table, false)
	case "Identifier":
		if len(open) == 1 && parent.children >= named(parent) {
			return refuse("name the format once, without quotes, at the very end")
		}
		if n := len(open); n > 1 && parent.kind == "ExpressionList" && open[n-2].kind == "Function" && takesTable.MatchString(open[n-2].name) &&
			(parent.children > 0 || strings.EqualFold(open[n-2].name, "exists")) {
			return c.table(name, true)
		}
	case "Function":
		if parent.kind != "TableExpression" {
			if !c.function(name) {
				return refuse("the function " + name + "() is not served")
			}
			return nil
		}
		if !c.views[c.bare(name)] && !tableFunctions[strings.ToLower(name)] {
			return refuse("the table function " + name + "() is not served: only " + strings.Join(slices.Sorted(maps.Keys(tableFunctions)), ", ") + ", and the views D_at")
		}
	}
	return nil
}

// named is how many names the top of a tree has of its own, each as a child. One more is the name of a format, which
// was not cut off (cutFormat), and so would not be checked.
func named(top node) int {
	if top.kind != "ExistsTableQuery" && top.kind != "ExistsViewQuery" {
		return 0
	}
	if strings.HasPrefix(top.name, " ") { // without a database
		return 1
	}
	return 2
}

// table checks a name in the place of a table. A plain name that nothing in the database has can only be one that
// the statement gives itself (WITH), or nobody's.
func (c contract) table(name string, own bool) error {
	if c.views[c.bare(name)] || own && !strings.Contains(name, ".") && !c.tables[name] {
		return nil
	}
	return refuse(name + " is no view of the contract; these are: " + strings.Join(slices.Sorted(maps.Keys(c.views)), ", "))
}

// bare takes the contract's database off a name.
func (c contract) bare(name string) string { return strings.TrimPrefix(name, c.database+".") }

// combinators are the suffixes of aggregate functions (ClickHouse documentation, "Aggregate Function Combinators").
var combinators = strings.Fields(`if array map state merge foreach distinct ordefault ornull resample argmin argmax simplestate null tuple`)

// function tells whether a function may be called; an aggregate may have combinators behind its name.
func (c contract) function(name string) bool {
	name = strings.ToLower(name)
	if c.functions[name] {
		return true
	}
	for _, s := range combinators {
		if base, ok := strings.CutSuffix(name, s); ok && base != "" && c.function(base) {
			return true
		}
	}
	return false
}

// kinds are the categories of functions (system.functions) that compute from their arguments alone. What is left
// out reads dictionaries, tables, settings, the machine, or the engine itself, waits, or calls out.
var kinds = lineSet(`Aggregate Functions
Arithmetic
Arrays
Bit
Bitmap
Comparison
Conditional
Dates and Times
Distance
Encoding
Financial
Geo
Geo Polygon
Hash
IP Address
JSON
Logical
Map
Mathematical
Null
Random Number
Rounding
String
String Replacement
String Search
String Splitting
Time Window
Tuple
Type Conversion
URL
UUID`)

// others are functions of the remaining categories that compute from their arguments alone, and pieces of grammar
// that the tree shows as functions.
var others = wordSet(`bar bytesize formatreadabledecimalsize formatreadablequantity formatreadablesize formatreadabletimedelta identity lambda exists grouping
	materialize totypename tocolumntypename transform currentdatabase version variantelement varianttype visiblewidth rownumberinallblocks countdigits`)

// never are functions of the categories above that look further all the same.
var never = wordSet(`flamegraph estimatecompressionratio file url`)

// knownFunction tells whether a function as system.functions describes it may be called.
func knownFunction(name, category string, system bool) bool {
	name = strings.ToLower(name)
	return system && !never[name] && !strings.HasPrefix(name, "__") && (kinds[category] || others[name])
}

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(words) {
		set[word] = true
	}
	return set
}

func lineSet(lines string) map[string]bool {
	set := map[string]bool{}
	for line := range strings.SplitSeq(lines, "\n") {
		set[line] = true
	}
	return set
}

func refuse(why string) error {
	return exception(497, "ACCESS_DENIED", "readers ask the views of the contract in one statement: "+why)
}
