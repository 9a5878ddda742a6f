package confluencetest

import (
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// serve answers what auth.atlassian.com answers.
func (p *provider) serve(w http.ResponseWriter, r *http.Request, path string) {
	switch path {
	case "/authorize":
		p.serveAuthorize(w, r)
	case "/oauth/token":
		p.serveToken(w, r)
	default:
		http.NotFound(w, r)
	}
}

// consentPage carries the request's own query along in its action, so that the
// POST is checked as strictly as the GET was.
var consentPage = template.Must(template.New("consent").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.App}} asks for access</title>
<style>
 body{font:16px/1.5 system-ui,sans-serif;background:#f4f5f7;color:#172b4d;margin:0;display:grid;place-items:center;min-height:100vh}
 form{background:#fff;border-radius:10px;padding:2rem 2.5rem;max-width:28rem;box-shadow:0 4px 24px #091e4226}
 h1{font-size:1.3rem;margin:0 0 1rem} ul{padding-left:1.2rem} li{font-family:ui-monospace,monospace;font-size:.85rem}
 select,button{font:inherit;padding:.5rem 1rem;border-radius:6px;border:1px solid #c1c7d0;width:100%;margin:.3rem 0;box-sizing:border-box}
 button[value=allow]{background:#0c66e4;color:#fff;border-color:#0c66e4}
</style></head><body>
<form method="post" action="{{.Action}}">
<h1><strong>{{.App}}</strong> asks for access to your Atlassian account</h1>
<p>Signed in as {{.Person}} (simulated)</p>
<label>Use app on <select name="site">{{range .Sites}}<option>{{.}}</option>{{end}}<option value="">all of them</option></select></label>
<p>It may:</p><ul>{{range .Scopes}}<li>{{.}}</li>{{end}}</ul>
<button name="decision" value="allow">Accept</button>
<button name="decision" value="deny">Cancel</button>
</form></body></html>
`))

func (p *provider) serveAuthorize(w http.ResponseWriter, r *http.Request) {
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
	app, scopes, problem := p.checkAuthorize(query)
	if problem != "" {
		// Nothing may be redirected to an address that was not proven to be the app's.
		http.Error(w, problem, http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	auto := p.auto
	p.mu.Unlock()
	switch {
	case auto != nil:
		p.decide(w, r, app, query, scopes, *auto)
	case r.Method == http.MethodPost:
		decision := ConsentRequest{Deny: r.PostFormValue("decision") != "allow"}
		if site := r.PostFormValue("site"); site != "" {
			decision.Sites = []string{site}
		}
		p.decide(w, r, app, query, scopes, decision)
	default:
		var sites []string
		for _, s := range p.srv.Sites() {
			sites = append(sites, s.name)
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_ = consentPage.Execute(w, map[string]any{
			"App": app.Name, "Person": p.srv.Collector().Name, "Sites": sites, "Scopes": scopes, "Action": r.URL.Path + "?" + r.URL.RawQuery,
		})
	}
}

// checkAuthorize returns the app and the wanted scopes, or what is wrong.
func (p *provider) checkAuthorize(query url.Values) (*App, []string, string) {
	needed := map[string]string{"audience": "api.atlassian.com", "response_type": "code", "prompt": "consent", "client_id": "", "scope": "", "redirect_uri": "", "state": ""}
	for name, values := range query {
		if _, known := needed[name]; !known {
			return nil, nil, "the authorize address has an unknown parameter " + name
		}
		if len(values) != 1 {
			return nil, nil, "the authorize address repeats the parameter " + name
		}
	}
	for name, want := range needed {
		switch got := query.Get(name); {
		case got == "":
			return nil, nil, "the authorize address lacks the parameter " + name
		case want != "" && got != want:
			return nil, nil, "the authorize address must have " + name + "=" + want
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	app := p.apps[query.Get("client_id")]
	if app == nil {
		return nil, nil, "no app has this client_id"
	}
	if !slices.Contains(app.RedirectURIs, query.Get("redirect_uri")) {
		return nil, nil, "the redirect_uri is not one of the app's callback addresses"
	}
	scopes := strings.Fields(query.Get("scope"))
	for _, s := range scopes {
		if len(app.Scopes) > 0 && s != "offline_access" && !slices.Contains(app.Scopes, s) {
			return nil, nil, "the app may not ask for the scope " + s
		}
	}
	return app, scopes, ""
}

func (p *provider) decide(w http.ResponseWriter, r *http.Request, app *App, query url.Values, asked []string, decision ConsentRequest) {
	back, err := url.Parse(query.Get("redirect_uri"))
	if err != nil {
		http.Error(w, "the redirect_uri is no address", http.StatusBadRequest)
		return
	}
	answer := back.Query()
	answer.Set("state", query.Get("state"))
	if decision.Deny {
		answer.Set("error", "access_denied")
		answer.Set("error_description", "User did not authorize the request")
	} else {
		granted := asked
		if len(decision.Scopes) > 0 {
			granted = slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return !slices.Contains(decision.Scopes, s) })
		}
		p.mu.Lock()
		code, err := p.grantLocked(app, ConsentRequest{AccountID: decision.AccountID, Sites: decision.Sites, Scopes: granted, RedirectURI: query.Get("redirect_uri")})
		p.mu.Unlock()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer.Set("code", code)
	}
	back.RawQuery = answer.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}
