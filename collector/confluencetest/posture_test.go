package confluencetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func diffPosture(want, got confluencetest.Posture) string {
	if diff := cmp.Diff(want.Guests, got.Guests, cmpopts.EquateEmpty(), cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".SpaceIDs" }, cmp.Ignore())); diff != "" {
		return diff
	}
	for i := range want.Guests { // null and an empty list are not the same
		if (want.Guests[i].SpaceIDs == nil) != (got.Guests[i].SpaceIDs == nil) {
			return "guest " + want.Guests[i].AccountID + ": null and an empty list were mixed up"
		}
	}
	return cmp.Diff(visible(want), got, cmpopts.EquateEmpty())
}

func TestGatewayPagesEqualPosture(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings confluencetest.SiteSettings
		first    int
	}{
		{"default pages", confluencetest.SiteSettings{Name: "small", Spaces: 40, Users: 70, Guests: 30, Groups: 14}, 0},
		{"pages of one", confluencetest.SiteSettings{Name: "tiny", Spaces: 9, Users: 14, Guests: 5}, 1},
		{"pages of three", confluencetest.SiteSettings{Name: "mid", Spaces: 31, Users: 60, Guests: 11, Edition: "enterprise", Seed: 3}, 3},
		{"the largest pages", confluencetest.SiteSettings{Name: "lone", Spaces: 1, Users: 2, Apps: -1, Edition: "free", Seed: 9}, 50},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := start(t, confluencetest.Settings{Seed: 7})
			site := srv.AddSite(tt.settings)
			in := newInsider(t, srv, site)
			in.first = tt.first
			site.EnableAdminKey(srv.Collector().AccountID, time.Now().Add(time.Hour))
			site.SetAnonymousAccess(confluencetest.SiteOperation{Operation: "USE_CONFLUENCE", Target: "APPLICATION"})
			want := site.Posture()
			if diff := diffPosture(want, in.read()); diff != "" {
				t.Errorf("what HTTP shows differs from the truth (-truth +read):\n%s", diff)
			}
			if (want.AdminKey != nil) != (tt.settings.Edition != "free") {
				t.Errorf("admin key %v on edition %q", want.AdminKey, tt.settings.Edition)
			}
			if site.APICalls() != 0 || site.SiteCalls() == 0 || site.SiteCalls() != srv.Calls().Site || srv.Calls().Total() != site.SiteCalls() {
				t.Errorf("gateway %d, site %d, all %+v", site.APICalls(), site.SiteCalls(), srv.Calls())
			}
		})
	}
}

func TestPostureHistoryIsSeenThroughPages(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	now := &clock{now: begin}
	srv := start(t, confluencetest.Settings{Seed: 3, Now: now.Now})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, Guests: 6})
	in := newInsider(t, srv, site)
	in.first = 9
	site.GenerateHistory(11, begin, begin.AddDate(0, 0, 28), 40)
	for day := 1; day <= 28; day++ {
		now.Add(24 * time.Hour)
		srv.AdvanceTo(now.Now())
		if day%7 != 0 {
			continue
		}
		if diff := diffPosture(site.Posture(), in.read()); diff != "" {
			t.Fatalf("day %d: what HTTP shows differs from the truth:\n%s", day, diff)
		}
	}
	kinds := map[confluencetest.ChangeKind]int{}
	for _, c := range site.Log() {
		kinds[c.Kind]++
	}
	for _, k := range []confluencetest.ChangeKind{
		confluencetest.SitePermissionGranted, confluencetest.SitePermissionRevoked, confluencetest.AnonymousAccessChanged, confluencetest.SecurityChanged, confluencetest.PublicLinkSiteChanged,
		confluencetest.PublicLinkChanged, confluencetest.AppInstalled, confluencetest.AppChanged, confluencetest.AppRemoved, confluencetest.SeatsChanged, confluencetest.ActivityChanged,
	} {
		if kinds[k] == 0 {
			t.Errorf("four weeks of history hold no change of kind %s", k)
		}
	}
}

// The rest of a seed's world must not depend on what this part adds to it.
func TestPostureChangesNothingElse(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	play := func(busy bool) confluencetest.Truth {
		srv := confluencetest.New(confluencetest.Settings{Seed: 5, Now: func() time.Time { return begin }})
		site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 20})
		if busy {
			site.InstallApp(confluencetest.InstalledApp{})
			site.SetSeats(5)
			if _, err := site.EnablePublicLink(site.Truth().Spaces[0].ID, confluencetest.PublicLink{}); err != nil {
				t.Fatal(err)
			}
		}
		site.GenerateHistory(2, begin, begin.AddDate(0, 0, 14), 30)
		srv.AdvanceTo(begin.AddDate(0, 0, 14))
		return site.Truth()
	}
	if diff := cmp.Diff(play(false), play(true), cmpopts.IgnoreFields(confluencetest.Truth{}, "Audit")); diff != "" {
		t.Errorf("changes of the posture changed the rest:\n%s", diff)
	}
}

func TestSameSeedSamePosture(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	play := func(seed uint64) (confluencetest.Posture, confluencetest.OrganizationTruth) {
		srv := confluencetest.New(confluencetest.Settings{Seed: seed, Now: func() time.Time { return begin }})
		site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Guests: 3})
		org := srv.AddOrganization(confluencetest.OrganizationSettings{Sites: []string{"acme"}, Events: 5})
		site.GenerateHistory(2, begin, begin.AddDate(0, 0, 7), 60)
		srv.AdvanceTo(begin.AddDate(0, 0, 7))
		return site.Posture(), org.Truth()
	}
	p1, o1 := play(5)
	p2, o2 := play(5)
	if diff := cmp.Diff(p1, p2); diff != "" {
		t.Errorf("posture differs:\n%s", diff)
	}
	if diff := cmp.Diff(o1, o2); diff != "" {
		t.Errorf("organization differs:\n%s", diff)
	}
	if other, _ := play(6); cmp.Equal(p1, other) {
		t.Error("another seed gives the same posture")
	}
}

func TestPostureIsACopy(t *testing.T) {
	srv := confluencetest.New(confluencetest.Settings{Seed: 5})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Guests: 3})
	p, untouched := site.Posture(), site.Posture()
	*p.Configuration.ExternalConnections = !*p.Configuration.ExternalConnections
	p.SitePermissions.Groups[0].Operations[0].Operation = "x"
	p.Apps[0].Scopes[0], p.PublicLinkSpaces[0].Name = "x", "x"
	for _, links := range p.PublicLinks {
		for i := range links {
			links[i].Title = "x"
		}
	}
	if diff := cmp.Diff(untouched, site.Posture()); diff != "" {
		t.Errorf("a snapshot shares memory with the site:\n%s", diff)
	}
}

func TestPostureIsNasty(t *testing.T) {
	srv := confluencetest.New(confluencetest.Settings{Seed: 5})
	p := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, Guests: 8}).Posture()
	seen := map[string]bool{}
	for _, g := range p.SitePermissions.Groups {
		for _, o := range g.Operations {
			seen["unknown operation"] = seen["unknown operation"] || o.Operation == "MANAGE_AI_FEATURES"
			seen["colliding operations"] = seen["colliding operations"] || o.Operation+"|"+o.Target == "USE_CONFLUENCE|SPACE|SITE"
		}
		seen["null usage"] = seen["null usage"] || g.UsageType == ""
	}
	for _, x := range p.SitePermissions.Persons {
		seen["unknown type"] = seen["unknown type"] || x.PermissionType == "SERVICE"
		seen["null mail"] = seen["null mail"] || x.Email == ""
		seen["external"] = seen["external"] || x.PermissionType == "EXTERNAL"
	}
	for _, links := range p.PublicLinks {
		for _, l := range links {
			seen["link beyond 2^53"] = seen["link beyond 2^53"] || len(l.ID) >= 16
			seen["unknown status"] = seen["unknown status"] || l.Status == "QUARANTINED"
			seen["null title"] = seen["null title"] || l.Title == ""
		}
	}
	for _, a := range p.Apps {
		seen["null vendor"] = seen["null vendor"] || a.Vendor == ""
		seen["unknown environment"] = seen["unknown environment"] || a.Environment == "SANDBOX"
		seen["no licence"] = seen["no licence"] || a.License == nil
		seen["dead licence"] = seen["dead licence"] || a.License != nil && !a.License.Active
	}
	for _, g := range p.Guests {
		seen["guest without spaces"] = seen["guest without spaces"] || g.SpaceIDs == nil
	}
	for _, what := range []string{
		"unknown operation", "colliding operations", "null usage", "unknown type", "null mail", "external", "link beyond 2^53", "unknown status", "null title", "null vendor",
		"unknown environment", "no licence", "dead licence", "guest without spaces",
	} {
		if !seen[what] {
			t.Errorf("the generated posture has no %s", what)
		}
	}
}
