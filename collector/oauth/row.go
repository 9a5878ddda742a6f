package oauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// row is a credential with the provider that its tokens come from.
type row struct {
	collector.Credential
	provider  Provider
	claimedAt time.Time // by this process; zero: not by this one
}

// token is an access token, or a whole header of a fixed secret, as read from
// the store at readAt.
type token struct {
	access     vault.Secret
	generation int64 // what callers know it by
	row        int64 // generation of the row behind it
	expires    time.Time
	early      time.Duration
	readAt     time.Time
}

// read fetches the row and refuses what no refresh can help.
func (t *Tokens) read(ctx context.Context, k key) (row, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	c, err := t.Store.Credential(ctx, k.tenant, k.kind)
	if err != nil {
		return row{}, t.storeError("read the credential", k, err)
	}
	p, err := t.providerOf(ctx, c)
	if err != nil {
		return row{}, err
	}
	r := row{Credential: c, provider: p}
	return r, t.alive(r)
}

// providerOf finds the app that a credential's tokens come from.
func (t *Tokens) providerOf(ctx context.Context, c collector.Credential) (Provider, error) {
	switch {
	case c.Kind == t.Provider.kind():
		return t.Provider, nil
	case c.Kind == collector.CredentialKindServiceAccount:
		p := Provider{Kind: c.Kind, TokenURL: t.Provider.TokenURL, ClientID: c.ClientID}
		p.ConfigKeys.ClientID, p.ConfigKeys.ClientSecret, p.ConfigKeys.Endpoints = "the client id", "the client secret of the service account", t.Provider.ConfigKeys.Endpoints
		return p, nil
	case isFixed(c.Kind):
		return Provider{Kind: c.Kind}, nil
	}
	if !t.rotates(c.Kind) {
		return Provider{}, &Error{
			Class: ErrClientConfig, Op: "use the credential", Tenant: c.Tenant, Kind: clean(c.Kind),
			Cause: errors.New("nothing here uses credentials of this kind"),
		}
	}
	p, err := t.ProviderFor(ctx, c)
	if err != nil {
		return p, &Error{Class: ErrTemporary, Op: "find the site of the grant", Tenant: c.Tenant, Kind: c.Kind, Cause: err}
	}
	p.Kind, p.ClientID = c.Kind, cmp.Or(p.ClientID, c.ClientID)
	return p, nil
}

// alive refuses a row whose grant is dead, whose secret has expired, or that
// belongs to another app.
func (t *Tokens) alive(r row) error {
	if r.State == collector.CredentialNeedsReconsent {
		return &Error{
			Class: ErrNeedsReconsent, Op: "use the grant", Tenant: r.Tenant, Kind: r.Kind,
			Description: clean(r.StateReason), Hint: "run: " + t.Again(r.Tenant, r.Kind),
		}
	}
	if r.ClientID != "" && r.ClientID != r.provider.ClientID {
		return &Error{
			Class: ErrClientConfig, Op: "use the grant", Tenant: r.Tenant, Kind: r.Kind,
			Cause: fmt.Errorf("it was given to the app %q and %q is configured", clean(r.ClientID), clean(r.provider.ClientID)),
			Hint:  "put the former app's values into " + r.provider.clientKeys() + ", or run: " + t.Again(r.Tenant, r.Kind),
		}
	}
	return t.unexpired(r.Credential)
}

// tokenOf opens a row's access token. That of a service account is in memory,
// if there is one.
func (t *Tokens) tokenOf(r row) (token, error) {
	if r.Kind == collector.CredentialKindServiceAccount {
		t.mu.Lock()
		defer t.mu.Unlock()
		if held, ok := t.cache[key{r.Tenant, r.Kind}]; ok && held.row == r.Generation {
			held.readAt = t.Now()
			return held, nil
		}
		return token{row: r.Generation}, nil
	}
	if isFixed(r.Kind) {
		return token{}, &Error{
			Class: ErrClientConfig, Op: "get an access token", Tenant: r.Tenant, Kind: r.Kind,
			Cause: errors.New("a credential of this kind is sent as it is: use its Authorizer"),
		}
	}
	g, err := openGrant(t.Vault, r.Credential)
	if err != nil {
		return token{}, err
	}
	return t.tokenFrom(r.Credential, g), nil
}

func (t *Tokens) tokenFrom(c collector.Credential, g grant) token {
	early := earliest
	if life := c.AccessExpiresAt.Sub(c.LastOKAt); life > 0 {
		early = min(early, life/10)
	}
	return token{
		access: g.Access, generation: c.Generation, row: c.Generation, expires: c.AccessExpiresAt,
		early: t.spread(key{c.Tenant, c.Kind}, c.Generation, early), readAt: t.Now(),
	}
}

// spread adds up to a fifth to a time before a token's end, by a number that
// differs per credential and process, so that neither refresh together.
func (t *Tokens) spread(k key, generation int64, early time.Duration) time.Duration {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %d %s", k.tenant, k.kind, generation, t.Owner)
	return early + early*time.Duration(h.Sum32()%200)/1000
}

func (tok token) fresh(now time.Time) bool {
	return !tok.access.IsZero() && now.Add(tok.early).Before(tok.expires)
}

func (tok token) usable(now time.Time) bool {
	return !tok.access.IsZero() && now.Add(min(usableFor, tok.early)).Before(tok.expires)
}

// tooLate tells whether the row has an intent so old that its token, if it was
// rotated then, is outside the leeway by now. Where there is no leeway, waiting
// changes nothing.
func (r row) tooLate(now time.Time) bool {
	return !r.IntentAt.IsZero() && r.provider.Leeway > 0 && now.Sub(r.IntentAt) > max(r.provider.Leeway-time.Minute, 0)
}
