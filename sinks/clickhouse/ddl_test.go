package clickhouse

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/schemas/dictionary"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares with a file of testdata, or writes it.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-file +rendered), go test -update writes it:\n%s", file, diff)
	}
}

func TestDDL(t *testing.T) {
	l := layout{database: Database}
	all := confluence.All()
	join := func(statements ...string) string { return strings.Join(statements, ";\n\n") + ";\n" }
	views, shown := 0, views(l, all)
	for _, d := range all {
		statements := []string{versionsTable(d).create(l), currentView(l, d).create(l)}
		views++
		if !d.Append {
			statements = append(statements, atView(l, d).create(l), historyView(l, d).create(l))
			views += 2
		}
		if len(d.Names) > 0 {
			statements = append(statements, namedView(l, d, all, "", "", currentView).create(l), namedView(l, d, all, "_at", ", at a time, UTC", atView).create(l))
			views += 2
		}
		golden(t, "ddl/"+d.Name+".sql", join(statements...))
	}
	shared := []string{l.createDatabase()}
	for _, tab := range tables(nil) {
		shared = append(shared, tab.create(l))
	}
	golden(t, "ddl/tables.sql", join(shared...))
	shared = nil
	for _, v := range shown[views:] {
		shared = append(shared, v.create(l))
	}
	golden(t, "ddl/views.sql", join(shared...))
	golden(t, "ddl/kinds.sql", join(versionsTable(everythings.Dataset).create(l), currentView(l, everythings.Dataset).create(l)))
	golden(t, "ddl/cluster.sql", join(versionsTable(confluence.Groups.Dataset).create(layout{Database, "main"}), headsTable().create(layout{Database, "main"})))
	if n := len(DDL(all, "")); n != 1+8+len(all)+views+5 {
		t.Errorf("DDL has %d statements", n)
	}
}

// TestViewShape: every view reads heads before anything else, and in every
// SELECT that touches data they stand first in FROM and the data comes wrapped
// (Invariant 2).
func TestViewShape(t *testing.T) {
	l := layout{database: Database}
	table := regexp.MustCompile("`sitedrift`\\.`([a-z_]+)`")
	pair := regexp.MustCompile(`(?m)^\s*FROM \(SELECT tenant_id, dataset, committed_seq, void[a-z_, ]* FROM ` + "`sitedrift`\\.`heads`" + ` FINAL(?: WHERE dataset = '[a-z_]+')?\) AS h\n\s*(?:INNER|RIGHT) JOIN \(SELECT \* FROM ` + "`sitedrift`\\.`([a-z_]+)`" + `\) AS v ON v\.tenant_id = h\.tenant_id`)
	for _, v := range views(l, confluence.All()) {
		sql := v.query(l)
		if first := table.FindStringSubmatch(sql); first == nil || first[1] != "heads" {
			t.Errorf("%s: heads are not what it reads first:\n%s", v.name, sql)
		}
		// What a guarded pair covers is taken out; no data table may be left.
		rest := pair.ReplaceAllString(sql, "")
		for _, m := range table.FindAllStringSubmatch(rest, -1) {
			if strings.HasSuffix(m[1], "_log") || strings.HasSuffix(m[1], "_versions") {
				t.Errorf("%s reads %s outside of the template:\n%s", v.name, m[1], sql)
			}
		}
		if v.name != "tiles" && !pair.MatchString(sql) {
			t.Errorf("%s does not read heads and then data:\n%s", v.name, sql)
		}
		if n := strings.Count(sql, decided); n == 0 && v.name != "tiles" {
			t.Errorf("%s does not ask whether the head lets a row through", v.name)
		}
	}
}

func TestQuoting(t *testing.T) {
	w := open(t, nil)
	for _, s := range nasty {
		got := ask(t, w, "SELECT hex("+text(s)+"), hex("+hexText([]byte(s))+")")
		if want := strings.ToUpper(hexOf(s)); got[0][0] != want || got[0][1] != want {
			t.Errorf("%q is read as %v", s, got)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for _, c := range []struct{ version, shared, want string }{
		{"25.12.1.1", "1", ""},
		{"26.7.2.1", "true", ""},
		{"25.11.9.9", "1", "25.12 or newer is needed"},
		{"24.8.1", "1", "25.12 or newer is needed"},
		{"26.7.2.1", "0", "enable_shared_storage_snapshot_in_query"},
		{"unknown", "1", "which is not one"},
		{"a.b.c", "1", "which is not one"},
	} {
		err := checkVersion(c.version, c.shared)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("version %s, shared %s: %v, want %q", c.version, c.shared, err, c.want)
		}
	}
}

// TestDictionary: the data dictionary describes the columns that the views have.
func TestDictionary(t *testing.T) {
	index := dictionary.Markdown(confluence.All())["README.md"]
	for _, v := range views(layout{database: Database}, confluence.All()) {
		switch v.name {
		case "tiles", "changes", "runs", "coverage_history":
			for _, c := range v.columns {
				if !strings.Contains(index, "| `"+c.name+"` |") {
					t.Errorf("the dictionary does not name %s.%s", v.name, c.name)
				}
			}
		}
	}
	for _, d := range confluence.All() {
		var names, want []string
		for _, c := range currentView(layout{database: Database}, d).columns {
			names = append(names, c.name)
		}
		for _, c := range dictionary.Describe(d).Columns {
			want = append(want, c.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("columns of %s (-dictionary +view):\n%s", d.Name, diff)
		}
	}
}
