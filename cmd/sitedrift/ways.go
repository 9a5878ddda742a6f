package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/schemas"
)

// source opens what one run of a tenant reads from. Once a week it tries whether
// the vendor has opened a source that it kept closed; what opened is read at once.
func (a *app) source(ctx context.Context, t collector.Tenant, scope []*schemas.Dataset) (collector.Source, error) {
	exposed, err := a.store.Exposures(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	source, _, err := a.openSource(ctx, t, scope, exposed, refusals{a.store, a.out.now, a.log})
	if err != nil {
		return nil, err
	}
	now := a.out.now()
	found := source.Probe(ctx, func(dataset, section, credential string) bool {
		for _, e := range exposed {
			if e.Dataset == dataset && e.Section == section && e.Credential == credential {
				return now.Sub(e.ProbedAt) >= probeEvery
			}
		}
		return true
	})
	for _, e := range found {
		if err := a.store.PutExposure(ctx, e); err != nil {
			return nil, err
		}
		a.log.Info("probed a source that was closed", zap.String("tenant", t.ID), zap.String("dataset", e.Dataset), zap.String("section", e.Section),
			zap.String("credential", e.Credential), zap.Bool("open", e.Open), zap.String("evidence", e.Evidence))
	}
	return source, nil
}

// openSource makes a source of all credentials that the tenant has, and returns
// them as what is known of them by now. The error is a *collector.ReadError when none
// of them can be used.
func (a *app) openSource(ctx context.Context, t collector.Tenant, scope []*schemas.Dataset, exposed []collector.Exposure, refusals refusals) (*confluence.Source, []collector.Credential, error) {
	stored, err := a.store.TenantCredentials(ctx, t.ID)
	if err != nil {
		return nil, nil, err
	}
	// The tenant may have moved since it was read, and these be the new site's.
	switch now, err := a.store.Tenant(ctx, t.ID); {
	case err != nil:
		return nil, stored, unknownTenant(err)
	case now.SiteURL != t.SiteURL || now.CloudID != t.CloudID && t.CloudID != "":
		return nil, stored, fmt.Errorf("the site of tenant %s changed from %s to %s while a run began: the next one reads it", t.ID, t.SiteURL, now.SiteURL)
	default:
		t = now // its cloud id may have been learned
	}
	settings := confluence.Settings{
		Tenant: t.ID, Deployment: t.Deployment, Site: siteID(t), Tables: scope, Now: a.out.now,
		Open: func(dataset, section, credential string) bool {
			for _, e := range exposed {
				if e.Dataset == dataset && e.Section == section && e.Credential == credential {
					return e.Open
				}
			}
			return false
		},
	}
	var refused *collector.ReadError
	usable := false
	for i := range stored {
		w, err := a.way(ctx, t, &stored[i], refusals)
		if err != nil {
			return nil, stored, err
		}
		usable = usable || w.Refused == nil
		refused = cmp.Or(refused, w.Refused)
		settings.Ways = append(settings.Ways, w)
	}
	switch {
	case len(stored) == 0:
		return nil, stored, &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the tenant has no credential yet", Unlock: connectCommand(t.ID, grantKind(t)), Err: collector.ErrNoCredential}
	case !usable:
		return nil, stored, refused
	}
	source := confluence.New(settings)
	if id := source.Identify(ctx); id != "" && t.CloudID == "" && refusals.store != nil {
		return source, stored, refusals.store.LearnCloudID(ctx, t.ID, t.SiteURL, id)
	}
	return source, stored, nil
}

// probeEvery is how often it is tried whether the vendor has opened what it keeps
// closed.
const probeEvery = 7 * 24 * time.Hour

// siteID is what answers must be about.
func siteID(t collector.Tenant) string {
	if t.Deployment == schemas.DataCenter {
		return t.SiteURL
	}
	return t.CloudID
}

// connectCommand is what a person runs to give a tenant a credential.
func connectCommand(tenant, kind string) string {
	if kind == "" || kind == schemas.Credential3LO || kind == schemas.CredentialDCOAuth {
		return "sitedrift connect --tenant " + tenant
	}
	return "sitedrift connect --tenant " + tenant + " --kind " + kind
}

// way makes a credential ready to be used: a client that is pinned to the one
// host that takes this kind of credential, so that no token ever goes elsewhere. One
// that the site refuses is tried when that is due, and c.Refusal brought up to date.
func (a *app) way(ctx context.Context, t collector.Tenant, c *collector.Credential, refusals refusals) (confluence.Way, error) {
	w := confluence.Way{Kind: c.Kind, Principal: principal(*c), Scopes: c.Scopes}
	if !schemas.Scoped(c.Kind) {
		w.Scopes = nil
	}
	again := connectCommand(t.ID, c.Kind)
	if c.State == collector.CredentialNeedsReconsent {
		w.Refused = &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the grant is dead: " + c.StateReason, Unlock: again, Err: oauth.ErrNeedsReconsent}
		return w, nil
	}
	if c.Refusal.Settled() && !refusals.due(*c) {
		w.Refused = refusedSince(*c)
		return w, nil
	}
	api := strings.TrimSuffix(a.cfg.Endpoints.API, "/")
	base := t.SiteURL
	switch c.Kind {
	case schemas.Credential3LO, schemas.CredentialServiceAccount, schemas.CredentialScopedToken:
		if t.CloudID == "" {
			w.Refused = &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the site's cloud id is not known", Unlock: again}
			return w, nil
		}
		base = api + "/ex/confluence/" + t.CloudID
	case schemas.CredentialAdminKey:
		base = api + "/admin"
	}
	access, err := a.access(*c)
	if err != nil {
		return w, err
	}
	if _, _, err := access.Authorization(ctx); err != nil {
		if !errors.As(err, &w.Refused) {
			return w, err
		}
		if oauth.RefusesClient(err) {
			err = refusals.note(ctx, c, w.Refused.Evidence)
			if c.Refusal.Settled() {
				w.Refused = refusedSince(*c)
			}
			return w, err
		}
		return w, nil
	}
	if w.Client, err = a.client(t, *c, base, access); err != nil {
		return w, err
	}
	if !isConsent(c.Kind) {
		if err := refusals.try(ctx, &w, c); err != nil || w.Refused != nil {
			return w, err
		}
	}
	switch c.Kind {
	case schemas.CredentialAPIToken:
		w.GraphQL = &confluence.Gateway{Client: w.Client, Path: "/gateway/api/graphql"}
	case schemas.Credential3LO:
		gateway, err := a.client(t, *c, api, access)
		if err != nil {
			return w, err
		}
		w.GraphQL = &confluence.Gateway{Client: gateway, Path: "/graphql"}
	}
	return w, nil
}

// client is pinned to base. The hourly points are those of the app: tokens of
// people have limits of their own (Atlassian, "Rate limiting", Confluence Cloud).
func (a *app) client(t collector.Tenant, c collector.Credential, base string, access *access) (*httpx.Client, error) {
	o := httpx.Options{
		Base: base, Auth: access, Tenant: t.ID,
		Transport: a.tokens.Transport(c, a.reach(t.ID)), Limiter: a.limiter(t.ID), UserAgent: "sitedrift/" + version(),
		Log: a.log.Named("http").With(zap.String("tenant", t.ID)), Now: a.out.now, Sleep: a.out.sleep,
	}
	if c.Kind == schemas.Credential3LO || c.Kind == schemas.CredentialServiceAccount {
		o.Budget = a.budget
	}
	return httpx.New(o)
}

// principal is who granted, or whose token it is. Where that is not known, each
// consent counts as somebody else's: at worst an epoch starts for nothing.
func principal(c collector.Credential) string {
	if c.AccountID != "" {
		return c.AccountID
	}
	if c.ClientID != "" && c.Kind == schemas.CredentialServiceAccount {
		return c.ClientID
	}
	return "consent of " + c.ConsentedAt.UTC().Format(time.RFC3339Nano)
}
