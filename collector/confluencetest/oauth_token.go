package confluencetest

import (
	"encoding/json"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// oauthError is an answer of the token endpoint. The statuses and texts are those
// that the confluence.js OAuth guide measured.
type oauthError struct {
	status      int
	code        string
	description string
}

var (
	errRotatedOut  = &oauthError{http.StatusForbidden, "unauthorized_client", "refresh_token is invalid"}
	errDeadGrant   = &oauthError{http.StatusForbidden, "invalid_grant", "Unknown or invalid refresh token."}
	errWrongSecret = &oauthError{http.StatusUnauthorized, "access_denied", "Unauthorized"}
	errWrongCode   = &oauthError{http.StatusForbidden, "invalid_grant", "Invalid authorization code"}
	// errExtraCode is what a refresh with a left-over code parameter got in 2022.
	errExtraCode = &oauthError{http.StatusBadRequest, "invalid_request", "refresh_token is invalid"}
)

func badRequest(description string) *oauthError {
	return &oauthError{http.StatusBadRequest, "invalid_request", description}
}

// TokenFaultKind says what goes wrong at the token endpoint.
type TokenFaultKind string

// Faults of the token endpoint.
const (
	TokenDropAfterRotation TokenFaultKind = "drop_after_rotation" // rotates, then cuts the connection without an answer
	TokenStatus            TokenFaultKind = "status"              // answers Status and Body without looking at the request
	TokenSlow              TokenFaultKind = "slow"                // rotates, then answers after Delay or when released
)

// TokenFault scripts an answer of the token endpoint.
type TokenFault struct {
	Kind TokenFaultKind
	// ClientID and RefreshToken narrow the fault; empty matches any.
	ClientID, RefreshToken string
	After                  int // matching calls to let through first
	Times                  int // how often; 0 means once, negative means always
	Status                 int
	Body                   string
	RetryAfter             string
	// Delay of TokenSlow, in real time. Release, when set, is waited for instead.
	Delay   time.Duration
	Release <-chan struct{}

	seen, done int
}

// FailToken scripts a fault of the token endpoint. Faults are tried in the order
// in which they were added.
func (srv *Server) FailToken(f TokenFault) {
	srv.oauth.mu.Lock()
	defer srv.oauth.mu.Unlock()
	srv.oauth.faults = append(srv.oauth.faults, &f)
}

func (p *provider) faultFor(fields map[string]string) *TokenFault {
	p.mu.Lock()
	defer p.mu.Unlock()
	return dueTokenFault(p.faults, fields)
}

// dueTokenFault returns the fault that is due for a token call, and counts it.
func dueTokenFault(faults []*TokenFault, fields map[string]string) *TokenFault {
	for _, f := range faults {
		if f.ClientID != "" && f.ClientID != fields["client_id"] || f.RefreshToken != "" && f.RefreshToken != fields["refresh_token"] {
			continue
		}
		if f.seen++; f.seen <= f.After {
			continue
		}
		if f.Times >= 0 && f.done >= max(f.Times, 1) {
			continue
		}
		f.done++
		return f
	}
	return nil
}

// serveToken is POST /oauth/token. It takes JSON and form bodies alike.
func (p *provider) serveToken(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.stats.TokenCalls++
	p.mu.Unlock()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	fields, refused := tokenFields(r)
	fault := p.faultFor(fields)
	if fault != nil && fault.Kind == TokenStatus {
		if fault.RetryAfter != "" {
			w.Header().Set("Retry-After", fault.RetryAfter)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(fault.Status)
		_, _ = io.WriteString(w, fault.Body)
		return
	}
	var tokens Tokens
	if refused == nil {
		tokens, refused = p.token(fields)
	}
	if fault != nil {
		switch fault.Kind {
		case TokenDropAfterRotation:
			p.mu.Lock()
			p.stats.AnswersDropped++
			p.mu.Unlock()
			reset(w)
			return
		case TokenSlow:
			p.srv.wait(r, fault.Delay, fault.Release)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if refused != nil {
		p.mu.Lock()
		p.stats.Refused++
		p.mu.Unlock()
		b := appendString([]byte(`{"error":`), refused.code)
		b = appendString(append(b, `,"error_description":`...), refused.description)
		w.WriteHeader(refused.status)
		_, _ = w.Write(append(b, '}'))
		return
	}
	b := appendString([]byte(`{"access_token":`), tokens.AccessToken)
	b = strconv.AppendInt(append(b, `,"expires_in":`...), int64(tokens.ExpiresIn/time.Second), 10)
	b = append(b, `,"token_type":"Bearer"`...)
	if tokens.RefreshToken != "" {
		b = appendString(append(b, `,"refresh_token":`...), tokens.RefreshToken)
	}
	b = appendString(append(b, `,"scope":`...), strings.Join(tokens.Scopes, " "))
	_, _ = w.Write(append(b, '}'))
}

// tokenFields reads the body, whichever of the two encodings it has. Credentials
// in a header or in the query are not taken.
func tokenFields(r *http.Request) (map[string]string, *oauthError) {
	if r.URL.RawQuery != "" {
		return nil, badRequest("parameters belong into the body")
	}
	if r.Header.Get("Authorization") != "" {
		return nil, errWrongSecret
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, badRequest("unreadable body")
	}
	fields := map[string]string{}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch kind {
	case "application/json":
		if err := json.Unmarshal(body, &fields); err != nil {
			return nil, badRequest("malformed JSON")
		}
	case "application/x-www-form-urlencoded":
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, badRequest("malformed form")
		}
		for name, v := range values {
			if len(v) != 1 {
				return nil, badRequest("parameter " + name + " is repeated")
			}
			fields[name] = v[0]
		}
	default:
		return nil, badRequest("unsupported content type")
	}
	return fields, nil
}

// token answers a well-formed call of the token endpoint.
func (p *provider) token(fields map[string]string) (Tokens, *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	app := p.apps[fields["client_id"]]
	if app == nil || app.ClientSecret != fields["client_secret"] {
		p.stats.WrongSecret++
		return Tokens{}, errWrongSecret
	}
	known := []string{"grant_type", "client_id", "client_secret"}
	grant := fields["grant_type"]
	switch grant {
	case "authorization_code":
		known = append(known, "code", "redirect_uri")
	case "refresh_token":
		if _, ok := fields["code"]; ok {
			return Tokens{}, errExtraCode
		}
		known = append(known, "refresh_token")
	case "client_credentials":
		known = append(known, "audience", "scope")
		if !app.ServiceAccount {
			return Tokens{}, &oauthError{http.StatusForbidden, "unauthorized_client", "Grant type 'client_credentials' not allowed for the client."}
		}
	case "":
		return Tokens{}, badRequest("Missing required parameter: grant_type")
	default:
		return Tokens{}, &oauthError{http.StatusForbidden, "unsupported_grant_type", "Unsupported grant type: " + grant}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			return Tokens{}, badRequest("unexpected parameter " + name)
		}
	}
	switch grant {
	case "authorization_code":
		return p.exchangeLocked(fields)
	case "refresh_token":
		if fields["refresh_token"] == "" {
			return Tokens{}, badRequest("Missing required parameter: refresh_token")
		}
		return p.rotateLocked(app.ClientID, fields["refresh_token"])
	default:
		return p.serviceLocked(app), nil
	}
}

func (p *provider) exchangeLocked(fields map[string]string) (Tokens, *oauthError) {
	code, ok := p.codes[fields["code"]]
	delete(p.codes, fields["code"]) // a code works once, also when it is refused
	if !ok || !code.expires.After(p.srv.now()) || code.redirect != fields["redirect_uri"] ||
		code.family.grant.ClientID != fields["client_id"] || !p.describeLocked(code.family).Alive {
		p.stats.ExchangeRefused++
		return Tokens{}, errWrongCode
	}
	p.stats.Exchanges++
	return p.issueLocked(code.family), nil
}

// serviceLocked issues the lone access token of a service account.
func (p *provider) serviceLocked(app *App) Tokens {
	now := p.srv.now()
	f := &family{grant: Grant{
		ID: p.rand.uuid(), ClientID: app.ClientID, AccountID: "712020:" + app.ClientID, Scopes: slices.DeleteFunc(slices.Clone(app.Scopes), func(s string) bool { return s == "offline_access" }),
		CreatedAt: now, LastUsedAt: now, Alive: true,
	}}
	for _, s := range p.srv.Sites() {
		if len(app.ServiceSites) == 0 || slices.Contains(app.ServiceSites, s.name) {
			f.sites, f.grant.Sites = append(f.sites, s), append(f.grant.Sites, s.name)
		}
	}
	return p.issueLocked(f)
}
