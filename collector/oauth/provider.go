package oauth

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Times of Atlassian Cloud's rotating refresh tokens (Atlassian community,
// announcement 54172 and staff answers in 50348 and 60806).
const (
	// CloudLeeway is how long the previous refresh token may be used again.
	CloudLeeway = 10 * time.Minute
	// CloudIdleLimit ends a grant whose refresh token was not used.
	CloudIdleLimit = 90 * 24 * time.Hour
	// CloudAbsoluteLimit ends a grant, counted from the consent.
	CloudAbsoluteLimit = 365 * 24 * time.Hour
)

// Provider is one OAuth app at one authorization server.
type Provider struct {
	Kind string // credential kind of its grants, collector.CredentialKind3LO if empty

	AuthURL  string // where the browser is sent, https://auth.atlassian.com/authorize
	TokenURL string // https://auth.atlassian.com/oauth/token
	APIURL   string // gateway, https://api.atlassian.com
	Audience string // the authorize URL's audience, empty: none

	ClientID     string
	ClientSecret vault.Secret
	RedirectURL  string // as registered with the app; http on a loopback host

	// Leeway is how long a rotated-out refresh token may be used again. Zero
	// means not at all: an unknown outcome is then tried once more.
	Leeway time.Duration

	JSONBody          bool // send the refresh call as JSON instead of a form
	RedirectOnRefresh bool // send redirect_uri with a refresh, as Data Center wants
	PKCE              bool // bind the code to a verifier (RFC 7636, method S256)

	// EndsAccess says that a refresh ends the access token in use, too: calls in
	// flight are let finish first (see Tokens.Transport).
	EndsAccess bool
	// KeepClient seals the client secret and the redirect URL with the grant: the
	// app is the tenant's own.
	KeepClient bool

	// Transport is the way to the token endpoint, in place of that of the options:
	// a tenant's own server may lie in a network that others' requests must not
	// reach.
	Transport http.RoundTripper

	// ConfigKeys name the configuration keys of ClientID, ClientSecret and the
	// endpoints in errors.
	ConfigKeys struct{ ClientID, ClientSecret, Endpoints string }
}

// AtlassianCloud returns the provider for a Cloud 3LO app. The bases auth and
// api are https://auth.atlassian.com and https://api.atlassian.com if empty.
func AtlassianCloud(auth, api, clientID string, clientSecret vault.Secret, redirectURL string) Provider {
	auth = strings.TrimRight(cmp.Or(auth, "https://auth.atlassian.com"), "/")
	api = strings.TrimRight(cmp.Or(api, "https://api.atlassian.com"), "/")
	return Provider{
		Kind:         collector.CredentialKind3LO,
		AuthURL:      auth + "/authorize",
		TokenURL:     auth + "/oauth/token",
		APIURL:       api,
		Audience:     "api.atlassian.com",
		ClientID:     clientID,
		ClientSecret: clientSecret,
		RedirectURL:  redirectURL,
		Leeway:       CloudLeeway,
	}
}

// of completes a provider by what was sealed with a grant. The redirect URL is
// always the consent's: another one is refused like a dead token.
func (p Provider) of(g grant) Provider {
	if p.ClientSecret.IsZero() {
		p.ClientSecret = g.Secret
	}
	p.RedirectURL = cmp.Or(g.Redirect, p.RedirectURL)
	return p
}

func (p Provider) kind() string { return cmp.Or(p.Kind, collector.CredentialKind3LO) }

func (p Provider) clientKeys() string {
	return cmp.Or(p.ConfigKeys.ClientID, "oauth.client_id") + " and " + cmp.Or(p.ConfigKeys.ClientSecret, "oauth.client_secret")
}

func (p Provider) endpointKey() string { return cmp.Or(p.ConfigKeys.Endpoints, "endpoints.auth") }

// app describes the provider to x/oauth2. The auth style is fixed, since
// detecting it sends a refused request a second time.
func (p Provider) app(scopes []string) *oauth2.Config {
	return &oauth2.Config{
		ClientID:     p.ClientID,
		ClientSecret: p.ClientSecret.Reveal(),
		RedirectURL:  p.RedirectURL,
		Scopes:       scopes,
		Endpoint:     oauth2.Endpoint{AuthURL: p.AuthURL, TokenURL: p.TokenURL, AuthStyle: oauth2.AuthStyleInParams},
	}
}
