package oauth

import (
	"context"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// Store keeps credentials durably. Each method is one transaction that is on
// disk when it returns, and each may fail with an error of the database, after
// which the outcome of a write is unknown. Missing rows are
// collector.ErrNoCredential. Implementations are safe for concurrent use, also
// by several processes.
type Store interface {
	// Credential returns the row as it is.
	Credential(ctx context.Context, tenant, kind string) (collector.Credential, error)

	// Credentials returns all rows.
	Credentials(ctx context.Context) ([]collector.Credential, error)

	// ClaimRefresh takes the lease until the given time and sets the intent to
	// now, unless an intent is there already, which it keeps. It answers false
	// and changes nothing when the row is leased by another owner beyond now or
	// its state is not ok. The returned row is the one after the claim. The
	// intent is kept to the millisecond.
	ClaimRefresh(ctx context.Context, tenant, kind, owner string, now, until time.Time) (collector.Credential, bool, error)

	// SaveRotation stores c and ends lease and intent if the stored generation
	// is was, and with fenced also no refresh was claimed since c was; it answers
	// false otherwise.
	SaveRotation(ctx context.Context, c collector.Credential, was int64, owner string, fenced bool) (bool, error)

	// ReleaseRefresh ends owner's lease, and the intent too if clearIntent. A
	// lease that is another's is left alone.
	ReleaseRefresh(ctx context.Context, tenant, kind, owner string, clearIntent bool) error

	// MarkNeedsReconsent sets the state if the stored generation is the given
	// one, and answers false otherwise.
	MarkNeedsReconsent(ctx context.Context, tenant, kind string, generation int64, reason string) (bool, error)

	// PutConsent stores a new grant in place of the old one, without lease and
	// intent, state ok, and returns the row as stored. If c.Generation is not
	// one above the stored generation (1 for a new row), it stores nothing and
	// returns an error.
	PutConsent(ctx context.Context, c collector.Credential) (collector.Credential, error)

	// PendingIntents returns the rows with an intent.
	PendingIntents(ctx context.Context) ([]collector.Credential, error)

	// SameGrantor returns the other tenants whose grant came from the same
	// account for the same app.
	SameGrantor(ctx context.Context, clientID, accountID, exceptTenant string) ([]string, error)
}
