package confluencetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// Each mutation changes what it says, is logged once with the step's time and the
// right before and after, and does nothing when there is nothing to do.
func TestPostureMutations(t *testing.T) {
	at := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	srv := confluencetest.New(confluencetest.Settings{Seed: 5, Now: func() time.Time { return at }})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Guests: 3})
	truth, before := site.Truth(), site.Posture()
	user, space, guest := truth.Users[2].AccountID, truth.Spaces[1].ID, before.Guests[0].AccountID
	free := ""
	for _, s := range truth.Spaces {
		if _, linked := before.PublicLinks[s.ID]; !linked {
			free = s.ID
		}
	}
	operation := confluencetest.SiteOperation{Operation: "ADMINISTER_SYSTEM", Target: "SYSTEM"}
	person := confluencetest.SitePrincipal{Type: "person", ID: user}
	var link confluencetest.PublicLink
	var app confluencetest.InstalledApp
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	holds := func(p confluencetest.Posture) bool {
		for _, x := range p.SitePermissions.Persons {
			for _, o := range x.Operations {
				if x.AccountID == user && o == operation {
					return true
				}
			}
		}
		return false
	}
	seen := func(p confluencetest.Posture) time.Time {
		for _, a := range p.Activity {
			if a.AccountID == user && a.Product == "confluence" {
				return a.LastActive
			}
		}
		return time.Time{}
	}
	for _, tt := range []struct {
		kind  confluencetest.ChangeKind
		do    func() // twice: the second time nothing happens, unless again says otherwise
		again bool
		check func(p confluencetest.Posture) bool
	}{
		{confluencetest.SitePermissionGranted, func() { must(site.GrantSitePermission(person, operation)) }, false, holds},
		{confluencetest.SitePermissionRevoked, func() { must(site.RevokeSitePermission(person, operation)) }, true, func(p confluencetest.Posture) bool { return !holds(p) }},
		{confluencetest.AnonymousAccessChanged, func() { site.SetAnonymousAccess(operation) }, false, func(p confluencetest.Posture) bool {
			return cmp.Equal(p.SitePermissions.Anonymous, []confluencetest.SiteOperation{operation})
		}},
		{confluencetest.AnonymousAccessChanged, func() { site.SetAnonymousAccess() }, false, func(p confluencetest.Posture) bool { return p.SitePermissions.Anonymous == nil }},
		{confluencetest.AnonymousAccessChanged, func() { site.BlockAnonymousAccess(true) }, false, func(p confluencetest.Posture) bool { return p.SitePermissions.AnonymousBlocked }},
		{confluencetest.UnlicensedAccessChanged, func() { site.SetUnlicensedAccess() }, false, func(p confluencetest.Posture) bool { return p.SitePermissions.Unlicensed == nil }},
		{confluencetest.SecurityChanged, func() {
			site.ChangeSecurity(func(c *confluencetest.SecurityConfiguration) { c.MaxRSSItems, c.SiteHomePage = new(7), nil })
		}, false, func(p confluencetest.Posture) bool {
			return *p.Configuration.MaxRSSItems == 7 && p.Configuration.SiteHomePage == nil
		}},
		{confluencetest.PublicLinkSiteChanged, func() { site.SetPublicLinks("OFF") }, false, func(p confluencetest.Posture) bool { return p.PublicLinkSite == "OFF" }},
		{confluencetest.PublicLinkSiteChanged, func() { site.SetShareableLinks("EXTERNAL", "OFF") }, false, func(p confluencetest.Posture) bool { return p.ShareableLinks[0].Status == "OFF" }},
		{confluencetest.PublicLinkSpaceChanged, func() { must(site.SetPublicLinkSpace(free, "BLOCKED_BY_ORG")) }, false, func(p confluencetest.Posture) bool {
			_, known := p.PublicLinks[free]
			return known && len(p.PublicLinkSpaces) == len(before.PublicLinkSpaces)+1
		}},
		{confluencetest.PublicLinkChanged, func() {
			var err error
			link, err = site.EnablePublicLink(free, confluencetest.PublicLink{Title: "plan"})
			must(err)
		}, true, func(p confluencetest.Posture) bool { return p.PublicLinks[free][0].Title == "plan" }},
		{confluencetest.PublicLinkChanged, func() { must(site.DisablePublicLink(free, link.ID)) }, false, func(p confluencetest.Posture) bool {
			for _, l := range p.PublicLinks[free] {
				if l.ID == link.ID {
					return l.Status == "OFF"
				}
			}
			return false
		}},
		{confluencetest.AppInstalled, func() { app = site.InstallApp(confluencetest.InstalledApp{Kind: "connect"}) }, true, func(p confluencetest.Posture) bool {
			return cmp.Equal(p.Apps[len(p.Apps)-1], app) && app.Kind == "connect"
		}},
		{confluencetest.AppChanged, func() {
			must(site.UpdateApp(app.ID, func(a *confluencetest.InstalledApp) { a.Version, a.ID = "9.9", "x" }))
		}, false, func(p confluencetest.Posture) bool {
			last := p.Apps[len(p.Apps)-1]
			return last.Version == "9.9" && last.ID == app.ID
		}},
		{confluencetest.AppRemoved, func() { must(site.RemoveApp(app.ID)) }, true, func(p confluencetest.Posture) bool { return len(p.Apps) >= len(before.Apps) }},
		{confluencetest.SeatsChanged, func() { site.SetSeats(-5) }, false, func(p confluencetest.Posture) bool { return p.Seats.Maximum == -1 && p.Seats.Remaining() == -1 }},
		{confluencetest.ActivityChanged, func() { must(site.TouchActivity(user, "confluence", at)) }, false, func(p confluencetest.Posture) bool { return seen(p).Equal(at) }},
		{confluencetest.ActivityChanged, func() { must(site.TouchActivity(user, "confluence", time.Time{})) }, false, func(p confluencetest.Posture) bool { return seen(p).IsZero() }},
		{confluencetest.GuestAssigned, func() { must(site.AssignGuestSpace(guest, free)) }, false, func(p confluencetest.Posture) bool {
			spaces := p.Guests[0].SpaceIDs
			return spaces[len(spaces)-1] == free
		}},
		{confluencetest.GuestUnassigned, func() { must(site.UnassignGuestSpace(guest, free)) }, true, func(p confluencetest.Posture) bool { return p.Guests[0].SpaceIDs != nil }},
		{confluencetest.AdminKeyChanged, func() { site.EnableAdminKey(user, at.Add(time.Hour)) }, true, func(p confluencetest.Posture) bool { return p.AdminKey.AccountID == user }},
		{confluencetest.AdminKeyChanged, func() { site.DisableAdminKey() }, false, func(p confluencetest.Posture) bool { return p.AdminKey == nil }},
	} {
		n := len(site.Log())
		tt.do()
		log := site.Log()
		if len(log) != n+1 || log[n].Kind != tt.kind || !log[n].At.Equal(at) {
			t.Errorf("%s: the log grew by %+v", tt.kind, log[n:])
		}
		if !tt.check(site.Posture()) {
			t.Errorf("%s: the posture does not show it", tt.kind)
		}
		if tt.again {
			continue
		}
		if tt.do(); len(site.Log()) != n+1 {
			t.Errorf("%s: done twice, logged twice", tt.kind)
		}
	}
	// What goes takes along what hangs on it.
	must(site.RemoveSpace(free))
	must(site.RemoveUser(guest))
	after := site.Posture()
	if _, left := after.PublicLinks[free]; left || len(after.PublicLinkSpaces) != len(before.PublicLinkSpaces) || len(after.Guests) != len(before.Guests)-1 {
		t.Error("a space or a guest that is gone is still in the posture")
	}
	witnesses := len(site.Truth().Audit) - len(truth.Audit)
	if witnesses < 12 {
		t.Errorf("only %d audit records tell of it", witnesses)
	}
	for what, err := range map[string]error{
		"grant to nobody": site.GrantSitePermission(confluencetest.SitePrincipal{Type: "person", ID: "x"}, operation),
		"grant to a role": site.GrantSitePermission(confluencetest.SitePrincipal{Type: "role", ID: user}, operation),
		"revoke":          site.RevokeSitePermission(person, operation),
		"link":            site.DisablePublicLink(space, "1"),
		"space":           site.SetPublicLinkSpace("1", "ON"),
		"app":             site.RemoveApp("x"),
		"update":          site.UpdateApp("x", func(*confluencetest.InstalledApp) {}),
		"activity":        site.TouchActivity("x", "confluence", at),
		"guest":           site.AssignGuestSpace("x", space),
		"not assigned":    site.UnassignGuestSpace(user, space),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
