package confluence_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

func withScopes(scopes ...string) func(*confluence.Settings) {
	return func(s *confluence.Settings) { s.Scopes = append([]string{}, scopes...) }
}

// TestScopes: with each set of granted scopes, the reader's idea of what it may
// read is the site's idea, and no call is made in vain.
func TestScopes(t *testing.T) {
	for _, c := range []struct {
		name     string
		scopes   []string
		readable []string // datasets and sections
	}{
		{"none", []string{"offline_access"}, nil},
		{"spaces", []string{"read:space:confluence"}, []string{"spaces", "space_permissions"}},
		{"configuration", []string{"read:configuration:confluence"}, []string{"system_info", "space_role_mode"}},
		{"classic configuration", []string{"manage:confluence-configuration"}, []string{"system_info"}},
		{"audit", []string{"read:audit-log:confluence"}, []string{"audit_retention"}},
		{"classic groups", []string{"read:confluence-groups"}, []string{"groups", "group_members"}},
		{"granular groups", []string{"read:group:confluence"}, []string{"groups"}},
		{"granular groups and users", []string{"read:group:confluence", "read:user:confluence"}, []string{"groups", "group_members", "users", "external_collaborators"}},
		{"classic groups and users", []string{"read:confluence-groups", "read:user:confluence"}, []string{"groups", "group_members", "users", "external_collaborators"}},
		{"users", []string{"read:user:confluence"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Spaces: 3, Groups: 4, Users: 9})
			s.grant(c.scopes)
			src := s.source(withScopes(c.scopes...))
			var readable []string
			for _, table := range datasets.All() {
				name := table.Name
				ps := partitions(src, table)
				if table.Parent != "" && len(ps) == 0 {
					ps = []string{"1"}
				}
				for _, p := range ps {
					if len(table.Sections) > 0 {
						name = p
					}
					before := src.Stats().Calls
					r := read(t, src, table, p)
					if r.err == nil {
						readable = append(readable, name)
						continue
					}
					var e *collector.ReadError
					if !errors.As(r.err, &e) || e.State != schemas.CoverageForbidden {
						t.Errorf("%s: %v", name, r.err)
						continue
					}
					if !strings.Contains(e.Unlock, "grant scope ") || !strings.Contains(e.Unlock, "sitedrift connect --tenant acme") {
						t.Errorf("%s: the advice is %q", name, e.Unlock)
					}
					if src.Stats().Calls != before {
						t.Errorf("%s: asked although the scope is missing", name)
					}
				}
			}
			if diff := cmp.Diff(c.readable, slices.Compact(readable)); diff != "" {
				t.Errorf("readable (-want +got):\n%s", diff)
			}
			for _, r := range s.sim.Requests() {
				if r.Status != http.StatusOK {
					t.Errorf("%s answered %d", r.Endpoint, r.Status)
				}
			}
		})
	}
}

func TestFingerprint(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	table := datasets.Groups.Dataset
	base := s.source().Fingerprint(table)
	if again := s.source(func(c *confluence.Settings) { slices.Reverse(c.Scopes) }).Fingerprint(table); again != base {
		t.Error("the order of the scopes counts")
	}
	if more := s.source(func(c *confluence.Settings) { c.Scopes = append(c.Scopes, "read:page:confluence") }).Fingerprint(table); more != base {
		t.Error("a scope that the dataset does not declare counts")
	}
	seen := map[string]string{base: "as it is"}
	for name, change := range map[string]func(*confluence.Settings){
		"another principal": func(c *confluence.Settings) { c.Principal += "x" },
		"another site":      func(c *confluence.Settings) { c.CloudID += "x" },
		"another way in":    func(c *confluence.Settings) { c.Kind = "service_account" },
		"fewer scopes":      withScopes("read:group:confluence"),
		"no scope":          withScopes("offline_access"),
	} {
		f := s.source(change).Fingerprint(table)
		if other, double := seen[f]; double && name != "another way in" {
			t.Errorf("%s has the fingerprint of %s", name, other)
		}
		seen[f] = name
	}
	if s.source().Fingerprint(datasets.Spaces.Dataset) == base {
		t.Error("datasets with different scopes share a fingerprint")
	}
}

// TestWitness: the parent answers by id, or it does not.
func TestWitness(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 3, Users: 30, Groups: 6})
	src := s.source()
	truth := s.sim.Truth()
	space, group := truth.Spaces[0].ID, wideGroup(s)
	for _, table := range datasets.All() {
		p := map[string]string{datasets.SpacePermissions.Name: space, datasets.GroupMembers.Name: group}[table.Name]
		if err := src.Witness(t.Context(), table, p); err != nil {
			t.Errorf("%s: %v", table.Name, err)
		}
	}
	wantState := func(what string, err error, want schemas.CoverageState) {
		t.Helper()
		if got := (reading{err: err}).state(); got != want {
			t.Errorf("%s: %s (%v), want %s", what, got, err, want)
		}
	}
	s.sim.HideSpace(space)
	wantState("hidden space", src.Witness(t.Context(), datasets.SpacePermissions.Dataset, space), schemas.CoverageGone)
	s.sim.RemoveGroup(group)
	wantState("deleted group", src.Witness(t.Context(), datasets.GroupMembers.Dataset, group), schemas.CoverageGone)
	if r := read(t, src, datasets.GroupMembers.Dataset, group); r.err != nil || len(r.rows) != 0 {
		t.Errorf("the trap that the witness is for is gone: %d rows, %v", len(r.rows), r.err)
	}
	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Times: -1})
	wantState("site that is down", src.Witness(t.Context(), datasets.Spaces.Dataset, ""), schemas.CoverageFailed)
	s.sim.ClearFaults()

	other := s.source(func(c *confluence.Settings) { c.CloudID = "00000000-0000-4000-8000-000000000000" })
	wantState("another site", other.Witness(t.Context(), datasets.Spaces.Dataset, ""), schemas.CoverageFailed)
	s.grant([]string{"read:space:confluence"})
	wantState("nothing to ask", s.source(withScopes("read:space:confluence")).Witness(t.Context(), datasets.Spaces.Dataset, ""), schemas.CoverageFailed)
	people := []string{"read:confluence-groups", "read:user:confluence"}
	s.grant(people)
	if err := s.source(withScopes(people...)).Witness(t.Context(), datasets.Groups.Dataset, ""); err != nil {
		t.Errorf("the account that granted should have been asked about: %v", err)
	}
}

// TestAnotherSite: an answer about another cloud id is not stored (Invariant 7).
func TestAnotherSite(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	src := s.source(func(c *confluence.Settings) { c.CloudID = "00000000-0000-4000-8000-000000000000" })
	got := read(t, src, datasets.SecurityConfiguration.Dataset, datasets.SectionSystemInfo)
	if got.state() != schemas.CoverageFailed || len(got.rows) > 0 || !strings.Contains(got.err.Error(), "another site") {
		t.Errorf("%d rows, %v", len(got.rows), got.err)
	}
}

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

// TestMovingListing: groups that go while they are listed are noticed by the
// site's count, and read again.
func TestMovingListing(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Groups: 420})
	// The first group goes after the first page: all that follow move up by one.
	first := s.sim.Truth().Groups[0].ID
	var once sync.Once
	wire := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/rest/api/group") && r.URL.Query().Get("start") == "200" {
			once.Do(func() { s.sim.RemoveGroup(first) })
		}
		return wire.RoundTrip(r)
	})
	src := s.source()
	got := read(t, src, datasets.Groups.Dataset, "")
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, g := range s.sim.Truth().Groups {
		if !slices.ContainsFunc(got.rows, func(r row) bool { return r["group_id"] == js(g.ID) }) {
			t.Errorf("group %s slipped through", g.Name)
		}
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestYieldEnds: an error of the receiver ends the reading and comes back as it is.
func TestYieldEnds(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 520, PermissionsPerSpace: 1})
	full := errors.New("disk full")
	src := s.source()
	err := src.Read(t.Context(), datasets.Spaces.Dataset, "", func(collector.Page) error { return full })
	if err != full {
		t.Errorf("%v", err)
	}
	if n := src.Stats().Calls; n != 1 {
		t.Errorf("%d calls after the receiver gave up", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = src.Read(ctx, datasets.Spaces.Dataset, "", func(collector.Page) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestConcurrentPartitions reads the partitions of a dataset side by side.
func TestConcurrentPartitions(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 30, Groups: 40, Users: 80})
	truth := truthOf(s.sim)
	src := s.source()
	for _, parent := range []*schemas.Dataset{datasets.Spaces.Dataset, datasets.Groups.Dataset} {
		read(t, src, parent, "")
	}
	for _, table := range []*schemas.Dataset{datasets.SpacePermissions.Dataset, datasets.GroupMembers.Dataset} {
		var all sync.WaitGroup
		problems := make(chan string, len(src.Partitions(table)))
		for _, p := range src.Partitions(table) {
			all.Go(func() {
				if got := read(t, src, table, p); got.err != nil || len(got.rows) != len(truth[table.Name][p]) {
					problems <- fmt.Sprintf("%s %s: %d rows, %v", table.Name, p, len(got.rows), got.err)
				}
			})
		}
		all.Wait()
		close(problems)
		for p := range problems {
			t.Error(p)
		}
	}
	if got := read(t, src, datasets.Users.Dataset, ""); got.err != nil || len(got.rows) != len(truth[datasets.Users.Name][""]) {
		t.Errorf("users: %d rows, %v", len(got.rows), got.err)
	}
}

// TestCheck: one small call for each thing, and what is in the way of the others.
func TestCheck(t *testing.T) {
	states := func(list []confluence.Finding) map[string]schemas.CoverageState {
		m := map[string]schemas.CoverageState{}
		for _, f := range list {
			m[strings.TrimSuffix(f.Dataset+"."+f.Section, ".")] = f.State
			if f.Evidence == "" {
				t.Errorf("%s %s: no evidence", f.Dataset, f.Section)
			}
		}
		return m
	}
	const ok, forbidden, never = schemas.CoverageComplete, schemas.CoverageForbidden, schemas.CoverageNeverRun
	s := newSite(t, confluencetest.SiteSettings{})
	src := s.source()
	want := map[string]schemas.CoverageState{
		"spaces": ok, "space_permissions": ok, "security_configuration.system_info": ok, "security_configuration.audit_retention": ok,
		"security_configuration.space_role_mode": ok, "groups": ok, "group_members": ok, "users": ok, "external_collaborators": ok,
	}
	if diff := cmp.Diff(want, states(src.Check(t.Context()))); diff != "" {
		t.Errorf("all scopes (-want +got):\n%s", diff)
	}
	if n := src.Stats().Calls; n != 8 {
		t.Errorf("%d calls", n)
	}
	s.sim.DenyAudit(true)
	want["security_configuration.audit_retention"] = forbidden
	list := s.source().Check(t.Context())
	if diff := cmp.Diff(want, states(list)); diff != "" {
		t.Errorf("no administrator (-want +got):\n%s", diff)
	}
	for _, f := range list {
		if f.Section == datasets.SectionAuditRetention && !strings.Contains(f.Unlock, "Confluence Administrator") {
			t.Errorf("the advice is %q", f.Unlock)
		}
	}
	s.grant([]string{"read:confluence-groups"})
	for name := range want {
		want[name] = forbidden
	}
	want["groups"], want["group_members"] = ok, ok
	if diff := cmp.Diff(want, states(s.source(withScopes("read:confluence-groups")).Check(t.Context()))); diff != "" {
		t.Errorf("groups only (-want +got):\n%s", diff)
	}
	s.grant(confluencetest.AllScopes())
	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultEmptyPage, Endpoint: "GET /wiki/api/v2/spaces", Times: -1})
	if got := states(s.source().Check(t.Context())); got["spaces"] != ok || got["space_permissions"] != never {
		t.Errorf("no space to ask about: %v", got)
	}
}
