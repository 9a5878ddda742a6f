package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// dcScopes are the scopes of Data Center; each holds those before it (Atlassian,
// "Confluence OAuth 2.0 provider API").
var dcScopes = [...]string{"READ", "WRITE", "ADMIN", "SYSTEM_ADMIN"}

const dcAdmin = 2 // index of the first that administers

// DataCenter returns the provider that a Data Center site is: every site has its
// own, at its base address, and its own app, an incoming link. A refresh ends
// both tokens before it, without any leeway. The secret is empty for a public
// client (Atlassian, "Confluence OAuth 2.0 provider API").
func DataCenter(siteURL, clientID string, clientSecret vault.Secret, redirectURL string) Provider {
	base := strings.TrimRight(strings.TrimSpace(siteURL), "/")
	p := Provider{
		Kind:              collector.CredentialKindDCOAuth,
		AuthURL:           base + "/rest/oauth2/latest/authorize",
		TokenURL:          base + "/rest/oauth2/latest/token",
		APIURL:            base,
		ClientID:          clientID,
		ClientSecret:      clientSecret,
		RedirectURL:       redirectURL,
		RedirectOnRefresh: true,
		PKCE:              true,
		EndsAccess:        true,
		KeepClient:        true,
	}
	p.ConfigKeys.ClientID, p.ConfigKeys.ClientSecret = "the client id", "client secret of the site's incoming link"
	p.ConfigKeys.Endpoints = "the tenant's site address"
	return p
}

// asks returns the scopes to ask for, sorted and distinct. On Data Center that is
// the strongest of the wanted ones.
func (p Provider) asks(wanted []string) []string {
	if p.kind() == collector.CredentialKindDCOAuth {
		return []string{dcScopes[strongest(wanted)]}
	}
	all := slices.Sorted(slices.Values(append(slices.Clone(wanted), offline)))
	return slices.Compact(all)
}

// holds returns the scopes that a grant holds by those that its answer names.
func (p Provider) holds(named []string) []string {
	if p.kind() != collector.CredentialKindDCOAuth || len(named) == 0 {
		return slices.Clone(named)
	}
	all := slices.Concat(named, dcScopes[:strongest(named)+1])
	slices.Sort(all)
	return slices.Compact(all)
}

// strongest is the index in dcScopes of the strongest that is named, 0 if none is.
func strongest(named []string) int {
	for i := len(dcScopes) - 1; i > 0; i-- {
		if slices.Contains(named, dcScopes[i]) {
			return i
		}
	}
	return 0
}

// inspectSite finds out who consented on a Data Center site, by which it proves
// that the site answers at its address and takes the token.
func (c *Consent) inspectSite(ctx context.Context, req Request, got pair) (Result, error) {
	site := clean(c.Provider.APIURL)
	wrong := func(format string, args ...any) error {
		return fmt.Errorf("tenant %s: %w: %s; check the tenant's site address, with its context path, as the site's general configuration shows it",
			req.Tenant, ErrWrongSite, fmt.Sprintf(format, args...))
	}
	if req.SiteURL != "" && address(req.SiteURL) != address(c.Provider.APIURL) {
		return Result{}, wrong("the consent was asked for at %s and the tenant's site is %s", site, clean(req.SiteURL))
	}
	var user struct {
		Type     string `json:"type"`
		Key      string `json:"userKey"`
		Username string `json:"username"`
	}
	status, _, err := c.get(ctx, "/rest/api/user/current", got.access, &user)
	unknown := ""
	switch {
	case errors.Is(err, errNotJSON):
		return Result{}, wrong("%s answers with something that is not Confluence's REST API", site)
	case err != nil:
		unknown = err.Error()
	case status == http.StatusNotFound, status >= 300 && status < 400:
		return Result{}, wrong("no Confluence answers at %s (HTTP %d)", site, status)
	case status == http.StatusUnauthorized, status == http.StatusOK && user.Type == "anonymous":
		return Result{}, &Error{
			Class: ErrStillRefused, Op: "ask who consented", Tenant: req.Tenant, Kind: c.Provider.kind(), Status: status,
			Hint: "the site gave the token a moment ago: look whether a proxy in front of it drops the Authorization header",
		}
	case status != http.StatusOK:
		unknown = fmt.Sprintf("the API answered %d", status)
	case user.Key == "" && user.Username == "":
		unknown = "the API named none"
	}
	res := c.reach(ctx, req, got)
	res.SiteURL = c.Provider.APIURL
	if res.Credential.AccountID = clean(user.Key); user.Key == "" {
		res.Credential.AccountID = clean(user.Username)
	}
	if unknown != "" {
		res.Warnings = append(res.Warnings, "which account consented is not known ("+unknown+"), so each dataset begins a new epoch")
	}
	return res, nil
}

// reach finds out what the grant holds. Answers of Data Center name no scope,
// which means that it is the one that was asked for (RFC 6749, section 5.1); but
// only a call that needs it shows whether the account has the rights, too.
func (c *Consent) reach(ctx context.Context, req Request, got pair) (res Result) {
	asked := c.Provider.asks(req.Scopes)
	named := got.scopes
	if named == nil {
		named = asked
	}
	warning := ""
	if strongest(named) >= dcAdmin {
		var users struct{}
		status, h, err := c.get(ctx, "/rest/api/user/list?limit=1", got.access, &users)
		switch {
		case err != nil || status != http.StatusForbidden:
		case strings.Contains(h.Get("WWW-Authenticate"), "insufficient_scope"):
			named = []string{dcScopes[0]}
		default:
			warning = "the site refuses this grant what only administrators see: the account that consented has not the rights, or the site keeps apps out of it; it stays unreadable"
		}
	}
	res.compare(req.Scopes, c.Provider.holds(asked), c.Provider.holds(named))
	if warning != "" {
		res.Warnings = append(res.Warnings, warning)
	}
	return res
}
