package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
)

// askedConsent is what a person is asked to consent to, and where.
type askedConsent struct {
	Kind        string   `json:"kind"`
	Site        string   `json:"site"`
	CloudID     string   `json:"cloud_id"`
	Scopes      []string `json:"scopes"`
	AuthURL     string   `json:"auth_url"`
	Audience    string   `json:"audience"`
	ClientID    string   `json:"client_id"`
	RedirectURL string   `json:"redirect_url"`
	PKCE        bool     `json:"pkce"`
}

func opAskConsent(ctx context.Context, a *app, p connectParams, _ func(any)) (askedConsent, error) {
	t, p, err := a.connecting(ctx, p)
	if err != nil {
		return askedConsent{}, err
	}
	provider, err := a.consentProvider(t, p)
	return askedConsent{
		Kind: p.Kind, Site: t.SiteURL, CloudID: t.CloudID, Scopes: p.Scopes,
		AuthURL: provider.AuthURL, Audience: provider.Audience, ClientID: provider.ClientID, RedirectURL: provider.RedirectURL, PKCE: provider.PKCE,
	}, err
}

// handOverFor is how long a code waits for a data directory that is in use.
const handOverFor = time.Minute

// handOver gives the code to whoever holds the data directory. Another command may
// have it just now, or a daemon that does not answer yet: a person's consent is
// not thrown away for that.
func handOver(e *env, p connectParams) (connected, error) {
	for until := time.Now().Add(handOverFor); ; {
		stored, err := call[connected](e, "connect", p, nil)
		switch {
		case !errors.Is(err, state.ErrInUse):
			return stored, err
		case !time.Now().Before(until):
			return stored, fmt.Errorf("%w; nothing was stored: run %s again", err, connectCommand(p.Tenant, p.Kind))
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-e.ctx.Done():
			return stored, e.ctx.Err()
		}
	}
}

// connectInBrowser asks a person for consent and waits for the answer in this
// process: the data directory is free meanwhile, and a daemon may start or end.
// The code goes to whoever holds the directory then.
func connectInBrowser(e *env, p connectParams) (connected, error) {
	var stored connected
	asked, err := call[askedConsent](e, "ask_consent", p, nil)
	if err != nil {
		return stored, err
	}
	consent := oauth.Consent{
		Provider: oauth.Provider{
			Kind: asked.Kind, AuthURL: asked.AuthURL, Audience: asked.Audience, ClientID: asked.ClientID, RedirectURL: asked.RedirectURL, PKCE: asked.PKCE,
		},
		Again: connectCommand,
		Complete: func(_ context.Context, req oauth.Request, code string) (oauth.Result, error) {
			p.Code, p.Verifier, p.Site = code, req.Verifier.Reveal(), asked.Site
			var err error
			stored, err = handOver(e, p)
			return oauth.Result{SiteURL: stored.SiteURL, Warnings: stored.Warnings}, err
		},
	}
	req := oauth.Request{Tenant: p.Tenant, SiteURL: asked.Site, CloudID: asked.CloudID, Scopes: asked.Scopes}
	_, err = consent.Serve(e.ctx, req, func(url string) {
		fmt.Fprintf(e.err, "Open this address in a browser on this machine and consent (ten minutes):\n\n  %s\n\n", url)
	})
	return stored, err
}
