package clickhouse

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// wholeAccess is what a server says after the statements for two tenants, with
// one reader of acme. It is made of the statements, so that a right which they give
// and the check does not know is found.
func wholeAccess(t *testing.T) accessRights {
	t.Helper()
	a := accessRights{map[holder][]right{}, map[holder][]string{{"alice", false}: {"sitedrift_reader_acme"}}}
	for _, tenant := range []string{"acme", "beta"} {
		statements, err := ReaderGrants(confluence.All(), "", tenant)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range statements {
			rest, ok := strings.CutPrefix(strings.ReplaceAll(s, "`", ""), "GRANT SELECT ON ")
			if !ok {
				continue
			}
			on, to, _ := strings.Cut(rest, " TO ")
			database, table, _ := strings.Cut(on, ".")
			h := holder{to, strings.HasPrefix(to, rolePrefix)}
			a.rights[h] = append(a.rights[h], right{access: "SELECT", database: database, table: strings.TrimSuffix(table, "*")})
		}
	}
	return a
}

// TestAccessGaps: of a reader's rights on a server, each that is more than its own
// views is told, whichever way it came (Invariant 7).
func TestAccessGaps(t *testing.T) {
	alice, role, owner := holder{"alice", false}, holder{"sitedrift_reader_acme", true}, holder{"sitedrift_views_acme", false}
	more := func(h holder, r right) func(accessRights) {
		return func(a accessRights) { a.rights[h] = append(a.rights[h], r) }
	}
	const beyond = ", which reaches rows of others: revoke that, or the reader's role"
	for name, c := range map[string]struct {
		change func(accessRights)
		want   string // empty: no gap
	}{
		"whole":                          {func(accessRights) {}, ""},
		"a table":                        {more(alice, right{access: "SELECT", database: "sitedrift", table: "changes_log"}), "the user alice, a reader of acme, has SELECT on sitedrift.changes_log" + beyond},
		"a column of a table":            {more(alice, right{access: "SELECT", database: "sitedrift", table: "heads", column: "rows"}), "the user alice, a reader of acme, has SELECT(rows) on sitedrift.heads" + beyond},
		"everything":                     {more(alice, right{access: "ALL"}), "the user alice, a reader of acme, has ALL on *.*" + beyond},
		"the beginning of the name":      {more(alice, right{access: "SELECT", database: "site", beginning: true}), "the user alice, a reader of acme, has SELECT on site*.*" + beyond},
		"views of tenants alike":         {more(alice, right{access: "SELECT", database: "sitedrift_tenant_acme", beginning: true}), "the user alice, a reader of acme, has SELECT on sitedrift_tenant_acme*.*" + beyond},
		"views of another tenant":        {more(alice, right{access: "SELECT", database: "sitedrift_tenant_beta"}), "the user alice, a reader of acme, has SELECT on sitedrift_tenant_beta.*" + beyond},
		"its own views, once more":       {more(alice, right{access: "SELECT", database: "sitedrift_tenant_acme"}), ""},
		"somebody's other database":      {more(alice, right{access: "INSERT", database: "scratch"}), ""},
		"a beginning of others":          {more(alice, right{access: "SELECT", database: "scratch", beginning: true}), ""},
		"tables whose names begin alike": {more(alice, right{access: "SELECT", database: "site", table: "x", beginning: true}), ""},
		"names of everything":            {more(alice, right{access: "SHOW TABLES"}), ""},
		"nobody's reader":                {more(holder{"bob", false}, right{access: "ALL"}), ""},
		"by a role of a role": {func(a accessRights) {
			a.roles[alice] = append(a.roles[alice], "staff")
			a.roles[holder{"staff", true}] = []string{"sitedrift_analyst", "staff"}
			a.rights[holder{"sitedrift_analyst", true}] = []right{{access: "SELECT", database: "sitedrift"}}
		}, "the user alice, a reader of acme, has SELECT on sitedrift.* by the role sitedrift_analyst" + beyond},
		"the tenant's role has more":   {more(role, right{access: "SELECT", database: "scratch"}), "readers of acme: the role sitedrift_reader_acme has SELECT on scratch.*, which is none of ours: revoke it"},
		"the tenant's role is wider":   {more(role, right{access: "SELECT", database: "sitedrift_tenant_acme", beginning: true}), "readers of acme: the role sitedrift_reader_acme has SELECT on sitedrift_tenant_acme*.*, which is none of ours: revoke it"},
		"the tenant's role has a role": {func(a accessRights) { a.roles[role] = []string{"staff"} }, "readers of acme: the role sitedrift_reader_acme has the role staff, which is none of ours: revoke it"},
		"the views' user has more":     {more(owner, right{access: "SELECT", database: "sitedrift", table: "installation"}), "readers of acme: the user sitedrift_views_acme has SELECT on sitedrift.installation, which is none of ours: revoke it"},
		"the views' user has less":     {func(a accessRights) { a.rights[owner] = a.rights[owner][2:] }, "readers of acme: the user sitedrift_views_acme lacks 2 rights: run what `sitedrift schema readers --tenant acme` prints"},
		"a reader's right was taken":   {func(a accessRights) { delete(a.rights, role) }, "readers of acme: the role sitedrift_reader_acme lacks 1 rights: run what `sitedrift schema readers --tenant acme` prints"},
	} {
		a := wholeAccess(t)
		c.change(a)
		var want []string
		if c.want != "" {
			want = []string{c.want}
		}
		if diff := cmp.Diff(want, accessGaps(tables(confluence.All()), Views(confluence.All()), []string{"acme", "beta"}, a)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestAccessIsRead: rights are read from tables that have the columns of the
// engine's own. It has no users, and keeps its own rights to itself.
func TestAccessIsRead(t *testing.T) {
	w := open(t, nil)
	if _, err := w.readAccess(t.Context(), "system.grants", "system.role_grants"); err == nil || !strings.Contains(err.Error(), "GRANT SHOW USERS, SHOW ROLES ON *.*") {
		t.Errorf("rights that cannot be seen: %v", err)
	}
	exec(t, w, "CREATE TABLE sitedrift.a_grants AS system.grants ENGINE = Memory")
	exec(t, w, "CREATE TABLE sitedrift.a_roles AS system.role_grants ENGINE = Memory")
	exec(t, w, "INSERT INTO sitedrift.a_grants (user_name, role_name, access_type, database, table, column, is_partial_revoke, is_wildcard) VALUES "+
		"('alice', NULL, 'SELECT', 'sitedrift', 'changes_log', NULL, 0, 0), ('alice', NULL, 'SELECT', 'site', NULL, NULL, 0, 1), ('alice', NULL, 'INSERT', 'sitedrift', NULL, NULL, 1, 0), (NULL, 'alice', 'SELECT', NULL, NULL, NULL, 0, 0)")
	exec(t, w, "INSERT INTO sitedrift.a_roles (user_name, role_name, granted_role_name) VALUES ('alice', NULL, 'staff'), (NULL, 'staff', 'sitedrift_reader_acme')")
	got, err := w.readAccess(t.Context(), "sitedrift.a_grants", "sitedrift.a_roles")
	want := accessRights{
		map[holder][]right{
			{"alice", false}: {{access: "SELECT", database: "sitedrift", table: "changes_log"}, {access: "SELECT", database: "site", beginning: true}},
			{"alice", true}:  {{access: "SELECT"}},
		},
		map[holder][]string{{"alice", false}: {"staff"}, {"staff", true}: {"sitedrift_reader_acme"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(accessRights{}, holder{}, right{})); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}
