package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// demo is four weeks of a few simulated sites and the system that watches them.
type demo struct {
	clock      *clock
	start, end time.Time
	server     *sim.Server
	clientID   string   // of the 3LO app
	stories    []*story // by tenant
	app        *app
	acts       []act // in the order of their times
	runs       []schemas.Run
	failed     error // of what was to happen on the sites
}

// story is a tenant with its site and what is special about it.
type story struct {
	tenant, name string
	what         string   // for the report
	kinds        []string // of credentials
	scopes       []string // of the 3LO grant; nil: all that are wanted
	daily        bool     // posture is read once a day, not twice

	settings sim.SiteSettings
	site     *sim.Site         // nil on Data Center
	org      *sim.Organization // nil: the tenant has no key of one
	center   sim.DataCenterSettings
	dc       *sim.DataCenter // nil on Cloud
}

// act is something that happens to a tenant at a time, beside what happens on
// its site.
type act struct {
	at time.Time
	do func(ctx context.Context) error
}

func (d *demo) day(n float64) time.Time {
	return d.start.Add(time.Duration(n * 24 * float64(time.Hour)))
}

// story is the one of a tenant.
func (d *demo) story(tenant string) *story {
	return d.stories[slices.IndexFunc(d.stories, func(s *story) bool { return s.tenant == tenant })]
}

// stories has a tenant for each kind of credential, ordered by id.
func stories() []*story {
	kinds := func(k ...string) []string { return k }
	return []*story{
		{
			tenant: "acme", name: "Acme", kinds: kinds(schemas.Credential3LO, schemas.CredentialAPIToken), what: "3lo and api_token; incidents in weeks 2 to 4",
			settings: sim.SiteSettings{Spaces: 40, PermissionsPerSpace: 14, Groups: 10, Users: 60, Guests: 4},
		},
		{
			tenant: "globex", daily: true, name: "Globex", kinds: kinds(schemas.Credential3LO), what: "3lo without the scope for the audit log",
			scopes:   without(wantedScopes(schemas.Credential3LO), "read:audit-log:confluence"),
			settings: sim.SiteSettings{Spaces: 24, PermissionsPerSpace: 10, Groups: 6, Users: 30, Guests: 2},
		},
		{
			tenant: "hooli", daily: true, name: "Hooli", kinds: kinds(schemas.CredentialServiceAccount, schemas.CredentialAdminKey), what: "service_account and admin_key",
			settings: sim.SiteSettings{Spaces: 14, PermissionsPerSpace: 9, Groups: 6, Users: 25, Guests: 2, RoleMode: "ROLES"},
		},
		{
			tenant: "initech", daily: true, name: "Initech", kinds: kinds(schemas.Credential3LO), what: "3lo, revoked in week 3",
			settings: sim.SiteSettings{Spaces: 18, PermissionsPerSpace: 9, Groups: 5, Users: 25, Guests: 1},
		},
		{
			tenant: "stark", daily: true, name: "Stark", kinds: kinds(schemas.CredentialDCOAuth), what: "Data Center, dc_oauth",
			center: sim.DataCenterSettings{Spaces: 12, PermissionsPerSpace: 8, Groups: 8, Users: 25},
		},
		{
			tenant: "umbrella", name: "Umbrella", kinds: kinds(schemas.Credential3LO), what: "3lo; a space fails in week 2, new admin in 3",
			settings: sim.SiteSettings{Spaces: 30, PermissionsPerSpace: 12, Groups: 8, Users: 45, Guests: 3},
		},
		{
			tenant: "wayne", daily: true, name: "Wayne", kinds: kinds(schemas.CredentialDCToken), what: "Data Center, dc_pat",
			center: sim.DataCenterSettings{Spaces: 16, PermissionsPerSpace: 10, Groups: 8, Users: 30},
		},
	}
}

func without(all []string, scope string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == scope })
}

// newDemo makes the sites, connects them, and schedules what happens. engine
// runs the engine's child; nil is this executable.
func newDemo(ctx context.Context, dir string, now time.Time, weeks int, log *zap.Logger, engine []string) (_ *demo, err error) {
	end := now.UTC().Truncate(time.Hour)
	d := &demo{start: end.AddDate(0, 0, -7*weeks), end: end, stories: stories()}
	d.clock = &clock{t: d.start}
	d.server = sim.New(sim.Settings{Seed: 7, Now: d.clock.now})
	if err := d.server.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.server.Close()
		}
	}()
	application := d.server.AddApp(sim.App{RedirectURIs: []string{demoRedirect}, Scopes: sim.AllScopes()})
	var tenants []config.Tenant
	for i, s := range d.stories {
		tenants = append(tenants, d.found(s, uint64(i+1)))
	}
	d.clientID = application.ClientID
	cfg := demoConfig(dir, d.server.AuthURL(), d.server.APIURL(), d.clientID, tenants)
	if cfg.OAuth.ClientSecret, err = secretFile(dir, application.ClientSecret); err != nil {
		return nil, err
	}
	if d.app, err = newDemoApp(ctx, cfg, d.clock, log, engine); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	d.app.runner.Observe = func(r schemas.Run) {
		mu.Lock()
		defer mu.Unlock()
		d.runs = append(d.runs, r)
	}
	for _, s := range d.stories {
		for _, kind := range s.kinds {
			if err := d.connect(ctx, s, kind, s.name+" Admin"); err != nil {
				return nil, errors.Join(fmt.Errorf("connect %s with %s: %w", s.tenant, kind, err), d.app.close(ctx))
			}
		}
	}
	d.script()
	return d, nil
}

// script schedules the incidents that the report tells of.
func (d *demo) script() {
	acme, initech, umbrella := d.story("acme"), d.story("initech"), d.story("umbrella")
	at := func(s *story, day float64, name string, do func(*sim.Site) error) {
		s.site.Schedule(sim.Step{At: d.day(day), Name: name, Do: func(site *sim.Site) {
			if err := do(site); err != nil {
				d.failed = errors.Join(d.failed, fmt.Errorf("%s: %s: %w", s.tenant, name, err))
			}
		}})
	}
	space := func(s *sim.Site, n int) sim.Space { all := s.Truth().Spaces; return all[n%len(all)] }
	at(acme, 8.4, "a space is opened to the internet", func(s *sim.Site) error {
		_, err := s.AddPermission(space(s, 7).ID, sim.Permission{PrincipalType: "access-class", PrincipalID: "anonymous-users", Operation: "read", Target: "space"})
		return err
	})
	at(acme, 13.6, "somebody becomes an administrator of a space", func(s *sim.Site) error {
		t := s.Truth()
		_, err := s.AddPermission(space(s, 3).ID, sim.Permission{PrincipalType: "user", PrincipalID: t.Users[len(t.Users)/2].AccountID, Operation: "administer", Target: "space"})
		return err
	})
	at(acme, 17.3, "somebody from outside is let in", func(s *sim.Site) error {
		yes := true
		for _, u := range s.Truth().Users {
			if u.External != nil && !*u.External {
				return s.SetExternal(u.AccountID, &yes)
			}
		}
		return errors.New("everybody is from outside")
	})
	at(acme, 22.5, "a space vanishes", func(s *sim.Site) error { return s.HideSpace(space(s, 11).ID) })
	// Only the classic token sees public links.
	at(acme, 27.45, "a page can be opened by anybody who has the link", func(s *sim.Site) error {
		for _, l := range s.Posture().PublicLinkSpaces {
			if l.Status == "ON" {
				_, err := s.EnablePublicLink(l.SpaceID, sim.PublicLink{Title: "Salary review"})
				return err
			}
		}
		return errors.New("no space has public links")
	})
	at(umbrella, 24.2, "the audit log is kept for a shorter time", func(s *sim.Site) error {
		s.ChangeSettings(func(c *sim.SiteConfiguration) { c.RetentionNumber, c.RetentionUnits = 14, "DAYS" })
		return nil
	})
	broken := ""
	d.acts = []act{
		{d.day(10.1), func(context.Context) error {
			broken = space(umbrella.site, 5).ID
			umbrella.site.Fail(sim.Fault{Kind: sim.FaultStatus, Endpoint: "/spaces/{id}/permissions", Object: broken, Status: 500, Times: -1})
			return nil
		}},
		{d.day(12.1), func(context.Context) error { umbrella.site.ClearFaults(); return nil }},
		{d.day(16.2), func(context.Context) error {
			for _, g := range d.server.Grants() {
				if slices.Contains(g.Sites, initech.settings.Name) {
					if err := d.server.Revoke(g.ID); err != nil {
						return err
					}
				}
			}
			d.server.ExpireAccessTokens()
			return nil
		}},
		{d.day(19.2), func(ctx context.Context) error {
			return d.connect(ctx, umbrella, schemas.Credential3LO, "Second Admin")
		}},
	}
}
