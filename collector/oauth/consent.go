package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
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
)

// Consent gets new grants. Provider, Store and Vault are required; it is safe
// for concurrent use.
type Consent struct {
	Provider Provider
	Store    Store
	Vault    *vault.Vault

	Transport http.RoundTripper // to the provider; http.DefaultTransport if nil
	Now       func() time.Time  // time.Now if nil
	Log       *zap.Logger       // may be nil
}

// Request is what a consent is for.
type Request struct {
	Tenant string
	// SiteURL is the tenant's site, such as https://example.atlassian.net. If it
	// and CloudID are empty, the grant must reach exactly one site.
	SiteURL string
	// CloudID, if known already, must be that of the site which the grant reaches.
	CloudID string
	// Scopes are wanted; offline_access is added.
	Scopes []string
}

// Result is a stored grant and what is remarkable about it.
type Result struct {
	Credential collector.Credential
	CloudID    string
	SiteName   string
	SiteURL    string

	Granted []string // sorted
	Missing []string // wanted and not granted
	Extra   []string // granted and not wanted

	Warnings []string // for people
}

// CompleteWithCode exchanges an authorization code that came outside the
// browser flow, and checks and stores the grant like it.
func (c *Consent) CompleteWithCode(ctx context.Context, req Request, code string) (Result, error) {
	got, err := c.exchange(ctx, req, code)
	if err != nil {
		return Result{}, err
	}
	res, err := c.inspect(ctx, req, got)
	if err != nil {
		return Result{}, err
	}
	return c.keep(ctx, req, got, res)
}

// ImportRefreshToken stores a refresh token that was got elsewhere, proves it by
// refreshing it once, and checks the grant like a consent. A healthy grant of
// the tenant is replaced only if replace is set. The token is used up by this;
// wherever it came from, it must not be used again.
func (c *Consent) ImportRefreshToken(ctx context.Context, req Request, tokens *Tokens, refresh vault.Secret, replace bool) (Result, error) {
	const op = "import the refresh token"
	kind := c.Provider.kind()
	old, err := c.previous(ctx, req.Tenant)
	if err != nil {
		return Result{}, err
	}
	if old.State == collector.CredentialOK && !replace {
		return Result{}, fmt.Errorf("%s of tenant %s: a working grant is stored already; add --replace to put this one in its place, or leave it", op, req.Tenant)
	}
	if strings.TrimSpace(refresh.Reveal()) == "" {
		return Result{}, fmt.Errorf("%s of tenant %s: it is empty", op, req.Tenant)
	}
	// It has to be durable before it is sent: the first use replaces it.
	token := grant{Refresh: vault.NewSecret(strings.TrimSpace(refresh.Reveal()))}
	if _, err := c.store(ctx, collector.Credential{Tenant: req.Tenant, Kind: kind, ConsentedAt: c.now()}, token); err != nil {
		return Result{}, err
	}
	tokens.drop(req.Tenant, kind)
	access, _, err := tokens.Token(ctx, req.Tenant, kind)
	if err != nil {
		return Result{}, fmt.Errorf("%s of tenant %s: %w", op, req.Tenant, err)
	}
	row, err := c.Store.Credential(ctx, req.Tenant, kind)
	if err != nil {
		return Result{}, fmt.Errorf("read the grant of tenant %s back: %w", req.Tenant, err)
	}
	if token, err = openGrant(c.Vault, row); err != nil {
		return Result{}, err
	}
	res, err := c.inspect(ctx, req, pair{access: access})
	if err != nil {
		return Result{}, fmt.Errorf("%s of tenant %s: it works and is stored, but: %w", op, req.Tenant, err)
	}
	row.AccountID, row.Scopes = res.Credential.AccountID, res.Granted
	// Only for this generation: a refresh that came between keeps its tokens.
	if res.Credential, err = c.put(ctx, row, token); err != nil {
		return Result{}, err
	}
	res.Warnings = append(res.Warnings, "the day of consent is not known, so the yearly end of the grant is counted from today")
	return res, nil
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
	t, err := c.Provider.app(nil).Exchange(context.WithValue(ctx, oauth2.HTTPClient, newClient(c.Transport)), code)
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		e := &Error{Class: ErrTemporary, Code: clean(answer.ErrorCode), Description: clean(answer.ErrorDescription)}
		if answer.Response != nil {
			e.Status = answer.Response.StatusCode
		}
		switch {
		case answer.ErrorCode == "invalid_grant":
			e.Class, e.Hint = ErrConsentDenied, "the code was used or is too old: begin again with sitedrift connect --tenant "+req.Tenant
		case e.Status >= 300 && e.Status < 500 && e.Status != http.StatusTooManyRequests:
			e.Class, e.Hint = ErrClientConfig, "check "+c.Provider.clientKeys()+" and the redirect URL"
		}
		return pair{}, fail(e)
	case err != nil && (isTimeout(err) || isTransport(err)):
		return pair{}, fail(&Error{Class: ErrTemporary, Cause: transportCause(err)})
	case err != nil:
		return pair{}, fail(&Error{Class: ErrTemporary, Cause: errors.New("the answer is not a token in JSON")})
	}
	if t.RefreshToken == "" {
		return pair{}, fail(&Error{Class: ErrClientConfig, Cause: errors.New("the grant has no refresh token"),
			Hint: "add the scope offline_access to the app and to the wanted scopes"})
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
	sites, err := c.sites(ctx, req, got.access)
	if err != nil {
		return Result{}, err
	}
	site, err := pick(sites, req)
	if err != nil {
		return Result{}, err
	}
	res := Result{CloudID: site.ID, SiteName: clean(site.Name), SiteURL: site.URL, Granted: got.scopes}
	if res.Granted == nil {
		res.Granted = splitScopes(strings.Join(site.Scopes, " "))
	}
	for _, s := range wanted(req.Scopes) {
		// What granted a refresh token granted this, also if the list leaves it out.
		if s != offline && !slices.Contains(res.Granted, s) {
			res.Missing = append(res.Missing, s)
		}
	}
	for _, s := range res.Granted {
		if s != offline && !slices.Contains(req.Scopes, s) {
			res.Extra = append(res.Extra, s)
		}
	}
	if len(res.Missing) > 0 {
		res.Warnings = append(res.Warnings, "not granted: "+strings.Join(res.Missing, ", ")+
			"; add these scopes to the app and consent again, or the datasets that need them stay unreadable")
	}
	account, unknown := c.account(ctx, site.ID, res.Granted, got.access)
	if account == "" {
		res.Warnings = append(res.Warnings, "which account consented is not known ("+unknown+"), so two grants of one person would go unnoticed")
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

// keep stores a checked grant.
func (c *Consent) keep(ctx context.Context, req Request, got pair, res Result) (Result, error) {
	old, err := c.previous(ctx, req.Tenant)
	if err != nil {
		return Result{}, err
	}
	if old.AccountID != "" && res.Credential.AccountID != "" && old.AccountID != res.Credential.AccountID {
		res.Warnings = append(res.Warnings, "another account than before consented: it may see other spaces, so each dataset begins a new epoch")
	}
	res.Credential, err = c.store(ctx, collector.Credential{
		Tenant: req.Tenant, Kind: c.Provider.kind(),
		AccessExpiresAt: got.sentAt.Add(got.lifetime), ConsentedAt: c.now(),
		AccountID: res.Credential.AccountID, Scopes: res.Granted,
	}, grant{Access: got.access, Refresh: got.refresh})
	return res, err
}

// previous returns the tenant's row, or a zero one.
func (c *Consent) previous(ctx context.Context, tenant string) (collector.Credential, error) {
	old, err := c.Store.Credential(ctx, tenant, c.Provider.kind())
	if err != nil && !errors.Is(err, collector.ErrNoCredential) {
		return old, fmt.Errorf("read the present grant of tenant %s: %w", tenant, err)
	}
	return old, nil
}

// store puts g in place of whatever grant is stored. A person's consent wins
// over refreshes of the old grant that come between.
func (c *Consent) store(ctx context.Context, row collector.Credential, g grant) (collector.Credential, error) {
	row.State, row.LastOKAt, row.ClientID = collector.CredentialOK, c.now(), c.Provider.ClientID
	for try := 1; ; try++ {
		old, err := c.previous(ctx, row.Tenant)
		if err != nil {
			return row, err
		}
		row.Generation = old.Generation
		stored, err := c.put(ctx, row, g)
		if err == nil {
			return stored, nil
		}
		if now, e := c.previous(ctx, row.Tenant); e != nil || now.Generation == old.Generation || try == 5 {
			return row, err
		}
	}
}

// put seals g for the generation after row's and stores it if row's is still
// the stored one.
func (c *Consent) put(ctx context.Context, row collector.Credential, g grant) (collector.Credential, error) {
	row.Generation++
	sealed, err := sealGrant(c.Vault, row, g)
	if err != nil {
		return row, err
	}
	row.Sealed = sealed
	stored, err := c.Store.PutConsent(ctx, row)
	if err != nil {
		return row, fmt.Errorf("store the grant of tenant %s: %w", row.Tenant, err)
	}
	return stored, nil
}

const offline = "offline_access"

// wanted returns scopes with offline_access, sorted and distinct.
func wanted(scopes []string) []string {
	all := slices.Sorted(slices.Values(append(slices.Clone(scopes), offline)))
	return slices.Compact(all)
}

func (c *Consent) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Consent) log() *zap.Logger {
	if c.Log == nil {
		return zap.NewNop()
	}
	return c.Log
}
