package confluencetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// DCClient is an application that is registered with the authorization server of
// a Data Center ("incoming link").
type DCClient struct {
	Name         string
	ClientID     string   // generated when empty
	ClientSecret string   // generated when empty; a public client has none
	RedirectURIs []string // compared exactly
	Scope        string   // the highest that it may ask for; default SYSTEM_ADMIN
	Public       bool
}

// DCConsent is a user's answer to a client.
type DCConsent struct {
	ClientID      string
	Username      string // default: the collecting administrator
	Scope         string // possibly less than asked for; default: what the client asked for, or may ask for
	RedirectURI   string // default: the client's first
	CodeChallenge string // S256; empty lets the code be exchanged without a verifier
	Deny          bool   // the user refused
}

// DCGrant describes one consent and its chain of tokens.
type DCGrant struct {
	ID          string
	ClientID    string
	UserKey     string
	Username    string // at the time of the consent
	Scope       string
	RedirectURI string
	CreatedAt   time.Time
	LastUsedAt  time.Time // when tokens were last handed out
	Rotations   int
	Alive       bool
	Reason      string // why a grant is dead: "revoked" or "expired"
}

// DCTokenState tells what a refresh token is worth.
type DCTokenState struct {
	Grant   DCGrant
	Current bool // the newest of its grant
	Usable  bool // a refresh with it would succeed now
	Number  int  // rotations before it was issued
}

// DCOAuthStats counts what the authorization server of a Data Center did.
type DCOAuthStats struct {
	TokenCalls       int64 // requests to the token endpoint, whatever their answer
	Exchanges        int64 // codes exchanged
	Rotations        int64 // refreshes that handed out a new pair
	Refused          int64 // token calls answered with an OAuth error
	RefusedRefreshes int64 // of these: with a refresh token that is unknown, used, or of a dead grant
	RefusedExchanges int64 // of these: with a wrong code or verifier
	WrongClient      int64 // of these: with an unknown client or a wrong secret
	WrongRedirect    int64 // of these: with a redirect address missing or other than consented
	AnswersDropped   int64 // token answers lost by a scripted fault after the rotation
	AccessRefusals   int64 // REST requests with a bearer token that is unknown or expired
	ScopeRefusals    int64 // REST requests beyond the scope of their token
}

type dcFamily struct {
	grant   DCGrant
	scope   dcScope
	refresh string
	access  string
}

type dcRefreshToken struct {
	family *dcFamily
	number int
}

type dcAccessToken struct {
	family  *dcFamily
	expires time.Time
}

type dcCode struct {
	family    *dcFamily
	challenge string
	expires   time.Time
}

// dcProvider is the authorization server of one Data Center. Its lock is taken
// before that of the site where both are needed.
type dcProvider struct {
	dc *DataCenter

	mu       sync.Mutex
	rand     random
	clients  map[string]*DCClient
	families []*dcFamily
	refresh  map[string]dcRefreshToken
	access   map[string]dcAccessToken
	codes    map[string]dcCode
	auto     *DCConsent
	stats    DCOAuthStats
	faults   []*TokenFault
}

func newDCProvider(dc *DataCenter, seed uint64) *dcProvider {
	return &dcProvider{
		dc: dc, rand: newRandom(seed, "dc tokens of "+dc.settings.Name), clients: map[string]*DCClient{},
		refresh: map[string]dcRefreshToken{}, access: map[string]dcAccessToken{}, codes: map[string]dcCode{},
	}
}

func (p *dcProvider) count(add func(*DCOAuthStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.stats)
}

// AddClient registers an OAuth client and returns it with its id and secret. It
// panics on a scope that does not exist.
func (dc *DataCenter) AddClient(client DCClient) DCClient {
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	client.Scope = cmp.Or(client.Scope, scopeSystemAdmin.String())
	if _, ok := parseDCScope(client.Scope); !ok {
		panic(fmt.Sprintf("confluencetest: a Data Center has no scope %q; it has READ, WRITE, ADMIN and SYSTEM_ADMIN", client.Scope))
	}
	client.ClientID = cmp.Or(client.ClientID, p.rand.hex(16))
	if client.Public {
		client.ClientSecret = ""
	} else {
		client.ClientSecret = cmp.Or(client.ClientSecret, p.rand.hex(32))
	}
	client.Name = cmp.Or(client.Name, "client "+client.ClientID[:min(6, len(client.ClientID))])
	stored := client
	p.clients[client.ClientID] = &stored
	return client
}

// Consent grants a client access without a browser and returns the code that the
// token endpoint exchanges.
func (dc *DataCenter) Consent(req DCConsent) (code string, err error) {
	if req.Deny {
		return "", errors.New("a denied consent has no code; use AutoConsent to see the redirect")
	}
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	client := p.clients[req.ClientID]
	if client == nil {
		return "", fmt.Errorf("no client has the id %q; register it with AddClient", req.ClientID)
	}
	if req.RedirectURI == "" && len(client.RedirectURIs) > 0 {
		req.RedirectURI = client.RedirectURIs[0]
	}
	asked, ok := parseDCScope(cmp.Or(req.Scope, client.Scope))
	if most, _ := parseDCScope(client.Scope); !ok || asked > most {
		return "", fmt.Errorf("client %q cannot be given the scope %q; it may ask for %s", client.Name, req.Scope, client.Scope)
	}
	return p.grantLocked(client, req, asked)
}

// Connect consents and exchanges the code in one step, for tests that start with
// a working grant.
func (dc *DataCenter) Connect(req DCConsent) (Tokens, DCGrant, error) {
	code, err := dc.Consent(req)
	if err != nil {
		return Tokens{}, DCGrant{}, err
	}
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.codes[code].family
	delete(p.codes, code)
	p.stats.Exchanges++
	return p.issueLocked(f), p.describeLocked(f), nil
}

// AutoConsent makes the authorize endpoint answer every valid request at once. Of
// the consent, the username, a lower scope and Deny count. nil brings the consent
// page back.
func (dc *DataCenter) AutoConsent(req *DCConsent) {
	dc.oauth.mu.Lock()
	defer dc.oauth.mu.Unlock()
	if req != nil {
		req = new(*req)
	}
	dc.oauth.auto = req
}

func (p *dcProvider) grantLocked(client *DCClient, req DCConsent, scope dcScope) (string, error) {
	p.dc.mu.RLock()
	u := p.dc.collector
	if req.Username != "" {
		u = p.dc.byUsername[req.Username]
	}
	var user DCUser
	if u != nil {
		user = u.data
	}
	p.dc.mu.RUnlock()
	if u == nil {
		return "", p.dc.missing("user", req.Username)
	}
	now := p.dc.srv.now()
	f := &dcFamily{scope: scope, grant: DCGrant{
		ID: p.rand.uuid(), ClientID: client.ClientID, UserKey: user.UserKey, Username: user.Username, Scope: scope.String(),
		RedirectURI: req.RedirectURI, CreatedAt: now, LastUsedAt: now, Alive: true,
	}}
	p.families = append(p.families, f)
	code := p.rand.hex(20)
	p.codes[code] = dcCode{family: f, challenge: req.CodeChallenge, expires: now.Add(10 * time.Minute)}
	return code, nil
}

// issueLocked hands out a fresh pair and ends the one before it, both halves.
func (p *dcProvider) issueLocked(f *dcFamily) Tokens {
	now := p.dc.srv.now()
	delete(p.access, f.access)
	f.access, f.refresh = "dcA"+p.rand.hex(40), "dcR"+p.rand.hex(40)
	f.grant.LastUsedAt = now
	t := Tokens{AccessToken: f.access, RefreshToken: f.refresh, ExpiresIn: p.dc.settings.AccessTokenTTL, Scopes: []string{f.scope.String()}}
	p.access[f.access] = dcAccessToken{family: f, expires: now.Add(t.ExpiresIn)}
	p.refresh[f.refresh] = dcRefreshToken{family: f, number: f.grant.Rotations}
	return t
}

// describeLocked brings the lifetime of refresh tokens to bear and returns a copy.
func (p *dcProvider) describeLocked(f *dcFamily) DCGrant {
	if f.grant.Alive && p.dc.srv.now().Sub(f.grant.LastUsedAt) >= p.dc.settings.RefreshTokenTTL {
		f.grant.Alive, f.grant.Reason = false, "expired"
	}
	return f.grant
}

// usableLocked tells whether a refresh of the grant would succeed with its newest
// token: it lives and its user may log in.
func (p *dcProvider) usableLocked(f *dcFamily) bool {
	p.dc.mu.RLock()
	u := p.dc.byUserKey[f.grant.UserKey]
	active := u != nil && u.data.Active
	p.dc.mu.RUnlock()
	return active && p.describeLocked(f).Alive
}

// bearer tells what an access token stands for.
func (p *dcProvider) bearer(token string) (userKey string, scope dcScope, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.access[token]
	if !ok || !a.expires.After(p.dc.srv.now()) {
		p.stats.AccessRefusals++
		return "", scopeNone, false
	}
	return a.family.grant.UserKey, a.family.scope, true
}

// ExpireAccessTokens makes all OAuth access tokens invalid, as if their time were
// over. Personal access tokens stay.
func (dc *DataCenter) ExpireAccessTokens() {
	dc.oauth.mu.Lock()
	defer dc.oauth.mu.Unlock()
	clear(dc.oauth.access)
}

// Grants returns all grants in the order of their consents.
func (dc *DataCenter) Grants() []DCGrant {
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]DCGrant, len(p.families))
	for i, f := range p.families {
		list[i] = p.describeLocked(f)
	}
	return list
}

// RevokeGrant ends a grant and its tokens, as its user does in the profile.
func (dc *DataCenter) RevokeGrant(id string) error {
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.families, func(f *dcFamily) bool { return f.grant.ID == id })
	if i < 0 {
		return fmt.Errorf("no grant has the id %q; Grants lists them", id)
	}
	f := p.families[i]
	f.grant.Alive, f.grant.Reason = false, "revoked"
	delete(p.access, f.access)
	return nil
}

// TokenState looks a refresh token up without using it; false means it was never
// issued here.
func (dc *DataCenter) TokenState(refreshToken string) (DCTokenState, bool) {
	p := dc.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	held, ok := p.refresh[refreshToken]
	if !ok {
		return DCTokenState{}, false
	}
	current := held.family.refresh == refreshToken
	usable := current && p.usableLocked(held.family)
	return DCTokenState{Grant: p.describeLocked(held.family), Current: current, Usable: usable, Number: held.number}, true
}

// OAuthStats returns the counters of the authorization server.
func (dc *DataCenter) OAuthStats() DCOAuthStats {
	dc.oauth.mu.Lock()
	defer dc.oauth.mu.Unlock()
	return dc.oauth.stats
}

// TokenCalls returns how many requests the token endpoint got.
func (dc *DataCenter) TokenCalls() int64 { return dc.OAuthStats().TokenCalls }

// FailToken scripts a fault of the token endpoint, as [Server.FailToken] does.
func (dc *DataCenter) FailToken(f TokenFault) {
	dc.oauth.mu.Lock()
	defer dc.oauth.mu.Unlock()
	dc.oauth.faults = append(dc.oauth.faults, &f)
}
