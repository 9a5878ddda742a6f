package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// The simulated sites, and the tenants that watch them.
const (
	siteLarge = "large" // its permissions are read for all figures about time and memory
	siteFleet = "fleet" // of usual proportions: its calls are counted
	siteSmall = "small" // as in the demo: what a run costs beside its rows
)

// pageSize is the largest page of permissions (Confluence Cloud REST v2).
const pageSize = 250

// world is the simulated Atlassian.
type world struct {
	server              *confluencetest.Server
	app                 confluencetest.App
	large, fleet, small *confluencetest.Site
}

func newWorld(o options) (*world, error) {
	// Grants of one person to one app live side by side here: every round connects anew.
	srv := confluencetest.New(confluencetest.Settings{Seed: 1, KeepOlderGrants: true})
	w := &world{server: srv}
	w.large = srv.AddSite(confluencetest.SiteSettings{Name: siteLarge, Spaces: o.Spaces, PermissionsPerSpace: o.Rows, Exact: true, HiddenSpaces: -1, Groups: 60, Users: 400})
	w.fleet = srv.AddSite(confluencetest.SiteSettings{Name: siteFleet, Spaces: o.Fleet, PermissionsPerSpace: 60, Groups: max(8, o.Fleet/5), Users: max(40, 5*o.Fleet), Guests: o.Fleet / 20, MembersPerGroup: 40})
	w.small = srv.AddSite(small(siteSmall, 0, 40))
	w.addApp()
	return w, srv.Start()
}

// newTenants has many sites like the small one, which differ.
func newTenants(o options) (*world, error) {
	w := &world{server: confluencetest.New(confluencetest.Settings{Seed: 1, KeepOlderGrants: true})}
	for i, name := range tenantSites(o.Tenants) {
		w.server.AddSite(small(name, uint64(i), o.Small))
	}
	w.addApp()
	return w, w.server.Start()
}

// small is a site of the proportions of the demo's.
func small(name string, seed uint64, spaces int) confluencetest.SiteSettings {
	return confluencetest.SiteSettings{Name: name, Seed: seed, Spaces: spaces, PermissionsPerSpace: 25, Groups: spaces / 5, Users: 3 * spaces, Guests: spaces * 3 / 20}
}

func (w *world) addApp() {
	w.app = w.server.AddApp(confluencetest.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: confluencetest.AllScopes()})
}

func (w *world) refreshToken(site string) (string, error) {
	tokens, _, err := w.server.Connect(confluencetest.ConsentRequest{ClientID: w.app.ClientID, Sites: []string{site}})
	return tokens.RefreshToken, err
}

// record asks the large site for the permissions of each space, as a run does,
// and keeps the bytes of the answers in a file.
func (w *world) record(ctx context.Context, path string) (err error) {
	tokens, _, err := w.server.Connect(confluencetest.ConsentRequest{ClientID: w.app.ClientID, Sites: []string{siteLarge}})
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	base := w.server.APIURL() + "/ex/confluence/" + w.large.CloudID() + "/wiki/api/v2/spaces/"
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	for _, s := range w.large.Truth().Spaces {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s%s/permissions?limit=%d", base, s.ID, pageSize), http.NoBody)
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+tokens.AccessToken)
		req.Header.Set("Accept", "application/json")
		page, err := fetch(transport, req)
		if err != nil {
			return fmt.Errorf("record the permissions of space %s: %w", s.ID, err)
		}
		if err := appendPage(out, page); err != nil {
			return err
		}
	}
	return out.Flush()
}

func fetch(t http.RoundTripper, req *http.Request) ([]byte, error) {
	resp, err := t.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
	}
	return body, err
}

// served is the number of bytes of permission pages that the large site has
// served since the log of requests was emptied.
func (w *world) served() (pages, bytes int) {
	for _, r := range w.large.Requests() {
		if strings.HasSuffix(r.Endpoint, "/permissions") {
			pages++
			bytes += r.Bytes
		}
	}
	return pages, bytes
}

// minimum is the smallest number of calls for one snapshot of a site, from the
// page sizes and the objects that have a call of their own: spaces, the
// permissions of each, groups, the members of each, the users in bulk, the data
// policies of spaces, classification levels, a quiet audit log, and three settings.
func minimum(t confluencetest.Truth) int {
	calls := pages(len(t.Spaces), 250) + pages(len(t.Groups), 200) + pages(len(t.Users), 250) + pages(len(t.Spaces), 250) + 1 + 1 + 3
	for _, rows := range t.Permissions {
		calls += pages(len(rows), pageSize)
	}
	for _, members := range t.Members {
		calls += pages(len(members), 200)
	}
	return calls
}

func pages(items, size int) int { return max(1, (items+size-1)/size) }
