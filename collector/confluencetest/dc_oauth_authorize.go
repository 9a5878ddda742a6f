package confluencetest

import (
	"cmp"
	"encoding/base64"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// serve answers what lies below /rest/oauth2/latest/.
func (p *dcProvider) serve(w http.ResponseWriter, r *http.Request, path string) {
	switch path {
	case "authorize":
		p.serveAuthorize(w, r)
	case "token":
		p.serveToken(w, r)
	default:
		http.NotFound(w, r)
	}
}

var dcConsentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Client}} asks for access</title>
<style>
 body{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#172b4d;margin:0;display:grid;place-items:center;min-height:100vh}
 form{background:#fff;border-radius:10px;padding:2rem 2.5rem;max-width:28rem;box-shadow:0 4px 24px #091e4226}
 button{font:inherit;padding:.5rem 1rem;border-radius:6px;border:1px solid #c1c7d0;width:100%;margin:.3rem 0}
</style></head><body>
<form method="post" action="{{.Action}}">
<h1>{{.Client}} asks for access to {{.Title}}</h1>
<p>Signed in as {{.User}} (simulated). It may act with the scope <strong>{{.Scope}}</strong>, as far as your own rights reach.</p>
<button name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Deny</button>
</form></body></html>
`))

// authorization is a request to the authorize endpoint whose client and redirect
// address were proven.
type authorization struct {
	client    *DCClient
	back      *url.URL
	redirect  string
	state     string
	scope     dcScope
	challenge string
}

func (p *dcProvider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "the query of the authorize address cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	auto := p.auto
	client := p.clients[query.Get("client_id")]
	p.mu.Unlock()
	// Nothing may be redirected to an address that was not proven to be the client's.
	if client == nil || !slices.Contains(client.RedirectURIs, query.Get("redirect_uri")) {
		http.Error(w, "no client has this client_id and this redirect_uri", http.StatusBadRequest)
		return
	}
	back, err := url.Parse(query.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "the redirect_uri is no address", http.StatusBadRequest)
		return
	}
	a := authorization{client: client, back: back, redirect: query.Get("redirect_uri"), state: query.Get("state")}
	if code, problem := p.check(&a, query); code != "" {
		a.answer(w, r, url.Values{"error": {code}, "error_description": {problem}})
		return
	}
	switch {
	case auto != nil:
		p.decide(w, r, a, *auto)
	case r.Method == http.MethodPost:
		p.decide(w, r, a, DCConsent{Deny: r.PostFormValue("decision") != "allow"})
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		p.dc.mu.RLock()
		title := p.dc.server.Title
		p.dc.mu.RUnlock()
		_ = dcConsentPage.Execute(w, map[string]any{
			"Client": client.Name, "Title": title, "User": p.dc.Collector().DisplayName, "Scope": a.scope, "Action": r.URL.EscapedPath() + "?" + r.URL.RawQuery,
		})
	}
}

// check reads the rest of the query. It returns an error code of OAuth 2.0 and
// what is wrong, or nothing.
func (p *dcProvider) check(a *authorization, query url.Values) (code, problem string) {
	known := []string{"client_id", "redirect_uri", "response_type", "state", "scope", "code_challenge", "code_challenge_method"}
	for name, values := range query {
		if !slices.Contains(known, name) {
			return "invalid_request", "unknown parameter " + name
		}
		if len(values) > 1 {
			return "invalid_request", "repeated parameter " + name
		}
	}
	if query.Get("response_type") != "code" {
		return "unsupported_response_type", "the response_type must be code"
	}
	if a.state == "" {
		return "invalid_request", "the parameter state is missing"
	}
	scope, ok := parseDCScope(query.Get("scope"))
	if most, _ := parseDCScope(a.client.Scope); !ok || scope > most {
		return "invalid_scope", "the scope is missing, unknown or more than the client may ask for"
	}
	a.scope, a.challenge = scope, query.Get("code_challenge")
	if a.challenge == "" && !query.Has("code_challenge_method") {
		if a.client.Public || !p.dc.settings.AllowNoPKCE {
			return "invalid_request", "the parameter code_challenge is missing"
		}
		return "", ""
	}
	if query.Get("code_challenge_method") != "S256" {
		return "invalid_request", "the code_challenge_method must be S256"
	}
	if sum, err := base64.RawURLEncoding.DecodeString(a.challenge); err != nil || len(sum) != 32 {
		return "invalid_request", "the code_challenge is no SHA-256 sum in base64url without padding"
	}
	return "", ""
}

func (p *dcProvider) decide(w http.ResponseWriter, r *http.Request, a authorization, decision DCConsent) {
	if decision.Deny {
		a.answer(w, r, url.Values{"error": {"access_denied"}, "error_description": {"The resource owner denied the request"}})
		return
	}
	scope := a.scope
	if less, ok := parseDCScope(cmp.Or(decision.Scope, a.scope.String())); ok {
		scope = min(scope, less)
	}
	p.mu.Lock()
	code, err := p.grantLocked(a.client, DCConsent{Username: decision.Username, RedirectURI: a.redirect, CodeChallenge: a.challenge}, scope)
	p.mu.Unlock()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	a.answer(w, r, url.Values{"code": {code}})
}

// answer redirects to the client, with the state that it sent.
func (a authorization) answer(w http.ResponseWriter, r *http.Request, values url.Values) {
	q := a.back.Query()
	maps.Copy(q, values)
	if a.state != "" {
		q.Set("state", a.state)
	}
	back := *a.back
	back.RawQuery = q.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}
