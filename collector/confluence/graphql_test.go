package confluence_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

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
		if c.Credential != schemas.CredentialAPIToken || c.API == schemas.APIRest && c.Section != datasets.SectionAdminKey {
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
