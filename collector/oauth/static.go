package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// ErrInvalidSecret says that what was given to Keep cannot be a credential of its kind.
var ErrInvalidSecret = errors.New("this cannot be stored as a credential")

// Static is a credential that an operator makes by hand: a token, a key, or the
// client id and secret of a service account.
type Static struct {
	Tenant string
	Kind   string // collector.CredentialKindAPIToken, ...

	// Account names whose it is. An e-mail address makes an API token go out with
	// it, by Basic authentication; an API token without scopes needs one. Else it
	// is an account id or a name, or empty when nobody knows.
	Account  string
	ClientID string       // of a service account
	Secret   vault.Secret // the token, the key or the client secret; spaces around it are cut off

	ExpiresAt time.Time // zero: not known
	Scopes    []string  // that it was made with; nil: not known, or it has none
}

// Keep checks s, seals its secret and stores it in place of the one before it.
// Processes that use the one before take the new one within half a minute, and
// at once when the old one is refused. It returns the row as stored.
// ErrInvalidSecret says that s cannot be right; other errors are the store's.
func (t *Tokens) Keep(ctx context.Context, s Static) (collector.Credential, error) {
	now := t.Now()
	secret := strings.TrimSpace(s.Secret.Reveal())
	if problem := s.problem(secret, now); problem != "" {
		return collector.Credential{}, fmt.Errorf("store the %s of tenant %s (%s): %w: %s", noun(s.Kind), clean(s.Tenant), clean(s.Kind), ErrInvalidSecret, problem)
	}
	scopes := slices.Sorted(slices.Values(s.Scopes))
	stored, err := keeper{t.Store, t.Vault}.replace(ctx, collector.Credential{
		Tenant: s.Tenant, Kind: s.Kind, ClientID: s.ClientID, AccountID: s.Account, Scopes: slices.Compact(scopes),
		AccessExpiresAt: s.ExpiresAt, LastOKAt: now, ConsentedAt: now,
	}, grant{Secret: vault.NewSecret(secret)})
	if err == nil {
		t.drop(s.Tenant, s.Kind)
	}
	return stored, err
}

// problem says why s cannot be stored, "" if it can. It never quotes the secret.
func (s Static) problem(secret string, now time.Time) string {
	odd := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) || r > unicode.MaxASCII })
	}
	service := s.Kind == collector.CredentialKindServiceAccount
	switch {
	case !isStatic(s.Kind):
		return "this kind comes by consent or does not exist"
	case s.Tenant == "":
		return "no tenant is named"
	case secret == "":
		return "it is empty"
	case odd(secret):
		return "it holds spaces or characters that no such secret has: copy it once more, the secret alone"
	case len(secret) > 16<<10:
		return "it is longer than any such secret"
	case odd(s.Account), odd(s.ClientID):
		return "the account or the client id holds spaces or characters that it cannot have"
	case s.Kind == collector.CredentialKindAPIToken && !strings.Contains(s.Account, "@"):
		return "an API token goes out with the e-mail address of its account, which is missing"
	case s.basic() && strings.Contains(s.Account, ":"):
		return "an e-mail address with a colon cannot be sent"
	case service && s.ClientID == "":
		return "the client id is missing"
	case !service && s.ClientID != "":
		return "only a service account has a client id"
	case !s.ExpiresAt.IsZero() && !now.Before(s.ExpiresAt):
		return "it expired at " + s.ExpiresAt.UTC().Format(time.DateTime) + " UTC: make a new one " + origin(s.Kind)
	}
	return ""
}

func (s Static) basic() bool { return sendsBasic(s.Kind, s.Account) }

// sendsBasic tells whether a token goes out with its account's e-mail address
// (Atlassian, "Manage API tokens for your Atlassian account").
func sendsBasic(kind, account string) bool {
	switch kind {
	case collector.CredentialKindAPIToken, collector.CredentialKindScopedToken:
		return strings.Contains(account, "@")
	}
	return false
}

// unexpired refuses a stored secret that has come to its end.
func (t *Tokens) unexpired(c collector.Credential) error {
	if now := t.Now(); !isStatic(c.Kind) || c.AccessExpiresAt.IsZero() || now.Before(c.AccessExpiresAt) {
		return nil
	}
	return &Error{
		Class: ErrNeedsNewToken, Op: "use the " + noun(c.Kind), Tenant: c.Tenant, Kind: c.Kind,
		Description: "it expired at " + c.AccessExpiresAt.UTC().Format(time.DateTime) + " UTC",
		Hint:        "make a new one " + origin(c.Kind) + ", and run: " + t.Again(c.Tenant, c.Kind),
	}
}
