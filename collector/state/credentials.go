package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

const credentialColumns = `tenant, kind, sealed, generation, state, state_reason, lease_owner, lease_until, intent_at, access_expires_at, last_ok_at, consented_at, client_id, account_id, scopes, refused_since, refused_at, refused_evidence, claims`

func scanCredential(r scanner) (c collector.Credential, err error) {
	err = r.Scan(&c.Tenant, &c.Kind, &c.Sealed, &c.Generation, &c.State, &c.StateReason, &c.LeaseOwner, instant{&c.LeaseUntil}, instant{&c.IntentAt},
		instant{&c.AccessExpiresAt}, instant{&c.LastOKAt}, instant{&c.ConsentedAt}, &c.ClientID, &c.AccountID, list{&c.Scopes},
		instant{&c.Refusal.Since}, instant{&c.Refusal.At}, &c.Refusal.Evidence, &c.Claims)
	return c, err
}

// Credential returns one credential, or collector.ErrNoCredential.
func (s *Store) Credential(ctx context.Context, tenant, kind string) (collector.Credential, error) {
	c, err := scanCredential(s.vault.QueryRowContext(ctx, `SELECT `+credentialColumns+` FROM credentials WHERE tenant = $1 AND kind = $2`, tenant, kind))
	if errors.Is(err, sql.ErrNoRows) {
		err = collector.ErrNoCredential
	}
	if err != nil {
		return c, fmt.Errorf("credential %s of tenant %s: %w", kind, tenant, err)
	}
	return c, nil
}

// Credentials lists all credentials by tenant and kind.
func (s *Store) Credentials(ctx context.Context) ([]collector.Credential, error) {
	return s.credentials(ctx, `TRUE`)
}

// TenantCredentials lists the credentials of a tenant by kind.
func (s *Store) TenantCredentials(ctx context.Context, tenant string) ([]collector.Credential, error) {
	return s.credentials(ctx, `tenant = $1`, tenant)
}

// PendingIntents lists the usable credentials with a refresh whose outcome is
// unknown, the oldest first. They are served before anything else, since the
// provider's leeway runs (Invariant 5).
func (s *Store) PendingIntents(ctx context.Context) ([]collector.Credential, error) {
	pending, err := s.credentials(ctx, `intent_at > 0 AND state = 'ok'`)
	slices.SortStableFunc(pending, func(a, b collector.Credential) int { return a.IntentAt.Compare(b.IntentAt) })
	return pending, err
}

func (s *Store) credentials(ctx context.Context, where string, args ...any) ([]collector.Credential, error) {
	all, err := collect(ctx, s.vault, scanCredential, `SELECT `+credentialColumns+` FROM credentials WHERE `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	slices.SortFunc(all, func(a, b collector.Credential) int {
		return strings.Compare(a.Tenant+"\x00"+a.Kind, b.Tenant+"\x00"+b.Kind)
	})
	return all, nil
}

// ClaimRefresh leases a credential to owner until the given time and notes the
// intent to refresh it, durably, before the provider is called. It returns the
// credential as stored now, and false when it is not usable or somebody else
// holds the lease, or owner itself does: a call of its own that had no answer may
// still be under way. An intent already noted keeps its time: the leeway counts
// from the first try. collector.ErrNoCredential when there is none.
func (s *Store) ClaimRefresh(ctx context.Context, tenant, kind, owner string, now, until time.Time) (collector.Credential, bool, error) {
	// Invariant 5: one statement, so of two processes one gets the row.
	c, err := scanCredential(s.vault.QueryRowContext(ctx, `
UPDATE credentials SET lease_owner = $3, lease_until = `+s.vault.clock("$4")+` + $5, intent_at = COALESCE(NULLIF(intent_at, 0), $4), claims = claims + 1
WHERE tenant = $1 AND kind = $2 AND state = 'ok' AND lease_until <= `+s.vault.clock("$4")+`
RETURNING `+credentialColumns, tenant, kind, owner, millis(now), until.Sub(now).Milliseconds()))
	if errors.Is(err, sql.ErrNoRows) {
		c, err = s.Credential(ctx, tenant, kind)
		return c, false, err
	}
	if err != nil {
		return c, false, fmt.Errorf("claim refresh of credential %s of tenant %s: %w", kind, tenant, err)
	}
	return c, true, nil
}

// SaveRotation stores the tokens of a refresh: c.Sealed under generation was+1,
// AccessExpiresAt, LastOKAt and Scopes; it clears the intent and the owner's
// lease.
// False when the stored generation is not was: somebody rotated meanwhile, the
// caller drops its tokens and reads again. With fenced also when a refresh was
// claimed after c was: where a token may be sent twice, the newer claim may have got
// tokens that ended those of c.
//
// Invariant 5: when this has returned true, the tokens are on disk; only then
// may the access token be used.
func (s *Store) SaveRotation(ctx context.Context, c collector.Credential, was int64, owner string, fenced bool) (bool, error) {
	if len(c.Sealed) == 0 {
		return false, fmt.Errorf("store rotated tokens of credential %s of tenant %s: no sealed tokens given", c.Kind, c.Tenant)
	}
	// The grant has just worked, so it is ok, whatever was thought of it. A
	// lease that another process got meanwhile is left to it; its refresh will
	// find the generation moved.
	claims := int64(-1)
	if fenced { // Invariant 5
		claims = c.Claims
	}
	n, err := affected(ctx, s.vault, `
UPDATE credentials SET sealed = $4, generation = generation + 1, state = 'ok', state_reason = '', intent_at = 0,
  lease_until = CASE WHEN lease_owner = $5 THEN 0 ELSE lease_until END,
  lease_owner = CASE WHEN lease_owner = $5 THEN '' ELSE lease_owner END,
  access_expires_at = $6, last_ok_at = $7, scopes = $8
WHERE tenant = $1 AND kind = $2 AND generation = $3 AND CAST($9 AS BIGINT) IN (-1, claims)`,
		c.Tenant, c.Kind, was, c.Sealed, owner, millis(c.AccessExpiresAt), millis(c.LastOKAt), listText(c.Scopes), claims)
	if err != nil {
		return false, fmt.Errorf("store rotated tokens of credential %s of tenant %s: %w", c.Kind, c.Tenant, err)
	}
	return n == 1, nil
}

// ReleaseRefresh gives owner's lease back; clearIntent when the outcome is
// known (the provider refused before it rotated, or was never reached). It does
// nothing when the lease is not owner's any more.
func (s *Store) ReleaseRefresh(ctx context.Context, tenant, kind, owner string, clearIntent bool) error {
	_, err := s.vault.ExecContext(ctx, `
UPDATE credentials SET lease_owner = '', lease_until = 0, intent_at = CASE WHEN $4 THEN 0 ELSE intent_at END
WHERE tenant = $1 AND kind = $2 AND lease_owner = $3`, tenant, kind, owner, clearIntent)
	if err != nil {
		return fmt.Errorf("release refresh of credential %s of tenant %s: %w", kind, tenant, err)
	}
	return nil
}

// MarkNeedsReconsent records that a grant is proven dead, and why (for people,
// no secret). False when the generation has moved: the proof was about older
// tokens (Invariant 6).
func (s *Store) MarkNeedsReconsent(ctx context.Context, tenant, kind string, generation int64, reason string) (bool, error) {
	n, err := affected(ctx, s.vault, `
UPDATE credentials SET state = 'needs_reconsent', state_reason = $4, lease_owner = '', lease_until = 0, intent_at = 0
WHERE tenant = $1 AND kind = $2 AND generation = $3`, tenant, kind, generation, reason)
	if err != nil {
		return false, fmt.Errorf("mark credential %s of tenant %s: %w", kind, tenant, err)
	}
	return n == 1, nil
}

// PutConsent stores a new grant and returns it as stored: usable, without
// intent, lease and refusal, one generation above the stored one (1 when there was
// none). c.Generation is the one that c.Sealed was sealed for; when that is
// not the next one (somebody rotated meanwhile), nothing is stored and the
// error is ErrGenerationMoved: read again, seal again.
// A zero LastOKAt becomes ConsentedAt.
func (s *Store) PutConsent(ctx context.Context, c collector.Credential) (collector.Credential, error) {
	if c.LastOKAt.IsZero() {
		c.LastOKAt = c.ConsentedAt
	}
	if len(c.Sealed) == 0 {
		return c, fmt.Errorf("store consent for credential %s of tenant %s: no sealed tokens given", c.Kind, c.Tenant)
	}
	stored, err := scanCredential(s.vault.QueryRowContext(ctx, `
INSERT INTO credentials (tenant, kind, sealed, generation, state, access_expires_at, last_ok_at, consented_at, client_id, account_id, scopes)
SELECT $1, $2, $3, 1, 'ok', $4, $5, $6, $7, $8, $9
WHERE CAST($10 AS BIGINT) = 1 OR EXISTS (SELECT 1 FROM credentials WHERE tenant = $1 AND kind = $2)
ON CONFLICT (tenant, kind) DO UPDATE SET sealed = excluded.sealed, generation = credentials.generation + 1, state = 'ok', state_reason = '',
  lease_owner = '', lease_until = 0, intent_at = 0, access_expires_at = excluded.access_expires_at, last_ok_at = excluded.last_ok_at,
  consented_at = excluded.consented_at, client_id = excluded.client_id, account_id = excluded.account_id, scopes = excluded.scopes,
  refused_since = 0, refused_at = 0, refused_evidence = ''
WHERE CAST($10 AS BIGINT) = credentials.generation + 1
RETURNING `+credentialColumns,
		c.Tenant, c.Kind, c.Sealed, millis(c.AccessExpiresAt), millis(c.LastOKAt), millis(c.ConsentedAt), c.ClientID, c.AccountID, listText(c.Scopes), c.Generation))
	if errors.Is(err, sql.ErrNoRows) {
		err = fmt.Errorf("%w: it was sealed for generation %d", ErrGenerationMoved, c.Generation)
	}
	if err != nil {
		return stored, fmt.Errorf("store consent for credential %s of tenant %s: %w", c.Kind, c.Tenant, err)
	}
	return stored, nil
}

// Reseal puts another encryption of the same secret in place of the one that c
// holds. It tells whether it did: a credential that was replaced, refreshed or
// erased meanwhile is left alone.
func (s *Store) Reseal(ctx context.Context, c collector.Credential, sealed []byte) (bool, error) {
	n, err := affected(ctx, s.vault, `UPDATE credentials SET sealed = $1 WHERE tenant = $2 AND kind = $3 AND generation = $4 AND sealed = $5`,
		sealed, c.Tenant, c.Kind, c.Generation, c.Sealed)
	if err != nil {
		return false, fmt.Errorf("encrypt credential %s of tenant %s anew: %w", c.Kind, c.Tenant, err)
	}
	return n == 1, nil
}

// SameGrantor lists, sorted, the other tenants that the same account granted to
// the same app. Atlassian keeps one grant per person and app, so a consent for
// one of them may end the others'.
func (s *Store) SameGrantor(ctx context.Context, clientID, accountID, exceptTenant string) ([]string, error) {
	if clientID == "" || accountID == "" {
		return nil, nil // an unknown person is nobody's double
	}
	tenants, err := collect(ctx, s.vault, scanString, `
SELECT DISTINCT tenant FROM credentials WHERE client_id = $1 AND account_id = $2 AND tenant <> $3`, clientID, accountID, exceptTenant)
	if err != nil {
		return nil, fmt.Errorf("look for other grants of the same account: %w", err)
	}
	slices.Sort(tenants)
	return tenants, nil
}

// DeleteCredentials erases the credentials of a tenant, of the given kinds or
// all; none is no error.
func (s *Store) DeleteCredentials(ctx context.Context, tenant string, kinds ...string) error {
	if _, err := s.vault.ExecContext(ctx, `DELETE FROM credentials WHERE tenant = $1 AND ($2 = '[]' OR $2 LIKE '%"' || kind || '"%')`, tenant, listText(kinds)); err != nil {
		return fmt.Errorf("erase credentials of tenant %s: %w", tenant, err)
	}
	if s.vault.dialect == "sqlite" {
		// The write-ahead log may still hold the erased pages' earlier content.
		if _, err := s.vault.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
			return fmt.Errorf("erase credentials of tenant %s from the log: %w", tenant, err)
		}
	}
	return nil
}
