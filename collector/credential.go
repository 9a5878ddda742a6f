package collector

import (
	"errors"
	"time"
)

// CredentialState says whether a credential can be used.
type CredentialState string

// The states of a credential.
const (
	CredentialOK             CredentialState = "ok"
	CredentialNeedsReconsent CredentialState = "needs_reconsent" // the grant is proven dead; only a person can help
)

// CredentialKind3LO is a Cloud 3LO grant with a rotating refresh token
// (Atlassian, "OAuth 2.0 (3LO) apps").
const CredentialKind3LO = "3lo"

// ErrNoCredential says that a tenant has no credential of the asked kind yet.
var ErrNoCredential = errors.New("no credential stored")

// Credential is one stored way into a tenant's site. Secrets appear in it only
// sealed; opening them is the vault's work.
type Credential struct {
	Tenant string
	Kind   string

	Sealed     []byte // tokens, encrypted with tenant, kind and generation as associated data
	Generation int64  // grows by one with each stored rotation or consent

	State       CredentialState
	StateReason string // why it needs consent again, for people; never a secret

	LeaseOwner string    // who is refreshing
	LeaseUntil time.Time // until when nobody else may
	IntentAt   time.Time // when the refresh whose outcome is unknown was first tried; zero: none

	AccessExpiresAt time.Time // end of the sealed access token
	LastOKAt        time.Time // last successful refresh or consent
	ConsentedAt     time.Time // when a person granted it; the absolute expiry counts from here

	ClientID  string   // the OAuth app
	AccountID string   // the person or account that granted
	Scopes    []string // granted scopes, sorted
}
