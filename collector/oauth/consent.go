package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// consentTime is how long a begun consent can be finished.
const consentTime = 10 * time.Minute

// The ways in which a consent ends without a grant; test with errors.Is.
var (
	// ErrConsentDenied says that the person pressed Cancel.
	ErrConsentDenied = errors.New("consent was not given")
	// ErrConsentExpired says that nobody finished the consent in time.
	ErrConsentExpired = errors.New("the consent was not finished in time")
	// ErrWrongSite says that the grant does not reach the tenant's site.
	ErrWrongSite = errors.New("the grant does not reach the tenant's site")
	// ErrTokenRefused says that the provider does not take a refresh token that was
	// brought along. It says nothing about the stored grant.
	ErrTokenRefused = errors.New("the provider does not take it")
)

// Consent gets new grants. Provider is required, and Store and Vault unless
// Complete is set; it is safe for concurrent use.
type Consent struct {
	Provider Provider
	Store    Store
	Vault    *vault.Vault

	// Complete ends the browser flow with the code that it brought;
	// CompleteWithCode if nil. Whoever waits for a person need not hold the store.
	Complete func(ctx context.Context, req Request, code string) (Result, error)

	Transport http.RoundTripper // to the provider; http.DefaultTransport if nil
	Now       func() time.Time  // time.Now if nil
	Log       *zap.Logger       // may be nil

	// Again gives the command that begins a consent, for errors; sitedrift connect
	// with its options if nil.
	Again func(tenant, kind string) string
}

// Request is what a consent is for.
type Request struct {
	Tenant string
	// SiteURL is the tenant's site, such as https://example.atlassian.net. If it
	// and CloudID are empty, the grant must reach exactly one site. On Data Center
	// it is the provider's own address.
	SiteURL string
	// CloudID, if known already, must be that of the site which the grant reaches.
	CloudID string
	// Scopes are wanted. On Cloud offline_access is added; of Data Center's the
	// strongest is asked for, which holds the others.
	Scopes []string
	// Verifier is what the code was bound to (RFC 7636); empty if it was asked for
	// without a challenge. The browser flow makes its own.
	Verifier vault.Secret
}

// Result is a stored grant and what is remarkable about it.
type Result struct {
	Credential collector.Credential
	CloudID    string
	SiteName   string
	SiteURL    string

	Granted []string // sorted, with what they imply
	Missing []string // wanted and not granted
	Extra   []string // granted and not wanted

	Warnings []string // for people
}

// CompleteWithCode exchanges an authorization code that came outside the
// browser flow, and checks and stores the grant like it. On an error nothing was
// stored, and the code is used up.
func (c *Consent) CompleteWithCode(ctx context.Context, req Request, code string) (Result, error) {
	got, err := c.exchange(ctx, req, code)
	if err != nil {
		return Result{}, fmt.Errorf("%w; nothing was stored: run %s again", err, c.again(req.Tenant))
	}
	res, err := c.inspect(ctx, req, got)
	if err != nil {
		return Result{}, fmt.Errorf("%w; nothing was stored", err)
	}
	return c.keep(ctx, req, got, res)
}

func (c *Consent) keeper() keeper { return keeper{c.Store, c.Vault} }

// sealed is what is sealed of a grant with these tokens.
func (c *Consent) sealed(access, refresh vault.Secret) grant {
	g := grant{Access: access, Refresh: refresh}
	if c.Provider.KeepClient {
		g.Secret, g.Redirect = c.Provider.ClientSecret, c.Provider.RedirectURL
	}
	return g
}

// tokenHost is where tokens come from, for people.
func (c *Consent) tokenHost() string {
	u, err := url.Parse(c.Provider.TokenURL)
	if err != nil {
		return "the token endpoint"
	}
	return u.Host
}

func (c *Consent) silent() error {
	return fmt.Errorf("%s did not answer within %v", c.tokenHost(), callTimeout)
}

func (c *Consent) lookAt() string {
	return "look at what answers at " + c.tokenHost() + " (" + c.Provider.endpointKey() + ")"
}

// exchange trades the code for tokens. x/oauth2's error is not passed on, since
// it carries the answer's body.
func (c *Consent) exchange(ctx context.Context, req Request, code string) (pair, error) {
	fail := func(e *Error) error {
		e.Op, e.Tenant, e.Kind = "exchange the authorization code", req.Tenant, c.Provider.kind()
		return e
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sentAt := c.now()
	var options []oauth2.AuthCodeOption
	if !req.Verifier.IsZero() {
		options = append(options, oauth2.VerifierOption(req.Verifier.Reveal()))
	}
	t, err := c.Provider.app(nil).Exchange(context.WithValue(ctx, oauth2.HTTPClient, newClient(c.Transport)), code, options...)
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		e := &Error{Class: ErrTemporary, Code: clean(answer.ErrorCode), Description: clean(answer.ErrorDescription), Hint: c.lookAt()}
		if answer.Response != nil {
			e.Status = answer.Response.StatusCode
		}
		switch {
		case answer.ErrorCode == "invalid_grant":
			e.Class, e.Hint = ErrConsentDenied, "the code was used or is too old"
		case e.Status >= 300 && e.Status < 400:
			e.Class, e.Hint = ErrClientConfig, c.tokenHost()+" redirects, which is not followed: check "+c.Provider.endpointKey()
		case answer.ErrorCode != "" && e.Status < 500 && e.Status != http.StatusTooManyRequests:
			e.Class, e.Hint = ErrClientConfig, "check "+c.Provider.clientKeys()+" and the redirect URL"
		case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
			e.Class, e.Hint = ErrClientConfig, c.tokenHost()+" has no token endpoint: check "+c.Provider.endpointKey()
		}
		return pair{}, fail(e)
	case err != nil && isTimeout(err):
		return pair{}, fail(&Error{Class: ErrTemporary, Cause: c.silent(), Hint: c.lookAt()})
	case err != nil && isTransport(err):
		return pair{}, fail(&Error{Class: ErrTemporary, Cause: transportCause(err), Hint: c.lookAt()})
	case err != nil:
		return pair{}, fail(&Error{Class: ErrTemporary, Cause: errors.New("the answer is not a token in JSON"), Hint: c.lookAt()})
	}
	if t.RefreshToken == "" {
		hint := "offline_access was asked for and not granted: look whether the app may have it"
		if c.Provider.Audience == "" {
			hint = "look whether the provider lets this app refresh"
		}
		return pair{}, fail(&Error{Class: ErrClientConfig, Cause: errors.New("the grant has no refresh token"), Hint: hint})
	}
	got := pair{access: vault.NewSecret(t.AccessToken), refresh: vault.NewSecret(t.RefreshToken), lifetime: defaultLifetime}
	if t.ExpiresIn > 0 {
		got.lifetime = time.Duration(t.ExpiresIn) * time.Second
	}
	got.sentAt = sentAt
	scope, _ := t.Extra("scope").(string)
	got.scopes = splitScopes(scope)
	return got, nil
}

// inspect finds out what a grant reaches and compares it with what was wanted.
func (c *Consent) inspect(ctx context.Context, req Request, got pair) (Result, error) {
	if c.Provider.kind() == collector.CredentialKindDCOAuth {
		return c.inspectSite(ctx, req, got)
	}
	sites, err := c.sites(ctx, req, got.access)
	if err != nil {
		return Result{}, err
	}
	site, err := pick(sites, req)
	if err != nil {
		return Result{}, err
	}
	res := Result{CloudID: site.ID, SiteName: clean(site.Name), SiteURL: site.URL}
	granted := got.scopes
	if granted == nil {
		granted = splitScopes(strings.Join(site.Scopes, " "))
	}
	res.compare(req.Scopes, req.Scopes, granted)
	if w := beyond(sites, site); w != "" {
		res.Warnings = append(res.Warnings, w)
	}
	account, unknown := c.account(ctx, site.ID, res.Granted, got.access)
	if account == "" {
		res.Warnings = append(res.Warnings, "which account consented is not known ("+unknown+"), so each dataset begins a new epoch, and two grants of one person would go unnoticed")
		return res, nil
	}
	res.Credential.AccountID = account
	others, err := c.Store.SameGrantor(ctx, c.Provider.ClientID, account, req.Tenant)
	if err != nil {
		return Result{}, fmt.Errorf("look for other grants of the same account: %w", err)
	}
	if len(others) > 0 {
		res.Warnings = append(res.Warnings, fmt.Sprintf("the same account consented for tenant %s too; two grants of one person for one app can end each other, so use one account per tenant",
			strings.Join(others, ", ")))
	}
	return res, nil
}

// compare notes what was granted, what of the wanted is missing, and what came
// beyond the expected.
func (r *Result) compare(wanted, expected, granted []string) {
	r.Granted = granted
	for _, s := range slices.Compact(slices.Sorted(slices.Values(wanted))) {
		// What granted a refresh token granted this, also if the list leaves it out.
		if s != offline && !slices.Contains(granted, s) {
			r.Missing = append(r.Missing, s)
		}
	}
	for _, s := range granted {
		if s != offline && !slices.Contains(expected, s) {
			r.Extra = append(r.Extra, s)
		}
	}
	if len(r.Missing) > 0 {
		r.Warnings = append(r.Warnings, "not granted: "+strings.Join(r.Missing, ", ")+
			"; add these scopes to the app and consent again, or the datasets that need them stay unreadable")
	}
}

// keep stores a checked grant.
func (c *Consent) keep(ctx context.Context, req Request, got pair, res Result) (Result, error) {
	old, err := c.keeper().previous(ctx, req.Tenant, c.Provider.kind())
	if err != nil {
		return Result{}, err
	}
	if old.AccountID != "" && res.Credential.AccountID != "" && old.AccountID != res.Credential.AccountID {
		res.Warnings = append(res.Warnings, "another account than before consented: it may see other spaces, so each dataset begins a new epoch")
	}
	res.Credential, err = c.keeper().replace(ctx, collector.Credential{
		Tenant: req.Tenant, Kind: c.Provider.kind(),
		AccessExpiresAt: got.sentAt.Add(got.lifetime), LastOKAt: c.now(), ConsentedAt: c.now(),
		ClientID: c.Provider.ClientID, AccountID: res.Credential.AccountID, Scopes: res.Granted,
	}, c.sealed(got.access, got.refresh))
	return res, err
}

const offline = "offline_access"

func (c *Consent) now() time.Time {
	now := c.Now
	if now == nil {
		now = time.Now
	}
	return now()
}

func (c *Consent) again(tenant string) string {
	if c.Again == nil {
		return again(tenant, c.Provider.kind())
	}
	return c.Again(tenant, c.Provider.kind())
}

func (c *Consent) log() *zap.Logger {
	if c.Log == nil {
		return zap.NewNop()
	}
	return c.Log
}
