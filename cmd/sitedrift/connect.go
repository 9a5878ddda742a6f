package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

type connectCmd struct {
	Tenant       string   `required:"" placeholder:"ID" help:"Tenant whose site to get consent for."`
	Scope        []string `placeholder:"SCOPE" help:"Ask for this scope instead of those that the datasets need; may be repeated."`
	RefreshToken string   `placeholder:"FILE" help:"Take an existing refresh token from a file instead of asking in the browser. It is used up."`
	Replace      bool     `help:"With --refresh-token: replace a grant that works."`
}

// Help is shown by --help.
func (connectCmd) Help() string {
	return "Prints an address to open in a browser on this machine. Whoever consents should be an account made for this purpose: the collector sees what that account sees, and a second consent of the same person for the same app can end the first."
}

type connectParams struct {
	Tenant  string   `json:"tenant"`
	Scopes  []string `json:"scopes"`
	Refresh string   `json:"refresh"` // a secret: crosses the 0600 socket only
	Replace bool     `json:"replace"`
}

type connected struct {
	Tenant   string   `json:"tenant"`
	CloudID  string   `json:"cloud_id"`
	SiteName string   `json:"site_name"`
	SiteURL  string   `json:"site_url"`
	Granted  []string `json:"granted"`
	Missing  []string `json:"missing"`
	Extra    []string `json:"extra"`
	Warnings []string `json:"warnings"`
}

// principalScope lets connect ask who consented: two consents of one person can
// end each other, and another person sees other things.
const principalScope = "read:confluence-user"

// wantedScopes are the scopes that the declared datasets and connect itself need.
func wantedScopes() (all []string) {
	all = []string{principalScope}
	for _, t := range tables() {
		for _, s := range t.Scopes("3lo") {
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
		}
	}
	slices.Sort(all)
	return all
}

func opConnect(ctx context.Context, a *app, p connectParams, emit func(any)) (connected, error) {
	t, err := a.store.Tenant(ctx, p.Tenant)
	if err != nil {
		return connected{}, unknownTenant(err)
	}
	if a.cfg.OAuth.ClientID == "" || a.cfg.OAuth.ClientSecret.IsZero() {
		return connected{}, usage("no OAuth app is configured: set oauth.client_id and oauth.client_secret (developer.atlassian.com, your app, Settings)")
	}
	scopes := p.Scopes
	if len(scopes) == 0 {
		scopes = wantedScopes()
	}
	consent := &oauth.Consent{Provider: a.provider, Store: a.store, Vault: a.vault, Transport: a.transport, Now: a.out.now, Log: a.log.Named("oauth")}
	req := oauth.Request{Tenant: t.ID, SiteURL: t.SiteURL, CloudID: t.CloudID, Scopes: scopes}
	var res oauth.Result
	if p.Refresh != "" {
		res, err = consent.ImportRefreshToken(ctx, req, a.tokens, vault.NewSecret(p.Refresh), p.Replace)
	} else {
		res, err = consent.Serve(ctx, req, func(url string) { emit(map[string]string{"open": url}) })
	}
	if err != nil {
		return connected{}, err
	}
	t.CloudID = res.CloudID
	if err := a.store.PutTenant(ctx, t); err != nil {
		return connected{}, err
	}
	return connected{t.ID, res.CloudID, res.SiteName, res.SiteURL, some(res.Granted), some(res.Missing), some(res.Extra), some(res.Warnings)}, a.wake(ctx, t.ID)
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

func (c *connectCmd) Run(e *env) error {
	p := connectParams{Tenant: c.Tenant, Scopes: c.Scope, Replace: c.Replace}
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
	ctx, cancel := context.WithTimeout(e.ctx, 15*time.Minute)
	defer cancel()
	e.ctx = ctx
	res, err := call[connected](e, "connect", p, func(raw json.RawMessage) error {
		var m map[string]string
		if err := json.Unmarshal(raw, &m); err != nil {
			return err
		}
		fmt.Fprintf(e.err, "Open this address in a browser on this machine and consent (ten minutes):\n\n  %s\n\n", m["open"])
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("nobody consented in time: run connect again")
	}
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	fmt.Fprintf(e.out, "%s is connected to %s (%s, cloud id %s)\n", res.Tenant, cell(res.SiteName, 60), cell(res.SiteURL, 80), res.CloudID)
	fmt.Fprintf(e.out, "granted: %s\n", strings.Join(res.Granted, " "))
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
