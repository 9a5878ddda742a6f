package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// connectedApp is the parts that deal with tokens, over a simulated provider with
// one site.
func connectedApp(t *testing.T) (a *app, provider *sim.Server, connect func(person string)) {
	t.Helper()
	return connectedAppAt(t, time.Now)
}

func connectedAppAt(t *testing.T, now func() time.Time) (a *app, provider *sim.Server, connect func(person string)) {
	t.Helper()
	provider = sim.New(sim.Settings{Seed: 2, Now: now})
	if err := provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(provider.Close)
	site := provider.AddSite(sim.SiteSettings{Name: "acme", Spaces: 2, Users: 4, Groups: 1})
	client := provider.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	cfg.Endpoints = config.Endpoints{Auth: provider.AuthURL(), API: provider.APIURL()}
	cfg.Network.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	cfg.OAuth.ClientID = client.ClientID
	cfg.Tenants = []config.Tenant{{ID: "acme", Name: "acme", Site: site.URL()}}
	var err error
	if cfg.OAuth.ClientSecret, err = secretFile(t.TempDir(), client.ClientSecret); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	a, err = open(t.Context(), cfg, outside{now: now, trace: func(string) {}, vault: v}, zap.NewNop(), needs{tokens: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return a, provider, func(person string) {
		t.Helper()
		code, err := provider.Consent(sim.ConsentRequest{ClientID: client.ClientID, AccountID: provider.AddPerson(sim.Person{Name: person}).AccountID, Sites: []string{"acme"}, Scopes: append(slices.Clone(wantedScopes(schemas.Credential3LO)), "offline_access")})
		if err != nil {
			t.Fatal(err)
		}
		consent := &oauth.Consent{Provider: a.provider, Store: a.store, Vault: a.vault, Transport: a.transport, Now: a.out.now}
		if _, err := consent.CompleteWithCode(t.Context(), oauth.Request{Tenant: "acme", SiteURL: site.URL(), Scopes: wantedScopes(schemas.Credential3LO)}, code); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRunKeepsItsGrant checks that a run reads by the grant that it began with:
// its tokens may rotate, and another person's consent ends it.
func TestRunKeepsItsGrant(t *testing.T) {
	a, provider, connect := connectedApp(t)
	began := func() *access {
		t.Helper()
		c, err := a.store.Credential(t.Context(), "acme", collector.CredentialKind3LO)
		if err != nil {
			t.Fatal(err)
		}
		run, err := a.access(c)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	connect("First")
	run := began()
	first, generation, err := run.Authorization(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	provider.ExpireAccessTokens()
	if err := run.Refused(t.Context(), generation); err != nil {
		t.Fatal(err)
	}
	rotated, next, err := run.Authorization(t.Context())
	if err != nil || rotated == first || next <= generation {
		t.Fatalf("after a rotation: generation %d after %d, the same token: %v, %v", next, generation, rotated == first, err)
	}

	connect("Second")
	a.tokens.Replaced("acme", collector.CredentialKind3LO) // as when the memory of tokens is read anew
	_, _, err = run.Authorization(t.Context())
	if said := (*collector.ReadError)(nil); !errors.As(err, &said) || said.State != schemas.CoverageFailed || !errors.Is(err, errReplaced) {
		t.Fatalf("a run that began with another grant: %v", err)
	}
	if header, _, err := began().Authorization(t.Context()); err != nil || header == rotated {
		t.Fatalf("the run after it uses the old grant: %v, %v", header == rotated, err)
	}
}

// TestNoOldTokenForANewRun checks that a token of the grant before, which this
// process still holds in memory, is not used for a run that began after another
// person's consent.
func TestNoOldTokenForANewRun(t *testing.T) {
	a, _, connect := connectedApp(t)
	header := func() string {
		t.Helper()
		c, err := a.store.Credential(t.Context(), "acme", collector.CredentialKind3LO)
		if err != nil {
			t.Fatal(err)
		}
		run, err := a.access(c)
		if err != nil {
			t.Fatal(err)
		}
		h, _, err := run.Authorization(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	connect("First")
	first := header()
	connect("Second")
	if header() == first {
		t.Error("the first person's token is used for a run of the second person's grant")
	}
}

// TestConsentForATenantThatIsGone: a person takes minutes to consent. A tenant that
// was removed meanwhile does not come back, and one that moved gets no grant that
// was given for its old site.
func TestConsentForATenantThatIsGone(t *testing.T) {
	a, provider, _ := connectedApp(t)
	site, err := a.store.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	for name, meanwhile := range map[string]func() error{
		"moved": func() error {
			there := site
			there.SiteURL = "https://elsewhere.atlassian.net"
			return a.store.PutTenant(t.Context(), there)
		},
		"removed": func() error { return a.store.RemoveTenant(t.Context(), "acme", time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := a.store.PutTenant(t.Context(), site); err != nil {
				t.Fatal(err)
			}
			code, err := provider.Consent(sim.ConsentRequest{ClientID: a.cfg.OAuth.ClientID, AccountID: provider.AddPerson(sim.Person{Name: name}).AccountID, Sites: []string{"acme"}})
			if err != nil {
				t.Fatal(err)
			}
			if err := meanwhile(); err != nil {
				t.Fatal(err)
			}
			consent := &oauth.Consent{Provider: a.provider, Store: consentStore{a.store, site}, Vault: a.vault, Transport: a.transport, Now: a.out.now}
			_, err = consent.CompleteWithCode(t.Context(), oauth.Request{Tenant: "acme", SiteURL: site.SiteURL}, code)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "nothing was stored") {
				t.Errorf("error %v", err)
			}
			if left, err := a.store.TenantCredentials(t.Context(), "acme"); err != nil || len(left) > 0 {
				t.Errorf("stored: %v, %v", left, err)
			}
		})
	}
}

// TestConsentBesideRemoval ends consents while tenants are removed, or move to
// another address: no grant is left of the one or, on Data Center, of the other.
func TestConsentBesideRemoval(t *testing.T) {
	a, _, _ := connectedApp(t)
	kept := 0
	for i := range 60 {
		there := collector.Tenant{ID: fmt.Sprintf("t%d", i), Name: "T", SiteURL: "https://here.example", Deployment: schemas.DataCenter, CreatedAt: time.Now()}
		if err := a.store.PutTenant(t.Context(), there); err != nil {
			t.Fatal(err)
		}
		elsewhere := there
		elsewhere.SiteURL = "https://elsewhere.example"
		var both sync.WaitGroup
		var consented, changed error
		both.Go(func() {
			_, consented = consentStore{a.store, there}.PutConsent(t.Context(), collector.Credential{Tenant: there.ID, Kind: schemas.CredentialDCOAuth, State: collector.CredentialOK, Generation: 1, Sealed: []byte("sealed")})
		})
		both.Go(func() {
			if i%2 == 0 {
				changed = a.store.RemoveTenant(t.Context(), there.ID, time.Now())
			} else {
				changed = a.change(t.Context(), []tenantChange{{before: there, after: elsewhere}})
			}
		})
		both.Wait()
		if changed != nil {
			t.Fatal(changed)
		}
		if consented == nil {
			kept++ // and erased afterwards
		}
		if left, err := a.store.TenantCredentials(t.Context(), there.ID); err != nil || len(left) > 0 {
			t.Fatalf("round %d: %d grants are left (%v); the consent ended with %v", i, len(left), err, consented)
		}
	}
	t.Logf("%d of 60 consents ended well", kept)
}

// TestAnotherAddressForgetsTheCloudID: under the old id the old site would be read,
// and told of as the new one.
func TestAnotherAddressForgetsTheCloudID(t *testing.T) {
	a, _, connect := connectedApp(t)
	connect("Somebody")
	configured := a.cfg.Tenants
	a.cfg.Tenants = nil // as one that was added by hand
	put := func(site string) string {
		t.Helper()
		if _, err := opPutTenants(t.Context(), a, putParams{Tenants: []config.Tenant{{ID: "acme", Name: "acme", Site: site, Deployment: schemas.Cloud}}}, nil); err != nil {
			t.Fatal(err)
		}
		now, err := a.store.Tenant(t.Context(), "acme")
		if err != nil || now.SiteURL != site {
			t.Fatalf("%+v, %v", now, err)
		}
		return now.CloudID
	}
	known := collector.Tenant{ID: "acme", Name: "acme", SiteURL: configured[0].Site, Deployment: schemas.Cloud, CloudID: "0d0d0d0d-0000-4000-8000-000000000000", CreatedAt: time.Now()}
	if err := a.store.PutTenant(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	if id := put(known.SiteURL); id != known.CloudID {
		t.Errorf("at the same address the id is %q", id)
	}
	if id := put("https://elsewhere.atlassian.net"); id != "" {
		t.Errorf("at another address the id is %q", id)
	}
	if err := a.store.PutTenant(t.Context(), known); err != nil {
		t.Fatal(err)
	}
	a.cfg.Tenants = []config.Tenant{{ID: "acme", Name: "acme", Site: "https://elsewhere.atlassian.net", Deployment: schemas.Cloud}}
	if err := a.storeTenants(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now, err := a.store.Tenant(t.Context(), "acme"); err != nil || now.CloudID != "" {
		t.Errorf("configured with another address: %+v, %v", now, err)
	}
}

// TestAnotherSiteIsAnotherTenant: neither a list nor the configuration makes a tenant
// another site, or brings a removed tenant's rows back as those of another site.
func TestAnotherSiteIsAnotherTenant(t *testing.T) {
	a, _, connect := connectedApp(t)
	connect("Somebody")
	acme := a.cfg.Tenants[0]
	a.cfg.Tenants = nil // as one that was added by hand
	put := func(p putParams) error {
		_, err := opPutTenants(t.Context(), a, p, nil)
		return err
	}
	tenant := func(id, site, cloud string) config.Tenant {
		return config.Tenant{ID: id, Name: id, Site: site, Deployment: schemas.Cloud, CloudID: cloud}
	}
	const first, second = "0d0d0d0d-0000-4000-8000-000000000000", "1d1d1d1d-0000-4000-8000-000000000000"
	if err := put(putParams{Tenants: []config.Tenant{tenant("acme", acme.Site, first)}}); err != nil {
		t.Fatal(err)
	}
	for what, p := range map[string]putParams{
		"another cloud id":                  {Tenants: []config.Tenant{tenant("acme", acme.Site, second)}},
		"another cloud id, another address": {Tenants: []config.Tenant{tenant("acme", "https://elsewhere.atlassian.net", second)}},
		"a cloud id that is taken":          {New: true, Tenants: []config.Tenant{tenant("globex", "https://globex.atlassian.net", strings.ToUpper(first))}},
	} {
		if err := put(p); err == nil || !strings.Contains(err.Error(), "tenant") {
			t.Errorf("%s: %v", what, err)
		}
	}
	configured := func(list ...config.Tenant) error {
		a.cfg.Tenants = list
		defer func() { a.cfg.Tenants = nil }()
		return a.storeTenants(t.Context())
	}
	if err := configured(tenant("acme", acme.Site, second)); err == nil || !strings.Contains(err.Error(), "another site") {
		t.Errorf("another cloud id in the configuration: %v", err)
	}
	if now, err := a.store.Tenant(t.Context(), "acme"); err != nil || now.CloudID != first || now.SiteURL != acme.Site {
		t.Errorf("after all that was refused: %+v, %v", now, err)
	}

	if _, err := opRemove(t.Context(), a, removeParams{ID: "acme"}, nil); err != nil {
		t.Fatal(err)
	}
	back := tenant("acme", "https://elsewhere.atlassian.net", "")
	for what, err := range map[string]error{"added": put(putParams{New: true, Tenants: []config.Tenant{back}}), "configured": configured(back)} {
		if err == nil || !strings.Contains(err.Error(), "tenants remove acme --erase") {
			t.Errorf("%s after its rows stayed: %v", what, err)
		}
	}
	if err := put(putParams{New: true, Tenants: []config.Tenant{tenant("acme", acme.Site, "")}}); err != nil {
		t.Errorf("the same site again: %v", err)
	}
}

// TestTokensOfAnotherSiteAreNotUsed: a run that began before its tenant moved must
// not send what was stored since to the old site.
func TestTokensOfAnotherSiteAreNotUsed(t *testing.T) {
	a, _, connect := connectedApp(t)
	connect("Somebody")
	before, err := a.store.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	before.CloudID = "0d0d0d0d-0000-4000-8000-000000000000"
	if err := a.store.PutTenant(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.openSource(t.Context(), before, tables(), nil, refusals{a.store, a.out.now, a.log}); err != nil {
		t.Fatal(err)
	}
	after := before
	after.SiteURL = "https://elsewhere.atlassian.net"
	if err := a.store.PutTenant(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.openSource(t.Context(), before, tables(), nil, refusals{a.store, a.out.now, a.log}); err == nil || !strings.Contains(err.Error(), after.SiteURL) {
		t.Errorf("a source of the old site: %v", err)
	}
}
