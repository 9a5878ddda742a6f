package dictionary

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

const generated = "<!-- Generated from the declarations by `make generate`. Do not edit. -->\n\n"

// Markdown renders the pages: file name -> content, README.md being the index.
func Markdown(datasets []*schemas.Dataset) map[string]string {
	pages := map[string]string{"README.md": index(datasets), "sources.md": sources(datasets)}
	for _, d := range datasets {
		pages[d.Name+".md"] = page(d)
	}
	return pages
}

// page is the page of one dataset.
func page(d *schemas.Dataset) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %s\n\n%s\n\n", generated, d.Name, d.Doc)
	fmt.Fprintf(&b, "One row per %s. Group %s, version %d.\n\n", d.Grain, d.Group, d.Version)
	switch {
	case d.Parent != "":
		fmt.Fprintf(&b, "Complete or not per `%s`: each is read by itself, and one that cannot be read never costs rows. The list of them is [%s](%s.md).\n\n", d.PartitionColumn, d.Parent, d.Parent)
	case len(d.Sections) > 0:
		fmt.Fprintf(&b, "Complete or not per `%s` (%s): each is read by itself, and one that cannot be read never costs rows.\n\n", d.PartitionColumn, strings.Join(d.Sections, ", "))
	case d.Append:
		b.WriteString("Read in days, from where the run before ended; a day that cannot be read whole is read again.\n\n")
	default:
		b.WriteString("Complete or not as a whole.\n\n")
	}
	if d.Hides {
		b.WriteString("The site's listing leaves out what the credential may not see. A row that is no longer listed ends as `out_of_view`, its change is called `vanished`, and it becomes `removed` only with a proof of the deletion.\n\n")
	}
	if d.Append {
		fmt.Fprintf(&b, "View: `%s`. Records only come; there is no history beside it, and no change tells of them.\n\n", d.Name)
	} else {
		fmt.Fprintf(&b, "Views: `%[1]s` (now), `%[1]s_history` (every version, with `valid_from`, `valid_to`, `change`), `%[1]s_at(at = '2026-03-01 00:00:00')` (at a time, UTC).\n\n", d.Name)
	}
	if len(d.Names) > 0 {
		fmt.Fprintf(&b, "`%[1]s_named` and `%[1]s_named_at(at = ...)` show the names behind the ids as well, of the same moment:\n\n", d.Name)
		var rows [][]string
		for _, n := range d.Names {
			rows = append(rows, []string{"`" + n.As + "`", n.Doc})
		}
		table(&b, []string{"column", "meaning"}, rows)
	}
	b.WriteString("## Columns\n\n")
	table(&b, []string{"column", "type", "role", "meaning"}, columnRows(columns(d)))
	b.WriteString("Only tracked columns are compared: a change of one is an event. Context is stored as of the time the row was written.\n\n")
	b.WriteString("## Sources and scopes\n\n")
	var rows [][]string
	for _, s := range d.Sources {
		rows = append(rows, []string{s.Deployment, s.Section, s.Credential, s.API, code(s.Calls, "<br>"), scopes(s.Scopes), note(s)})
	}
	b.WriteString("In order of preference: a run takes the first that the tenant's credentials open.\n\n")
	table(&b, []string{"deployment", "section", "credential", "interface", "calls", "scopes", "note"}, rows)
	b.WriteString("## Severities\n\n")
	rows = nil
	for _, s := range d.Severities {
		rows = append(rows, []string{string(s.Level), kinds(s.Changes), condition(s), s.Why})
	}
	if len(rows) > 0 {
		table(&b, []string{"level", "change", "when", "why"}, rows)
	}
	b.WriteString("A change that no rule raises is low; `vanished` is always high, `baseline` is info, and so is `coverage`, but medium where something that was watched no longer is.\n\n## Examples\n\n" +
		"Rows of a tenant whose `tiles.state` is not `complete` are what was known last, and a tenant without rows there is unknown, not clean.\n")
	for _, e := range d.Examples {
		fmt.Fprintf(&b, "\n%s\n\n```sql\n%s\n```\n", e.Question, e.SQL)
	}
	return b.String()
}

// columnRows makes table rows of columns.
func columnRows(list []Column) [][]string {
	var rows [][]string
	for _, c := range list {
		typ, doc := c.Type, c.Doc
		if c.Nullable {
			typ += " or null"
		}
		if c.Personal {
			doc += " Personal data."
		}
		if c.Since > 1 {
			doc += fmt.Sprintf(" Since version %d.", c.Since)
		}
		rows = append(rows, []string{"`" + c.Name + "`", typ, c.Role, doc})
	}
	return rows
}

func code(list []string, sep string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = "`" + s + "`"
	}
	return strings.Join(quoted, sep)
}

func scopes(all [][]string) string {
	parts := make([]string, len(all))
	for i, alternatives := range all {
		parts[i] = code(alternatives, " or ")
	}
	return strings.Join(parts, "<br>")
}

func kinds(list []schemas.ChangeKind) string {
	var s []string
	for _, k := range list {
		s = append(s, string(k))
	}
	return strings.Join(s, ", ")
}

// condition is a severity's condition in words.
func condition(s schemas.Severity) string {
	var parts []string
	if len(s.Fields) > 0 {
		parts = append(parts, "one of "+code(s.Fields, ", ")+" changed")
	}
	for _, c := range s.Where {
		var alternatives []string
		if len(c.In) > 0 {
			alternatives = append(alternatives, "is "+code(c.In, " or "))
		}
		if len(c.Contains) > 0 {
			alternatives = append(alternatives, "contains "+code(c.Contains, " or "))
		}
		parts = append(parts, "`"+c.Column+"` "+strings.Join(alternatives, " or "))
	}
	if len(parts) == 0 {
		return "always"
	}
	return strings.Join(parts, ", and ")
}

// table writes a Markdown table; columns that are empty in every row are left out.
func table(b *strings.Builder, head []string, rows [][]string) {
	var keep []int
	for c := range head {
		if slices.ContainsFunc(rows, func(r []string) bool { return r[c] != "" }) {
			keep = append(keep, c)
		}
	}
	line := func(cells []string) {
		b.WriteString("|")
		for _, c := range keep {
			b.WriteString(" " + strings.ReplaceAll(cells[c], "|", `\|`) + " |")
		}
		b.WriteString("\n")
	}
	line(head)
	b.WriteString("|" + strings.Repeat("---|", len(keep)) + "\n")
	for _, r := range rows {
		line(r)
	}
	b.WriteString("\n")
}
