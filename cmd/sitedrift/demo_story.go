package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// demo is four weeks of a few simulated sites and the system that watches them.
type demo struct {
	clock      *clock
	start, end time.Time
	server     *sim.Server
	clientID   string
	stories    []*story
	app        *app
	acts       []act // in the order of their times
	runs       []schemas.Run
	failed     error // of what was to happen on the sites
}

// story is a tenant with its site and what is special about it.
type story struct {
	tenant, name string
	site         *sim.Site
	settings     sim.SiteSettings
	scopes       []string // granted; nil: all that are wanted
	what         string   // for the report
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

// newDemo makes the sites, connects them, and schedules what happens. engine
// runs the engine's child; nil is this executable.
func newDemo(ctx context.Context, dir string, now time.Time, weeks int, log *zap.Logger, engine []string) (_ *demo, err error) {
	end := now.UTC().Truncate(time.Hour)
	d := &demo{start: end.AddDate(0, 0, -7*weeks), end: end}
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
	application := d.server.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
	d.clientID = application.ClientID
	d.stories = []*story{
		{tenant: "acme", name: "Acme", what: "healthy; incidents in weeks 2 to 4", settings: sim.SiteSettings{Name: "acme", Spaces: 40, PermissionsPerSpace: 14, Groups: 10, Users: 60, Guests: 4}},
		{tenant: "globex", name: "Globex", what: "the scope for the audit log was not granted", settings: sim.SiteSettings{Name: "globex", Spaces: 24, PermissionsPerSpace: 10, Groups: 6, Users: 30, Guests: 2}, scopes: without(wantedScopes(schemas.Credential3LO), "read:audit-log:confluence")},
		{tenant: "initech", name: "Initech", what: "its grant was revoked in week 3", settings: sim.SiteSettings{Name: "initech", Spaces: 18, PermissionsPerSpace: 9, Groups: 5, Users: 25, Guests: 1}},
		{tenant: "umbrella", name: "Umbrella", what: "one space could not be read for two days; another administrator consented in week 3", settings: sim.SiteSettings{Name: "umbrella", Spaces: 30, PermissionsPerSpace: 12, Groups: 8, Users: 45, Guests: 3}},
	}
	var tenants []config.Tenant
	for i, s := range d.stories {
		s.settings.Seed = uint64(i + 1)
		s.site = d.server.AddSite(s.settings)
		s.site.GenerateHistory(uint64(100+i), d.start.Add(12*time.Hour), d.end, 2)
		tenants = append(tenants, config.Tenant{ID: s.tenant, Name: s.name, Site: s.site.URL()})
	}
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
		if err := d.connect(ctx, s, s.name+" Admin"); err != nil {
			return nil, errors.Join(err, d.app.close(ctx))
		}
	}
	d.script()
	return d, nil
}

// secretFile puts the simulated app's secret where the configuration can name it.
func secretFile(dir, secret string) (config.Ref, error) {
	path := filepath.Join(dir, "client-secret")
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return config.Ref{}, fmt.Errorf("write the simulated app's secret: %w", err)
	}
	return config.FileRef(path), nil
}

func without(all []string, scope string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == scope })
}

// connect gets consent as the named person would give it, past the browser.
func (d *demo) connect(ctx context.Context, s *story, name string) error {
	account := d.server.AddPerson(sim.Person{Name: name}).AccountID
	scopes := s.scopes
	if scopes == nil {
		scopes = wantedScopes(schemas.Credential3LO)
	}
	code, err := d.server.Consent(sim.ConsentRequest{ClientID: d.clientID, AccountID: account, Sites: []string{s.settings.Name}, Scopes: append(slices.Clone(scopes), "offline_access")})
	if err != nil {
		return fmt.Errorf("consent for %s: %w", s.tenant, err)
	}
	t, err := d.app.store.Tenant(ctx, s.tenant)
	if err != nil {
		return err
	}
	consent := &oauth.Consent{Provider: d.app.provider, Store: d.app.store, Vault: d.app.vault, Transport: d.app.transport, Now: d.clock.now, Log: d.app.log}
	res, err := consent.CompleteWithCode(ctx, oauth.Request{Tenant: t.ID, SiteURL: t.SiteURL, CloudID: t.CloudID, Scopes: wantedScopes(schemas.Credential3LO)}, code)
	if err != nil {
		return err
	}
	t.CloudID = res.CloudID
	return d.app.store.PutTenant(ctx, t)
}

// script schedules the incidents that the report tells of.
func (d *demo) script() {
	acme, initech, umbrella := d.stories[0], d.stories[2], d.stories[3]
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
			return d.connect(ctx, umbrella, "Second Admin")
		}},
	}
}

// play moves the clock from one due start to the next and runs what is due. The
// clock drives schedules, tokens, sites and runs alike; nothing is written past
// them.
func (d *demo) play(ctx context.Context, tell func(time.Time)) error {
	for {
		due, err := d.app.store.NextDue(ctx)
		if err != nil {
			return err
		}
		if due.IsZero() || due.After(d.end) {
			break
		}
		for len(d.acts) > 0 && !d.acts[0].at.After(due) {
			d.clock.set(d.acts[0].at)
			d.server.AdvanceTo(d.acts[0].at)
			if err := d.acts[0].do(ctx); err != nil {
				return err
			}
			d.acts = d.acts[1:]
		}
		d.clock.set(due)
		d.server.AdvanceTo(d.clock.now())
		if _, err := d.app.scheduler.RunDue(ctx); err != nil {
			return err
		}
		tell(d.clock.now())
	}
	// One last look at everything, so that the report shows the present.
	d.clock.set(d.end)
	d.server.AdvanceTo(d.end)
	for _, s := range d.stories {
		if _, err := opSync(ctx, d.app, syncParams{Tenant: s.tenant}, func(any) {}); err != nil {
			return err
		}
	}
	tell(d.end)
	if d.failed != nil {
		return fmt.Errorf("the script could not be played: %w", d.failed)
	}
	return d.app.expect(ctx)
}

func (d *demo) close(ctx context.Context) error {
	err := d.app.close(ctx)
	d.server.Close()
	return err
}
