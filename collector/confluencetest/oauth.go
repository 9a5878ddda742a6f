package confluencetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Person is an Atlassian account that can consent to apps. On every site it may
// do and see everything that the site does not hide.
type Person struct{ AccountID, Name, Email string }

// App is an OAuth client. Generated fields: ClientID and ClientSecret when empty.
type App struct {
	Name         string
	ClientID     string
	ClientSecret string
	RedirectURIs []string // compared exactly
	Scopes       []string // what the app may ask for; empty allows everything
	// ServiceAccount allows the client credentials grant, which has no refresh token.
	ServiceAccount bool
	// ServiceSites are the sites that a service account reaches; empty means all.
	ServiceSites []string
}

// Tokens is what a successful call of the token endpoint hands out.
type Tokens struct {
	AccessToken  string
	RefreshToken string // empty without the scope offline_access
	ExpiresIn    time.Duration
	Scopes       []string
}

// Grant describes one consent and its family of refresh tokens.
type Grant struct {
	ID         string
	ClientID   string
	AccountID  string
	Sites      []string // names
	Scopes     []string
	CreatedAt  time.Time
	LastUsedAt time.Time
	Rotations  int
	Alive      bool
	// Reason says why a grant is dead: "revoked", "reuse", "superseded", "idle" or "expired".
	Reason string
}

// ProviderStats counts what the authorization server did.
type ProviderStats struct {
	TokenCalls      int64 // requests to the token endpoint, whatever their answer
	Exchanges       int64 // codes exchanged
	Rotations       int64 // refreshes that handed out a new pair, leeway reuses included
	LeewayReuses    int64 // refreshes with the previous token inside the leeway
	FamiliesKilled  int64 // by reuse detection
	Superseded      int64 // killed by a later consent
	Refused         int64 // token calls answered with an OAuth error
	AnswersDropped  int64 // token answers lost by a scripted fault after the rotation
	AccessRefusals  int64 // API requests with an unknown or expired access token
	WrongSecret     int64
	UnknownRefresh  int64 // refresh tokens never issued here
	ScopeRefusals   int64
	ExchangeRefused int64
}

// family is one grant's chain of refresh tokens.
type family struct {
	grant     Grant
	sites     []*Site
	current   string
	previous  string
	rotatedAt time.Time // when previous was first used
}

type refreshToken struct {
	family *family
	number int
}

type accessToken struct {
	family  *family
	expires time.Time
}

type pendingCode struct {
	family   *family
	redirect string
	expires  time.Time
}

// provider is the authorization server.
type provider struct {
	srv *Server

	mu       sync.Mutex
	rand     random
	apps     map[string]*App
	appOrder []*App
	families []*family
	refresh  map[string]refreshToken
	access   map[string]accessToken
	codes    map[string]pendingCode
	auto     *ConsentRequest
	stats    ProviderStats
	faults   []*TokenFault
	swept    time.Time
}

func newProvider(srv *Server) *provider {
	return &provider{
		srv: srv, rand: newRandom(srv.settings.Seed, "tokens"),
		apps: map[string]*App{}, refresh: map[string]refreshToken{}, access: map[string]accessToken{}, codes: map[string]pendingCode{},
	}
}

// Collector returns the person that exists from the start and is a user of every site.
func (srv *Server) Collector() Person {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.persons[0]
}

// AddPerson adds an account; an empty AccountID is generated.
func (srv *Server) AddPerson(p Person) Person {
	srv.oauth.mu.Lock()
	p.AccountID = cmp.Or(p.AccountID, "557058:"+srv.oauth.rand.uuid())
	srv.oauth.mu.Unlock()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.persons = append(slices.Clone(srv.persons), p)
	return p
}

// AddApp registers an OAuth client and returns it with its id and secret.
func (srv *Server) AddApp(app App) App {
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	app.ClientID = cmp.Or(app.ClientID, p.rand.hex(16))
	app.ClientSecret = cmp.Or(app.ClientSecret, "ATOA"+p.rand.hex(30))
	app.Name = cmp.Or(app.Name, "app "+app.ClientID[:min(6, len(app.ClientID))])
	stored := app
	p.apps[app.ClientID] = &stored
	p.appOrder = append(p.appOrder, &stored)
	return app
}

// ConsentRequest is a person's answer to an app.
type ConsentRequest struct {
	ClientID    string
	AccountID   string   // default: the collecting person
	Sites       []string // names of the sites picked; empty means all
	Scopes      []string // granted scopes, possibly fewer than asked for; empty means all asked for
	RedirectURI string   // default: the app's first
	Deny        bool     // the person pressed Cancel
}

// Consent grants an app access without a browser and returns the code that the
// token endpoint exchanges.
func (srv *Server) Consent(req ConsentRequest) (code string, err error) {
	if req.Deny {
		return "", errors.New("a denied consent has no code; use AutoConsent to see the redirect")
	}
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	app := p.apps[req.ClientID]
	if app == nil {
		return "", fmt.Errorf("no app has the client id %q; register it with AddApp", req.ClientID)
	}
	if req.RedirectURI == "" && len(app.RedirectURIs) > 0 {
		req.RedirectURI = app.RedirectURIs[0]
	}
	if len(req.Scopes) == 0 {
		req.Scopes = app.Scopes
	}
	return p.grantLocked(app, req)
}

// Connect consents and exchanges the code in one step, for tests that start with
// a working grant.
func (srv *Server) Connect(req ConsentRequest) (Tokens, Grant, error) {
	code, err := srv.Consent(req)
	if err != nil {
		return Tokens{}, Grant{}, err
	}
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.codes[code].family
	delete(p.codes, code)
	p.stats.Exchanges++
	return p.issueLocked(f), p.describeLocked(f), nil
}

// AutoConsent makes the authorize endpoint answer every valid request at once, as
// if the person had pressed the button. The request's ClientID and RedirectURI
// are ignored. nil brings the consent page back.
func (srv *Server) AutoConsent(req *ConsentRequest) {
	srv.oauth.mu.Lock()
	defer srv.oauth.mu.Unlock()
	if req != nil {
		req = new(*req)
	}
	srv.oauth.auto = req
}

func (p *provider) grantLocked(app *App, req ConsentRequest) (string, error) {
	now := p.srv.now()
	person := p.srv.Collector()
	req.AccountID = cmp.Or(req.AccountID, person.AccountID)
	var sites []*Site
	var names []string
	for _, s := range p.srv.Sites() {
		if len(req.Sites) == 0 || slices.Contains(req.Sites, s.name) {
			sites, names = append(sites, s), append(names, s.name)
		}
	}
	if len(req.Sites) > 0 && len(sites) != len(req.Sites) {
		return "", fmt.Errorf("consent picks sites %q, but only %q exist", req.Sites, names)
	}
	f := &family{sites: sites, grant: Grant{
		ID: p.rand.uuid(), ClientID: app.ClientID, AccountID: req.AccountID, Sites: names, Scopes: slices.Clone(req.Scopes),
		CreatedAt: now, LastUsedAt: now, Alive: true,
	}}
	p.families = append(p.families, f)
	code := p.rand.hex(24)
	p.codes[code] = pendingCode{family: f, redirect: req.RedirectURI, expires: now.Add(10 * time.Minute)}
	return code, nil
}

// issueLocked hands out a fresh pair (or a lone access token) of a family.
func (p *provider) issueLocked(f *family) Tokens {
	now := p.srv.now()
	t := Tokens{AccessToken: "eyJ" + p.rand.hex(48), ExpiresIn: p.srv.settings.AccessTokenTTL, Scopes: f.grant.Scopes}
	p.access[t.AccessToken] = accessToken{family: f, expires: now.Add(t.ExpiresIn)}
	f.grant.LastUsedAt = now
	if slices.Contains(f.grant.Scopes, "offline_access") {
		if f.current == "" && !p.srv.settings.KeepOlderGrants {
			p.supersedeLocked(f)
		}
		t.RefreshToken = "eyR" + p.rand.hex(48)
		f.current = t.RefreshToken
		p.refresh[t.RefreshToken] = refreshToken{family: f, number: f.grant.Rotations}
	}
	if now.Sub(p.swept) > p.srv.settings.AccessTokenTTL {
		p.swept = now
		for token, a := range p.access {
			if !a.expires.After(now) {
				delete(p.access, token)
			}
		}
	}
	return t
}

// supersedeLocked kills the living families of the same app and person.
func (p *provider) supersedeLocked(newer *family) {
	for _, f := range p.families {
		if f != newer && f.grant.Alive && f.current != "" && f.grant.ClientID == newer.grant.ClientID && f.grant.AccountID == newer.grant.AccountID {
			f.grant.Alive, f.grant.Reason = false, "superseded"
			p.stats.Superseded++
		}
	}
}

// describeLocked brings the lifetime rules to bear and returns a copy.
func (p *provider) describeLocked(f *family) Grant {
	now := p.srv.now()
	if f.grant.Alive {
		switch {
		case now.Sub(f.grant.CreatedAt) >= p.srv.settings.AbsoluteTTL:
			f.grant.Alive, f.grant.Reason = false, "expired"
		case now.Sub(f.grant.LastUsedAt) >= p.srv.settings.IdleTTL:
			f.grant.Alive, f.grant.Reason = false, "idle"
		}
	}
	g := f.grant
	g.Sites, g.Scopes = slices.Clone(g.Sites), slices.Clone(g.Scopes)
	return g
}

// rotateLocked is the refresh grant: see [FamilyState] for the rules.
func (p *provider) rotateLocked(clientID, token string) (Tokens, *oauthError) {
	held, ok := p.refresh[token]
	if !ok || held.family.grant.ClientID != clientID {
		p.stats.UnknownRefresh++
		return Tokens{}, errRotatedOut
	}
	f, now := held.family, p.srv.now()
	alive := p.describeLocked(f).Alive
	switch {
	case token == f.current:
		if !alive {
			return Tokens{}, errDeadGrant
		}
		f.previous, f.rotatedAt = token, now
	case token == f.previous && alive && now.Sub(f.rotatedAt) <= p.srv.settings.Leeway && p.srv.settings.Leeway > 0:
		// The newest token is replaced without being used: whoever asks again with
		// the previous one did not receive it.
		p.stats.LeewayReuses++
	default:
		if alive {
			f.grant.Alive, f.grant.Reason = false, "reuse"
			p.stats.FamiliesKilled++
		}
		return Tokens{}, errRotatedOut
	}
	f.grant.Rotations++
	p.stats.Rotations++
	return p.issueLocked(f), nil
}

// FamilyState tells what a refresh token is worth.
type FamilyState struct {
	Grant Grant
	// Current: the newest token. A refresh with it rotates.
	Current bool
	// Usable: a refresh with this token would succeed now, because the grant lives
	// and the token is current, or was the one before and the leeway lasts. Any
	// other token of the family kills it when used.
	Usable bool
	// Number counts the family's rotations before this token was issued.
	Number int
}

// Family looks a refresh token up without using it; false means it was never issued.
func (srv *Server) Family(refreshToken string) (FamilyState, bool) {
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	held, ok := p.refresh[refreshToken]
	if !ok {
		return FamilyState{}, false
	}
	f := held.family
	st := FamilyState{Grant: p.describeLocked(f), Current: refreshToken == f.current, Number: held.number}
	inside := refreshToken == f.previous && p.srv.settings.Leeway > 0 && srv.now().Sub(f.rotatedAt) <= p.srv.settings.Leeway
	st.Usable = st.Grant.Alive && (st.Current || inside)
	return st, true
}

// Grants lists all consents, oldest first.
func (srv *Server) Grants() []Grant {
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	list := make([]Grant, len(p.families))
	for i, f := range p.families {
		list[i] = p.describeLocked(f)
	}
	return list
}

// Revoke ends a grant as the person does in the account settings: its refresh
// token is refused as revoked, its access tokens stop at once.
func (srv *Server) Revoke(grantID string) error {
	p := srv.oauth
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.families {
		if f.grant.ID != grantID {
			continue
		}
		f.grant.Alive, f.grant.Reason = false, "revoked"
		for token, a := range p.access {
			if a.family == f {
				delete(p.access, token)
			}
		}
		return nil
	}
	return fmt.Errorf("no grant has the id %q; Grants lists them", grantID)
}

// ProviderStats returns the counters of the authorization server.
func (srv *Server) ProviderStats() ProviderStats {
	srv.oauth.mu.Lock()
	defer srv.oauth.mu.Unlock()
	return srv.oauth.stats
}

// TokenCalls returns how many requests the token endpoint got.
func (srv *Server) TokenCalls() int64 { return srv.ProviderStats().TokenCalls }
