// Command confluencesim serves simulated Confluence Cloud and Data Center sites on
// loopback, to play with sitedrift without an Atlassian account: it prints what to put into the
// configuration, shows a consent page like the real one, and has a page of buttons
// that change sites and break things.
//
// The simulator itself is the package collector/confluencetest.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/template"
	"time"

	"github.com/alecthomas/kong"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// options are the flags.
type options struct {
	Listen      string        `default:"127.0.0.1:8918" help:"Loopback address to serve on."`
	Seed        uint64        `default:"1" help:"The same seed makes the same sites, ids and secrets."`
	Sites       int           `default:"2" help:"Number of Cloud sites."`
	DataCenters int           `default:"0" help:"Number of Data Center sites beside them."`
	Spaces      int           `default:"40" help:"Visible spaces per site."`
	Permissions int           `default:"25" help:"Permission rows per space."`
	Users       int           `default:"120" help:"Users per site."`
	Leeway      time.Duration `default:"10m" help:"How long the previous refresh token still works; negative: not at all."`
	History     int           `default:"0" help:"Changes per hour that happen by themselves on each site."`
	OneGrant    bool          `help:"A second consent ends the first grant of the app, as Atlassian was seen to do; without it every tenant can be connected."`
	Enforce     bool          `help:"Refuse requests beyond the documented rate limits."`
	Callback    string        `default:"http://127.0.0.1:8917/callback" help:"Redirect address registered with the app: oauth.redirect_url of the configuration."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Name("confluencesim"), kong.Description("Simulated Confluence Cloud sites on loopback."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "confluencesim:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, o options, out io.Writer) error {
	srv := confluencetest.New(confluencetest.Settings{
		Seed: o.Seed, Leeway: o.Leeway, KeepOlderGrants: !o.OneGrant, Limits: confluencetest.Limits{Enforce: o.Enforce},
	})
	names := []string{"acme", "bravo", "castor", "delta", "echo", "fjord", "gamma", "hotel"}
	for i := range o.Sites {
		name := names[i%len(names)]
		if i >= len(names) {
			name = fmt.Sprintf("%s%d", name, i/len(names)+1)
		}
		srv.AddSite(confluencetest.SiteSettings{
			Name: name, Spaces: o.Spaces, PermissionsPerSpace: o.Permissions, Users: o.Users, Guests: o.Users / 10, AuditEvents: 50,
		})
	}
	centers := addCenters(srv, o)
	app := srv.AddApp(confluencetest.App{Name: "sitedrift", RedirectURIs: []string{o.Callback}, Scopes: confluencetest.AllScopes()})
	org := srv.AddOrganization(confluencetest.OrganizationSettings{Name: "Simulated", Sites: siteNames(srv), Events: 60})
	secrets := map[string]any{
		"Token": srv.AddToken(confluencetest.APIToken{}), "Organization": org, "Key": org.AddAdminKey(confluencetest.AdminScopes(), time.Time{}).Key,
		"Service": srv.AddApp(confluencetest.App{Name: "sitedrift service account", ServiceAccount: true, Scopes: confluencetest.AllScopes()}),
	}
	newPanel(srv, app).serve()
	if err := srv.StartOn(o.Listen); err != nil {
		return err
	}
	defer srv.Close()
	if err := explain.Execute(out, map[string]any{"Server": srv, "App": app, "Callback": o.Callback, "Centers": centers, "Secrets": secrets}); err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			live(srv, o, now)
		}
	}
}

func siteNames(srv *confluencetest.Server) []string {
	var names []string
	for _, s := range srv.Sites() {
		names = append(names, s.Name())
	}
	return names
}

// center is a Data Center site with credentials for it.
type center struct {
	Site   *confluencetest.DataCenter
	Token  string // personal access token of an administrator
	Client confluencetest.DCClient
}

func addCenters(srv *confluencetest.Server, o options) []center {
	var list []center
	for i := range o.DataCenters {
		dc := srv.AddDataCenter(confluencetest.DataCenterSettings{
			Name: fmt.Sprintf("intra%d", i+1), Spaces: o.Spaces, PermissionsPerSpace: o.Permissions, Users: o.Users, AuditEvents: 50,
			GroupCycle: i%2 == 1, RateLimit: confluencetest.DCRateLimit{Enabled: o.Enforce, Limit: 100, Fill: 100},
		})
		client := dc.AddClient(confluencetest.DCClient{Name: "sitedrift", RedirectURIs: []string{o.Callback}})
		list = append(list, center{Site: dc, Token: dc.AddPAT(confluencetest.DCPAT{}).Token, Client: client})
	}
	return list
}

// live lets the changes happen that are due, and plans the next hour's.
func live(srv *confluencetest.Server, o options, now time.Time) {
	srv.AdvanceTo(now)
	for i, site := range srv.Sites() {
		if o.History > 0 && site.Pending() == 0 {
			site.GenerateHistory(o.Seed+uint64(i)+uint64(now.Unix()), now, now.Add(time.Hour), o.History*24)
		}
	}
	for i, dc := range srv.DataCenters() {
		if o.History > 0 && dc.Pending() == 0 {
			dc.GenerateHistory(o.Seed+uint64(i)+uint64(now.Unix()), now, now.Add(time.Hour), o.History*24)
		}
	}
}

var explain = template.Must(template.New("explain").Parse(`# Simulated sites; buttons to play with them: {{.Server.URL}}/
# Put this into sitedrift's configuration, and export the secret:
#   export SITEDRIFT_OAUTH_SECRET={{.App.ClientSecret}}
oauth:
  client_id: {{.App.ClientID}}
  client_secret: env:SITEDRIFT_OAUTH_SECRET
  redirect_url: {{.Callback}}
endpoints:
  auth: {{.Server.AuthURL}}
  api: {{.Server.APIURL}}
network:
  allow: 127.0.0.0/8
tenants:
{{- range .Server.Sites}}
  - id: {{.Name}}
    site: {{.URL}}
    cloud_id: {{.CloudID}}
{{- end}}
{{- range .Centers}}
  - id: {{.Site.Name}}
    site: {{.Site.URL}}
    deployment: data_center
{{- end}}
{{- with .Secrets}}
# An administrator's API token for the sites' own hosts: {{.Token.Email}} {{.Token.Token}}
# A service account for all sites: client id {{.Service.ClientID}}, secret {{.Service.ClientSecret}}
# Organization {{.Organization.ID}} owns all sites; its key: {{.Key}}
{{- end}}
{{- range .Centers}}
# Data Center site {{.Site.Name}}: {{.Site.URL}}
#   personal access token: {{.Token}}
#   OAuth 2.0: client id {{.Client.ClientID}}, secret {{.Client.ClientSecret}}
{{- end}}
# Then consent, for each tenant: sitedrift connect --tenant {{(index .Server.Sites 0).Name}}
# and pick the tenant's site on the page that opens. Ctrl-C ends the simulator.
`))
