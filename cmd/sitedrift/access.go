package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/schemas"
)

// access is the authorization of one run (or check) by the credential that the
// run began with. What a credential sees depends on who granted it, so a run
// never uses the tokens of two grants: rows that another account does not see
// would look like removals (Invariants 1 and 4). Its failures say what they mean
// for coverage, whenever in a run they come: a wrong client secret is no missing
// right, and needs no consent (Invariant 6).
type access struct {
	source  httpx.Authorizer
	store   *state.Store
	began   collector.Credential
	checked atomic.Int64 // the last generation that is of the grant of the run's beginning
}

func (a *app) access(c collector.Credential) (*access, error) {
	source, err := a.tokens.Authorizer(c)
	return &access{source: source, store: a.store, began: c}, err
}

// Authorization implements httpx.Authorizer.
func (c *access) Authorization(ctx context.Context) (string, int64, error) {
	header, generation, err := c.source.Authorization(ctx)
	if err == nil && c.checked.Load() != generation {
		if err = c.sameGrant(ctx); err == nil {
			c.checked.Store(generation)
		}
	}
	return header, generation, noAccess(c.began, err)
}

// Refused implements httpx.Authorizer.
func (c *access) Refused(ctx context.Context, generation int64) error {
	return noAccess(c.began, c.source.Refused(ctx, generation))
}

// sameGrant is nil while nobody consented anew since the run began.
func (c *access) sameGrant(ctx context.Context) error {
	now, err := c.store.Credential(ctx, c.began.Tenant, c.began.Kind)
	if err != nil {
		return err
	}
	if now.AccountID == c.began.AccountID && now.ConsentedAt.Equal(c.began.ConsentedAt) {
		return nil
	}
	return &collector.ReadError{
		State: schemas.CoverageFailed, Err: errReplaced,
		Evidence: "somebody consented anew while this run was reading, and two grants may see different things; the next run reads with the new one",
	}
}

// errReplaced says that a run's grant was replaced under it.
var errReplaced = errors.New("the grant was replaced during the run")

// noAccess says why there is no access token and what would help. Errors that
// are about the site, not about the token, stay as they are.
func noAccess(credential collector.Credential, err error) error {
	again := connectCommand(credential.Tenant, credential.Kind)
	r := &collector.ReadError{State: schemas.CoverageFailed, Err: err}
	failed, said := (*oauth.Error)(nil), (*collector.ReadError)(nil)
	switch {
	case err == nil, errors.As(err, &said), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, oauth.ErrStillRefused), errors.Is(err, httpx.ErrFixedCredential):
		return err
	case errors.Is(err, collector.ErrNoCredential):
		r.State, r.Evidence, r.Unlock = schemas.CoverageForbidden, "the tenant has no credential yet", again
	case errors.Is(err, oauth.ErrNeedsReconsent):
		r.State, r.Evidence, r.Unlock = schemas.CoverageForbidden, "the grant is dead: "+strings.TrimPrefix(answered(err), oauth.ErrNeedsReconsent.Error()+": "), again
	case errors.Is(err, vault.ErrUnknownKey):
		r.Evidence, r.Unlock = "the stored grant is encrypted with another key than that in the key file", "put the right key file back (vault.key_file); if it is lost: "+again
	case errors.Is(err, vault.ErrMoved):
		r.Evidence, r.Unlock = "the stored grant does not belong to this tenant, or was altered", again
	case errors.Is(err, oauth.ErrNeedsNewToken) && errors.As(err, &failed):
		r.State, r.Evidence, r.Unlock = schemas.CoverageForbidden, "the token is of no use: "+answered(err), failed.Hint
	case errors.As(err, &failed):
		r.Evidence, r.Unlock = "no access token: "+answered(err), failed.Hint
	default:
		r.Evidence = "no access token: " + err.Error()
	}
	return r
}

// answered is an error of a token, without what coverage says beside it.
func answered(err error) string {
	failed := (*oauth.Error)(nil)
	if !errors.As(err, &failed) {
		return err.Error()
	}
	short := *failed
	short.Op, short.Tenant, short.Hint = "", "", ""
	return strings.TrimPrefix(short.Error(), ": ")
}
