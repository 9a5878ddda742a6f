//go:build linux && !noengine

package main

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// wayWorld is a tenant with a site, watched by the whole system under a clock that
// the test moves.
type wayWorld struct {
	*demo
	t    *testing.T
	site *sim.Site
}

func newWayWorld(t *testing.T) *wayWorld {
	t.Helper()
	d := &demo{clock: &clock{t: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}}
	d.server = sim.New(sim.Settings{Seed: 5, Now: d.clock.now})
	if err := d.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.server.Close)
	application := d.server.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
	site := d.server.AddSite(sim.SiteSettings{Name: "acme", Spaces: 6, PermissionsPerSpace: 4, Groups: 5, Users: 12, Guests: 2})
	cfg := demoConfig(t.TempDir(), d.server.AuthURL(), d.server.APIURL(), application.ClientID, []config.Tenant{{ID: "acme", Name: "Acme", Site: site.URL()}})
	var err error
	if cfg.OAuth.ClientSecret, err = secretFile(t.TempDir(), application.ClientSecret); err != nil {
		t.Fatal(err)
	}
	if d.app, err = newDemoApp(t.Context(), cfg, d.clock, zap.NewNop(), []string{program(t), "engine"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.app.close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	w := &wayWorld{demo: d, t: t, site: site}
	w.consent()
	return w
}

// TestDemoWithoutItsPort: another program may have the port where the demo would
// answer SQL.
func TestDemoWithoutItsPort(t *testing.T) {
	t.Parallel()
	if other, err := net.Listen("tcp", "127.0.0.1:8123"); err == nil { // else it is taken already
		defer other.Close()
	}
	w := newWayWorld(t)
	if at := w.app.engine.HTTPAddr(); at == "127.0.0.1:8123" || !strings.HasPrefix(at, "127.0.0.1:") {
		t.Errorf("SQL is answered at %q", at)
	}
}

// consent lets the site's administrator grant access.
func (w *wayWorld) consent() {
	t, d, site := w.t, w.demo, w.site
	t.Helper()
	code, err := d.server.Consent(sim.ConsentRequest{ClientID: d.app.cfg.OAuth.ClientID, Sites: []string{"acme"}, Scopes: append(wantedScopes(schemas.Credential3LO), "offline_access")})
	if err != nil {
		t.Fatal(err)
	}
	consent := &oauth.Consent{Provider: d.app.provider, Store: d.app.store, Vault: d.app.vault, Transport: d.app.transport, Now: d.clock.now}
	res, err := consent.CompleteWithCode(t.Context(), oauth.Request{Tenant: "acme", SiteURL: site.URL(), Scopes: wantedScopes(schemas.Credential3LO)}, code)
	if err != nil {
		t.Fatal(err)
	}
	tenant, err := d.app.store.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	tenant.CloudID = res.CloudID
	if err := d.app.store.PutTenant(t.Context(), tenant); err != nil {
		t.Fatal(err)
	}
}

// sync runs all datasets after the given time.
func (w *wayWorld) sync(after time.Duration) {
	w.t.Helper()
	w.clock.set(w.clock.now().Add(after))
	if _, err := opSync(w.t.Context(), w.app, syncParams{Tenant: "acme"}, func(any) {}); err != nil {
		w.t.Fatal(err)
	}
}

// want compares the answer to a question, a row a line.
func (w *wayWorld) want(sql string, want ...string) {
	w.t.Helper()
	rows, err := w.rows(w.t.Context(), sql)
	if err != nil {
		w.t.Fatal(err)
	}
	got := []string{}
	for _, r := range rows {
		var cells []string
		for _, v := range r {
			cells = append(cells, v.Text())
		}
		got = append(got, strings.Join(cells, " "))
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", sql, diff)
	}
}

// TestCredentialsComeAndGo: a tenant gets a classic token beside its grant, and
// loses it again. Datasets that are read by another source from then on begin an
// epoch, told as one change; nothing is told as added, changed or removed.
func TestCredentialsComeAndGo(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'site_permissions'", "not_exposed")
	account := w.server.AddPerson(sim.Person{Name: "Token", Email: "token@acme.example"})
	token := w.server.AddToken(sim.APIToken{AccountID: account.AccountID})
	if _, err := opConnect(t.Context(), w.app, connectParams{Tenant: "acme", Kind: schemas.CredentialAPIToken, Account: token.Email, Secret: token.Token}, nil); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	w.want("SELECT dataset, state FROM tiles WHERE tenant_id = 'acme' AND dataset IN ('site_permissions', 'public_link_spaces', 'external_collaborators', 'subscriptions') ORDER BY dataset",
		"external_collaborators complete", "public_link_spaces complete", "site_permissions complete", "subscriptions complete")
	const how = "SELECT dataset, evidence FROM coverage WHERE tenant_id = 'acme' AND dataset IN ('external_collaborators', 'spaces') ORDER BY dataset"
	w.want(how, "external_collaborators read by graphql with api_token (unscoped)", "spaces read by rest with 3lo")
	const parts = "SELECT dataset, partition_id, state FROM coverage WHERE tenant_id = 'acme' AND (dataset = 'installed_apps' OR dataset = 'security_configuration' AND partition_id IN ('', 'system_info', 'admin_key')) ORDER BY dataset, partition_id"
	w.want(parts, "installed_apps  complete", "installed_apps connect complete", "installed_apps forge complete",
		"security_configuration  partial", "security_configuration admin_key complete", "security_configuration system_info complete")
	posture := w.site.Posture()
	w.want("SELECT count() FROM external_collaborators WHERE tenant_id = 'acme' AND spaces_known", strconv.Itoa(len(posture.Guests)))
	w.sync(time.Hour)
	if _, err := opConnect(t.Context(), w.app, connectParams{Tenant: "acme", Kind: schemas.CredentialAPIToken, Forget: true}, nil); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'site_permissions'", "not_exposed")
	w.want(how, "external_collaborators read by rest with 3lo", "spaces read by rest with 3lo")
	w.want(parts, "installed_apps  not_exposed", "installed_apps connect not_exposed", "installed_apps forge not_exposed",
		"security_configuration  partial", "security_configuration admin_key not_exposed", "security_configuration system_info complete")
	w.want("SELECT change, count() FROM changes WHERE tenant_id = 'acme' AND change NOT IN ('baseline', 'coverage') GROUP BY change")
	// Of every dataset nothing is told but where it begins: external_collaborators and
	// security_configuration change their source twice; the others are read by the
	// grant all the while, or by the token alone and for the first time.
	w.want("SELECT dataset, countIf(JSONExtractString(after, 'reason') = 'first run') AS first, countIf(JSONExtractString(after, 'reason') = 'credentials changed') AS epochs, count() - first - epochs AS other FROM changes WHERE tenant_id = 'acme' AND change = 'baseline' GROUP BY dataset ORDER BY dataset",
		"classification_levels 1 0 0", "data_policies 1 0 0", "external_collaborators 1 2 0", "group_members 1 0 0",
		"groups 1 0 0", "installed_apps 1 0 0", "public_link_spaces 1 0 0", "public_links 1 0 0",
		"security_configuration 1 2 0", "site_permissions 1 0 0", "space_permissions 1 0 0", "spaces 1 0 0",
		"subscriptions 1 0 0", "user_activity 1 0 0", "users 1 0 0")
	w.want("SELECT count() > 0 FROM site_permissions WHERE tenant_id = 'acme'", "1") // what was seen stays as it was seen last
}

// TestRefusedTokenGivesWay: a site refuses a token. What a grant reads instead goes
// on in a new epoch once the refusal has lasted, and comes back with another token;
// neither is told as anything but an epoch. What only the token opens stays as it was
// seen last. Before and after, everything says what the site says.
func TestRefusedTokenGivesWay(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	person := w.server.AddPerson(sim.Person{Name: "Token", Email: "token@acme.example"})
	connect := func() sim.APIToken {
		t.Helper()
		token := w.server.AddToken(sim.APIToken{AccountID: person.AccountID, Email: person.Email})
		if _, err := opConnect(t.Context(), w.app, connectParams{Tenant: "acme", Kind: schemas.CredentialAPIToken, Account: token.Email, Secret: token.Token}, nil); err != nil {
			t.Fatal(err)
		}
		return token
	}
	token := connect()
	w.sync(time.Hour)
	shown := func(state string, ok float64) {
		t.Helper()
		all, err := opTenants(t.Context(), w.app, tenantsParams{ID: "acme"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		c := all[0].Credentials[1]
		if c.Kind != schemas.CredentialAPIToken || c.State != state || (c.Unlock != "") != (state == credentialRefused) {
			t.Errorf("shown: %+v", c)
		}
		registry := prometheus.NewRegistry()
		registry.MustRegister(newStateCollector(w.app))
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			if f.GetName() == "sitedrift_credential_ok" && f.GetMetric()[1].GetGauge().GetValue() != ok {
				t.Errorf("%v", f)
			}
		}
		found, err := opCheck(t.Context(), w.app, tenantsParams{ID: "acme"}, nil)
		if err != nil || found.Credentials[1].State != state {
			t.Errorf("checked: %+v, %v", found.Credentials, err)
		}
	}
	const how = "SELECT state, evidence FROM coverage WHERE tenant_id = 'acme' AND dataset = 'external_collaborators'"
	w.want(how, "complete read by graphql with api_token (unscoped)")
	shown("ok", 1)

	w.server.RemoveToken(token)
	w.sync(time.Hour) // finds it out, and changes no source yet
	const refused = " forbidden the site refuses the credential itself: GET /wiki/rest/api/user/current: 401: Unauthorized make a new one and store it (sitedrift connect --tenant acme --kind api_token)"
	const told = "SELECT dataset, state, evidence, unlock FROM coverage WHERE tenant_id = 'acme' AND dataset IN ('external_collaborators', 'site_permissions') AND state != 'complete' ORDER BY dataset"
	w.want(told, "external_collaborators"+refused, "site_permissions"+refused)
	shown(credentialRefused, 0)
	w.sync(time.Hour)
	w.want(how, "complete read by rest with 3lo")
	w.want(told, "site_permissions"+refused)
	w.sync(time.Hour)
	connect()
	shown("ok", 1)
	w.sync(time.Hour)
	w.want(how, "complete read by graphql with api_token (unscoped)")
	w.want("SELECT change, count() FROM changes WHERE tenant_id = 'acme' AND change NOT IN ('baseline', 'coverage') GROUP BY change")
	w.want("SELECT dataset, count() FROM changes WHERE tenant_id = 'acme' AND change = 'baseline' AND JSONExtractString(after, 'reason') != 'first run' GROUP BY dataset ORDER BY dataset",
		"external_collaborators 2", "security_configuration 2")
}

// TestNamesBehindIDs: the readable view has the names of the same moment.
func TestNamesBehindIDs(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	group := ""
	for _, s := range w.site.Truth().Spaces {
		for _, p := range w.site.Truth().Permissions[s.ID] {
			if p.PrincipalType == "group" && slices.ContainsFunc(w.site.Truth().Groups, func(g sim.Group) bool { return g.ID == p.PrincipalID }) {
				group = p.PrincipalID
			}
		}
	}
	before := w.clock.now().Add(time.Second)
	const named = "SELECT DISTINCT principal_name FROM space_permissions_named%s WHERE tenant_id = 'acme' AND principal_type = 'group' AND principal_id = '%s'"
	w.want("SELECT name = ("+fmt.Sprintf(named, "", group)+") FROM groups WHERE tenant_id = 'acme' AND group_id = '"+group+"'", "1")
	if err := w.site.RenameGroup(group, "renamed"); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	w.want(fmt.Sprintf(named, "", group), "renamed")
	w.want("SELECT name = ("+fmt.Sprintf(named, "_at(at = '"+clickTime(before)+"')", group)+") FROM groups_at(at = '"+clickTime(before)+"') WHERE tenant_id = 'acme' AND group_id = '"+group+"'", "1")
	w.want("SELECT count() FROM space_permissions_named WHERE tenant_id = 'acme' AND space_name IS NULL", "0")
}

// TestProbeFindsWhatOpens: Atlassian opens a field to OAuth; the next probe finds
// it, and coverage and rows follow, without anybody touching the configuration.
func TestProbeFindsWhatOpens(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	w.site.OpenToOAuth("sitePermissions")
	w.sync(time.Hour)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'site_permissions'", "not_exposed") // asked an hour ago
	w.sync(8 * 24 * time.Hour)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'site_permissions'", "complete")
	p := w.site.Posture().SitePermissions
	want := len(p.Anonymous) + len(p.Unlicensed)
	for _, g := range p.Groups {
		want += len(g.Operations)
	}
	for _, g := range p.Persons {
		want += len(g.Operations)
	}
	w.want("SELECT count() FROM site_permissions WHERE tenant_id = 'acme'", strconv.Itoa(want))
	w.want("SELECT change, JSONExtractString(before, 'state'), JSONExtractString(after, 'state') FROM changes WHERE tenant_id = 'acme' AND dataset = 'site_permissions' ORDER BY change",
		"baseline  ", "coverage not_exposed complete")
	w.site.CloseToOAuth("sitePermissions")
	w.sync(time.Hour)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'site_permissions'", "not_exposed")
	w.want("SELECT count() FROM changes WHERE tenant_id = 'acme' AND dataset = 'site_permissions' AND change IN ('removed', 'vanished')", "0")
}

// TestTokensStayWithTheirSite: tokens that are sent to a tenant's own site are
// erased when its address changes; what goes to Atlassian's shared services stays.
func TestTokensStayWithTheirSite(t *testing.T) {
	a, provider, connect := connectedApp(t)
	connect("Somebody")
	a.cfg.Tenants = nil // as one that was added by hand
	if _, err := a.tokens.Keep(t.Context(), oauth.Static{Tenant: "acme", Kind: schemas.CredentialAPIToken, Account: "bot@acme.example", Secret: vault.NewSecret("secret-token")}); err != nil {
		t.Fatal(err)
	}
	other := provider.AddSite(sim.SiteSettings{Name: "elsewhere"})
	if _, err := opPutTenants(t.Context(), a, putParams{Tenants: []config.Tenant{{ID: "acme", Name: "acme", Site: other.URL(), Deployment: schemas.Cloud}}}, nil); err != nil {
		t.Fatal(err)
	}
	left, err := a.store.TenantCredentials(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{}
	for _, c := range left {
		kinds = append(kinds, c.Kind)
	}
	if !slices.Equal(kinds, []string{schemas.Credential3LO}) {
		t.Errorf("left: %v", kinds)
	}
}

// TestRoleModeIsOneEvent: a site that moves from permissions to roles shows other
// rows in every space, and is told of once.
func TestRoleModeIsOneEvent(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	w.site.ChangeSettings(func(c *sim.SiteConfiguration) { c.RoleMode = "ROLES" })
	for _, s := range w.site.Truth().Spaces { // as Atlassian's migration does
		for _, p := range w.site.Truth().Permissions[s.ID] {
			if err := w.site.RemovePermission(s.ID, p.ID); err != nil {
				t.Fatal(err)
			}
			if _, err := w.site.AddPermission(s.ID, sim.Permission{PrincipalType: "role", PrincipalID: "r", Operation: p.Operation, Target: p.Target}); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.sync(time.Hour)
	w.want("SELECT dataset, change, entity_name FROM changes WHERE tenant_id = 'acme' AND epoch > 1 AND dataset IN ('space_permissions', 'security_configuration') ORDER BY dataset",
		"space_permissions baseline space_permissions")
	w.want("SELECT before, after FROM changes WHERE tenant_id = 'acme' AND dataset = 'security_configuration' AND change = 'changed' AND entity_key = 'space_role_mode'",
		`{"value":"PRE_ROLES"} {"value":"ROLES"}`)
	w.want("SELECT state FROM tiles WHERE tenant_id = 'acme' AND dataset = 'space_role_assignments'", "complete")
	w.want("SELECT count() FROM changes WHERE tenant_id = 'acme' AND dataset = 'space_permissions' AND change != 'baseline'", "0")
}

// TestBlockedSpaceIsNotGone: a data security policy begins to keep a space's content
// from the app, and lets go of it again. The space is marked, by the one event there is;
// nothing of it is told as removed or out of view (Invariant 12).
func TestBlockedSpaceIsNotGone(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	policies := map[string]bool{}
	rows, err := w.rows(t.Context(), "SELECT space_id FROM data_policies WHERE tenant_id = 'acme'")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		policies[r[0].Text()] = true
	}
	truth := w.site.Truth()
	i := slices.IndexFunc(truth.Spaces, func(s sim.Space) bool { return !policies[s.ID] && len(truth.Permissions[s.ID]) > 0 })
	if i < 0 || len(policies) == 0 {
		t.Fatalf("%d spaces, of which %v are blocked: nothing can be shown", len(truth.Spaces), policies)
	}
	space := truth.Spaces[i].ID
	const told = "SELECT dataset, change, entity_key FROM changes WHERE tenant_id = 'acme' AND dataset NOT IN ('audit_events', 'user_activity') AND change != 'baseline' ORDER BY observed_at"
	for _, step := range []struct {
		blocked bool
		want    []string
	}{{true, []string{"data_policies added " + space}}, {false, []string{"data_policies added " + space, "data_policies removed " + space}}} {
		if err := w.site.BlockSpace(space, step.blocked); err != nil {
			t.Fatal(err)
		}
		w.sync(time.Hour)
		w.want(told, step.want...)
		w.want("SELECT count() FROM coverage WHERE tenant_id = 'acme' AND partition_id = '"+space+"' AND state != 'complete'", "0")
	}
}

// TestErasureIsCounted: removing a tenant erases its credentials at once and, on
// request, every row of it; what stays is a tombstone.
func TestErasureIsCounted(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.app.cfg.Tenants = nil // as one that was added by hand
	w.sync(time.Hour)
	stored := 0
	for _, table := range []string{"heads", "expected", "changes_log", "coverage_log", "runs_log"} {
		stored += w.count(table)
	}
	for _, d := range tables() {
		stored += w.count(d.Name + "_versions")
	}
	if stored < 100 {
		t.Fatalf("%d rows are too few to prove anything", stored)
	}
	res, err := opRemove(t.Context(), w.app, removeParams{ID: "acme"}, nil)
	if err != nil || res.Erased != -1 {
		t.Fatalf("%+v, %v", res, err)
	}
	if left, err := w.app.store.TenantCredentials(t.Context(), "acme"); err != nil || len(left) > 0 {
		t.Errorf("credentials are left: %v, %v", left, err)
	}
	w.want("SELECT count() FROM tiles WHERE tenant_id = 'acme'", "0")
	if res, err = opRemove(t.Context(), w.app, removeParams{ID: "acme", Erase: true}, nil); err != nil {
		t.Fatal(err)
	}
	// What it was meant to deliver was told once more, as removed: a row per dataset
	// that replaces another.
	if got := int(res.Erased); got < stored || got > stored+len(tables()) {
		t.Errorf("%d rows erased, %d were stored", got, stored)
	}
	for _, d := range tables() {
		w.want("SELECT count() FROM "+d.Name+"_versions WHERE tenant_id = 'acme'", "0")
	}
	stones, err := w.app.store.Tombstones(t.Context())
	if err != nil || len(stones) != 1 || stones[0].Tenant != "acme" || stones[0].Erased != res.Erased {
		t.Errorf("%+v, %v", stones, err)
	}
}

func (w *wayWorld) count(table string) int {
	w.t.Helper()
	rows, err := w.rows(w.t.Context(), "SELECT count() FROM "+table+" WHERE tenant_id = 'acme'")
	if err != nil {
		w.t.Fatal(err)
	}
	return number(w.t, rows[0][0].Text())
}

// TestChangesOfATenantWriteOfItAlone: of thousands, a pause does not write what is
// expected of all the others anew.
func TestChangesOfATenantWriteOfItAlone(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	if _, err := opPutTenants(t.Context(), w.app, putParams{Tenants: []config.Tenant{{ID: "other", Name: "other", Site: "https://other.atlassian.net", Deployment: schemas.Cloud}}}, nil); err != nil {
		t.Fatal(err)
	}
	w.clock.set(w.clock.now().Add(time.Hour))
	if _, err := opPause(t.Context(), w.app, pauseParams{ID: "other", Paused: true}, nil); err != nil {
		t.Fatal(err)
	}
	w.want("SELECT tenant_id, toString(countIf(updated_at > toDateTime64('"+w.clock.now().Add(-time.Minute).Format(time.DateTime)+"', 3, 'UTC')) > 0) FROM sitedrift.expected GROUP BY tenant_id ORDER BY tenant_id", "acme 0", "other 1")
	w.want("SELECT tenant_id FROM tiles WHERE paused GROUP BY tenant_id", "other")
}
