package clickhouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestReaderGrants: every table is closed to whoever is not named, the views'
// user sees the tenant's rows of all, and a reader is granted no more than the
// tenant's own views (Invariant 7). The embedded engine has no users, so it only
// parses the statements, and runs the views.
func TestReaderGrants(t *testing.T) {
	w := open(t, nil)
	all := confluence.All()
	for _, cluster := range []string{"", "main"} {
		statements, err := ReaderGrants(all, cluster, "acme-1.eu")
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(statements, "\n") + "\n"
		on := ""
		if cluster != "" {
			on = " ON CLUSTER 'main'"
		}
		wants := func(statement string) {
			t.Helper()
			if !strings.Contains(text, statement+"\n") {
				t.Errorf("lacks: %s", statement)
			}
		}
		for _, tab := range tables(all) {
			wants("CREATE ROW POLICY OR REPLACE sitedrift_deny" + on + " ON `sitedrift`.`" + tab.name + "` FOR SELECT USING 0 AS PERMISSIVE TO ALL EXCEPT sitedrift_daemon, sitedrift_analyst")
			if tab.column("tenant_id") < 0 {
				if tab.name != installationName && tab.name != objectsName && tab.name != schemaVersionsName {
					t.Errorf("%s has no tenant_id: is it meant to be closed to readers?", tab.name)
				}
				continue
			}
			wants("CREATE ROW POLICY OR REPLACE `sitedrift_views_acme-1.eu`" + on + " ON `sitedrift`.`" + tab.name + "` FOR SELECT USING tenant_id = 'acme-1.eu' AS PERMISSIVE TO `sitedrift_views_acme-1.eu`")
		}
		for _, v := range Views(all) {
			wants("GRANT" + on + " SELECT ON `sitedrift`.`" + v + "` TO `sitedrift_views_acme-1.eu`")
			if !strings.Contains(text, "CREATE OR REPLACE VIEW `sitedrift_tenant_acme-1.eu`.`"+v+"`"+on+" DEFINER = `sitedrift_views_acme-1.eu` SQL SECURITY DEFINER AS SELECT * FROM `sitedrift`.`"+v+"`") {
				t.Errorf("readers lack the view %s", v)
			}
		}
		var parsed []string
		if err := w.conn.QueryRow(t.Context(), "SELECT arrayMap(s -> formatQuery(s), ?)", statements).Scan(&parsed); err != nil || len(parsed) != len(statements) {
			t.Errorf("%d statements, %d of them parsed: %v", len(statements), len(parsed), err)
		}
		for _, s := range statements {
			if strings.HasSuffix(s, "TO `sitedrift_reader_acme-1.eu`") && s != "GRANT"+on+" SELECT ON `sitedrift_tenant_acme-1.eu`.* TO `sitedrift_reader_acme-1.eu`" {
				t.Errorf("a reader is granted more than its views: %s", s)
			}
			if view, ok := strings.CutPrefix(s, "CREATE OR REPLACE VIEW `sitedrift_tenant_acme-1.eu`.`"); ok && cluster == "" && strings.HasPrefix(view, "spaces") {
				own, _, _ := strings.Cut(view, "`")
				exec(t, w, "CREATE OR REPLACE VIEW sitedrift.`mine_"+strings.Replace(view, " DEFINER = `sitedrift_views_acme-1.eu` SQL SECURITY DEFINER", "", 1))
				from := "mine_" + own
				if strings.HasSuffix(own, "_at") {
					from += "(at = '2026-03-01 00:00:00')"
				}
				if got := ask(t, w, "SELECT count() FROM "+from); got[0][0] != "0" {
					t.Errorf("%s: %v", from, got)
				}
				exec(t, w, "DROP VIEW sitedrift.mine_"+own+" SYNC")
			}
		}
	}
	if _, err := ReaderGrants(all, "", "a`b"); err == nil {
		t.Error("a tenant that ends its own quotes is taken")
	}
}

// TestViewsRunAsTheirReader: a server may be set to give views the rights of
// their maker, the daemon, whom no row policy holds back.
func TestViewsRunAsTheirReader(t *testing.T) {
	for _, v := range views(layout{database: Database}, confluence.All()) {
		if sql := v.create(layout{database: Database}); !strings.Contains(sql, "\n) SQL SECURITY INVOKER AS\n") {
			t.Errorf("%s does not say whose rights it has", v.name)
		}
	}
}

func TestReaderGaps(t *testing.T) {
	declared := []table{
		{name: "heads", columns: []column{{name: "tenant_id"}}},
		{name: "schema_objects"},
	}
	whole := func() map[policy]bool {
		return map[policy]bool{
			{"heads", "sitedrift_deny", "0"}: true, {"schema_objects", "sitedrift_deny", "0"}: true,
			{"heads", "sitedrift_views_acme", "tenant_id = 'acme'"}: true,
		}
	}
	there := map[string]bool{"sitedrift_tenant_acme.changes": true}
	lack := "readers of acme lack 1 views and row policies: run what `sitedrift schema readers --tenant acme` prints"
	for name, c := range map[string]struct {
		change func(map[policy]bool)
		there  map[string]bool
		want   []string
	}{
		"whole":              {func(map[policy]bool) {}, there, nil},
		"no deny":            {func(p map[policy]bool) { delete(p, policy{"schema_objects", "sitedrift_deny", "0"}) }, there, []string{lack}},
		"no tenant's policy": {func(p map[policy]bool) { delete(p, policy{"heads", "sitedrift_views_acme", "tenant_id = 'acme'"}) }, there, []string{lack}},
		"no view":            {func(map[policy]bool) {}, nil, []string{lack}},
		"a wider policy": {func(p map[policy]bool) {
			delete(p, policy{"heads", "sitedrift_views_acme", "tenant_id = 'acme'"})
			p[policy{"heads", "sitedrift_views_acme", "1"}] = true
		}, there, []string{lack, "the row policy sitedrift_views_acme on heads (USING 1) is none of ours: see whether it shows a reader more than it should"}},
	} {
		have := whole()
		c.change(have)
		if diff := cmp.Diff(c.want, readerGaps(declared, []string{"changes"}, []string{"acme"}, c.there, have)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestNoReadersNoGaps: without readers there is nothing to look for.
func TestNoReadersNoGaps(t *testing.T) {
	if gaps, err := open(t, nil).ReaderGaps(t.Context()); err != nil || len(gaps) > 0 {
		t.Errorf("%v, %v", gaps, err)
	}
}
