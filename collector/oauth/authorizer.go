package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Authorizer gives the Authorization header of each request with one credential.
// Implementations are safe for concurrent use.
type Authorizer interface {
	// Authorization returns the header's value and a number that grows when it
	// changes.
	Authorization(ctx context.Context) (header string, generation int64, err error)

	// Refused says that the API answered 401 to the header of the given
	// generation. On nil a newer one is to be had: ask, and send once more.
	Refused(ctx context.Context, generation int64) error
}

// Authorizer returns the authorizer of a stored credential, whatever its kind.
// It never gives a header older than c. It re-reads the store, so it may be kept
// for as long as the tenant. Errors of its methods are *Error,
// collector.ErrNoCredential, ErrClosed or those of the context; its own is
// ErrClientConfig, for a kind that cannot be used here.
func (t *Tokens) Authorizer(c collector.Credential) (Authorizer, error) {
	k := key{c.Tenant, c.Kind}
	switch {
	case isFixed(c.Kind):
		return fixedSecret{t, k, c.Generation}, nil
	case t.rotates(c.Kind), c.Kind == collector.CredentialKindServiceAccount:
		return Source{t, k, c.Generation}, nil
	}
	return nil, &Error{
		Class: ErrClientConfig, Op: "use the credential", Tenant: c.Tenant, Kind: clean(c.Kind),
		Cause: errors.New("nothing here uses credentials of this kind"),
	}
}

// Source binds Tokens to one credential whose access tokens are renewed.
func (t *Tokens) Source(tenant, kind string) Source { return Source{t, key{tenant, kind}, 0} }

// Source gives the Authorization header for one credential whose access tokens
// are renewed: a grant or a service account.
type Source struct {
	tokens *Tokens
	key    key
	since  int64 // generation of the row; tokens of earlier ones are not given
}

// Authorization returns the header's value and the generation behind it; errors as of Token.
func (s Source) Authorization(ctx context.Context) (string, int64, error) {
	access, generation, err := s.tokens.token(ctx, s.key, s.since)
	if err != nil {
		return "", 0, err
	}
	return "Bearer " + access.Reveal(), generation, nil
}

// Refused is Tokens.Refused for the bound credential.
func (s Source) Refused(ctx context.Context, generation int64) error {
	return s.tokens.Refused(ctx, s.key.tenant, s.key.kind, generation)
}

// fixedSecret gives the header of a token or key that nothing renews, as it is
// stored: one that an operator replaces is taken up.
type fixedSecret struct {
	tokens *Tokens
	key    key
	since  int64
}

// Authorization implements Authorizer. What it read is used for half a minute,
// and for longer while the store cannot be reached.
func (f fixedSecret) Authorization(ctx context.Context) (string, int64, error) {
	t := f.tokens
	now := t.Now()
	t.mu.Lock()
	held, ok := t.cache[f.key]
	t.mu.Unlock()
	ok = ok && held.row >= f.since
	if !ok || now.Sub(held.readAt) >= cacheFor {
		fresh, err := t.readFixed(ctx, f.key, held)
		switch {
		case err == nil:
			held = fresh
			t.remember(f.key, held)
		case ok && errors.Is(err, ErrTemporary): // the store is down, the secret is known
		default:
			return "", 0, err
		}
	}
	end := collector.Credential{Tenant: f.key.tenant, Kind: f.key.kind, AccessExpiresAt: held.expires}
	if err := t.unexpired(end); err != nil {
		return "", 0, err
	}
	return held.access.Reveal(), held.generation, nil
}

// Refused implements Authorizer. A refusal is no proof that the secret is dead:
// some endpoints answer 401 to whole kinds of credentials. So nothing is noted
// here (Invariant 6): whoever reads the site asks it about the secret itself.
func (f fixedSecret) Refused(ctx context.Context, generation int64) error {
	t := f.tokens
	got, err := t.readFixed(ctx, f.key, token{})
	if err != nil {
		return err
	}
	if got.generation > generation {
		t.remember(f.key, got)
		return nil
	}
	return &Error{
		Class: ErrNeedsNewToken, Op: "use the " + noun(f.key.kind), Tenant: f.key.tenant, Kind: f.key.kind, Status: http.StatusUnauthorized,
		Cause: errors.New("it was revoked or has expired, or it is not for this site or this endpoint"),
		Hint:  "look whether it still exists; make a new one " + origin(f.key.kind) + ", and run: " + t.Again(f.key.tenant, f.key.kind),
	}
}

// readFixed reads a fixed secret and makes its header, unless held is of the
// stored generation already. An expired one is refused.
func (t *Tokens) readFixed(ctx context.Context, k key, held token) (token, error) {
	r, err := t.read(ctx, k)
	if err != nil {
		return token{}, err
	}
	if held.row == r.Generation && !held.access.IsZero() {
		held.readAt = t.Now()
		return held, nil
	}
	g, err := openGrant(t.Vault, r.Credential)
	if err != nil {
		return token{}, err
	}
	header := "Bearer " + g.Secret.Reveal()
	if sendsBasic(r.Kind, r.AccountID) {
		header = "Basic " + base64.StdEncoding.EncodeToString([]byte(r.AccountID+":"+g.Secret.Reveal()))
	}
	return token{access: vault.NewSecret(header), generation: r.Generation, row: r.Generation, expires: r.AccessExpiresAt, readAt: t.Now()}, nil
}
