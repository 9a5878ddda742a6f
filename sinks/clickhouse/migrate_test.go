package clickhouse

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// steps renders a plan for comparison.
func steps(p *Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		first, _, _ := strings.Cut(s.Statement, "\n")
		fmt.Fprintf(&b, "%s: %s: %s\n", s.Object, s.Why, first)
	}
	for _, r := range p.Refused {
		fmt.Fprintf(&b, "refused: %s: %s (%s)\n", r.Object, r.What, r.Do)
	}
	return b.String()
}

func plan(t *testing.T, w *Warehouse) *Plan {
	t.Helper()
	p, err := w.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func migrate(t *testing.T, w *Warehouse) *Plan {
	t.Helper()
	p, err := w.Migrate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMigrateFromNothing(t *testing.T) {
	w := openBare(t, nil)
	if err := w.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "sitedrift migrate") {
		t.Errorf("Check of an empty database: %v", err)
	}
	if p := plan(t, w); len(p.Steps) < 30 {
		t.Errorf("%d steps from nothing", len(p.Steps))
	}
	if got := ask(t, w, "SELECT count() FROM system.tables WHERE database = 'sitedrift'"); got[0][0] != "0" {
		t.Errorf("Plan made %s tables", got[0][0])
	}
	migrate(t, w)
	if got := steps(plan(t, w)); got != "" {
		t.Errorf("after Migrate the plan is not empty:\n%s", got)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := steps(migrate(t, w)); got != "" {
		t.Errorf("the second Migrate took steps:\n%s", got)
	}
	if got := ask(t, w, "SELECT count() FROM system.columns WHERE database = 'sitedrift' AND comment = '' AND NOT endsWith(table, '_at')"); got[0][0] != "0" {
		t.Errorf("%s columns have no comment", got[0][0])
	}
	if got := ask(t, w, "SELECT count() FROM system.tables WHERE database = 'sitedrift' AND comment = ''"); got[0][0] != "0" {
		t.Errorf("%s tables or views have no comment", got[0][0])
	}
}

// grown is groups in a later version with two new columns.
var grown = schemas.Declare(schemas.Table[confluence.Group]{
	Name: "groups", Version: 2, Group: schemas.GroupInventory, Doc: "Groups that Confluence knows, and more.", Grain: "tenant, group",
	Columns: []schemas.Column[confluence.Group]{
		schemas.String("group_id", "Id of the group.", func(r *confluence.Group) string { return r.GroupID }).Key(),
		schemas.String("name", "Name of the group, as shown.", func(r *confluence.Group) string { return r.Name }),
		schemas.Enum("type", "Type that the site gives it; group.", func(r *confluence.Group) string { return r.Type }),
		schemas.NullString("owner", "Who owns it; null when unknown.", func(*confluence.Group) *string { return nil }).Since(2),
		schemas.Strings("labels", "Labels.", func(*confluence.Group) []string { return []string{"x"} }).Since(2),
	},
	Sources: confluence.Groups.Sources, Examples: confluence.Groups.Examples,
})

// TestMigrateAdds: what only adds happens by itself, and keeps the rows.
func TestMigrateAdds(t *testing.T) {
	old := openBare(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{confluence.Groups.Dataset} })
	migrate(t, old)
	h := head("t", confluence.Groups.Dataset, 1)
	stage(t, old, delta(h, stream(block(confluence.Groups, "", schemas.OpAdded, confluence.Group{GroupID: "g", Name: "admins"}))))
	show(t, old, h)
	w := connect(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{grown.Dataset, confluence.GroupMembers.Dataset} })
	golden(t, "plan_adds.txt", steps(plan(t, w)))
	migrate(t, w)
	if got := steps(plan(t, w)); got != "" {
		t.Errorf("after Migrate the plan is not empty:\n%s", got)
	}
	if got := ask(t, w, "SELECT name, owner, labels FROM groups"); len(got) != 1 || strings.Join(got[0], "|") != "admins|NULL|[]" {
		t.Errorf("the row of the old version reads as %v", got)
	}
	h.Seq = 2
	d := delta(h, stream(block(grown, "", schemas.OpChanged, confluence.Group{GroupID: "g", Name: "admins"})))
	d.Parts[0].Table = grown.Dataset
	stage(t, w, d)
	show(t, w, h)
	if got := ask(t, w, "SELECT name, owner, labels FROM groups"); len(got) != 1 || strings.Join(got[0], "|") != `admins|NULL|["x"]` {
		t.Errorf("the row of the new version reads as %v", got)
	}
	if got := ask(t, w, "SELECT version FROM heads FINAL"); got[0][0] != "2" {
		t.Errorf("the head says version %s", got[0][0])
	}
}

// TestOlderRelease: a release uses the schema of a newer one as it is, unless that
// one says that it must not, and does nothing that would have to reach all of it.
func TestOlderRelease(t *testing.T) {
	old := openBare(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{confluence.Groups.Dataset} })
	migrate(t, old)
	if p := plan(t, old); p.Newer != nil {
		t.Errorf("its own schema is newer: %s", p.Newer)
	}
	w := connect(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{grown.Dataset, confluence.GroupMembers.Dataset} })
	migrate(t, w)
	before := ask(t, w, "SELECT name, create_table_query FROM system.tables WHERE database = 'sitedrift' ORDER BY name")
	if p := migrate(t, old); p.Newer == nil || len(p.Steps)+len(p.Refused) > 0 {
		t.Errorf("the older release plans: %+v", p)
	}
	if err := old.Check(t.Context()); err != nil {
		t.Error(err)
	}
	h := head("t", confluence.Groups.Dataset, 1)
	stage(t, old, delta(h, stream(block(confluence.Groups, "", schemas.OpAdded, confluence.Group{GroupID: "g", Name: "admins"}))))
	show(t, old, h)
	if got := ask(t, w, "SELECT name, owner, labels FROM groups"); len(got) != 1 || strings.Join(got[0], "|") != "admins|NULL|[]" {
		t.Errorf("the row of the older release reads as %v", got)
	}
	if diff := cmp.Diff(before, ask(t, w, "SELECT name, create_table_query FROM system.tables WHERE database = 'sitedrift' ORDER BY name")); diff != "" {
		t.Errorf("the older release changed the schema (-before +after):\n%s", diff)
	}
	for what, do := range map[string]func() error{
		"Erase":       func() error { _, err := old.Erase(t.Context(), "t"); return err },
		"ErasePerson": func() error { _, err := old.ErasePerson(t.Context(), old.datasets, "t", "g"); return err },
		"Backup":      func() error { return old.Backup(t.Context(), t.TempDir(), nil) },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), "run the newer release") {
			t.Errorf("%s by the older release: %v", what, err)
		}
	}
	if got := ask(t, w, "SELECT count() FROM groups"); got[0][0] != "1" {
		t.Errorf("%s rows are left", got[0][0])
	}

	exec(t, w, "ALTER TABLE sitedrift.groups_versions DROP COLUMN type")
	exec(t, w, "DROP VIEW sitedrift.groups")
	var refused *PlanError
	if _, err := old.Migrate(t.Context()); !errors.As(err, &refused) || len(refused.Refused) != 2 {
		t.Errorf("without a column and a view that it needs, the older release: %v", err)
	}
	exec(t, w, "INSERT INTO sitedrift.schema_versions VALUES (1000, 999, now64(3))")
	if _, err := old.Migrate(t.Context()); !errors.As(err, &refused) || len(refused.Refused) != 1 || !strings.Contains(refused.Refused[0].What, "version 999 or newer") {
		t.Errorf("where it must not, the older release: %v", err)
	}
}

// TestReplicasMigrateAtOnce: replicas that start together on a new database, or with a
// new release, bring it to the declared schema beside each other.
func TestReplicasMigrateAtOnce(t *testing.T) {
	together := func(when string, declared ...*schemas.Dataset) {
		t.Helper()
		var all sync.WaitGroup
		for range 4 {
			w := connect(t, func(s *Settings) { s.Datasets = declared })
			all.Go(func() {
				if _, err := w.Migrate(t.Context()); err != nil {
					t.Errorf("%s: %v", when, err)
				}
			})
		}
		all.Wait()
		w := connect(t, func(s *Settings) { s.Datasets = declared })
		if got := steps(plan(t, w)); got != "" {
			t.Errorf("%s the plan is not empty:\n%s", when, got)
		}
	}
	for range 5 {
		openBare(t, nil)
		together("on a new database", confluence.Groups.Dataset)
		together("with a new release", grown.Dataset, confluence.GroupMembers.Dataset)
	}
}

// TestMigrateRefuses: what could lose or change history is listed and not done.
func TestMigrateRefuses(t *testing.T) {
	w := openBare(t, func(s *Settings) {
		s.Datasets = []*schemas.Dataset{confluence.Groups.Dataset, confluence.Spaces.Dataset}
	})
	exec(t, w, w.layout.createDatabase())
	exec(t, w, "CREATE TABLE sitedrift.groups_versions (tenant_id String, group_id UInt64, extra String) ENGINE = ReplacingMergeTree PARTITION BY group_id % 10 ORDER BY (tenant_id, group_id)")
	exec(t, w, "CREATE TABLE sitedrift.groups (x UInt8) ENGINE = MergeTree ORDER BY x")
	exec(t, w, "CREATE TABLE sitedrift.spaces_versions (tenant_id String, key_hash FixedString(16), extra String) ENGINE = MergeTree PARTITION BY tenant_id ORDER BY (tenant_id, key_hash)")
	exec(t, w, "CREATE VIEW sitedrift.heads AS SELECT 1 AS x")
	before := ask(t, w, "SELECT name, create_table_query FROM system.tables WHERE database = 'sitedrift' ORDER BY name")
	_, err := w.Migrate(t.Context())
	var refused *PlanError
	if !errors.As(err, &refused) {
		t.Fatalf("Migrate: %v", err)
	}
	golden(t, "plan_refused.txt", refused.Error()+"\n")
	if after := ask(t, w, "SELECT name, create_table_query FROM system.tables WHERE database = 'sitedrift' ORDER BY name"); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("something changed:\n%v\n%v", before, after)
	}
	dropAll(t, w)
}

// TestMigrateRepairs: views and comments and settings that somebody changed come back.
func TestMigrateRepairs(t *testing.T) {
	w := openBare(t, nil)
	migrate(t, w)
	exec(t, w, "CREATE OR REPLACE VIEW sitedrift.spaces AS SELECT 1 AS x")
	exec(t, w, "DROP VIEW sitedrift.tiles SYNC")
	exec(t, w, "ALTER TABLE sitedrift.heads MODIFY COMMENT 'mine'")
	exec(t, w, "ALTER TABLE sitedrift.heads COMMENT COLUMN rows 'mine'")
	exec(t, w, "ALTER TABLE sitedrift.changes_log MODIFY SETTING fsync_after_insert = 0")
	golden(t, "plan_repairs.txt", steps(plan(t, w)))
	migrate(t, w)
	if got := steps(plan(t, w)); got != "" {
		t.Errorf("after Migrate the plan is not empty:\n%s", got)
	}
}

func TestInstallation(t *testing.T) {
	w := openBare(t, nil)
	migrate(t, w)
	other := connect(t, func(s *Settings) { s.Installation = uuid.MustParse("22222222-2222-4222-8222-222222222222") })
	var foreign *InstallationError
	if _, err := other.Migrate(t.Context()); !errors.As(err, &foreign) || foreign.Found != w.install {
		t.Errorf("another installation migrated: %v", err)
	}
	if err := other.Check(t.Context()); !errors.As(err, &foreign) || !strings.Contains(err.Error(), "its own database") {
		t.Errorf("another installation may run: %v", err)
	}
	if err := w.Check(t.Context()); err != nil {
		t.Errorf("the owner may not: %v", err)
	}
}
