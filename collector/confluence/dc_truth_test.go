package confluence_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

func centers() map[string]confluencetest.DataCenterSettings {
	return map[string]confluencetest.DataCenterSettings{
		"as it comes":         {Name: "intra", Groups: 22, HiddenSpaces: 2},
		"no context path":     {Name: "root", ContextPath: "-", Groups: 20},
		"deep context path":   {Name: "deep", ContextPath: "tools/wiki", Groups: 8, GroupCycle: true},
		"flattened members":   {Name: "flat", EffectiveMembers: true, GroupCycle: true},
		"pages cut short":     {Name: "short", Spaces: 60, Groups: 25, Users: 70, MaxLimit: 7},
		"several pages":       {Name: "wide", Spaces: 230, PermissionsPerSpace: 5, Groups: 420, Users: 450, MembersPerGroup: 5, Addons: 20},
		"without much of all": {Name: "tiny", Spaces: 1, Users: 4, Groups: 6},
	}
}

// TestDataCenterTruth reads Data Centers of several shapes, with names and keys
// that need care, and compares every column of every row.
func TestDataCenterTruth(t *testing.T) {
	t.Parallel()
	for name, settings := range centers() {
		for _, kind := range []string{schemas.CredentialDCToken, schemas.CredentialDCOAuth} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				c := newCenter(t, settings)
				want := truthOfCenter(c.dc)
				way, _ := c.way(kind, "", "ADMIN")
				got := readCenter(t, c.source(way))
				for _, table := range dataCenterTables() {
					if table.PartitionColumn != "" && !table.Append { // an audit log is asked for quiet days, too
						if diff := cmp.Diff(slices.Sorted(maps.Keys(want[table.Name])), slices.Sorted(maps.Keys(got[table.Name]))); diff != "" {
							t.Errorf("%s: partitions (-want +got):\n%s", table.Name, diff)
						}
					}
					for p, r := range got[table.Name] {
						if r.err != nil {
							t.Errorf("%s %q: %v", table.Name, p, r.err)
						}
						if diff := cmp.Diff(inOrder(want[table.Name][p]), inOrder(r.rows)); diff != "" && len(want[table.Name][p])+len(r.rows) > 0 {
							t.Errorf("%s %q (-want +got):\n%s", table.Name, p, diff)
						}
						if table != datasets.UserActivities.Dataset && len(r.unknown) > 0 {
							t.Errorf("%s %q: unknown rows: %v", table.Name, p, r.unknown)
						}
					}
				}
				if n := len(c.srv.Trapped()); n > 0 {
					t.Errorf("%d requests left the origin", n)
				}
			})
		}
	}
}

// TestDataCenterLacks: what there is not on Data Center is said to be so, without
// a call.
func TestDataCenterLacks(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	src := c.source()
	lacks := 0
	for _, table := range datasets.All() {
		if table.On(schemas.DataCenter) {
			continue
		}
		lacks++
		// One reason for all, so that it is told once.
		if got := read(t, src, table, schemas.Whole); got.state() != schemas.CoverageNotExposed || !strings.Contains(got.err.Error(), "Confluence Data Center has nothing of the kind") {
			t.Errorf("%s: %v", table.Name, got.err)
		}
	}
	if lacks == 0 || src.Stats().Calls != 0 {
		t.Errorf("%d datasets are not on Data Center, %d calls", lacks, src.Stats().Calls)
	}
}

// TestDataCenterSparseSubjects: subjects as the reference pages print them name no
// user. Their permissions are neither made up nor passed over in silence.
func TestDataCenterSparseSubjects(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{SparseSubjects: true})
	truth := truthOfCenter(c.dc)
	src := c.source()
	c.prepare(src, datasets.SpacePermissions.Dataset)
	table := datasets.SpacePermissions.Dataset
	users := 0
	for _, p := range src.Partitions(table) {
		got := read(t, src, table, p)
		want := slices.DeleteFunc(slices.Clone(truth[table.Name][p]), func(r row) bool { return r["principal_type"] == js("user") })
		sparse := len(truth[table.Name][p]) - len(want)
		users += sparse
		state := schemas.CoverageComplete
		if sparse > 0 {
			state = schemas.CoveragePartial
		}
		if got.state() != state {
			t.Errorf("%s: %v with %d users", p, got.err, sparse)
		}
		same := func(rows []row) []row { // of an app only what it is shown as is told
			return slices.DeleteFunc(inOrder(rows), func(r row) bool { return r["principal_type"] == js("app") })
		}
		if diff := cmp.Diff(same(want), same(got.rows)); diff != "" && len(want) > 0 {
			t.Errorf("%s (-want +got):\n%s", p, diff)
		}
	}
	if users == 0 {
		t.Error("the simulated site gives users no permissions")
	}
	if got := read(t, src, datasets.SitePermissions.Dataset, schemas.Whole); got.state() != schemas.CoveragePartial || !strings.Contains(got.err.Error(), "user has no key") {
		t.Errorf("site permissions: %v", got.err)
	}
}

// TestDataCenterIdentity: ids of permissions and accounts stay when names change,
// when users go, and from run to run.
func TestDataCenterIdentity(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	key := c.dc.Truth().Spaces[2].Key
	u := c.dc.AddUser(confluencetest.DCUser{Username: "leaver"})
	subject, err := c.dc.UserSubject("leaver")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.dc.AddPermission(key, confluencetest.DCPermission{Subject: subject, Operation: "administer", Target: "space"}); err != nil {
		t.Fatal(err)
	}
	rows := func() []row {
		src := c.source()
		c.prepare(src, datasets.SpacePermissions.Dataset)
		got := read(t, src, datasets.SpacePermissions.Dataset, c.dc.Truth().Spaces[2].ID)
		if got.err != nil {
			t.Fatal(got.err)
		}
		return inOrder(got.rows)
	}
	before := rows()
	if !slices.ContainsFunc(before, func(r row) bool { return r["principal_id"] == js(u.UserKey) }) {
		t.Fatal("the permission is not there")
	}
	if err := c.dc.RenameUser("leaver", "renamed"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, rows()); diff != "" {
		t.Errorf("another username (-before +after):\n%s", diff)
	}
	if err := c.dc.RemoveUser("renamed"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, rows()); diff != "" {
		t.Errorf("a deleted user (-before +after):\n%s", diff)
	}
	ids := map[string]bool{}
	src := c.source()
	c.prepare(src, datasets.SpacePermissions.Dataset)
	n := 0
	for _, p := range src.Partitions(datasets.SpacePermissions.Dataset) {
		for _, r := range read(t, src, datasets.SpacePermissions.Dataset, p).rows {
			ids[r["permission_id"]] = true
			n++
		}
	}
	if len(ids) != n {
		t.Errorf("%d permissions have %d ids", n, len(ids))
	}
}
