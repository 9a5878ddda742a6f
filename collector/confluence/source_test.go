package confluence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	return func(s *confluence.Settings) { s.Ways[0].Scopes = append([]string{}, scopes...) }
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
		{"spaces", []string{"read:space:confluence"}, []string{"spaces", "space_permissions", "data_policies"}},
		{"configuration", []string{"read:configuration:confluence"}, []string{"system_info", "space_role_mode", "classification_levels"}},
		{"permissions", []string{"read:space.permission:confluence"}, []string{"space_role_assignments"}},
		{
			"permissions and configuration",
			[]string{"read:space.permission:confluence", "read:configuration:confluence"},
			[]string{"space_roles", "space_role_assignments", "system_info", "space_role_mode", "classification_levels"},
		},
		{"classic configuration", []string{"manage:confluence-configuration"}, []string{"system_info"}},
		{"audit", []string{"read:audit-log:confluence"}, []string{"audit_retention", "audit_events"}},
		{"classic groups", []string{"read:confluence-groups"}, []string{"groups", "group_members"}},
		{"granular groups", []string{"read:group:confluence"}, []string{"groups"}},
		{"granular groups and users", []string{"read:group:confluence", "read:user:confluence"}, []string{"groups", "group_members", "users", "external_collaborators"}},
		{"classic groups and users", []string{"read:confluence-groups", "read:user:confluence"}, []string{"groups", "group_members", "users", "external_collaborators"}},
		{"users", []string{"read:user:confluence"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Spaces: 3, Groups: 4, Users: 9, RoleMode: "ROLES"})
			truth := s.sim.Truth()
			some := map[string]string{"spaces": truth.Spaces[0].ID, "groups": truth.Groups[0].ID, "public_link_spaces": truth.Spaces[0].ID}
			src := s.source(with(s.way(schemas.Credential3LO, c.scopes)))
			var readable []string
			for _, table := range datasets.All() {
				if table.Append {
					src.Resume(table, "")
				}
				ps := partitions(src, table)
				if table.Parent != "" && len(ps) == 0 {
					ps = []string{some[table.Parent]}
				}
				for _, p := range ps {
					name, section := table.Name, ""
					if len(table.Sections) > 0 {
						name, section = p, p
					}
					want, advice := schemas.CoverageForbidden, "grant scope "
					if !opens(table, section, schemas.Credential3LO) {
						want, advice = schemas.CoverageNotExposed, "add a credential of the kind "
					}
					before := src.Stats().Calls
					r := read(t, src, table, p)
					if r.err == nil {
						readable = append(readable, name)
						continue
					}
					var e *collector.ReadError
					if !errors.As(r.err, &e) || e.State != want {
						t.Errorf("%s: %v", name, r.err)
						continue
					}
					if !strings.Contains(e.Unlock, advice) || !strings.Contains(e.Unlock, "sitedrift connect --tenant acme") {
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

// opens tells whether the declaration has a source of that kind that is not closed.
func opens(table *schemas.Dataset, section, credential string) bool {
	return slices.ContainsFunc(table.Sources, func(a schemas.Access) bool {
		return a.Credential == credential && a.Section == section && !a.Closed
	})
}

func TestFingerprint(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	table := datasets.Groups.Dataset
	base := s.source().Fingerprint(table)
	if again := s.source(func(c *confluence.Settings) { slices.Reverse(c.Ways[0].Scopes) }).Fingerprint(table); again != base {
		t.Error("the order of the scopes counts")
	}
	if more := s.source(func(c *confluence.Settings) { c.Ways[0].Scopes = append(c.Ways[0].Scopes, "read:page:confluence") }).Fingerprint(table); more != base {
		t.Error("a scope that the dataset does not declare counts")
	}
	seen := map[string]string{base: "as it is"}
	for name, change := range map[string]func(*confluence.Settings){
		"another principal": func(c *confluence.Settings) { c.Ways[0].Principal += "x" },
		"another site":      func(c *confluence.Settings) { c.Site += "x" },
		"another way in":    func(c *confluence.Settings) { c.Ways[0].Kind = schemas.CredentialServiceAccount },
		"fewer scopes":      withScopes("read:group:confluence"),
		"no scope":          withScopes("offline_access"),
	} {
		f := s.source(change).Fingerprint(table)
		if other, double := seen[f]; double {
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
		p := map[string]string{datasets.SpacePermissions.Name: space, datasets.SpaceRoleAssignments.Name: space, datasets.GroupMembers.Name: group}[table.Name]
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

	other := s.source(func(c *confluence.Settings) { c.Site = "00000000-0000-4000-8000-000000000000" })
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
	src := s.source(func(c *confluence.Settings) { c.Site = "00000000-0000-4000-8000-000000000000" })
	got := read(t, src, datasets.SecurityConfiguration.Dataset, datasets.SectionSystemInfo)
	if got.state() != schemas.CoverageFailed || len(got.rows) > 0 || !strings.Contains(got.err.Error(), "another site") {
		t.Errorf("%d rows, %v", len(got.rows), got.err)
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

// TestArchivedSpaces: also on a site whose plain listing leaves out archived
// spaces, which the documentation does not rule out, they are read.
func TestArchivedSpaces(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 14})
	wire := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		resp, err := wire.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, "/spaces") || r.URL.Query().Has("status") {
			return resp, err
		}
		var page map[string]any
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&page), resp.Body.Close()); err != nil {
			return nil, err
		}
		page["results"] = slices.DeleteFunc(page["results"].([]any), func(space any) bool { return space.(map[string]any)["status"] == "archived" })
		body, err := json.Marshal(page)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return resp, err
	})
	got := read(t, s.source(), datasets.Spaces.Dataset, "")
	want := truthOf(s)[datasets.Spaces.Name][""]
	if diff := cmp.Diff(sorted(datasets.Spaces.Dataset, want), sorted(datasets.Spaces.Dataset, got.rows)); diff != "" || got.err != nil {
		t.Errorf("%v (-want +got):\n%s", got.err, diff)
	}
	if !slices.ContainsFunc(want, func(r row) bool { return r["status"] == js("archived") }) {
		t.Error("the simulated site has no archived space")
	}
}

// TestYieldEnds: an error of the receiver ends the reading and comes back as it is.
func TestYieldEnds(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 520, PermissionsPerSpace: 1})
	full := errors.New("disk full")
	src := s.source()
	err := src.Read(t.Context(), datasets.Spaces.Dataset, "", func(collector.Page) error { return full })
	if !errors.Is(err, full) {
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
	truth := truthOf(s)
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
