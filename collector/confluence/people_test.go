package confluence_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestUsersFollowMembers: users is as complete as the memberships it comes from.
func TestUsersFollowMembers(t *testing.T) {
	run := func(t *testing.T, fail func(*site, *confluence.Source)) (users, guests reading, src *confluence.Source) {
		s := newSite(t, confluencetest.SiteSettings{Users: 40, Groups: 6, Guests: 3})
		src = s.source()
		fail(s, src)
		for _, table := range []*schemas.Dataset{datasets.Groups.Dataset, datasets.GroupMembers.Dataset} {
			for _, p := range partitions(src, table) {
				read(t, src, table, p)
			}
		}
		return read(t, src, datasets.Users.Dataset, ""), read(t, src, datasets.ExternalCollaborators.Dataset, ""), src
	}
	status := func(code int, endpoint, object string) func(*site, *confluence.Source) {
		return func(s *site, _ *confluence.Source) {
			if object == "widest" {
				object = wideGroup(s)
			}
			s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: code, Endpoint: endpoint, Object: object, Times: -1})
		}
	}
	for _, c := range []struct {
		name  string
		fail  func(*site, *confluence.Source)
		state schemas.CoverageState
		rows  bool
	}{
		{"all well", func(*site, *confluence.Source) {}, schemas.CoverageComplete, true},
		{"one group fails", status(500, "membersByGroupId", "widest"), schemas.CoveragePartial, true},
		{"all groups are forbidden", status(403, "membersByGroupId", ""), schemas.CoverageForbidden, false},
		{"the listing is forbidden", status(403, "GET /wiki/rest/api/group", ""), schemas.CoverageForbidden, false},
		{"the listing fails", status(500, "GET /wiki/rest/api/group", ""), schemas.CoverageFailed, false},
		{"the lookup is forbidden", status(403, "users-bulk", ""), schemas.CoverageForbidden, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			users, guests, _ := run(t, c.fail)
			for name, r := range map[string]reading{"users": users, "guests": guests} {
				if r.state() != c.state {
					t.Errorf("%s: %s (%v), want %s", name, r.state(), r.err, c.state)
				}
				if (len(r.rows) > 0) != c.rows {
					t.Errorf("%s: %d rows", name, len(r.rows))
				}
			}
		})
	}
	t.Run("a group that a witness disowns", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{Users: 40, Groups: 6})
		src := s.source()
		read(t, src, datasets.Groups.Dataset, "")
		victim := wideGroup(s)
		s.sim.RemoveGroup(victim) // between the listing and its members
		for _, p := range src.Partitions(datasets.GroupMembers.Dataset) {
			read(t, src, datasets.GroupMembers.Dataset, p)
		}
		if err := src.Witness(t.Context(), datasets.GroupMembers.Dataset, victim); err == nil {
			t.Fatal("the witness believes in a deleted group")
		}
		if got := read(t, src, datasets.Users.Dataset, ""); got.state() != schemas.CoveragePartial {
			t.Errorf("%v", got.err)
		}
	})
	t.Run("nothing read before", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{})
		if got := read(t, s.source(), datasets.Users.Dataset, ""); got.state() != schemas.CoverageFailed {
			t.Errorf("%v", got.err)
		}
	})
}

// TestLeftOutAccount: a member that the lookup leaves out stays as it was.
func TestLeftOutAccount(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Users: 40, Groups: 6, Guests: 4})
	src := s.source()
	for _, table := range []*schemas.Dataset{datasets.Groups.Dataset, datasets.GroupMembers.Dataset} {
		for _, p := range partitions(src, table) {
			read(t, src, table, p)
		}
	}
	truth := s.sim.Truth()
	victim := truth.External[0]
	s.sim.RemoveUser(victim)
	for _, table := range []*schemas.Dataset{datasets.Users.Dataset, datasets.ExternalCollaborators.Dataset} {
		got := read(t, src, table, "")
		if got.state() != schemas.CoveragePartial || !strings.Contains(got.err.Error(), "1 items") {
			t.Errorf("%s: %v", table.Name, got.err)
		}
		if !slices.ContainsFunc(got.unknown, func(r row) bool { return r["account_id"] == js(victim) }) {
			t.Errorf("%s: the account is not among the unknown", table.Name)
		}
		if slices.ContainsFunc(got.rows, func(r row) bool { return r["account_id"] == js(victim) }) {
			t.Errorf("%s: the account is among the rows", table.Name)
		}
	}
}

// TestMembersMoveWhileRead: somebody who leaves a group while it is read moves
// others from unread pages to read ones. They must not be taken for gone.
func TestMembersMoveWhileRead(t *testing.T) {
	for _, c := range []struct {
		name  string
		moves int // how often the listing moves
		state schemas.CoverageState
	}{
		{"once", 1, schemas.CoverageComplete},
		{"again and again", 3, schemas.CoveragePartial},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Users: 700, Groups: 3})
			src := s.source()
			read(t, src, datasets.Groups.Dataset, "")
			group := wideGroup(s)
			moves := 0
			s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Endpoint: "membersByGroupId", Object: group, Page: 2, Times: -1, Match: func(*confluencetest.Request) bool {
				if moves < c.moves {
					moves++
					for _, id := range s.sim.Truth().Members[group][:3] {
						if err := s.sim.RemoveMember(group, id); err != nil {
							t.Error(err)
						}
					}
				}
				return false
			}})
			got := read(t, src, datasets.GroupMembers.Dataset, group)
			if got.state() != c.state || moves < 1 {
				t.Fatalf("%s after %d moves: %v, want %s", got.state(), moves, got.err, c.state)
			}
			if got.err != nil {
				return
			}
			for _, id := range s.sim.Truth().Members[group] {
				if !slices.ContainsFunc(got.rows, func(r row) bool { return r["account_id"] == strconv.Quote(id) }) {
					t.Errorf("member %s was overlooked", id)
				}
			}
		})
	}
}
