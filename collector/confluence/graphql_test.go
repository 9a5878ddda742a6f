package confluence_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// graphTargets are the targets that are read from the GraphQL gateway.
func graphTargets() []target {
	return slices.DeleteFunc(targets(), func(x target) bool { return x.api != schemas.APIGraphQL })
}

// keys are the keys of rows, sorted.
func keys(table *schemas.Dataset, rows ...[]row) []string {
	var list []string
	for _, some := range rows {
		for _, r := range some {
			key := ""
			for _, k := range table.KeyColumns() {
				key += r[table.Columns[k].Name] + " "
			}
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// missing are the elements of the first list that the second has not.
func missing(want, got []string) []string {
	var gone []string
	for _, key := range want {
		if _, found := slices.BinarySearch(got, key); !found {
			gone = append(gone, key)
		}
	}
	return gone
}

// optionalFields are the types of the gateway's schema that have the fields which
// a target's question can do without, and of fields inside of these.
func optionalFields() map[string]map[string][]string {
	settings := []string{
		"attachmentSettings", "isAnonymousAccessToRemoteApiEnabled", "isExternalConnectionEnabled", "connectionTimeout", "socketTimeout", "loginSettings", "isPrivacyModeEnabled",
		"isSystemAdminEnabled", "isXsrfAddCommentsEnabled", "isNofollowExternalLinksEnabled", "isHideTitleInUrlEnabled", "isContactAdministratorsFormEnabled",
		"contentAccessRequestSettings", "spaceAccessRequestSettings", "isSnippetSharingForSiteEnabled", "isAddWildcardsToUserAndGroupSearchesEnabled", "maxRssItems",
	}
	return map[string]map[string][]string{
		"groups with site permissions":  {"GroupWithPermissions": {"name"}},
		"persons with site permissions": {"ConfluencePerson": {"displayName"}},
		"public_link_spaces":            {"PublicLinkSpace": {"name", "isPolicySetForClassificationLevel", "stats"}, "PublicLinkSpaceStats": {"publicLinks"}, "PublicLinkStats": {"active"}},
		"public_links":                  {"PublicLink": {"title", "type", "accessType", "lastEnabledBy", "lastEnabledByUser", "lastEnabledDate"}, "ConfluencePerson": {"accountId"}},
		"collaborators listed":          {"ConfluencePerson": {"displayName", "email", "spacesAssigned"}},
		"forge apps": {
			"App": {"vendorName", "distributionStatus"}, "AppInstallation": {"appEnvironmentVersion", "createdAt", "createdBy", "license"},
			"AppEnvironmentVersion": {"version", "permissions"}, "AppHostServiceScope": {"key"}, "AppPermission": {"egress"}, "AppNetworkEgressPermission": {"addresses"},
		},
		"site_configuration":     {"ConfluenceSiteConfiguration": settings, "AttachmentSettings": {"maxAttachmentSize"}, "LoginSettings": {"loginAttemptsThreshold"}},
		"switch of public links": {"Query": {"confluence_shareableLinkSiteConfig"}, "ShareableLinkSiteConfig": {"siteConfigs"}},
	}
}

// TestDroppedFields: the gateway has no versions. What it takes away without need
// leaves the rest readable, and all that was known as it was; what rows cannot do
// without is said to be gone.
func TestDroppedFields(t *testing.T) {
	covered := map[string]bool{}
	for _, x := range graphTargets() {
		fields := optionalFields()[x.name]
		t.Run(x.name, func(t *testing.T) {
			s := newSite(t, x.site)
			s.cutPages(10)
			partition := x.partition(s)
			truth := truthBy(s)[x.api][x.table.Name][partition]
			for typ, names := range fields {
				for _, name := range names {
					covered[name] = true
					for how, change := range map[string]func() error{
						"dropped": func() error { return s.sim.DropGraphQLField(typ, name) },
						"renamed": func() error { return s.sim.RenameGraphQLField(typ, name, name+"V2") },
					} {
						s.sim.ResetGraphQLSchema()
						src := x.source(s)
						x.prepare(t, s, src)
						if err := change(); err != nil && how == "dropped" && strings.Contains(err.Error(), "must define one or more fields") {
							continue // its type has no other
						} else if err != nil {
							t.Fatal(err)
						}
						got := read(t, src, x.table, partition)
						if got.state() != schemas.CoveragePartial || !strings.Contains(got.err.Error(), "has no field ") || unlock(got.err) != "upgrade sitedrift" {
							t.Errorf("%s.%s %s: %v (%s)", typ, name, how, got.err, unlock(got.err))
						}
						if line := untrue(x.table, truth, got.rows); line != "" {
							t.Errorf("%s.%s %s: a row that is not true: %q", typ, name, how, line)
						}
						if name == "confluence_shareableLinkSiteConfig" || name == "siteConfigs" {
							continue // nobody knows which there were: nothing is removed from what is partial
						}
						if gone := missing(keys(x.table, truth), keys(x.table, got.rows, got.unknown)); gone != nil {
							t.Errorf("%s.%s %s: rows were lost: %q", typ, name, how, gone)
						}
						if x.kind == byGraph && len(got.unknown) == 0 {
							t.Errorf("%s.%s %s: nothing counts as unknown", typ, name, how)
						}
					}
				}
			}
			for typ, names := range requiredFields()[x.name] {
				for _, name := range names {
					s.sim.ResetGraphQLSchema()
					src := x.source(s)
					x.prepare(t, s, src)
					if err := s.sim.RenameGraphQLField(typ, name, name+"V2"); err != nil {
						t.Fatal(err)
					}
					got := read(t, src, x.table, partition)
					if got.state() != schemas.CoverageNotExposed || !strings.Contains(got.err.Error(), "'"+name+"'") || !strings.Contains(unlock(got.err), "upgrade sitedrift") {
						t.Errorf("%s.%s is gone: %v (%s)", typ, name, got.err, unlock(got.err))
					}
					if n := len(got.rows) + len(got.unknown); n > 0 && !x.behind {
						t.Errorf("%s.%s is gone: %d rows all the same", typ, name, n)
					}
				}
			}
		})
	}
	for question, names := range confluence.OptionalFields() {
		for _, name := range names {
			if !covered[name] {
				t.Errorf("nobody drops %s of %s", name, question)
			}
		}
	}
}

// requiredFields are some that rows cannot do without.
func requiredFields() map[string]map[string][]string {
	return map[string]map[string][]string{
		"groups with site permissions":  {"Query": {"sitePermissions"}, "SitePermission": {"groups", "anonymous"}, "GroupWithPermissions": {"id", "operations"}, "OperationCheckResult": {"targetType"}, "PaginatedGroupWithPermissions": {"nodes", "pageInfo"}},
		"persons with site permissions": {"SitePermission": {"confluencePersons"}, "ConfluencePerson": {"accountId"}},
		"public_link_spaces":            {"Query": {"publicLinkSpacesByCriteria"}, "PublicLinkSpace": {"spaceId", "status"}, "PublicLinkPageInfo": {"endPage"}},
		"public_links":                  {"Query": {"publicLinksByCriteria"}, "PublicLink": {"id", "status"}},
		"collaborators listed":          {"Query": {"confluence_externalCollaboratorsByCriteria"}, "ConfluencePerson": {"accountId"}},
		"forge apps":                    {"EcosystemQuery": {"appInstallationsByContext"}, "AppInstallation": {"app"}, "App": {"name"}},
		"site_configuration":            {"ConfluenceQueryApi": {"siteConfiguration"}},
		"switch of public links":        {"Query": {"publicLinkSiteStatus"}, "PublicLinkSitePayload": {"status"}},
	}
}

func unlock(err error) string {
	var e *collector.ReadError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Unlock
}

// TestPartOfAnAnswer: one value that the gateway could not fetch makes its page
// unknown, and no more; none is lost, and none is taken for gone.
func TestPartOfAnAnswer(t *testing.T) {
	for _, c := range []struct{ target, field string }{
		{"groups with site permissions", "sitePermissions.groups.nodes.name"},
		{"persons with site permissions", "sitePermissions.confluencePersons.nodes.displayName"},
		{"public_link_spaces", "publicLinkSpacesByCriteria.nodes.stats"},
		{"public_links", "publicLinksByCriteria.nodes.lastEnabledByUser"},
		{"collaborators listed", "confluence_externalCollaboratorsByCriteria.nodes.spacesAssigned"},
		{"forge apps", "ecosystem.appInstallationsByContext.nodes.appEnvironmentVersion"},
		{"site_configuration", "confluence.siteConfiguration.isPrivacyModeEnabled"},
		{"site_configuration", "confluence.siteConfiguration.loginSettings"},
	} {
		t.Run(c.field, func(t *testing.T) {
			x := targets()[slices.IndexFunc(targets(), func(x target) bool { return x.name == c.target })]
			s := newSite(t, x.site)
			s.cutPages(10)
			partition := x.partition(s)
			truth := truthBy(s)[x.api][x.table.Name][partition]
			src := x.source(s)
			x.prepare(t, s, src)
			x.fail(s, confluencetest.Fault{Kind: confluencetest.FaultPartialData, Field: c.field})
			got := read(t, src, x.table, partition)
			if s.sim.FaultsApplied() != 1 {
				t.Fatal("the fault was not applied")
			}
			if got.state() != schemas.CoveragePartial || len(got.unknown) == 0 || len(got.rows) == 0 {
				t.Errorf("%d rows, %d unknown, %v", len(got.rows), len(got.unknown), got.err)
			}
			if line := untrue(x.table, truth, got.rows); line != "" {
				t.Errorf("a row that is not true: %q", line)
			}
			if gone := missing(keys(x.table, truth), keys(x.table, got.rows, got.unknown)); gone != nil {
				t.Errorf("rows were lost: %q", gone)
			}
		})
	}
}

// TestNullSettings: null is not false, and not gone.
func TestNullSettings(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	table, partition := datasets.SecurityConfiguration.Dataset, datasets.SectionSiteConfiguration
	way := s.way(schemas.CredentialAPIToken, nil)
	full := confluencetest.SecurityConfiguration{
		AttachmentSecurityLevel: new("INSECURE"), MaxAttachmentSize: new(int64(1)<<53 + 1), MaxAttachmentsPerUpload: new(0), AnonymousRemoteAPI: new(false), ExternalConnections: new(true),
		ConnectionTimeout: new(1), SocketTimeout: new(2), ElevatedSecurityCheck: new(false), LoginAttemptsThreshold: new(3), PrivacyMode: new(false), SystemAdmin: new(true),
		XSRFAddComments: new(true), NofollowExternalLinks: new(false), HideTitleInURL: new(false), ContactAdministrators: new(false), ContentAccessRequests: new(true),
		SpaceAccessRequests: new(false), SnippetSharing: new(true), SearchWildcards: new(false), MaxRSSItems: new(0), SiteHomePage: new("x"), TeamAdminControls: new(true),
	}
	check := func(what string, all []string) []string {
		t.Helper()
		want := truthBy(s)[schemas.APIGraphQL][table.Name][partition]
		got := read(t, s.source(with(way)), table, partition)
		compare(t, table, what, want, got)
		known := keys(table, got.rows, got.unknown)
		if all != nil && !slices.Equal(known, all) {
			t.Errorf("%s: settings came or went: %s", what, cmp.Diff(all, known))
		}
		return known
	}
	s.sim.ChangeSecurity(func(c *confluencetest.SecurityConfiguration) { *c = full })
	all := check("all known", nil)
	if len(all) != 20 {
		t.Errorf("%d settings, want 20", len(all))
	}
	kind := reflect.TypeFor[confluencetest.SecurityConfiguration]()
	for i := range kind.NumField() {
		s.sim.ChangeSecurity(func(c *confluencetest.SecurityConfiguration) {
			*c = full
			reflect.ValueOf(c).Elem().Field(i).SetZero()
		})
		check(kind.Field(i).Name, all)
	}
	s.sim.ChangeSecurity(func(c *confluencetest.SecurityConfiguration) { *c = confluencetest.SecurityConfiguration{} })
	check("all null", all)
}

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

// TestCostLimit: how long to wait is a timestamp here, and is waited for.
func TestCostLimit(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultCostLimited, Field: "publicLinkSiteStatus"})
	got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.SecurityConfiguration.Dataset, datasets.SectionPublicLinkSwitch)
	if got.err != nil {
		t.Error(got.err)
	}
	now := s.clock.Now()
	if least := now.Truncate(time.Minute).Add(time.Minute).Sub(now); len(s.waits) != 1 || s.waits[0] < least || s.waits[0] > least+time.Minute {
		t.Errorf("waited %v, want at least %v", s.waits, least)
	}
}

// TestClosedFields: as long as the vendor keeps a field from OAuth apps, who asks
// all the same is told so; and it is no reason to ask a person for rights.
func TestClosedFields(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	open := func(settings *confluence.Settings) { settings.Open = func(string, string, string) bool { return true } }
	src := s.source(with(s.way(schemas.Credential3LO, append(confluencetest.AllScopes(), "confluence:atlassian-external"))), open)
	for _, p := range parts() {
		if !slices.ContainsFunc(p.table.Sources, func(a schemas.Access) bool { return a.Closed && a.Section == p.section }) || p.table.Parent != "" {
			continue
		}
		got := read(t, src, p.table, p.section)
		if got.state() != schemas.CoverageNotExposed || len(got.rows) > 0 || !strings.Contains(unlock(got.err), "Atlassian does not open this") {
			t.Errorf("%s: %v (%s)", p.name(), got.err, unlock(got.err))
		}
	}
	s.sim.RequireExperimental("publicLinkSiteStatus", "confluence-agg-beta")
	got := read(t, s.source(with(s.way(schemas.CredentialAPIToken, nil))), datasets.SecurityConfiguration.Dataset, datasets.SectionPublicLinkSwitch)
	if got.state() != schemas.CoverageNotExposed {
		t.Errorf("a field in beta: %v", got.err)
	}
}

// TestNoAdministrator: an account without rights is told which.
func TestNoAdministrator(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{})
	src := s.source(with(s.way(schemas.CredentialAPIToken, nil)))
	read(t, src, datasets.PublicLinkSpaces.Dataset, "")
	s.sim.DenyAdministration(true)
	for _, c := range cells() {
		if c.Credential != schemas.CredentialAPIToken || c.API == schemas.APIRest {
			continue
		}
		partition := c.Section
		if c.table.Parent != "" {
			partition = wideSpace(s)
		}
		got := read(t, src, c.alone(), partition)
		if got.state() != schemas.CoverageForbidden || len(got.rows) > 0 || !strings.Contains(unlock(got.err), "Confluence Administrator") {
			t.Errorf("%s: %v (%s)", c, got.err, unlock(got.err))
		}
	}
}

// TestOneGrantForTwoSites: questions that cannot name the site are about the right
// one all the same.
func TestOneGrantForTwoSites(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "first"})
	other := s.srv.AddSite(confluencetest.SiteSettings{Name: "second", Groups: 12, Users: 30})
	app := s.srv.AddApp(confluencetest.App{RedirectURIs: []string{"http://127.0.0.1/callback"}})
	scopes := append(confluencetest.AllScopes(), "confluence:atlassian-external")
	tokens, _, err := s.srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: []string{"first", "second"}, Scopes: scopes})
	if err != nil {
		t.Fatal(err)
	}
	for _, sim := range []*confluencetest.Site{s.sim, other} {
		sim.OpenToOAuth("sitePermissions", "confluence:atlassian-external")
		client := s.client(s.srv.APIURL(), httpx.Bearer(tokens.AccessToken))
		src := s.source(func(settings *confluence.Settings) {
			settings.Site, settings.Open = sim.CloudID(), func(string, string, string) bool { return true }
			settings.Ways = []confluence.Way{{Kind: schemas.Credential3LO, Scopes: scopes, Client: client, GraphQL: &confluence.Gateway{Client: client, Path: "/graphql"}}}
		})
		want := truth{}
		want.sitePermissions(sim.Posture().SitePermissions)
		compare(t, datasets.SitePermissions.Dataset, sim.Name(), want[datasets.SitePermissions.Name][""], read(t, src, datasets.SitePermissions.Dataset, ""))
	}
}

// TestLinksStayOut: the address of a public link is the key to a page. It is not
// asked for, and is in no answer, row or error (Invariant 9).
func TestLinksStayOut(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 12, PublicLinks: 9})
	rec := &recorder{next: s.options.Transport}
	s.options.Transport = rec
	ways := allWays(s)
	var seen strings.Builder
	note := func(r reading) { fmt.Fprintln(&seen, r.rows, r.unknown, r.err) }
	src := s.source(with(ways...))
	links := 0
	for _, table := range datasets.All() {
		if table.Append {
			src.Resume(table, "")
		}
		for _, p := range partitions(src, table) {
			r := read(t, src, table, p)
			note(r)
			if table == datasets.PublicLinks.Dataset {
				links += len(r.rows)
			}
		}
	}
	for _, kind := range []confluencetest.FaultKind{confluencetest.FaultTruncated, confluencetest.FaultPartialData, confluencetest.FaultNoData} {
		s.sim.Fail(confluencetest.Fault{Kind: kind, Field: "publicLinksByCriteria", Times: -1})
		for _, p := range partitions(src, datasets.PublicLinks.Dataset) {
			note(read(t, src, datasets.PublicLinks.Dataset, p))
		}
		s.sim.ClearFaults()
	}
	if links == 0 {
		t.Fatal("no link was read")
	}
	canary := s.sim.LinkCanary()
	if strings.Contains(seen.String(), canary) {
		t.Error("the address of a link is in a row or an error")
	}
	for _, e := range rec.seen {
		if bytes.Contains(e.body, []byte(canary)) || bytes.Contains(e.asked, []byte("UrlPath")) {
			t.Errorf("%s %s asks for the address of links", e.request.Method, e.request.URL.Path)
		}
	}
	// The simulator would have told.
	way := s.way(schemas.CredentialAPIToken, nil)
	question, err := json.Marshal(map[string]string{"query": `{ publicLinksByCriteria(spaceId: "` + wideSpace(s) + `") { nodes { publicLinkUrlPath } } }`})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := way.GraphQL.Client.Do(t.Context(), httpx.Request{Method: http.MethodPost, Ref: way.GraphQL.Path, Body: question})
	if err != nil || !bytes.Contains(answer.Body, []byte(canary)) {
		t.Errorf("the canary is not where it should be: %v", err)
	}
}

// TestHosts: each kind of credential is sent to the one host that takes it.
func TestHosts(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "many"})
	var mu sync.Mutex
	hosts := map[string]bool{}
	wire := s.options.Transport
	s.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, "/site/many/"):
			hosts["site"] = true
		case strings.HasPrefix(path, "/api/admin/"):
			hosts["admin"] = true
		case strings.HasPrefix(path, "/api/ex/confluence/"+s.sim.CloudID()+"/"), path == "/api/graphql":
			hosts["gateway"] = true
		case path == "/auth/oauth/token":
		default:
			hosts[path] = true
		}
		return wire.RoundTrip(r)
	})
	for kind, want := range map[string]string{
		schemas.Credential3LO: "gateway", schemas.CredentialServiceAccount: "gateway", schemas.CredentialScopedToken: "gateway",
		schemas.CredentialAPIToken: "site", schemas.CredentialAdminKey: "admin",
	} {
		clear(hosts)
		ways := slices.DeleteFunc(allWays(s), func(w confluence.Way) bool { return w.Kind != kind })
		for table, all := range readAll(t, s.source(with(ways...), func(settings *confluence.Settings) { settings.Open = func(string, string, string) bool { return true } })) {
			for p, r := range all {
				if state := r.state(); state != schemas.CoverageComplete && state != schemas.CoverageNotExposed {
					t.Errorf("%s: %s %q: %v", kind, table, p, r.err)
				}
			}
		}
		if diff := cmp.Diff(map[string]bool{want: true}, hosts); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	if n := len(s.srv.Trapped()); n > 0 {
		t.Errorf("%d requests left the pinned hosts", n)
	}
}
