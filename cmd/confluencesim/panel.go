package main

import (
	"fmt"
	"html/template"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// panel is the page of buttons at "/".
type panel struct {
	srv *confluencetest.Server
	app confluencetest.App
}

func newPanel(srv *confluencetest.Server, app confluencetest.App) *panel {
	return &panel{srv: srv, app: app}
}

// serve puts the page on the simulator's own listener.
func (p *panel) serve() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("POST /press", p.press)
	// Other pages in the same browser must not press the buttons.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	p.srv.HandleIndex(guarded.ServeHTTP)
}

// button is something to press for a site.
type button struct {
	Name, Label string
	do          func(*confluencetest.Site) error
}

// buttons lists what can be done to a site.
func buttons() []button {
	anySpace := func(s *confluencetest.Site) (confluencetest.Space, error) {
		spaces := s.Truth().Spaces
		if len(spaces) == 0 {
			return confluencetest.Space{}, fmt.Errorf("site %s has no visible space left", s.Name())
		}
		return spaces[rand.N(len(spaces))], nil
	}
	withSpace := func(do func(*confluencetest.Site, string) error) func(*confluencetest.Site) error {
		return func(s *confluencetest.Site) error {
			space, err := anySpace(s)
			if err != nil {
				return err
			}
			return do(s, space.ID)
		}
	}
	fail := func(f confluencetest.Fault) func(*confluencetest.Site) error {
		return func(s *confluencetest.Site) error { s.Fail(f); return nil }
	}
	return []button{
		{"anonymous", "Let anybody use the site", func(s *confluencetest.Site) error {
			s.SetAnonymousAccess(confluencetest.SiteOperation{Operation: "USE_CONFLUENCE", Target: "APPLICATION"})
			return nil
		}},
		{"app", "Install an app", func(s *confluencetest.Site) error { s.InstallApp(confluencetest.InstalledApp{}); return nil }},
		{"link", "Share a page with strangers", withSpace(func(s *confluencetest.Site, id string) error {
			_, err := s.EnablePublicLink(id, confluencetest.PublicLink{})
			return err
		})},
		{"delete", "Delete a space", withSpace((*confluencetest.Site).RemoveSpace)},
		{"hide", "Hide a space", withSpace((*confluencetest.Site).HideSpace)},
		{"open", "Open a space to everybody", withSpace(func(s *confluencetest.Site, id string) error {
			_, err := s.AddPermission(id, confluencetest.Permission{PrincipalType: "access-class", PrincipalID: "anonymous-users", Operation: "read", Target: "space"})
			return err
		})},
		{"admin", "Make somebody space admin", withSpace(func(s *confluencetest.Site, id string) error {
			users := s.Truth().Users
			_, err := s.AddPermission(id, confluencetest.Permission{PrincipalType: "user", PrincipalID: users[rand.N(len(users))].AccountID, Operation: "administer", Target: "space"})
			return err
		})},
		{"guest", "Turn somebody into a guest", func(s *confluencetest.Site) error {
			users := s.Truth().Users
			return s.SetExternal(users[rand.N(len(users))].AccountID, new(true))
		}},
		{"error", "Next request fails", fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Body: `{"message":"scripted failure"}`})},
		{"limit", "Next request gets 429", fail(confluencetest.Fault{Kind: confluencetest.FaultRateLimited, RetryAfter: "5", Reason: "confluence-burst-based"})},
		{"empty", "Next listing is empty", fail(confluencetest.Fault{Kind: confluencetest.FaultEmptyPage, Match: func(r *confluencetest.Request) bool { return r.Page > 0 }})},
	}
}

// press does what a button says and goes back to the page.
func (p *panel) press(w http.ResponseWriter, r *http.Request) {
	if err := p.do(r.PostFormValue("what"), r.PostFormValue("on")); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (p *panel) do(what, on string) error {
	if what == "revoke" {
		return p.srv.Revoke(on)
	}
	site := p.srv.Site(on)
	if site == nil {
		return fmt.Errorf("there is no site %q", on)
	}
	for _, b := range buttons() {
		if b.Name == what {
			return b.do(site)
		}
	}
	return fmt.Errorf("there is no button %q", what)
}

// siteView is one card of the page.
type siteView struct {
	*confluencetest.Site
	Counts confluencetest.Counts
	Recent []string
}

func (p *panel) show(w http.ResponseWriter, _ *http.Request) {
	var sites []siteView
	for _, s := range p.srv.Sites() {
		v := siteView{Site: s, Counts: s.Counts()}
		log := s.Log()
		for _, c := range slices.Backward(log[max(0, len(log)-4):]) {
			v.Recent = append(v.Recent, c.At.Format(time.TimeOnly)+" "+string(c.Kind))
		}
		sites = append(sites, v)
	}
	requests := p.srv.Requests()
	requests = requests[max(0, len(requests)-12):]
	slices.Reverse(requests)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err := page.Execute(w, map[string]any{
		"Sites": sites, "Buttons": buttons(), "Grants": p.srv.Grants(), "Stats": p.srv.ProviderStats(), "Requests": requests,
		"App": p.app, "Auth": p.srv.AuthURL(), "API": p.srv.APIURL(), "Trapped": len(p.srv.Trapped()),
	}); err != nil {
		return // the browser is gone; there is nobody to tell
	}
}

var page = template.Must(template.New("panel").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta http-equiv="refresh" content="5">
<title>confluencesim</title>
<style>
 :root{color-scheme:light dark;--line:light-dark(#dfe1e6,#38414a);--card:light-dark(#fff,#1d2125);--soft:light-dark(#626f86,#9fadbc)}
 body{font:15px/1.45 system-ui,sans-serif;background:light-dark(#f7f8f9,#161a1d);color:light-dark(#172b4d,#dee4ea);margin:0 auto;padding:1.5rem;max-width:70rem}
 h1{font-size:1.4rem;margin:0} h2{font-size:1.05rem;margin:0 0 .4rem} p{margin:.3rem 0}
 .soft{color:var(--soft);font-size:.85rem} code{font-size:.85em}
 .grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(20rem,1fr));margin:1rem 0}
 .card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
 dl{display:grid;grid-template-columns:auto 1fr;gap:0 .8rem;margin:.5rem 0} dd{margin:0;font-variant-numeric:tabular-nums}
 form{display:inline} button{font:inherit;font-size:.85rem;padding:.25rem .7rem;margin:.15rem .1rem;border-radius:6px;border:1px solid var(--line);background:transparent;color:inherit;cursor:pointer}
 button:hover{border-color:#0c66e4;color:#0c66e4}
 table{border-collapse:collapse;width:100%;font-size:.85rem} td,th{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid var(--line)}
 .bad{color:#c9372c} .good{color:#22a06b}
</style></head><body>
<h1>confluencesim</h1>
<p class="soft">auth <code>{{.Auth}}</code> &middot; api <code>{{.API}}</code> &middot; client id <code>{{.App.ClientID}}</code></p>
<div class="grid">
{{range .Sites}}{{$site := .Name}}<section class="card"><h2>{{.Name}}</h2>
<p class="soft"><code>{{.CloudID}}</code></p>
<dl><dt>spaces</dt><dd>{{.Counts.Spaces}}</dd><dt>permissions</dt><dd>{{.Counts.Permissions}}</dd><dt>groups</dt><dd>{{.Counts.Groups}}, {{.Counts.Members}} memberships</dd>
<dt>users</dt><dd>{{.Counts.AllUsers}}, {{.Counts.External}} external</dd><dt>API calls</dt><dd>{{.APICalls}} ({{.PointsUsed}} points), {{.SiteCalls}} on its own host</dd></dl>
{{range $.Buttons}}<form method="post" action="/press"><input type="hidden" name="on" value="{{$site}}"><button name="what" value="{{.Name}}">{{.Label}}</button></form>{{end}}
{{range .Recent}}<p class="soft">{{.}}</p>{{end}}
</section>{{end}}
</div>
<section class="card"><h2>Grants</h2>
<p class="soft">{{.Stats.TokenCalls}} token calls, {{.Stats.Rotations}} rotations, {{.Stats.LeewayReuses}} inside the leeway, {{.Stats.FamiliesKilled}} families killed by reuse</p>
{{if .Grants}}<table><tr><th>sites</th><th>scopes</th><th>rotations</th><th>last used</th><th>state</th><th></th></tr>
{{range .Grants}}<tr><td>{{range .Sites}}{{.}} {{end}}</td><td>{{len .Scopes}}</td><td>{{.Rotations}}</td><td>{{.LastUsedAt.Format "15:04:05"}}</td>
<td>{{if .Alive}}<span class="good">alive</span>{{else}}<span class="bad">{{.Reason}}</span>{{end}}</td>
<td>{{if .Alive}}<form method="post" action="/press"><input type="hidden" name="on" value="{{.ID}}"><button name="what" value="revoke">Revoke the grant</button></form>{{end}}</td></tr>{{end}}
</table>{{else}}<p>None yet. Run <code>sitedrift connect</code>.</p>{{end}}</section>
<div class="grid"><section class="card" style="grid-column:1/-1"><h2>Last requests</h2>
{{if .Trapped}}<p class="bad">{{.Trapped}} requests followed a link to a foreign host.</p>{{end}}
<table>{{range .Requests}}<tr><td>{{.At.Format "15:04:05"}}</td><td>{{.Site}}</td><td><code>{{.Endpoint}}</code></td><td><code>{{.Object}}</code></td><td>page {{.Page}}</td>
<td>{{if eq .Status 200}}<span class="good">{{.Status}}</span>{{else}}<span class="bad">{{.Status}}</span>{{end}}</td></tr>{{else}}<tr><td>None yet.</td></tr>{{end}}</table></section></div>
</body></html>
`))
