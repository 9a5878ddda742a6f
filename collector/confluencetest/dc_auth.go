package confluencetest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// DCPAT is a personal access token. It may do what its owner may do.
type DCPAT struct {
	Token    string // generated when empty
	Name     string
	Username string    // default: the collecting administrator
	Expires  time.Time // by the server's clock; zero means never

	userKey string
}

// dcWho is who sent a request.
type dcWho struct {
	user  DCUser
	oauth bool
	scope dcScope // of an OAuth token
}

// may tells whether user and token together have a right.
func (who dcWho) may(right Right) bool {
	return who.user.Right >= right && who.covers(right)
}

// covers tells whether the token, whoever its user is, reaches that far.
func (who dcWho) covers(right Right) bool {
	needed := [...]dcScope{RightUser: scopeRead, RightAdmin: scopeAdmin, RightSystem: scopeSystemAdmin}[right]
	return !who.oauth || who.scope >= needed
}

// dcScope is a scope of the authorization server; each implies the ones before.
type dcScope int

const (
	scopeNone dcScope = iota
	scopeRead
	scopeWrite
	scopeAdmin
	scopeSystemAdmin
)

func dcScopeNames() []string { return []string{"", "READ", "WRITE", "ADMIN", "SYSTEM_ADMIN"} }

func (s dcScope) String() string { return dcScopeNames()[s] }

// parseDCScope reads one or several scopes, of which the highest counts. It
// returns false where one is unknown or none is named.
func parseDCScope(text string) (dcScope, bool) {
	highest := scopeNone
	for name := range strings.FieldsSeq(text) {
		i := slices.Index(dcScopeNames(), name)
		if i < 1 {
			return scopeNone, false
		}
		highest = max(highest, dcScope(i))
	}
	return highest, highest > scopeNone
}

// Collector returns the system administrator who owns a credential unless another
// user is named.
func (dc *DataCenter) Collector() DCUser {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	return dc.collector.data
}

// Reader returns a user without any right of administration.
func (dc *DataCenter) Reader() DCUser {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	return dc.reader.data
}

// AddPAT creates a personal access token. It panics when the site has no user of
// that name, which only a mistake in the calling test can cause.
func (dc *DataCenter) AddPAT(t DCPAT) DCPAT {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	t.Username = cmp.Or(t.Username, dc.collector.data.Username)
	owner := dc.byUsername[t.Username]
	if owner == nil {
		panic(dc.missing("user", t.Username).Error())
	}
	t.userKey = owner.data.UserKey
	if t.Token == "" {
		t.Token = "NDc2" + dc.rand.hex(20)
	}
	t.Name = cmp.Or(t.Name, "token of "+t.Username)
	dc.pats[t.Token] = t
	return t
}

// RevokePAT makes a personal access token invalid.
func (dc *DataCenter) RevokePAT(token string) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	delete(dc.pats, token)
}

// SetPassword gives a user a password for basic authentication.
func (dc *DataCenter) SetPassword(username, password string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	u := dc.byUsername[username]
	if u == nil {
		return dc.missing("user", username)
	}
	dc.passwords[u.data.UserKey] = password
	return nil
}

// authenticate finds out who sends a request, or answers it. Where it answers,
// ok is false.
func (c *dcCall) authenticate() (who dcWho, ok bool) {
	header := c.r.Header.Get("Authorization")
	if token, bearer := strings.CutPrefix(header, "Bearer "); bearer {
		if who, ok = c.dc.bearer(token); !ok {
			c.plainFail(http.StatusUnauthorized, "Client must be authenticated to access this resource.")
		}
		return who, ok
	}
	username, password, basic := c.r.BasicAuth()
	switch {
	case !basic:
		c.plainFail(http.StatusUnauthorized, "Client must be authenticated to access this resource.")
		return dcWho{}, false
	case !c.dc.settings.PasswordLogin:
		c.w.Header().Set("Content-Type", "application/json")
		c.reply(http.StatusForbidden, []byte(`{"message":"Basic Authentication has been disabled on this instance."}`))
		return dcWho{}, false
	}
	if who, ok = c.dc.login(username, password); ok {
		return who, true
	}
	h := c.w.Header()
	h.Set("X-Seraph-Loginreason", "AUTHENTICATED_FAILED")
	h.Set("WWW-Authenticate", `Basic realm="Confluence"`)
	h.Set("Content-Type", "text/html;charset=UTF-8")
	c.reply(http.StatusUnauthorized, []byte("<html><head><title>Unauthorized (401)</title></head><body>Basic Authentication Failure - Reason : AUTHENTICATED_FAILED</body></html>"))
	return dcWho{}, false
}

func (dc *DataCenter) login(username, password string) (dcWho, bool) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	u := dc.byUsername[username]
	if u == nil || !u.data.Active {
		return dcWho{}, false
	}
	want, set := dc.passwords[u.data.UserKey]
	return dcWho{user: u.data}, set && want == password
}

// bearer tells what a personal access token or an OAuth access token stands for.
func (dc *DataCenter) bearer(token string) (dcWho, bool) {
	dc.mu.RLock()
	pat, personal := dc.pats[token]
	dc.mu.RUnlock()
	who := dcWho{oauth: !personal}
	key := pat.userKey
	if personal {
		if !pat.Expires.IsZero() && !pat.Expires.After(dc.srv.now()) {
			return dcWho{}, false
		}
	} else {
		var ok bool
		if key, who.scope, ok = dc.oauth.bearer(token); !ok {
			return dcWho{}, false
		}
	}
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	u := dc.byUserKey[key]
	if u == nil || !u.data.Active {
		return dcWho{}, false
	}
	who.user = u.data
	return who, true
}
