package config

import (
	"bytes"
	"fmt"
	"strings"
)

// Reference is the commented example file: every key with its meaning, kind
// and default. Keys without a constant default are commented out as #key, so
// the file loads as it stands and means the defaults.
func Reference() []byte {
	var b bytes.Buffer
	b.WriteString("# sitedrift configuration. Every key is shown with its default; #key marks one that has none.\n" +
		"# Made from the declarations in config/fields.go by `make generate`: change it there.\n" +
		"#\n" +
		"# Secrets never stand in this file: write env:NAME or file:/path where one is needed.\n" +
		"# Relative paths start at the folder of this file. ~ is the home folder.\n")
	render(&b, fields(Default()), "", "")
	return b.Bytes()
}

// render writes fields at an indentation. Inside an example that is commented
// out as a whole, block is # and stands at the start of every line.
func render(b *bytes.Buffer, fields []field, indent, block string) {
	for _, f := range fields {
		if indent == "" {
			b.WriteByte('\n')
		}
		for _, line := range f.doc {
			fmt.Fprintf(b, "%s%s# %s\n", block, indent, line)
		}
		if f.from != "" {
			fmt.Fprintf(b, "%s%s# Default: %s.\n", block, indent, f.from)
		}
		switch {
		case f.sub != nil:
			fmt.Fprintf(b, "%s%s%s:\n", block, indent, f.key)
			render(b, f.sub, indent+"  ", block)
		case f.item != nil:
			fmt.Fprintf(b, "#%s%s:\n", indent, f.key)
			renderItem(b, f, indent+"  ")
		case f.value != "":
			fmt.Fprintf(b, "%s%s%s: %s\n", block, indent, f.key, f.value)
		case block != "":
			fmt.Fprintf(b, "%s%s%s: %s\n", block, indent, f.key, f.sample)
		default:
			fmt.Fprintf(b, "%s#%s: %s\n", indent, f.key, f.sample)
		}
	}
}

// renderItem writes the keys of one list entry, the first after its dash.
func renderItem(b *bytes.Buffer, f field, indent string) {
	var item bytes.Buffer
	render(&item, f.item(0), indent+"  ", "#")
	lines := strings.Split(item.String(), "\n")
	for i, line := range lines {
		key, ok := strings.CutPrefix(line, "#"+indent+"  ")
		if ok && !strings.HasPrefix(key, "#") {
			lines[i] = "#" + indent + "- " + key
			break
		}
	}
	b.WriteString(strings.Join(lines, "\n"))
}
