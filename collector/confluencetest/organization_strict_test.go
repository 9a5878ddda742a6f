package confluencetest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestOrganizationIsStrict(t *testing.T) {
	now := newClock()
	srv, org, _, _ := twoSites(t, confluencetest.Settings{Seed: 3, Now: now.Now})
	foreign := srv.AddOrganization(confluencetest.OrganizationSettings{})
	st := newSteward(t, srv, org)
	v1, v2 := "/v1/orgs/"+org.ID(), "/v2/orgs/"+org.ID()
	search := v2 + "/directories/-/users/search"
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/orgs", "", 200},
		{"GET", "/v1/orgs?x=1", "", 400},
		{"POST", "/v1/orgs", "{}", 405},
		{"GET", "/v1/org", "", 404},
		{"GET", v1, "", 200},
		{"GET", "/v1/orgs/" + foreign.ID(), "", 404},
		{"GET", v1 + "/domains?limit=5", "", 400},
		{"GET", v1 + "/domains?cursor=x", "", 400},
		{"GET", v1 + "/policies?type=ip-allowlist", "", 200},
		{"GET", v1 + "/events?limit=501", "", 400},
		{"GET", v1 + "/events?from=2026-01-01", "", 400},
		{"GET", v1 + "/events?location=x", "", 501},
		{"GET", v2 + "/directories?limit=101", "", 400},
		{"GET", v2 + "/directories/x/users/count", "", 404},
		{"GET", v2 + "/directories/-/users/count?roleIds=atlassian/user&roleIds=atlassian/guest", "", 200},
		{"GET", v2 + "/directories/-/users/count?roleIds=user", "", 400},
		{"GET", v2 + "/directories/-/users/count?searchTerm=a&searchTerm=b", "", 400},
		{"POST", search, `{}`, 200},
		{"POST", search, ``, 415},
		{"POST", search, `{"x":1}`, 400},
		{"POST", search, `{"limit":101}`, 400},
		{"POST", search, `{"limit":"5"}`, 400},
		{"POST", search, `{"expand":["everything"]}`, 400},
		{"POST", search, `{"status":["gone"]}`, 400},
		{"POST", search, `{"resourceIds":["x"]}`, 400},
		{"POST", search, `{"searchTerm":"a","emails":["b"]}`, 400},
		{"POST", search, `{"sortBy":[{"field":"name","direction":"asc"}]}`, 400},
		{"POST", search, `{"cursor":"x"}`, 400},
		{"POST", search + "?limit=5", `{}`, 400},
		{"POST", v2 + "/directories/" + foreign.Truth().Directories[0].ID + "/users/search", `{}`, 404},
		{"POST", v2 + "/workspaces", `{}`, 200},
		{"POST", v2 + "/workspaces", `{"limit":0}`, 400},
		{"POST", v2 + "/workspaces", `{"query":{}}`, 501},
		{"POST", v2 + "/workspaces", `{"cursor":"2.x"}`, 400},
	} {
		if p := st.do(tt.method, tt.path, tt.body); p.status != tt.status {
			t.Errorf("%s %s %s: status %d, want %d: %.200s", tt.method, tt.path, tt.body, p.status, tt.status, p.body)
		}
	}
	// Cursors belong to what they were made for.
	first := decodeAdmin[wireAccount](t, st.post(search, map[string]any{"limit": 5}))
	for what, body := range map[string]map[string]any{
		"another limit":  {"cursor": *first.Links.Next, "limit": 6},
		"another filter": {"cursor": *first.Links.Next, "limit": 5, "claimStatus": "managed"},
		"another expand": {"cursor": *first.Links.Next, "limit": 5, "expand": []string{"groups"}},
	} {
		if p := st.post(search, body); p.status != http.StatusBadRequest {
			t.Errorf("cursor with %s: %d", what, p.status)
		}
	}
	spaces := decodeAdmin[struct{ ID string }](t, st.post(v2+"/workspaces", map[string]any{"limit": 1}))
	if p := st.post(v2+"/workspaces", map[string]any{"limit": 1, "cursor": *spaces.Links.Next}); p.status != http.StatusBadRequest {
		t.Errorf("a cursor in company: %d", p.status)
	}
	checkKeys(t, srv, org, st, now)
}

func checkKeys(t *testing.T, srv *confluencetest.Server, org *confluencetest.Organization, st *steward, now *clock) {
	t.Helper()
	v1, v2 := "/v1/orgs/"+org.ID(), "/v2/orgs/"+org.ID()
	for path, scope := range map[string]string{
		v1: "read:orgs:admin", v1 + "/domains": "read:domains:admin", v1 + "/policies": "read:policies:admin", v1 + "/events": "read:events:admin", v2 + "/directories": "read:directories:admin",
		v2 + "/directories/-/users/count": "read:directories:admin",
	} {
		with := &steward{t: t, base: st.base, key: org.AddAdminKey([]string{scope}, time.Time{}).Key}
		without := &steward{t: t, base: st.base, key: org.AddAdminKey(slices.DeleteFunc(confluencetest.AdminScopes(), func(s string) bool { return s == scope }), time.Time{}).Key}
		if p := with.do(http.MethodGet, path, ""); p.status != http.StatusOK {
			t.Errorf("%s with %s: %d %s", path, scope, p.status, p.body)
		}
		if p := without.do(http.MethodGet, path, ""); p.status != http.StatusForbidden {
			t.Errorf("%s without %s: %d", path, scope, p.status)
		}
	}
	noGroups := &steward{t: t, base: st.base, key: org.AddAdminKey([]string{"read:directories:admin"}, time.Time{}).Key}
	if p := noGroups.do(http.MethodPost, v2+"/directories/-/users/search", `{"expand":["groups"]}`); p.status != http.StatusForbidden {
		t.Errorf("groups without their scope: %d", p.status)
	}
	none := &steward{t: t, base: st.base, key: org.AddAdminKey(nil, time.Time{}).Key}
	if p := none.do(http.MethodGet, "/v1/orgs", ""); p.status != http.StatusOK {
		t.Errorf("the list of organizations needs a scope: %d", p.status)
	}
	short := org.AddAdminKey(confluencetest.AdminScopes(), now.Now().Add(time.Minute))
	brief := &steward{t: t, base: st.base, key: short.Key}
	if p := brief.do(http.MethodGet, v1, ""); p.status != http.StatusOK {
		t.Errorf("a young key: %d", p.status)
	}
	now.Add(time.Minute)
	if p := brief.do(http.MethodGet, v1, ""); p.status != http.StatusUnauthorized || compact(p.body) != `{"code":401,"message":"API key has expired"}` {
		t.Errorf("an expired key: %d %s", p.status, p.body)
	}
	org.RemoveAdminKey(st.key)
	oauth := reader(t, srv, srv.Site("acme"))
	classic := srv.AddToken(confluencetest.APIToken{})
	for what, auth := range map[string]func(*http.Request){"a removed key": bearer(st.key), "3LO": bearer(oauth.token), "basic": basic(classic), "nobody": nil} {
		if p := send(t, http.MethodGet, st.base+v1, "", auth); p.status != http.StatusUnauthorized {
			t.Errorf("%s: %d", what, p.status)
		}
	}
}

func TestOrganizationChanges(t *testing.T) {
	srv, org, acme, bravo := twoSites(t, confluencetest.Settings{Seed: 3})
	st := newSteward(t, srv, org)
	account := acme.Truth().Users[3].AccountID
	d := org.AddDomain(confluencetest.Domain{Name: "new.example"})
	p := org.SetPolicy(confluencetest.Policy{Type: "ip-allowlist", Rule: `{"in":[]}`})
	p.Status = "disabled"
	org.SetPolicy(p)
	org.SetMFA(account, true)
	org.SetPlatformRoles(account, "atlassian/org-admin")
	org.AddEvent(confluencetest.OrganizationEvent{Action: "api_key_created"})
	before := org.Truth()
	for _, err := range []error{
		org.RemoveDomain(before.Domains[0].ID), org.RemovePolicy(before.Policies[0].ID), acme.TouchActivity(account, "confluence", time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)), acme.DeactivateUser(acme.Truth().Users[4].AccountID),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	acme.SetSeats(7)
	after := org.Truth()
	if diff := cmp.Diff(after, st.read(), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(confluencetest.OrganizationUser{}, "Roles", "Directory")); diff != "" {
		t.Errorf("what HTTP shows differs from the truth:\n%s", diff)
	}
	if !slices.Contains(after.Domains, d) || len(after.Domains) != len(before.Domains)-1 || *after.Workspaces[0].Capacity != 7 {
		t.Errorf("domains %v, capacity %d", after.Domains, *after.Workspaces[0].Capacity)
	}
	var kinds []string
	for _, c := range org.Log() {
		kinds = append(kinds, c.Kind)
	}
	if diff := cmp.Diff([]string{"domain_added", "policy_set", "policy_set", "mfa_set", "roles_set", "event_added", "domain_removed", "policy_removed"}, kinds); diff != "" {
		t.Errorf("log:\n%s", diff)
	}
	if err := org.RemoveDomain("x"); err == nil {
		t.Error("an unknown domain was removed")
	}
	other := srv.AddOrganization(confluencetest.OrganizationSettings{Name: "buyer"})
	other.Join(bravo)
	if bravo.Posture().OrganizationID != other.ID() || len(org.Truth().Workspaces) != 2 || len(other.Truth().Workspaces) != 2 {
		t.Error("a site that was sold is not where it should be")
	}
}

func TestOrganizationFaultsAndLimits(t *testing.T) {
	now := newClock()
	srv, org, _, _ := twoSites(t, confluencetest.Settings{Seed: 3, Now: now.Now, Limits: confluencetest.Limits{Enforce: true}})
	st := newSteward(t, srv, org)
	st.limit = 10
	search := "/v2/orgs/" + org.ID() + "/directories/-/users/search"
	org.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Endpoint: "/users/search", Status: 503, Body: "no"})
	if p := st.post(search, nil); p.status != 503 || string(p.body) != "no" {
		t.Errorf("status: %d %s", p.status, p.body)
	}
	org.Fail(confluencetest.Fault{Kind: confluencetest.FaultTruncated, Page: 2})
	if p := st.post(search, map[string]any{"limit": 10}); p.status != 200 || !json.Valid(p.body) {
		t.Errorf("page 1 was struck: %d", p.status)
	}
	org.ClearFaults()
	var all []string
	for _, u := range st.users(org.ID(), "-", nil) {
		all = append(all, u.AccountID)
	}
	for kind, want := range map[confluencetest.FaultKind][]string{
		confluencetest.FaultEmptyPage:     all[:10],
		confluencetest.FaultShortWithNext: all,
		confluencetest.FaultEmptyWithNext: all,
		confluencetest.FaultRepeatedPage:  slices.Concat(all[:20], all[10:]),
		confluencetest.FaultOverlap:       slices.Concat(all[:20], all[17:]),
	} {
		org.ClearFaults()
		org.Fail(confluencetest.Fault{Kind: kind, Endpoint: "/users/search", Page: 2})
		var got []string
		for _, u := range st.users(org.ID(), "-", nil) {
			got = append(got, u.AccountID)
		}
		if diff := cmp.Diff(want, got); diff != "" || org.FaultsApplied() != 1 {
			t.Errorf("%s, applied %d times:\n%s", kind, org.FaultsApplied(), diff)
		}
	}
	org.ClearFaults()
	org.Fail(confluencetest.Fault{Kind: confluencetest.FaultCursorExpired, Endpoint: "/users/search"})
	if p := st.post(search, nil); p.status != 400 || !strings.Contains(string(p.body), `"code":"ADMIN-400-1"`) {
		t.Errorf("an outdated cursor: %d %s", p.status, p.body)
	}
	events := "/v1/orgs/" + org.ID() + "/events"
	for i := range 10 {
		if p := st.do(http.MethodGet, events, ""); p.status != 200 {
			t.Fatalf("request %d for events: %d", i+1, p.status)
		}
	}
	if p := st.do(http.MethodGet, events, ""); p.status != 429 || p.header.Get("Retry-After") != "60" {
		t.Errorf("the 11th in a minute: %d %v", p.status, p.header)
	}
	if p := newSteward(t, srv, org).do(http.MethodGet, events, ""); p.status != 200 {
		t.Errorf("another key: %d", p.status)
	}
	now.Add(time.Minute)
	if p := st.do(http.MethodGet, events, ""); p.status != 200 {
		t.Errorf("a minute later: %d", p.status)
	}
	log := srv.Requests()
	if r := log[len(log)-1]; r.Endpoint != "GET /admin/v1/orgs/{orgId}/events" || r.Organization != org.ID() || r.Site != "" || r.Status != 200 {
		t.Errorf("logged as %+v", r)
	}
}
