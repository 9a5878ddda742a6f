package confluencetest_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestAdministratorsOnly(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	in := newInsider(t, srv, site)
	site.EnableAdminKey(in.token.AccountID, time.Now().Add(time.Hour))
	site.DenyAdministration(true)
	a := parseAnswer(t, in.post(`{ publicLinkSiteStatus { status } sitePermissions { anonymous { type } } }`, nil))
	if len(a.Errors) != 2 || fmt.Sprint(a.Errors[0].Extensions["statusCode"]) != "403" || string(a.Data) != `{"publicLinkSiteStatus":null,"sitePermissions":null}` {
		t.Errorf("%+v", a)
	}
	for path, status := range map[string]int{
		"/wiki/rest/plugins/1.0/": 403, "/wiki/rest/license/1.0/license/userCount": 403, "/wiki/api/v2/admin-key": 404, "/wiki/rest/api/audit/retention": 403, "/wiki/api/v2/spaces": 200,
	} {
		if p := in.get(path, "Accept", "application/vnd.atl.plugins.installed+json"); p.status != status {
			t.Errorf("%s: %d, want %d", path, p.status, status)
		}
	}
	site.DenyAdministration(false)
	if p := in.get("/wiki/api/v2/admin-key"); p.status != http.StatusOK {
		t.Errorf("allowed again: %d", p.status)
	}
}

func TestPrivateEndpointsAreTakenStrictly(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	oauth := reader(t, srv, site)
	in := newInsider(t, srv, site)
	p := site.Posture()
	i := slices.IndexFunc(p.Apps, func(a confluencetest.InstalledApp) bool { return a.Kind == "connect" && a.License != nil })
	app := url.PathEscape(p.Apps[i].ID)
	const installed, one = "application/vnd.atl.plugins.installed+json", "application/vnd.atl.plugins.plugin+json"
	for _, tt := range []struct {
		path, accept string
		status       int
	}{
		{"/wiki/rest/plugins/1.0/", installed, 200},
		{"/wiki/rest/plugins/1.0/", "text/html, " + installed + ";q=0.5", 200},
		{"/wiki/rest/plugins/1.0/", "application/json", 406},
		{"/wiki/rest/plugins/1.0/", "", 406},
		{"/wiki/rest/plugins/1.0", installed, 404},
		{"/wiki/rest/plugins/1.0/?updates=true", installed, 400},
		{"/wiki/rest/plugins/1.0/" + app + "-key", one, 200},
		{"/wiki/rest/plugins/1.0/" + app + "-key", installed, 406},
		{"/wiki/rest/plugins/1.0/" + app, one, 404},
		{"/wiki/rest/plugins/1.0/-key", one, 404},
		{"/wiki/rest/plugins/1.0/unknown-key", one, 404},
		{"/wiki/rest/plugins/1.0/" + app + "-key/license", "", 200},
		{"/wiki/rest/plugins/1.0/unknown-key/license", "", 404},
		{"/wiki/rest/license/1.0/license/userCount", "", 200},
		{"/wiki/rest/license/1.0/license/details", "", 404},
		{"/wiki/api/v2/admin-key", "", 404},
		{"/wiki/api/v2/admin-key?x=1", "", 400},
	} {
		if p := in.get(tt.path, "Accept", tt.accept); p.status != tt.status {
			t.Errorf("%s (%s): status %d, want %d: %.200s", tt.path, tt.accept, p.status, tt.status, p.body)
		}
	}
	for _, path := range []string{"/wiki/rest/plugins/1.0/", "/wiki/rest/license/1.0/license/maxUsers", "/wiki/api/v2/admin-key"} {
		if p := oauth.get(path); p.status != http.StatusUnauthorized || compact(p.body) != `{"code":401,"message":"Unauthorized; scope does not match"}` {
			t.Errorf("3LO on the gateway %s: %d %s", path, p.status, p.body)
		}
		if p := send(t, http.MethodGet, site.URL()+path, "", bearer(oauth.token)); p.status != http.StatusUnauthorized {
			t.Errorf("3LO on the host %s: %d", path, p.status)
		}
	}
	site.HideLicence(true)
	if p := in.get("/wiki/rest/license/1.0/license/userCount"); p.status != http.StatusNotFound {
		t.Errorf("hidden licence: %d", p.status)
	}
	site.EnableAdminKey("557058:somebody-else", now.Now().Add(time.Hour))
	if p := in.get("/wiki/api/v2/admin-key"); p.status != http.StatusNotFound {
		t.Errorf("somebody else's key: %d", p.status)
	}
	site.EnableAdminKey(in.token.AccountID, now.Now().Add(10*time.Minute))
	if p := in.get("/wiki/api/v2/admin-key"); compact(p.body) != `{"accountId":"`+in.token.AccountID+`","expirationTime":"2026-03-02T09:30:00.000Z"}` {
		t.Errorf("own key: %s", p.body)
	}
	now.Add(10 * time.Minute)
	if p := in.get("/wiki/api/v2/admin-key"); p.status != http.StatusNotFound || site.Posture().AdminKey != nil {
		t.Errorf("a key that ended: %d", p.status)
	}
	for _, name := range confluencetest.PrivateEndpoints() {
		if slices.Contains(confluencetest.Endpoints(), name) {
			t.Errorf("%s is listed twice", name)
		}
	}
}
