package confluencetest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// APIToken is a person's API token, used with basic authentication.
type APIToken struct {
	Email     string
	Token     string // generated when empty
	AccountID string // default: the collecting person
	// Scopes of a scoped token, which works on the API gateway. nil makes a classic
	// token, which works on the site's own host and may do everything.
	Scopes []string
	// Expires is when the token is refused, by the server's clock; zero: never. Real
	// tokens live for a year at most.
	Expires time.Time
}

type basicToken struct {
	who     identity
	scoped  bool
	expires time.Time
}

// AddToken registers an API token and returns it with its secret.
func (srv *Server) AddToken(t APIToken) APIToken {
	if t.Token == "" {
		srv.oauth.mu.Lock()
		t.Token = "ATATT" + srv.oauth.rand.hex(32)
		srv.oauth.mu.Unlock()
	}
	collector := srv.Collector()
	if t.AccountID == "" {
		t.AccountID = collector.AccountID
	}
	if t.Email == "" {
		t.Email = collector.Email
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.basic[t.Email+":"+t.Token] = basicToken{who: identity{account: t.AccountID, scopes: slices.Clone(t.Scopes)}, scoped: t.Scopes != nil, expires: t.Expires}
	return t
}

// RemoveToken makes an API token invalid.
func (srv *Server) RemoveToken(t APIToken) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.basic, t.Email+":"+t.Token)
}

// authenticate finds out who sends a request. grants are the sites that the
// credential reaches; nil means all. OAuth tokens are refused on site hosts,
// classic API tokens on the gateway.
func (srv *Server) authenticate(r *http.Request, site *Site, gateway bool) (who identity, grants []*Site, ok bool) {
	header := r.Header.Get("Authorization")
	if token, bearer := strings.CutPrefix(header, "Bearer "); bearer {
		if !gateway {
			return identity{}, nil, false
		}
		return srv.oauth.bearer(token)
	}
	email, secret, basic := r.BasicAuth()
	if !basic {
		return identity{}, nil, false
	}
	srv.mu.RLock()
	t, ok := srv.basic[email+":"+secret]
	srv.mu.RUnlock()
	if !ok || t.scoped != gateway || !t.expires.IsZero() && !srv.now().Before(t.expires) {
		return identity{}, nil, false
	}
	return t.who, nil, true
}

// bearer tells what a valid access token stands for.
func (p *provider) bearer(token string) (who identity, grants []*Site, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a, ok := p.access[token]
	if !ok || !a.expires.After(p.srv.now()) {
		p.stats.AccessRefusals++
		return identity{}, nil, false
	}
	g := &a.family.grant
	who = identity{account: g.AccountID, scopes: g.Scopes, quota: g.ClientID, app: true}
	if who.scopes == nil {
		who.scopes = []string{} // no scopes at all, not all of them
	}
	grants = a.family.sites
	if grants == nil {
		grants = []*Site{}
	}
	return who, grants, true
}

// ExpireAccessTokens makes all access tokens handed out so far invalid, as if
// their hour were over.
func (srv *Server) ExpireAccessTokens() {
	srv.oauth.mu.Lock()
	defer srv.oauth.mu.Unlock()
	clear(srv.oauth.access)
}

// serveResources is GET /oauth/token/accessible-resources.
func (srv *Server) serveResources(w http.ResponseWriter, r *http.Request) {
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	var who identity
	var sites []*Site
	if bearer {
		who, sites, bearer = srv.oauth.bearer(token)
	}
	if !bearer {
		gatewayError(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	if r.Method != http.MethodGet {
		gatewayError(w, http.StatusMethodNotAllowed, "Method Not Allowed")
		return
	}
	b := []byte{'['}
	for i, s := range sites {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), s.cloudID)
		b = appendString(append(b, `,"url":`...), s.URL())
		b = appendString(append(b, `,"name":`...), s.name)
		b = append(b, `,"scopes":[`...)
		n := 0
		for _, scope := range who.scopes {
			if scope == "offline_access" {
				continue
			}
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = appendString(b, scope)
		}
		b = append(b, fmt.Sprintf(`],"avatarUrl":"%s/avatar.png","x":{"later":[null]}}`, srv.APIURL())...)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(b, ']'))
}
