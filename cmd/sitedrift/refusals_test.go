package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestRefusalIsNoted: what a run finds out about each kind of token, key and secret
// is kept. A settled refusal closes the way, is tried again once a day, and ends
// when the site takes the credential, or with another one in its place.
func TestRefusalIsNoted(t *testing.T) {
	clock := &clock{t: time.Date(2026, 5, 4, 9, 0, 0, 0, time.UTC)}
	a, server, _ := connectedAppAt(t, clock.now)
	cloud, err := a.store.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	cloud.CloudID = server.Site("acme").CloudID()
	dc := server.AddDataCenter(sim.DataCenterSettings{Name: "wayne", Spaces: 2, Users: 3, Groups: 1})
	org := server.AddOrganization(sim.OrganizationSettings{Name: "Acme", Sites: []string{"acme"}})
	center := collector.Tenant{ID: "wayne", Name: "Wayne", SiteURL: dc.URL(), Deployment: schemas.DataCenter, CreatedAt: clock.now()}
	for _, tenant := range []collector.Tenant{cloud, center} {
		if err := a.store.PutTenant(t.Context(), tenant); err != nil {
			t.Fatal(err)
		}
	}
	classic, scoped := server.AddToken(sim.APIToken{}), server.AddToken(sim.APIToken{Scopes: sim.AllScopes()})
	account := server.AddApp(sim.App{ServiceAccount: true, Scopes: sim.AllScopes(), ServiceSites: []string{"acme"}})
	key, pat := org.AddAdminKey(sim.AdminScopes(), time.Time{}).Key, dc.AddPAT(sim.DCPAT{})
	turned := account // as if its secret was turned off
	turned.ClientSecret = "another"
	for _, test := range []struct {
		tenant       collector.Tenant
		table        *schemas.Dataset
		keep         oauth.Static
		kill, revive func()
	}{
		{
			cloud, datasets.Spaces.Dataset,
			oauth.Static{Kind: schemas.CredentialAPIToken, Account: classic.Email, Secret: vault.NewSecret(classic.Token)},
			func() { server.RemoveToken(classic) }, func() { server.AddToken(classic) },
		},
		{
			cloud, datasets.Spaces.Dataset,
			oauth.Static{Kind: schemas.CredentialScopedToken, Account: scoped.Email, Secret: vault.NewSecret(scoped.Token), Scopes: sim.AllScopes()},
			func() { server.RemoveToken(scoped) }, func() { server.AddToken(scoped) },
		},
		{
			cloud, datasets.Spaces.Dataset,
			oauth.Static{Kind: schemas.CredentialServiceAccount, ClientID: account.ClientID, Secret: vault.NewSecret(account.ClientSecret), Scopes: sim.AllScopes()},
			func() { server.AddApp(turned); server.ExpireAccessTokens(); clock.set(clock.now().Add(2 * time.Hour)) }, func() { server.AddApp(account) },
		},
		{
			cloud, datasets.Subscriptions.Dataset,
			oauth.Static{Kind: schemas.CredentialAdminKey, Secret: vault.NewSecret(key), Scopes: sim.AdminScopes()},
			func() { org.RemoveAdminKey(key) }, nil,
		},
		{
			center, datasets.Spaces.Dataset,
			oauth.Static{Kind: schemas.CredentialDCToken, Secret: vault.NewSecret(pat.Token)},
			func() { dc.RevokePAT(pat.Token) }, func() { dc.AddPAT(pat) },
		},
	} {
		t.Run(test.keep.Kind, func(t *testing.T) {
			test.keep.Tenant = test.tenant.ID
			if err := a.store.DeleteCredentials(t.Context(), test.tenant.ID); err != nil {
				t.Fatal(err)
			}
			stored, err := a.tokens.Keep(t.Context(), test.keep)
			if err != nil {
				t.Fatal(err)
			}
			run := func(after time.Duration, keeps bool) (said *collector.ReadError, known collector.Refusal) {
				t.Helper()
				clock.set(clock.now().Add(after))
				notes := refusals{a.store, a.out.now, a.log}
				if !keeps {
					notes.store = nil
				}
				source, _, err := a.openSource(t.Context(), test.tenant, tables(), nil, notes)
				if err == nil {
					err = source.Read(t.Context(), test.table, schemas.Whole, func(collector.Page) error { return nil })
				}
				if err != nil && !errors.As(err, &said) {
					t.Fatal(err)
				}
				c, err := a.store.Credential(t.Context(), test.tenant.ID, stored.Kind)
				if err != nil {
					t.Fatal(err)
				}
				return said, c.Refusal
			}
			if said, r := run(time.Hour, true); said != nil || r.Stands() {
				t.Fatalf("while it is good: %v, %+v", said, r)
			}
			test.kill()
			if said, r := run(time.Minute, false); said == nil || r.Stands() {
				t.Errorf("a check: %v, %+v", said, r)
			}
			if said, r := run(time.Minute, true); said == nil || !r.Stands() || r.Settled() {
				t.Errorf("the first refusal: %v, %+v", said, r)
			}
			if said, r := run(10*time.Minute, true); said == nil || r.Settled() {
				t.Errorf("soon after: %v, %+v", said, r)
			}
			said, settled := run(time.Hour, true)
			if said == nil || said.State != schemas.CoverageForbidden || !strings.Contains(said.Evidence, "since 2026-05-") || !strings.Contains(said.Unlock, "--kind "+stored.Kind) || !settled.Settled() {
				t.Errorf("later: %v, %+v", said, settled)
			}
			if _, r := run(time.Hour, true); r != settled {
				t.Errorf("asked again within the day: %+v", r)
			}
			if _, r := run(25*time.Hour, true); !r.Settled() || r.At.Equal(settled.At) {
				t.Errorf("not asked for a day: %+v", r)
			}
			if test.revive == nil {
				return
			}
			test.revive()
			if said, r := run(25*time.Hour, true); said != nil || r.Stands() {
				t.Errorf("while it is good again: %v, %+v", said, r)
			}
		})
	}
}
