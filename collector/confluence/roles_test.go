package confluence_test

import (
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestRoleModes: a site that moves from permissions to roles shows other rows in
// every space, so that these begin an epoch; as long as nobody knows the mode, they
// are not compared; and on a site without roles nobody asks for assignments.
func TestRoleModes(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 4})
	depending := []*schemas.Dataset{datasets.SpacePermissions.Dataset, datasets.SpaceRoleAssignments.Dataset}
	run := func(mode string) (fingerprints []string, roles reading, reach []error) {
		if mode != "" {
			s.sim.ChangeSettings(func(c *confluencetest.SiteConfiguration) { c.RoleMode = mode })
		}
		src := s.source()
		read(t, src, datasets.Spaces.Dataset, "")
		roles = read(t, src, datasets.SpaceRoles.Dataset, "")
		for _, table := range depending {
			fingerprints = append(fingerprints, src.Fingerprint(table))
			reach = append(reach, src.Reach(table))
		}
		return fingerprints, roles, reach
	}
	seen := map[string]string{}
	for _, mode := range []string{"PRE_ROLES", "ROLES_TRANSITION", "ROLES"} {
		prints, roles, reach := run(mode)
		again, _, _ := run("")
		for i, table := range depending {
			if prints[i] != again[i] {
				t.Errorf("%s: the fingerprint of %s changes by itself", mode, table.Name)
			}
			if other, double := seen[prints[i]]; double {
				t.Errorf("%s of %s has the fingerprint of %s", mode, table.Name, other)
			}
			seen[prints[i]] = mode + " of " + table.Name
		}
		want := schemas.CoverageComplete
		if mode == "PRE_ROLES" {
			want = schemas.CoverageNotExposed
		}
		if roles.state() != want || (reading{err: reach[1]}).state() != want {
			t.Errorf("%s: roles %v, assignments %v; want %s", mode, roles.err, reach[1], want)
		}
		if reach[0] != nil {
			t.Errorf("%s: permissions %v", mode, reach[0])
		}
	}
	for status, want := range map[int]schemas.CoverageState{500: schemas.CoverageFailed, 404: schemas.CoverageComplete, 403: schemas.CoverageComplete} {
		s.sim.ClearFaults()
		s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: status, Endpoint: "space-role-mode", Times: -1})
		_, _, reach := run("")
		if got := (reading{err: reach[0]}).state(); got != want {
			t.Errorf("the mode answers %d: permissions %v, want %s", status, reach[0], want)
		}
		if (reading{err: reach[1]}).state() == schemas.CoverageComplete {
			t.Errorf("the mode answers %d: assignments are read", status)
		}
	}
	s.sim.ClearFaults()
	for _, r := range s.sim.Requests() {
		if strings.HasSuffix(r.Endpoint, "/role-assignments") {
			t.Errorf("%s was asked", r.Endpoint)
		}
	}
}
