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
		"data_policies": ok, "classification_levels": ok, "audit_events": ok,
		// The site's spaces have no roles.
		"space_roles": shut, "space_role_assignments": shut,
		// Other credentials open these.
		"site_permissions": shut, "security_configuration.site_configuration": shut, "security_configuration.public_links": shut,
		"security_configuration.admin_key": shut, "security_configuration.organization": shut, "public_link_spaces": shut, "public_links": shut,
		"installed_apps.connect": shut, "installed_apps.forge": shut, "subscriptions": shut, "user_activity": shut,
	}
	if diff := cmp.Diff(want, states(src.Check(t.Context()))); diff != "" {
		t.Errorf("all scopes (-want +got):\n%s", diff)
	}
	if n := src.Stats().Calls; n != 11 {
		t.Errorf("%d calls", n)
	}
	s.sim.DenyAudit(true)
	want["security_configuration.audit_retention"], want["audit_events"] = forbidden, forbidden
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
