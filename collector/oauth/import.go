package oauth

import (
	"context"
	"fmt"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// ImportRefreshToken stores a refresh token that was got elsewhere, proves it by
// refreshing it once, and checks the grant like a consent. A healthy grant of
// the tenant is replaced only if replace is set, and only by one that is proven
// and for the right site: on an error it is as it was. The token is used up by
// this; wherever it came from, it must not be used again.
func (c *Consent) ImportRefreshToken(ctx context.Context, req Request, tokens *Tokens, refresh vault.Secret, replace bool) (Result, error) {
	const op = "import the refresh token"
	kind := c.Provider.kind()
	old, err := c.keeper().previous(ctx, req.Tenant, kind)
	if err != nil {
		return Result{}, err
	}
	works, nothing := old.State == collector.CredentialOK, "nothing was stored"
	switch {
	case works && !replace:
		return Result{}, fmt.Errorf("%s of tenant %s: a working grant is stored already; add --replace to put this one in its place, or leave it", op, req.Tenant)
	case works:
		nothing = "nothing was replaced: the grant that was there stays"
	}
	refresh = vault.NewSecret(strings.TrimSpace(refresh.Reveal()))
	if refresh.IsZero() {
		return Result{}, fmt.Errorf("%s of tenant %s: it is empty", op, req.Tenant)
	}
	got, fail := c.redeem(ctx, refresh)
	if fail != nil {
		fail.Op, fail.Tenant, fail.Kind = op, req.Tenant, kind
		return Result{}, fmt.Errorf("%w; %s", fail, nothing)
	}
	unchecked := Result{Granted: c.Provider.holds(got.scopes)}
	if !works { // Invariant 5: on disk before its access token is used
		if unchecked, err = c.keep(ctx, req, got, unchecked); err != nil {
			return Result{}, err
		}
		tokens.drop(req.Tenant, kind)
	}
	res, err := c.inspect(ctx, req, got)
	switch {
	case err != nil && works:
		// Invariant 5 holds for the grant that is stored: it is not risked for one that
		// is unproven. This one is gone when the provider's leeway is over.
		return Result{}, fmt.Errorf("%s: %w; %s; %s", op, err, c.usedUp(), nothing)
	case err != nil:
		return Result{}, fmt.Errorf("%s of tenant %s: it works and is stored, but: %w", op, req.Tenant, err)
	}
	if kind == collector.CredentialKindDCOAuth {
		if got.scopes == nil {
			res.Warnings = append(res.Warnings, "the site does not say which scope the grant has, so it is taken to be "+strings.Join(c.Provider.asks(req.Scopes), " "))
		}
	} else {
		res.Warnings = append(res.Warnings, "the day of consent is not known, so the yearly end of the grant is counted from today")
	}
	if works {
		res, err = c.keep(ctx, req, got, res)
	} else {
		// Only for this generation: a refresh that came between keeps its tokens.
		row := unchecked.Credential
		row.AccountID, row.Scopes = res.Credential.AccountID, res.Granted
		res.Credential, err = c.keeper().put(ctx, row, c.sealed(got.access, got.refresh))
	}
	if err != nil {
		return Result{}, err
	}
	tokens.drop(req.Tenant, kind)
	return res, nil
}

// redeem trades a refresh token that is not stored for a pair, with one call.
func (c *Consent) redeem(ctx context.Context, refresh vault.Secret) (pair, *Error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	sentAt := c.now()
	got, v, fail := c.Provider.refresh(ctx, newClient(c.Transport), refresh)
	switch v {
	case rotated:
		got.sentAt = sentAt
		if got.refresh.IsZero() { // RFC 6749, section 6: else the old one stays in force
			got.refresh = refresh
		}
		return got, nil
	case dead:
		fail.Class = ErrTokenRefused
	case unanswered:
		fail.Cause = c.silent()
		fail.Hint = "if it was used, " + c.usedUp()
	case unknown:
		if fail.Hint == "" {
			fail.Hint = c.lookAt()
		}
	case refused: // the token was not looked at
	}
	return pair{}, fail
}

// usedUp says what is left of a refresh token that was used.
func (c *Consent) usedUp() string {
	if c.Provider.Leeway > 0 {
		return fmt.Sprintf("the token is used up: the provider takes it again for %d minutes only", int(c.Provider.Leeway.Minutes()))
	}
	return "the token is used up: the provider takes it once"
}
