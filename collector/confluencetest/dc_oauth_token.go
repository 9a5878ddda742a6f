package confluencetest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
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

// invalid is what the token endpoint of a Data Center answers to everything that
// it refuses: always 400.
func invalid(code, description string) *oauthError {
	return &oauthError{http.StatusBadRequest, code, description}
}

// serveToken is POST /rest/oauth2/latest/token. Parameters stand in the query, as
// the documentation shows, or in a form.
func (p *dcProvider) serveToken(w http.ResponseWriter, r *http.Request) {
	p.count(func(s *DCOAuthStats) { s.TokenCalls++ })
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	fields, refused := dcTokenFields(r)
	p.mu.Lock()
	fault := dueTokenFault(p.faults, fields)
	p.mu.Unlock()
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
	var issued time.Time
	if refused == nil {
		tokens, issued, refused = p.token(fields)
	}
	if refused != nil {
		p.count(func(s *DCOAuthStats) { s.Refused++ })
	}
	if fault != nil {
		switch fault.Kind {
		case TokenDropAfterRotation:
			p.count(func(s *DCOAuthStats) { s.AnswersDropped++ })
			reset(w)
			return
		case TokenSlow:
			p.dc.srv.wait(r, fault.Delay, fault.Release)
		}
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	if refused != nil {
		b := appendString([]byte(`{"error":`), refused.code)
		b = appendString(append(b, `,"error_description":`...), refused.description)
		w.WriteHeader(refused.status)
		_, _ = w.Write(append(b, '}'))
		return
	}
	b := appendString([]byte(`{"access_token":`), tokens.AccessToken)
	b = strconv.AppendInt(append(b, `,"token_type":"bearer","expires_in":`...), int64(tokens.ExpiresIn/time.Second), 10)
	b = appendString(append(b, `,"refresh_token":`...), tokens.RefreshToken)
	b = strconv.AppendInt(append(b, `,"created_at":`...), issued.Unix(), 10)
	_, _ = w.Write(append(b, '}'))
}

// dcTokenFields collects the parameters of query and form.
func dcTokenFields(r *http.Request) (map[string]string, *oauthError) {
	if r.Header.Get("Authorization") != "" {
		return nil, invalid("invalid_request", "credentials of the client belong into the parameters")
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("invalid_request", "malformed query")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 64<<10))
	if err != nil {
		return nil, invalid("invalid_request", "unreadable body")
	}
	var form url.Values
	if len(body) > 0 {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
			return nil, invalid("invalid_request", "a body must be a form")
		}
		if form, err = url.ParseQuery(string(body)); err != nil {
			return nil, invalid("invalid_request", "malformed form")
		}
	}
	fields := map[string]string{}
	for _, part := range []url.Values{query, form} {
		for name, values := range part {
			if _, twice := fields[name]; twice || len(values) != 1 {
				return nil, invalid("invalid_request", "repeated parameter "+name)
			}
			fields[name] = values[0]
		}
	}
	return fields, nil
}

// token answers a well-formed call of the token endpoint.
func (p *dcProvider) token(fields map[string]string) (tokens Tokens, issued time.Time, refused *oauthError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	client := p.clients[fields["client_id"]]
	if client == nil || client.ClientSecret != fields["client_secret"] {
		p.stats.WrongClient++
		return Tokens{}, issued, invalid("invalid_client", "unknown client or wrong secret")
	}
	needed := map[string][]string{
		"authorization_code": {"code", "redirect_uri"},
		"refresh_token":      {"refresh_token", "redirect_uri"},
	}[fields["grant_type"]]
	if needed == nil {
		return Tokens{}, issued, invalid("unsupported_grant_type", "the grant_type must be authorization_code or refresh_token")
	}
	known := append([]string{"grant_type", "client_id", "client_secret"}, needed...)
	if fields["grant_type"] == "authorization_code" {
		known = append(known, "code_verifier")
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			return Tokens{}, issued, invalid("invalid_request", "unexpected parameter "+name)
		}
	}
	if fields[needed[0]] == "" {
		return Tokens{}, issued, invalid("invalid_request", "missing parameter "+needed[0])
	}
	if fields["grant_type"] == "refresh_token" {
		tokens, refused = p.rotateLocked(client, fields)
	} else {
		tokens, refused = p.exchangeLocked(client, fields)
	}
	return tokens, p.dc.srv.now(), refused
}

// rotateLocked is the refresh grant. The token is looked at before the redirect
// address, and a wrong address leaves it as it is.
func (p *dcProvider) rotateLocked(client *DCClient, fields map[string]string) (Tokens, *oauthError) {
	held, ok := p.refresh[fields["refresh_token"]]
	if !ok || held.family.grant.ClientID != client.ClientID || held.family.refresh != fields["refresh_token"] || !p.usableLocked(held.family) {
		p.stats.RefusedRefreshes++
		return Tokens{}, invalid("invalid_grant", "The provided refresh token is invalid, expired or revoked")
	}
	if held.family.grant.RedirectURI != fields["redirect_uri"] {
		p.stats.WrongRedirect++
		return Tokens{}, invalid("invalid_grant", "The request is not valid") // names nothing, like the real one
	}
	held.family.grant.Rotations++
	p.stats.Rotations++
	return p.issueLocked(held.family), nil
}

func (p *dcProvider) exchangeLocked(client *DCClient, fields map[string]string) (Tokens, *oauthError) {
	code, ok := p.codes[fields["code"]]
	delete(p.codes, fields["code"]) // a code works once, also when it is refused
	refused := func() (Tokens, *oauthError) {
		p.stats.RefusedExchanges++
		return Tokens{}, invalid("invalid_grant", "The provided authorization code or verifier is invalid")
	}
	if !ok || !code.expires.After(p.dc.srv.now()) || code.family.grant.ClientID != client.ClientID || !p.usableLocked(code.family) {
		return refused()
	}
	if code.family.grant.RedirectURI != fields["redirect_uri"] {
		p.stats.WrongRedirect++
		return Tokens{}, invalid("invalid_grant", "The request is not valid")
	}
	if !verifies(code.challenge, fields["code_verifier"]) {
		return refused()
	}
	p.stats.Exchanges++
	return p.issueLocked(code.family), nil
}

// verifies checks a code verifier against its S256 challenge (RFC 7636). Without a
// challenge there must be no verifier either.
func verifies(challenge, verifier string) bool {
	if challenge == "" {
		return verifier == ""
	}
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	if len(verifier) < 43 || len(verifier) > 128 || strings.Trim(verifier, unreserved) != "" {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}
