package confluence_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

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
	const ok, forbidden, never, shut = schemas.CoverageComplete, schemas.CoverageForbidden, schemas.CoverageNeverRun, schemas.CoverageNotExposed
	s := newSite(t, confluencetest.SiteSettings{})
	src := s.source()
	want := map[string]schemas.CoverageState{
		"spaces": ok, "space_permissions": ok, "security_configuration.system_info": ok, "security_configuration.audit_retention": ok,
		"security_configuration.space_role_mode": ok, "groups": ok, "group_members": ok, "users": ok, "external_collaborators": ok,
		"data_policies": ok, "classification_levels": ok, "audit_events": ok, "user_activity": ok,
		// The site's spaces have no roles.
		"space_roles": shut, "space_role_assignments": shut,
		// Other credentials open these.
		"site_permissions": shut, "security_configuration.site_configuration": shut, "security_configuration.public_links": shut,
		"security_configuration.admin_key": shut, "security_configuration.organization": shut, "public_link_spaces": shut, "public_links": shut,
		"installed_apps.connect": shut, "installed_apps.forge": shut, "subscriptions": shut,
	}
	if diff := cmp.Diff(want, states(src.Check(t.Context()))); diff != "" {
		t.Errorf("all scopes (-want +got):\n%s", diff)
	}
	if n := src.Stats().Calls; n != 12 {
		t.Errorf("%d calls", n)
	}
	s.sim.DenyAudit(true)
	want["security_configuration.audit_retention"], want["audit_events"], want["user_activity"] = forbidden, forbidden, forbidden
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
	for name, state := range want {
		if state == ok {
			want[name] = forbidden
		}
	}
	want["space_roles"], want["space_role_assignments"] = forbidden, forbidden // nobody knows
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

// TestCheckOfAllCredentials: each credential is asked for all that it could open,
// little by little, and what a run would read by is marked.
func TestCheckOfAllCredentials(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "many", Spaces: 9, RoleMode: "ROLES", AuditEvents: 5})
	src := s.source(with(allWays(s)...))
	found := map[string]confluence.Finding{}
	for _, f := range src.Check(t.Context()) {
		found[f.Credential+"/"+f.Dataset+"."+f.Section] = f
	}
	open := 0
	for _, c := range cells() {
		name := c.Credential + "/" + c.table.Name + "." + c.Section
		f, there := found[name]
		if c.Closed {
			if there && f.API == c.API {
				t.Errorf("%s: asked by %s, which is closed", name, f.API)
			}
			continue
		}
		if a := (part{c.table, c.Section}).first(false, func(kind string) bool { return kind == c.Credential }); a.API != c.API {
			continue // the credential opens a better source
		}
		open++
		if !there || f.State != schemas.CoverageComplete || f.API != c.API {
			t.Errorf("%s: asked: %v; %s by %q: %s", name, there, f.State, f.API, f.Evidence)
		}
		first := part{c.table, c.Section}.first(false, func(string) bool { return true })
		if want := first.Credential == c.Credential; f.Taken != want {
			t.Errorf("%s: taken: %v, want %v", name, f.Taken, want)
		}
	}
	if len(found) != open {
		t.Errorf("%d findings for %d open sources", len(found), open)
	}
	if calls := src.Stats().Calls; calls > int64(open)+15 { // some take two or three
		t.Errorf("%d calls for %d sources", calls, open)
	}
	if n := len(s.srv.Trapped()); n > 0 {
		t.Errorf("%d requests left the pinned hosts", n)
	}
}

// TestProbe: what the vendor keeps closed is asked for, and read as soon as it is
// open; what cannot be asked now is asked another time.
func TestProbe(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "probed", Guests: 5})
	way := s.way(schemas.Credential3LO, append(confluencetest.AllScopes(), "confluence:atlassian-external"))
	all := func(string, string, string) bool { return true }
	probe := func(due func(dataset, section, credential string) bool) (*confluence.Source, map[string]bool) {
		src := s.source(with(way))
		open := map[string]bool{}
		for _, e := range src.Probe(t.Context(), due) {
			if e.Tenant != "acme" || e.Credential != schemas.Credential3LO || e.Evidence == "" || !e.ProbedAt.Equal(s.clock.Now()) {
				t.Errorf("%+v", e)
			}
			open[strings.TrimSuffix(e.Dataset+"."+e.Section, ".")] = e.Open
		}
		return src, open
	}
	want := map[string]bool{}
	var fields []string
	for _, c := range cells() {
		if c.Closed && c.table.Parent == "" { // a parent speaks for its parts
			want[strings.TrimSuffix(c.table.Name+"."+c.Section, ".")] = false
			fields = append(fields, c.Calls...)
		}
	}
	_, got := probe(all)
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		t.Errorf("all closed (-want +got):\n%s", diff)
	}
	if n := s.sim.APICalls(); n != int64(len(want)) {
		t.Errorf("%d calls for %d sources", n, len(want))
	}
	if _, got = probe(func(string, string, string) bool { return false }); len(got) != 0 || s.sim.APICalls() != int64(len(want)) {
		t.Errorf("asked before it was due: %v", got)
	}

	// An answer with nothing in it does not prove that anything is shown.
	s.sim.OpenToOAuth("sitePermissions", "confluence:atlassian-external")
	s.sim.OpenToOAuth("confluence_externalCollaboratorsByCriteria", "confluence:atlassian-external")
	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultEmptyPage, Endpoint: "/graphql", Times: -1})
	if _, got = probe(all); got[datasets.ExternalCollaborators.Name] {
		t.Error("an empty list was taken for an open source")
	}
	s.sim.ClearFaults()
	want[datasets.ExternalCollaborators.Name] = true
	s.sim.OpenToOAuth("publicLinkSpacesByCriteria", "confluence:atlassian-external")
	s.sim.OpenToOAuth("publicLinksByCriteria", "confluence:atlassian-external")
	want[datasets.SitePermissions.Name], want[datasets.PublicLinkSpaces.Name] = true, true
	src, got := probe(all)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("some open (-want +got):\n%s", diff)
	}
	truth := truthBy(s)[schemas.APIGraphQL]
	for _, table := range []*schemas.Dataset{datasets.SitePermissions.Dataset, datasets.PublicLinkSpaces.Dataset, datasets.PublicLinks.Dataset} {
		if err := src.Reach(table); err != nil {
			t.Error(err)
		}
		for _, p := range partitions(src, table) {
			compare(t, table, p, truth[table.Name][p], read(t, src, table, p))
		}
	}
	if err := src.Reach(datasets.InstalledApps.Dataset); err == nil {
		t.Error("what stayed closed is reached")
	}

	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Endpoint: "POST /graphql", Times: -1})
	if _, got = probe(all); len(got) != 0 {
		t.Errorf("learnt from a gateway that fails: %v", got)
	}
	if len(fields) == 0 {
		t.Error("nothing is declared closed")
	}
}
