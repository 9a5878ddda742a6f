package collector

import (
	"errors"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// CredentialState says whether a credential can be used.
type CredentialState string

// The states of a credential.
const (
	CredentialOK             CredentialState = "ok"
	CredentialNeedsReconsent CredentialState = "needs_reconsent" // the grant is proven dead; only a person can help
)

// The kinds of credentials, by the names that the datasets' sources use. A tenant
// has at most one of each.
const (
	// CredentialKind3LO is a Cloud 3LO grant with a rotating refresh token
	// (Atlassian, "OAuth 2.0 (3LO) apps").
	CredentialKind3LO = schemas.Credential3LO
	// CredentialKindServiceAccount is the client id and secret of a Cloud service
	// account (Atlassian, "Create OAuth 2.0 credential for service accounts").
	CredentialKindServiceAccount = schemas.CredentialServiceAccount
	// CredentialKindScopedToken is an API token with scopes, of a person or of a
	// service account, for the API gateway (Atlassian, "Scoped API Tokens in
	// Confluence Cloud").
	CredentialKindScopedToken = schemas.CredentialScopedToken
	// CredentialKindAPIToken is an API token without scopes, for the site's own
	// host: it may do what its account may (Atlassian, "Manage API tokens for your
	// Atlassian account").
	CredentialKindAPIToken = schemas.CredentialAPIToken
	// CredentialKindAdminKey is an API key of a Cloud organization (Atlassian,
	// "Manage an organization with the admin APIs").
	CredentialKindAdminKey = schemas.CredentialAdminKey
	// CredentialKindDCOAuth is a Data Center grant with a rotating refresh token
	// (Atlassian, "Confluence OAuth 2.0 provider API").
	CredentialKindDCOAuth = schemas.CredentialDCOAuth
	// CredentialKindDCToken is a personal access token of Data Center (Atlassian,
	// "Using personal access tokens").
	CredentialKindDCToken = schemas.CredentialDCToken
)

// ErrNoCredential says that a tenant has no credential of the asked kind yet.
var ErrNoCredential = errors.New("no credential stored")

// Credential is one stored way into a tenant's site. Secrets appear in it only
// sealed; opening them is the vault's work.
type Credential struct {
	Tenant string
	Kind   string

	Sealed     []byte // tokens or secret, encrypted with tenant, kind and generation as associated data
	Generation int64  // grows by one with each stored rotation, consent or replacement

	State       CredentialState
	StateReason string // why it needs consent again, for people; never a secret
	Refusal     Refusal

	LeaseOwner string    // who is refreshing
	LeaseUntil time.Time // until when nobody else may
	Claims     int64     // how often a refresh was claimed
	IntentAt   time.Time // when the refresh whose outcome is unknown was first tried; zero: none

	AccessExpiresAt time.Time // end of the sealed access token, or of a token or secret that nothing renews; zero: not known
	LastOKAt        time.Time // last successful refresh or consent
	ConsentedAt     time.Time // when a person granted or stored it; a 3LO grant's absolute expiry counts from here

	ClientID  string   // the OAuth app, or the service account's client; empty for tokens
	AccountID string   // the person or account that granted, or that the token is of: an account id, a user key or an e-mail address
	Scopes    []string // granted scopes, sorted
}
