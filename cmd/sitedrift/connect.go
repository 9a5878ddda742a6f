package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

type connectCmd struct {
	Tenant       string    `required:"" placeholder:"ID" help:"Tenant whose site to get a credential for."`
	Kind         string    `placeholder:"KIND" help:"Kind of credential: 3lo (consent in the browser; the default for Cloud), service_account, scoped_token, api_token, admin_key, dc_oauth (consent in the browser; the default for Data Center), dc_pat."`
	Scope        []string  `placeholder:"SCOPE" help:"Consent: ask for this scope instead of those that the datasets need. Tokens: a scope that the token has. May be repeated."`
	RefreshToken string    `placeholder:"FILE" help:"Take an existing refresh token from a file instead of asking in the browser. It is used up."`
	Replace      bool      `help:"With --refresh-token: replace a grant that works."`
	Secret       string    `placeholder:"REF" help:"Where the token, key or client secret is: env:NAME, file:PATH, or - for standard input."`
	Account      string    `placeholder:"EMAIL" help:"Account of the token (api_token, scoped_token)."`
	ClientID     string    `placeholder:"ID" help:"Client of the service account, or of the application link (dc_oauth)."`
	Expires      time.Time `format:"2006-01-02" placeholder:"DATE" help:"Day on which the token ends, to be warned before."`
	Forget       bool      `help:"Erase the stored credential of this kind instead."`
}

// Help is shown by --help.
func (connectCmd) Help() string {
	return "Consent prints an address to open in a browser on this machine. Whoever consents, or whose token it is, should be an account made for this purpose: the collector sees what that account sees, and a second consent of the same person for the same app can end the first. A tenant may have one credential of each kind; for each dataset the one that may do least is used."
}

type connectParams struct {
	Tenant   string    `json:"tenant"`
	Kind     string    `json:"kind"`
	Scopes   []string  `json:"scopes"`
	Refresh  string    `json:"refresh"` // a secret: crosses the 0600 socket only
	Code     string    `json:"code"`    // of a consent for Site in the browser; the same
	Verifier string    `json:"verifier"`
	Site     string    `json:"site"`
	Replace  bool      `json:"replace"`
	Secret   string    `json:"secret"` // the same
	Account  string    `json:"account"`
	ClientID string    `json:"client_id"`
	Expires  time.Time `json:"expires"` // of the token
	Forget   bool      `json:"forget"`
}

type connected struct {
	Tenant   string     `json:"tenant"`
	Kind     string     `json:"kind"`
	CloudID  string     `json:"cloud_id"`
	SiteName string     `json:"site_name"`
	SiteURL  string     `json:"site_url"`
	Granted  []string   `json:"granted"`
	Missing  []string   `json:"missing"`
	Extra    []string   `json:"extra"`
	Warnings []string   `json:"warnings"`
	Erased   bool       `json:"erased"`     // by --forget: there was one
	Expires  *time.Time `json:"expires_at"` // null: not known, or renewed by itself
}

// connectFor bounds all that connect does, with the minutes that a person has.
const connectFor = 15 * time.Minute

// principalScope lets connect ask who consented: two consents of one person can
// end each other, and another person sees other things.
const principalScope = "read:confluence-user"

// wantedScopes are the scopes to ask for with a kind of credential: those that the
// declared datasets need, and the one by which connect learns who consented.
func wantedScopes(kind string) (all []string) {
	if kind == schemas.Credential3LO {
		all = []string{principalScope}
	}
	for _, t := range tables() {
		for _, s := range t.Scopes(kind) {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	slices.Sort(all)
	return all
}

func opConnect(ctx context.Context, a *app, p connectParams, _ func(any)) (connected, error) {
	t, p, err := a.connecting(ctx, p)
	switch {
	case err != nil:
		return connected{}, err
	case p.Forget:
		return a.forget(ctx, t, p.Kind)
	case p.Kind == grantKind(t):
		return a.consent(ctx, t, p)
	default:
		return a.keepSecret(ctx, t, p)
	}
}

// connecting is whom and what a connect is about.
func (a *app) connecting(ctx context.Context, p connectParams) (collector.Tenant, connectParams, error) {
	t, err := a.store.Tenant(ctx, p.Tenant)
	switch {
	case p.Code != "" && errors.Is(err, state.ErrUnknownTenant):
		return t, p, removedMeanwhile(p.Tenant)
	case err != nil:
		return t, p, unknownTenant(err)
	}
	if p.Kind == "" {
		p.Kind = grantKind(t)
		if p.Secret != "" && p.ClientID == "" {
			return t, p, usage("say with --kind what the secret is: %s", strings.Join(secretKinds(t), ", "))
		}
	}
	if kinds := schemas.Credentials(deployment(t)); !slices.Contains(kinds, p.Kind) {
		return t, p, usage("--kind %s: a site on %s takes %s", p.Kind, deployment(t), strings.Join(kinds, ", "))
	}
	if err := p.foreign(); err != nil {
		return t, p, err
	}
	if p.Kind == grantKind(t) && len(p.Scopes) == 0 {
		p.Scopes = wantedScopes(p.Kind)
	}
	return t, p, nil
}

// foreign refuses options that mean nothing for the kind of credential: whoever
// gives one expects it to count.
func (p connectParams) foreign() error {
	const (
		lo, dc, service = schemas.Credential3LO, schemas.CredentialDCOAuth, schemas.CredentialServiceAccount
		scoped, classic = schemas.CredentialScopedToken, schemas.CredentialAPIToken
		admin, pat      = schemas.CredentialAdminKey, schemas.CredentialDCToken
	)
	for _, option := range []struct {
		name  string
		given bool
		kinds []string
	}{
		{"--refresh-token", p.Refresh != "", []string{lo, dc}},
		{"--secret", p.Secret != "", []string{dc, service, scoped, classic, admin, pat}},
		{"--client-id", p.ClientID != "", []string{dc, service}},
		{"--account", p.Account != "", []string{scoped, classic}},
		{"--expires", !p.Expires.IsZero(), []string{service, scoped, classic, admin, pat}},
		{"--scope", len(p.Scopes) > 0, []string{lo, dc, service, scoped, admin}},
	} {
		switch {
		case !option.given:
		case p.Forget:
			return usage("--forget erases a credential, and %s means nothing to it: leave one of them out", option.name)
		case !slices.Contains(option.kinds, p.Kind):
			return usage("%s means nothing to the kind %s: it belongs to %s", option.name, p.Kind, strings.Join(option.kinds, ", "))
		}
	}
	return nil
}

// secretKinds are the kinds of credentials that are stored as they are given.
func secretKinds(t collector.Tenant) []string {
	return slices.DeleteFunc(schemas.Credentials(deployment(t)), func(kind string) bool { return kind == grantKind(t) })
}

func deployment(t collector.Tenant) string { return cmp.Or(t.Deployment, schemas.Cloud) }

// consent takes over the grant that a person gave in the browser, or a refresh
// token.
func (a *app) consent(ctx context.Context, t collector.Tenant, p connectParams) (connected, error) {
	provider, err := a.consentProvider(t, p)
	if err != nil {
		return connected{}, err
	}
	asked := t
	if p.Code != "" {
		asked.SiteURL = p.Site
		if _, err := unmoved(ctx, a.store, asked); err != nil {
			return connected{}, err
		}
	}
	consent := &oauth.Consent{Provider: provider, Store: consentStore{a.store, asked}, Vault: a.vault, Transport: a.reach(t.ID), Now: a.out.now, Log: a.log.Named("oauth"), Again: connectCommand}
	req := oauth.Request{Tenant: t.ID, SiteURL: t.SiteURL, CloudID: t.CloudID, Scopes: p.Scopes, Verifier: vault.NewSecret(p.Verifier)}
	var res oauth.Result
	switch {
	case p.Refresh != "":
		res, err = consent.ImportRefreshToken(ctx, req, a.tokens, vault.NewSecret(p.Refresh), p.Replace)
	case p.Code != "":
		res, err = consent.CompleteWithCode(ctx, req, p.Code)
	default:
		err = errors.New("a consent needs its code: it is begun with ask_consent")
	}
	if err != nil {
		return connected{}, err
	}
	if t, err = unmoved(ctx, a.store, asked); err != nil { // as it is now
		return connected{}, err
	}
	t.CloudID = res.CloudID
	if err := a.store.PutTenant(ctx, t); err != nil {
		return connected{}, err
	}
	return connected{
		Tenant: t.ID, Kind: p.Kind, CloudID: res.CloudID, SiteName: res.SiteName, SiteURL: res.SiteURL,
		Granted: some(res.Granted), Missing: some(res.Missing), Extra: some(res.Extra), Warnings: some(res.Warnings),
	}, a.wake(ctx, t.ID)
}

// consentStore stores a grant only if its tenant is still there, at the site that
// consent was asked for: people take minutes.
type consentStore struct {
	*state.Store
	asked collector.Tenant
}

// PutConsent implements oauth.Store.
func (s consentStore) PutConsent(ctx context.Context, c collector.Credential) (collector.Credential, error) {
	if _, err := unmoved(ctx, s.Store, s.asked); err != nil {
		return c, err
	}
	stored, err := s.Store.PutConsent(ctx, c)
	if err != nil {
		return c, err
	}
	if _, err := unmoved(ctx, s.Store, s.asked); err != nil { // just now
		return c, errors.Join(err, s.DeleteCredentials(context.WithoutCancel(ctx), c.Tenant, c.Kind))
	}
	return stored, nil
}

// unmoved reads a tenant again; an error says that it is gone, or at another site.
func unmoved(ctx context.Context, store *state.Store, asked collector.Tenant) (collector.Tenant, error) {
	now, err := store.Tenant(ctx, asked.ID)
	switch {
	case errors.Is(err, state.ErrUnknownTenant):
		return now, removedMeanwhile(asked.ID)
	case err == nil && now.SiteURL != asked.SiteURL:
		return now, fmt.Errorf("tenant %s moved from %s to %s while consent was asked for; nothing was stored: begin again with %s", asked.ID, asked.SiteURL, now.SiteURL, connectCommand(asked.ID, ""))
	}
	return now, err
}

func removedMeanwhile(tenant string) error {
	return fmt.Errorf("tenant %s was removed while consent was asked for; nothing was stored", tenant)
}

// consentProvider is the authorization server that is asked for consent: the one
// of the configured app, or the site's own.
func (a *app) consentProvider(t collector.Tenant, p connectParams) (oauth.Provider, error) {
	if t.Deployment == schemas.DataCenter {
		if p.ClientID == "" || p.Secret == "" {
			return oauth.Provider{}, usage("give --client-id and --secret of the incoming application link (in Confluence: Administration, Application links), whose redirect URL is %s", a.cfg.OAuth.RedirectURL)
		}
		return oauth.DataCenter(t.SiteURL, p.ClientID, vault.NewSecret(p.Secret), a.cfg.OAuth.RedirectURL), nil
	}
	if a.cfg.OAuth.ClientID == "" || a.cfg.OAuth.ClientSecret.IsZero() {
		return oauth.Provider{}, usage("no OAuth app is configured: set oauth.client_id and oauth.client_secret (developer.atlassian.com, your app, Settings)")
	}
	return a.provider, nil
}

// keepSecret stores a token, a key or a client secret. Whether it works is for
// check to find out; that it is there costs no call.
func (a *app) keepSecret(ctx context.Context, t collector.Tenant, p connectParams) (connected, error) {
	if p.Secret == "" {
		return connected{}, usage("give the secret with --secret env:NAME, file:PATH or -")
	}
	c, err := a.tokens.Keep(ctx, oauth.Static{
		Tenant: t.ID, Kind: p.Kind, Account: p.Account, ClientID: p.ClientID, Secret: vault.NewSecret(p.Secret), ExpiresAt: p.Expires, Scopes: p.Scopes,
	})
	if errors.Is(err, oauth.ErrInvalidSecret) {
		return connected{}, &exitError{exitUsage, err}
	}
	if err != nil {
		return connected{}, err
	}
	info := a.showCredential(c)
	res := connected{Tenant: t.ID, Kind: c.Kind, CloudID: t.CloudID, SiteURL: t.SiteURL, Granted: some(c.Scopes), Missing: []string{}, Extra: []string{}, Warnings: []string{}, Expires: info.ExpiresAt}
	if w := info.warning(t.ID); w != "" {
		res.Warnings = append(res.Warnings, w)
	}
	if t.Deployment != schemas.DataCenter && t.CloudID == "" && c.Kind != schemas.CredentialAPIToken {
		res.Warnings = append(res.Warnings, "the site's cloud id is not known, and this credential cannot find it: set cloud_id (https://<site>/_edge/tenant_info shows it)")
	}
	return res, a.wake(ctx, t.ID)
}

// aliveStill is told whenever credentials are erased here.
const aliveStill = "it was erased here alone: the grant or token itself lives on until it is revoked where it was made (Atlassian's account settings, the site, or the organization's administration)"

// forget erases one credential.
func (a *app) forget(ctx context.Context, t collector.Tenant, kind string) (connected, error) {
	res := connected{Tenant: t.ID, Kind: kind, CloudID: t.CloudID, SiteURL: t.SiteURL, Granted: []string{}, Missing: []string{}, Extra: []string{}, Warnings: []string{}}
	switch _, err := a.store.Credential(ctx, t.ID, kind); {
	case err == nil:
		res.Erased, res.Warnings = true, append(res.Warnings, aliveStill)
	case !errors.Is(err, collector.ErrNoCredential):
		return connected{}, err
	}
	if err := a.store.DeleteCredentials(ctx, t.ID, kind); err != nil {
		return connected{}, err
	}
	return res, nil
}

// wake lets a tenant's schedules start now: the new grant has work to do.
func (a *app) wake(ctx context.Context, tenant string) error {
	schedules, err := a.store.Schedules(ctx, tenant)
	if err != nil {
		return err
	}
	for _, s := range schedules {
		s.NextAt = a.out.now()
		if err := a.store.PutSchedule(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// params are what was typed, without what is in files.
func (c *connectCmd) params() connectParams {
	p := connectParams{Tenant: c.Tenant, Kind: c.Kind, Scopes: c.Scope, Replace: c.Replace, Account: c.Account, ClientID: c.ClientID, Forget: c.Forget}
	if !c.Expires.IsZero() {
		p.Expires = c.Expires.AddDate(0, 0, 1).Add(-time.Second) // the token is good on that day, too
	}
	return p
}

func (c *connectCmd) Run(e *env) error {
	p := c.params()
	if c.Replace && c.RefreshToken == "" {
		return usage("--replace belongs to --refresh-token; a consent in the browser replaces the grant anyway")
	}
	if c.RefreshToken != "" {
		text, err := os.ReadFile(c.RefreshToken)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return usage("there is no file %s to read the refresh token from", c.RefreshToken)
		case err != nil:
			return usage("read the refresh token: %v", err)
		}
		if p.Refresh = strings.TrimSpace(string(text)); p.Refresh == "" {
			return usage("the file %s is empty: it must hold a refresh token", c.RefreshToken)
		}
	}
	var err error
	if p.Secret, err = readSecret(e, c.Secret); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, connectFor)
	defer cancel()
	e.ctx = ctx
	var res connected
	if !c.Forget && p.Refresh == "" && (p.Kind == "" || isConsent(p.Kind)) {
		res, err = connectInBrowser(e, p)
	} else {
		res, err = call[connected](e, "connect", p, nil)
	}
	switch {
	case errors.Is(err, context.Canceled): // no matter where it was
		return err
	case errors.Is(err, oauth.ErrConsentExpired):
		return fmt.Errorf("%s; nothing was stored: run %s again", err.Error(), connectCommand(p.Tenant, p.Kind))
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("this was not done within %v: sitedrift tenants show %s tells whether something was stored; if not, run %s again", connectFor, p.Tenant, connectCommand(p.Tenant, p.Kind))
	case err != nil:
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	switch {
	case c.Forget && !res.Erased:
		fmt.Fprintf(e.out, "%s had no credential of the kind %s\n", res.Tenant, res.Kind)
	case c.Forget:
		fmt.Fprintf(e.out, "%s has no credential of the kind %s any more\n", res.Tenant, res.Kind)
	case res.Kind == schemas.Credential3LO:
		fmt.Fprintf(e.out, "%s is connected to %s (%s, cloud id %s)\n", res.Tenant, cell(res.SiteName, 60), cell(res.SiteURL, 80), res.CloudID)
	case res.Kind == schemas.CredentialDCOAuth:
		fmt.Fprintf(e.out, "%s is connected to %s\n", res.Tenant, cell(res.SiteURL, 80))
	default:
		fmt.Fprintf(e.out, "the %s of %s is stored; what it opens: sitedrift check --tenant %s\n", res.Kind, res.Tenant, res.Tenant)
	}
	switch {
	case len(res.Granted) == 0:
	case isConsent(res.Kind):
		fmt.Fprintf(e.out, "granted: %s\n", strings.Join(res.Granted, " "))
	default:
		fmt.Fprintf(e.out, "scopes, as you gave them: %s\n", strings.Join(res.Granted, " "))
	}
	if len(res.Missing) > 0 {
		fmt.Fprintf(e.out, "missing: %s\n         add them to the app and connect again; until then: sitedrift check --tenant %s\n", strings.Join(res.Missing, " "), res.Tenant)
	}
	if len(res.Extra) > 0 {
		fmt.Fprintf(e.out, "granted and not needed: %s\n", strings.Join(res.Extra, " "))
	}
	for _, w := range res.Warnings {
		fmt.Fprintf(e.err, "warning: %s\n", printable(w))
	}
	return nil
}

// readSecret resolves a reference to a secret: env:NAME, file:PATH, or - for
// standard input. Secrets are no arguments: those are seen by everybody on the
// machine (Invariant 9).
func readSecret(e *env, ref string) (string, error) {
	switch ref {
	case "":
		return "", nil
	case "-":
		var text []byte
		var err error
		if in, ok := e.in.(*os.File); ok && term.IsTerminal(int(in.Fd())) {
			fmt.Fprint(e.err, "the secret (it is not shown): ")
			text, err = term.ReadPassword(int(in.Fd()))
			fmt.Fprintln(e.err)
		} else {
			text, err = io.ReadAll(io.LimitReader(e.in, 64<<10))
		}
		if err != nil {
			return "", usage("read the secret from standard input: %v", err)
		}
		return strings.TrimSpace(string(text)), nil
	}
	place, err := config.SecretRef(ref)
	if err != nil {
		return "", usage("--secret: %v", err)
	}
	text, err := place.Resolve()
	if err != nil {
		return "", usage("--secret: %v", err)
	}
	return strings.TrimSpace(text), nil
}
