package clickhouse

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// namedView shows the rows of a dataset with the names behind its ids. of makes
// the view that rows and names are taken from: as they are now, or at a time. The
// names are of the same moment as the rows, and one statement sees both whole.
func namedView(l layout, d *schemas.Dataset, all []*schemas.Dataset, suffix, when string, of func(layout, *schemas.Dataset) view) view {
	base := of(l, d)
	v := view{name: d.Name + "_named" + suffix, doc: "As " + base.name + ", with the names behind the ids" + when + ".", columns: slices.Clone(base.columns)}
	var b strings.Builder
	b.WriteString("SELECT\n")
	for _, c := range base.columns {
		fmt.Fprintf(&b, "    v.%[1]s AS %[1]s,\n", name(c.name))
	}
	var joins strings.Builder
	n := 0
	for i, lookup := range d.Names {
		var options []string
		for _, from := range lookup.From {
			j := slices.IndexFunc(all, func(o *schemas.Dataset) bool { return o.Name == from.Dataset })
			if j < 0 {
				continue // not among the datasets of this warehouse
			}
			alias := fmt.Sprintf("n%d", n)
			n++
			fmt.Fprintf(&joins, "\nLEFT JOIN (SELECT tenant_id, %s AS id, toNullable(%s) AS name FROM (%s)) AS %s ON %s.tenant_id = v.tenant_id AND %s.id = v.%s",
				name(from.Key), name(from.Name), of(l, all[j]).query(l), alias, alias, alias, name(lookup.Column))
			option := fmt.Sprintf("nullIf(%s.name, '')", alias)
			if from.Where != "" {
				option = fmt.Sprintf("if(v.%s IN (%s), %s, NULL)", name(from.Where), texts(from.In), option)
			}
			options = append(options, option)
		}
		options = append(options, "NULL")
		comma := ","
		if i == len(d.Names)-1 {
			comma = ""
		}
		fmt.Fprintf(&b, "    CAST(coalesce(%s) AS Nullable(String)) AS %s%s\n", strings.Join(options, ", "), name(lookup.As), comma)
		v.columns = append(v.columns, viewColumn{column: column{lookup.As, "Nullable(String)", lookup.Doc}})
	}
	fmt.Fprintf(&b, "FROM (%s) AS v%s", base.query(l), joins.String())
	v.sql = b.String()
	return v
}

// texts is a list of SQL strings.
func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = text(s)
	}
	return strings.Join(quoted, ", ")
}
