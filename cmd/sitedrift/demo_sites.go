package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// demoRedirect is where consent would come back to. Nobody listens there: the demo
// takes the code past the browser.
const demoRedirect = "http://127.0.0.1:8917/callback"

// found makes a story's site with its everyday history, and the tenant as a
// configuration names it.
func (d *demo) found(s *story, seed uint64) config.Tenant {
	t := config.Tenant{ID: s.tenant, Name: s.name, Deployment: schemas.Cloud}
	if s.daily {
		t.Schedules = map[string]string{schemas.GroupPosture: "17 6 * * *"}
	}
	from := d.start.Add(12 * time.Hour)
	if s.settings.Spaces == 0 {
		s.center.Name, s.center.Seed = s.tenant, seed
		s.dc = d.server.AddDataCenter(s.center)
		s.dc.GenerateHistory(100+seed, from, d.end, 1)
		t.Deployment, t.Site = schemas.DataCenter, s.dc.URL()
		return t
	}
	s.settings.Name, s.settings.Seed = s.tenant, seed
	s.site = d.server.AddSite(s.settings)
	s.site.GenerateHistory(100+seed, from, d.end, 2)
	t.Site = s.site.URL()
	if slices.Contains(s.kinds, schemas.CredentialAdminKey) {
		s.org = d.server.AddOrganization(sim.OrganizationSettings{Name: s.name, Seed: seed, Sites: []string{s.tenant}})
	}
	if !slices.Contains(s.kinds, schemas.Credential3LO) {
		t.CloudID = s.site.CloudID() // no consent tells it
	}
	return t
}

// connect gives a tenant a credential of a kind, as the named person would.
func (d *demo) connect(ctx context.Context, s *story, kind, name string) error {
	keep := oauth.Static{Tenant: s.tenant, Kind: kind, Scopes: wantedScopes(kind)}
	switch kind {
	case schemas.Credential3LO, schemas.CredentialDCOAuth:
		return d.consent(ctx, s, kind, name)
	case schemas.CredentialServiceAccount:
		account := d.server.AddApp(sim.App{Name: name, ServiceAccount: true, ServiceSites: []string{s.tenant}, Scopes: keep.Scopes})
		keep.ClientID, keep.Secret = account.ClientID, vault.NewSecret(account.ClientSecret)
	case schemas.CredentialAPIToken:
		p := d.server.AddPerson(sim.Person{Name: name + "'s token", Email: "collector@" + s.tenant + ".example"})
		keep.ExpiresAt = d.end.AddDate(0, 9, 0)
		token := d.server.AddToken(sim.APIToken{Email: p.Email, AccountID: p.AccountID, Expires: keep.ExpiresAt})
		keep.Account, keep.Secret = p.Email, vault.NewSecret(token.Token)
	case schemas.CredentialAdminKey:
		keep.Secret = vault.NewSecret(s.org.AddAdminKey(keep.Scopes, time.Time{}).Key)
	case schemas.CredentialDCToken:
		keep.Secret = vault.NewSecret(s.dc.AddPAT(sim.DCPAT{Name: name}).Token)
	default:
		return fmt.Errorf("the demo has no credential of the kind %s", kind)
	}
	_, err := d.app.tokens.Keep(ctx, keep)
	return err
}

// consent gets a grant past the browser: the person's answer comes from the
// simulator, and is exchanged, checked and stored like any.
func (d *demo) consent(ctx context.Context, s *story, kind, name string) error {
	t, err := d.app.store.Tenant(ctx, s.tenant)
	if err != nil {
		return err
	}
	wanted := wantedScopes(kind)
	request := oauth.Request{Tenant: t.ID, SiteURL: t.SiteURL, CloudID: t.CloudID, Scopes: wanted}
	provider, code := d.app.provider, ""
	if kind == schemas.CredentialDCOAuth {
		link := s.dc.AddClient(sim.DCClient{Name: name, RedirectURIs: []string{demoRedirect}, Scope: "ADMIN"})
		verifier := rand.Text() + rand.Text() // 43 characters at least (RFC 7636)
		challenge := sha256.Sum256([]byte(verifier))
		code, err = s.dc.Consent(sim.DCConsent{ClientID: link.ClientID, CodeChallenge: base64.RawURLEncoding.EncodeToString(challenge[:])})
		request.Verifier = vault.NewSecret(verifier)
		provider = oauth.DataCenter(t.SiteURL, link.ClientID, vault.NewSecret(link.ClientSecret), demoRedirect)
	} else {
		granted := slices.Clone(s.scopes)
		if granted == nil {
			granted = slices.Clone(wanted)
		}
		code, err = d.server.Consent(sim.ConsentRequest{
			ClientID: provider.ClientID, AccountID: d.server.AddPerson(sim.Person{Name: name}).AccountID, Sites: []string{s.tenant}, Scopes: append(granted, "offline_access"),
		})
	}
	if err != nil {
		return err
	}
	consent := &oauth.Consent{Provider: provider, Store: d.app.store, Vault: d.app.vault, Transport: d.app.transport, Now: d.clock.now, Log: d.app.log, Again: connectCommand}
	res, err := consent.CompleteWithCode(ctx, request, code)
	if err != nil {
		return err
	}
	t.CloudID = res.CloudID
	return d.app.store.PutTenant(ctx, t)
}

// secretFile puts the simulated app's secret where the configuration can name it.
func secretFile(dir, secret string) (config.Ref, error) {
	path := filepath.Join(dir, "client-secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return config.Ref{}, fmt.Errorf("write the simulated app's secret: %w", err)
	}
	return config.FileRef(path), nil
}
