//go:build linux && !noengine

package main

import (
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// TestAnotherSiteAnswers: behind the address of a tenant another site shows up, which
// the account of the tenant's classic token is on as well. Nothing of it is stored,
// in no group of datasets (Invariant 7), and what was known stays as it was.
func TestAnotherSiteAnswers(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.server.AddSite(sim.SiteSettings{Name: "globex", Spaces: 9, PermissionsPerSpace: 4, Groups: 3, Users: 7})
	there, err := url.Parse(w.server.URL())
	if err != nil {
		t.Fatal(err)
	}
	var moved atomic.Bool
	name := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(there)
		if moved.Load() {
			r.Out.URL.Path = strings.Replace(r.Out.URL.Path, "/site/acme/", "/site/globex/", 1)
			r.Out.URL.RawPath = ""
		}
	}})
	defer name.Close()
	if _, err := opPutTenants(t.Context(), w.app, putParams{Tenants: []config.Tenant{{ID: "renamed", Name: "Renamed", Site: name.URL + "/site/acme", Deployment: schemas.Cloud}}}, nil); err != nil {
		t.Fatal(err)
	}
	account := w.server.AddPerson(sim.Person{Name: "Token", Email: "token@acme.example"})
	token := w.server.AddToken(sim.APIToken{AccountID: account.AccountID})
	if _, err := opConnect(t.Context(), w.app, connectParams{Tenant: "renamed", Kind: schemas.CredentialAPIToken, Account: token.Email, Secret: token.Token}, nil); err != nil {
		t.Fatal(err)
	}
	sync := func() {
		t.Helper()
		w.clock.set(w.clock.now().Add(time.Hour))
		if _, err := opSync(t.Context(), w.app, syncParams{Tenant: "renamed"}, func(any) {}); err != nil {
			t.Fatal(err)
		}
	}
	sync()
	if now, err := w.app.store.Tenant(t.Context(), "renamed"); err != nil || now.CloudID != w.site.CloudID() {
		t.Errorf("the site said who it is, and the tenant is %+v, %v", now, err)
	}
	const known = "SELECT toString((SELECT (count(), sum(cityHash64(*))) FROM changes WHERE tenant_id = 'renamed' AND change != 'coverage')), toString((SELECT groupArray((dataset, rows_known)) FROM (SELECT * FROM tiles WHERE tenant_id = 'renamed' ORDER BY dataset)))"
	before, err := w.rows(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	moved.Store(true)
	sync()
	sync()
	w.want(known, before[0][0].Text()+" "+before[0][1].Text())
	w.want("SELECT DISTINCT outcome, error LIKE '%another site%' FROM runs WHERE tenant_id = 'renamed' AND started_at > (SELECT min(started_at) FROM runs WHERE tenant_id = 'renamed') + INTERVAL 30 MINUTE", "failed 1")
	w.want("SELECT state FROM tiles WHERE tenant_id = 'renamed' AND dataset IN ('spaces', 'groups', 'audit_events', 'site_permissions')", "failed", "failed", "failed", "failed")
	moved.Store(false)
	sync()
	w.want("SELECT count() FROM changes WHERE tenant_id = 'renamed' AND change NOT IN ('coverage', 'baseline')", "0")
	w.want("SELECT state FROM tiles WHERE tenant_id = 'renamed' AND dataset IN ('spaces', 'groups')", "complete", "complete")
}
