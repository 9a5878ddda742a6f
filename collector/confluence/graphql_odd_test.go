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

// bend lets a test change the answers to GraphQL documents.
func bend(s *site, change func(data map[string]any)) {
	wire := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		resp, err := wire.RoundTrip(r)
		if err != nil || !strings.HasSuffix(r.URL.Path, "/graphql") {
			return resp, err
		}
		var answer map[string]any
		if err := errors.Join(json.NewDecoder(resp.Body).Decode(&answer), resp.Body.Close()); err != nil {
			return nil, err
		}
		if data, ok := answer["data"].(map[string]any); ok {
			change(data)
		}
		body, err := json.Marshal(answer)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return resp, err
	})
}

// TestOddConnections: a listing that does not say what it should is no listing.
func TestOddConnections(t *testing.T) {
	type object = map[string]any
	for name, c := range map[string]struct {
		change func(listing object)
		state  schemas.CoverageState
		rows   bool
	}{
		"as it is":            {func(object) {}, schemas.CoverageComplete, true},
		"a null node":         {func(l object) { l["nodes"].([]any)[0] = nil }, schemas.CoverageFailed, false},
		"a node without id":   {func(l object) { l["nodes"].([]any)[0].(object)["spaceId"] = nil }, schemas.CoverageFailed, false},
		"no nodes":            {func(l object) { l["nodes"] = nil }, schemas.CoverageFailed, false},
		"no page info":        {func(l object) { l["pageInfo"] = nil }, schemas.CoverageFailed, false},
		"null for more":       {func(l object) { l["pageInfo"].(object)["hasNextPage"] = nil }, schemas.CoverageFailed, false},
		"more without cursor": {func(l object) { l["pageInfo"] = object{"hasNextPage": true, "endPage": nil} }, schemas.CoverageFailed, false},
		"more, empty cursor":  {func(l object) { l["pageInfo"] = object{"hasNextPage": true, "endPage": ""} }, schemas.CoverageFailed, false},
		"always another page": {func(l object) { l["pageInfo"].(object)["hasNextPage"] = true }, schemas.CoverageFailed, true},
		"a null status":       {func(l object) { l["nodes"].([]any)[0].(object)["status"] = nil }, schemas.CoveragePartial, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, confluencetest.SiteSettings{Spaces: 9})
			bend(s, func(data map[string]any) { c.change(data["publicLinkSpacesByCriteria"].(object)) })
			got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.PublicLinkSpaces.Dataset, "")
			if got.state() != c.state || (len(got.rows) > 0) != c.rows {
				t.Errorf("%d rows, %v; want %s", len(got.rows), got.err, c.state)
			}
			if line := untrue(datasets.PublicLinkSpaces.Dataset, truthBy(s)[schemas.APIGraphQL][datasets.PublicLinkSpaces.Name][""], got.rows); line != "" {
				t.Errorf("a row that is not true: %q", line)
			}
		})
	}
	t.Run("operations that are null", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{})
		bend(s, func(data map[string]any) {
			if groups, ok := data["sitePermissions"].(object)["groups"].(object); ok {
				groups["nodes"].([]any)[0].(object)["operations"] = nil
			}
		})
		got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.SitePermissions.Dataset, "")
		if got.state() != schemas.CoveragePartial || len(got.rows) == 0 {
			t.Errorf("%d rows, %v", len(got.rows), got.err)
		}
	})
	t.Run("a null list of defaults", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{})
		bend(s, func(data map[string]any) { data["confluence_shareableLinkSiteConfig"] = nil })
		got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.SecurityConfiguration.Dataset, datasets.SectionPublicLinkSwitch)
		if got.state() != schemas.CoveragePartial || len(got.rows) != 1 {
			t.Errorf("%d rows, %v", len(got.rows), got.err)
		}
	})
	t.Run("more spaces of a guest than fit", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{Users: 20, Guests: 4})
		bend(s, func(data map[string]any) {
			for _, node := range data["confluence_externalCollaboratorsByCriteria"].(object)["nodes"].([]any) {
				if spaces, ok := node.(object)["spacesAssigned"].(object); ok {
					spaces["pageInfo"].(object)["hasNextPage"] = true
				}
			}
		})
		got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.ExternalCollaborators.Dataset, "")
		if got.err != nil || len(got.rows) != 4 {
			t.Errorf("%d rows, %v", len(got.rows), got.err)
		}
		for _, r := range got.rows {
			if r["spaces_known"] != "false" || r["space_ids"] != "[]" {
				t.Errorf("a part of the list counts as the list: %v", r)
			}
		}
	})
	t.Run("an installation without its app", func(t *testing.T) {
		s := newSite(t, confluencetest.SiteSettings{})
		bend(s, func(data map[string]any) {
			data["ecosystem"].(object)["appInstallationsByContext"].(object)["nodes"].([]any)[0].(object)["app"] = nil
		})
		got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.InstalledApps.Dataset, datasets.SectionForgeApps)
		if got.state() != schemas.CoveragePartial || len(got.rows) == 0 {
			t.Errorf("%d rows, %v", len(got.rows), got.err)
		}
	})
}
