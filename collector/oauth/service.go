package oauth

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Tokens of service accounts live in memory: any process can have its own at
// any time for the client id and secret, and nothing is lost with one. Their
// numbers keep the row's generation in the upper half.
const serialBits = 32

// rowGeneration is the generation of the row behind a token's number.
func rowGeneration(kind string, number int64) int64 {
	if kind == collector.CredentialKindServiceAccount {
		return number >> serialBits
	}
	return number
}

// mint gets an access token for a service account, unless one that is wanted is
// there by now. It tries again when the answer does not tell; a refusal is a
// matter of configuration, whatever its words (Invariant 6).
func (t *Tokens) mint(k key, goal want) (token, error) {
	for try := 1; ; {
		r, got, done, err := t.look(k, goal)
		if err != nil || done {
			return got, err
		}
		g, err := openGrant(t.Vault, r.Credential)
		if err != nil {
			return token{}, err
		}
		sentAt := t.Now()
		ctx, cancel := context.WithTimeout(t.ctx, callTimeout)
		p, v, fail := r.provider.clientToken(ctx, t.client, g.Secret)
		cancel()
		if v == rotated {
			t.mu.Lock()
			t.serial++
			number := r.Generation<<serialBits | t.serial
			t.mu.Unlock()
			return token{
				access: p.access, generation: number, row: r.Generation, expires: sentAt.Add(p.lifetime),
				early: t.spread(k, number, min(earliest, p.lifetime/10)), readAt: sentAt,
			}, nil
		}
		fail.Op, fail.Tenant, fail.Kind = "get an access token", k.tenant, k.kind
		if v == refused || v == dead {
			fail.Class = ErrClientConfig
			if fail.Code != "" {
				fail.Hint = "look whether the client secret still exists " + origin(k.kind) + ", and store client id and secret again: " + t.Again(k.tenant, k.kind)
			}
			return token{}, fail
		}
		if try++; try > maxTries {
			return token{}, fail
		}
		// No lease is held, so a call without an answer need not be waited out.
		if err := t.pause(t.backoff(try, collector.Credential{}, v, fail)); err != nil {
			return token{}, err
		}
	}
}

// RefusesClient reports whether err is how the authorization server refuses the id
// and secret of a service account: an answer about the credential itself, unlike
// those about one endpoint (RFC 6749, section 5.2). The app of a grant is another
// matter (Invariant 6).
func RefusesClient(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Kind == collector.CredentialKindServiceAccount && errors.Is(e.Class, ErrClientConfig) &&
		slices.Contains([]string{"access_denied", "invalid_client", "invalid_grant", "unauthorized_client"}, e.Code)
}

// clientToken asks for an access token by client id and secret alone
// (RFC 6749, section 4.4).
func (p Provider) clientToken(ctx context.Context, client *http.Client, secret vault.Secret) (pair, verdict, *Error) {
	return p.ask(ctx, client, map[string]string{
		"grant_type":    "client_credentials",
		"client_id":     p.ClientID,
		"client_secret": secret.Reveal(),
	})
}
