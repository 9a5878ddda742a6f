package confluence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// bendAdmin lets a test change the items of answers of the organization's API.
func bendAdmin(s *site, suffix string, change func(items []any)) {
	wire := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		resp, err := wire.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, suffix) {
			return resp, err
		}
		var answer map[string]any
		dec := json.NewDecoder(resp.Body)
		dec.UseNumber()
		if err := errors.Join(dec.Decode(&answer), resp.Body.Close()); err != nil {
			return nil, err
		}
		change(answer["data"].([]any))
		body, err := json.Marshal(answer)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return resp, err
	})
}

// TestOddOrganizations: what the organization does not tell is unknown, never
// empty and never gone; what has no name is not stored under none.
func TestOddOrganizations(t *testing.T) {
	type object = map[string]any
	attributes := func(item any) object { return item.(object)["attributes"].(object) }
	organization, whole := datasets.SectionOrganization, schemas.Whole
	for name, c := range map[string]struct {
		table     *schemas.Dataset
		partition string
		endpoint  string
		change    func(items []any)
		state     schemas.CoverageState
		unknown   int // of each page that is bent, if the page was yielded at all
	}{
		"a policy without a status":  {datasets.SecurityConfiguration.Dataset, organization, "/policies", func(l []any) { attributes(l[0])["status"] = nil }, schemas.CoverageComplete, 4},
		"a policy without a rule":    {datasets.SecurityConfiguration.Dataset, organization, "/policies", func(l []any) { delete(attributes(l[0]), "rule") }, schemas.CoverageComplete, 4},
		"a policy without an id":     {datasets.SecurityConfiguration.Dataset, organization, "/policies", func(l []any) { delete(l[0].(object), "id") }, schemas.CoverageFailed, 0},
		"a policy without a type":    {datasets.SecurityConfiguration.Dataset, organization, "/policies", func(l []any) { attributes(l[0])["type"] = nil }, schemas.CoveragePartial, 0},
		"a domain without a status":  {datasets.SecurityConfiguration.Dataset, organization, "/domains", func(l []any) { attributes(l[0])["claim"] = nil }, schemas.CoverageComplete, 3},
		"a domain without a name":    {datasets.SecurityConfiguration.Dataset, organization, "/domains", func(l []any) { attributes(l[0])["name"] = "" }, schemas.CoveragePartial, 0},
		"an organization without id": {datasets.SecurityConfiguration.Dataset, organization, "/v1/orgs", func(l []any) { l[0].(object)["id"] = "" }, schemas.CoverageFailed, 0},
		"a user without an id":       {datasets.UserActivities.Dataset, whole, "/search", func(l []any) { l[0].(object)["accountId"] = nil }, schemas.CoverageFailed, 0},
		"an activity at no time":     {datasets.UserActivities.Dataset, whole, "/search", func(l []any) { firstAccess(l)["lastActiveTimestamp"] = "lately" }, schemas.CoveragePartial, 1},
		"a user of unknown products": {datasets.UserActivities.Dataset, whole, "/search", func(l []any) { l[0].(object)["productAccess"] = nil }, schemas.CoveragePartial, 0},
		"a product without a name":   {datasets.UserActivities.Dataset, whole, "/search", func(l []any) { firstAccess(l)["key"] = nil }, schemas.CoveragePartial, 0},
		"a product of no site":       {datasets.UserActivities.Dataset, whole, "/search", func(l []any) { delete(firstAccess(l), "id") }, schemas.CoveragePartial, 0},
		"users of another site": {datasets.UserActivities.Dataset, whole, "/search", func(l []any) {
			for _, u := range l {
				u.(object)["productAccess"] = []any{object{"key": "confluence", "id": "ari:cloud:confluence::site/other"}}
			}
		}, schemas.CoverageComplete, 0},
		"a product of another site": {datasets.Subscriptions.Dataset, whole, "/workspaces", func(l []any) {
			for _, w := range l {
				w.(object)["id"] = "ari:cloud:confluence::site/other"
			}
		}, schemas.CoverageForbidden, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Users: 12})
			s.organization()
			bendAdmin(s, c.endpoint, c.change)
			got := read(t, s.source(with(s.way(schemas.CredentialAdminKey, confluencetest.AdminScopes()))), c.table, c.partition)
			if got.state() != c.state || len(got.unknown) != c.unknown {
				t.Errorf("%d unknown, %v; want %d and %s", len(got.unknown), got.err, c.unknown, c.state)
			}
			if line := untrue(c.table, truthBy(s)[schemas.APIAdmin][c.table.Name][c.partition], got.rows); line != "" {
				t.Errorf("a row that is not true: %q", line)
			}
		})
	}
}

// firstAccess is some product of some account.
func firstAccess(users []any) map[string]any {
	for _, u := range users {
		if list, ok := u.(map[string]any)["productAccess"].([]any); ok && len(list) > 0 {
			return list[0].(map[string]any)
		}
	}
	return map[string]any{}
}

// TestOtherOrganization: a key of an organization that the site does not belong to
// shows nothing of it, which does not mean that there is nothing.
func TestOtherOrganization(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	s.organization()
	way := s.way(schemas.CredentialAdminKey, confluencetest.AdminScopes())
	s.srv.AddOrganization(confluencetest.OrganizationSettings{Name: "Buyer", Sites: []string{s.sim.Name()}})
	for _, table := range []*schemas.Dataset{datasets.Subscriptions.Dataset, datasets.UserActivities.Dataset} {
		got := read(t, s.source(with(way)), table, "")
		if got.state() != schemas.CoverageForbidden || len(got.rows) > 0 || !strings.Contains(unlock(got.err), "organization that the site belongs to") {
			t.Errorf("%s: %d rows, %v (%s)", table.Name, len(got.rows), got.err, unlock(got.err))
		}
	}
}

// TestOrganizationKeyScopes: a key without a scope is told which.
func TestOrganizationKeyScopes(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	s.organization()
	for _, c := range cells() {
		if c.Credential != schemas.CredentialAdminKey {
			continue
		}
		for _, alternatives := range c.Scopes {
			// The key holds less than what is stored of it says.
			way := s.way(c.Credential, without1(confluencetest.AdminScopes(), alternatives[0]))
			way.Scopes = confluencetest.AdminScopes()
			src, p := s.source(with(way)), c.Section
			if c.table.Append {
				src.Resume(c.table, "")
				p = partitions(src, c.table)[0]
			}
			got := read(t, src, c.alone(), p)
			if got.state() != schemas.CoverageForbidden || !strings.Contains(unlock(got.err), alternatives[0]) || !strings.Contains(unlock(got.err), "--kind admin_key") {
				t.Errorf("%s without %s: %v (%s)", c, alternatives[0], got.err, unlock(got.err))
			}
		}
	}
}

func without1(list []string, out string) (rest []string) {
	for _, s := range list {
		if s != out {
			rest = append(rest, s)
		}
	}
	return rest
}

// TestSeats: seats without a limit, and a site that hides its licence.
func TestSeats(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "limits"})
	s.organization()
	licence, key := s.way(schemas.CredentialAPIToken, nil), s.way(schemas.CredentialAdminKey, confluencetest.AdminScopes())
	table := datasets.Subscriptions.Dataset
	for _, seats := range []int{-1, 0, 7, 100} {
		s.sim.SetSeats(seats)
		want := truthBy(s)
		compare(t, table, "licence", want[schemas.APILicense][table.Name][""], read(t, s.source(with(licence)), table, ""))
		compare(t, table, "organization", want[schemas.APIAdmin][table.Name][""], read(t, s.source(with(key)), table, ""))
	}
	s.sim.HideLicence(true)
	if got := read(t, s.source(with(licence)), table, ""); got.state() != schemas.CoverageNotExposed || !strings.Contains(unlock(got.err), "admin_key") {
		t.Errorf("%v (%s)", got.err, unlock(got.err))
	}
}
