package confluencetest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestPagesEqualTruth(t *testing.T) {
	for _, tt := range []struct {
		name     string
		settings confluencetest.SiteSettings
		limit    int
	}{
		{"small site, default limits", confluencetest.SiteSettings{Name: "small", Guests: 3, UngroupedGuests: 1}, 0},
		{"pages of one", confluencetest.SiteSettings{Name: "tiny", Spaces: 6, PermissionsPerSpace: 6, Users: 7, Groups: 5, Guests: 1}, 1},
		{"pages of seven with hidden spaces", confluencetest.SiteSettings{Name: "hidden", Spaces: 40, HiddenSpaces: 9, RoleMode: "ROLES", AuditEvents: 30}, 7},
		{"one space", confluencetest.SiteSettings{Name: "lone", Spaces: 1, Users: 2}, 0},
		{"one row more than a page", confluencetest.SiteSettings{Name: "edge", Spaces: 251, PermissionsPerSpace: 3, HiddenSpaces: -1, Users: 520, Exact: true}, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			srv := start(t, confluencetest.Settings{Seed: 7})
			site := srv.AddSite(tt.settings)
			w := reader(t, srv, site)
			w.limit = tt.limit
			got, want := w.read(), site.Truth()
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("what HTTP shows differs from the truth (-truth +read):\n%s", diff)
			}
			if len(want.Spaces) != site.Settings().Spaces {
				t.Errorf("%d visible spaces, want %d", len(want.Spaces), site.Settings().Spaces)
			}
			if site.APICalls() != w.calls {
				t.Errorf("APICalls says %d, the walker made %d", site.APICalls(), w.calls)
			}
			var c confluencetest.Counts
			c.Spaces, c.Groups, c.Users, c.External = len(want.Spaces), len(want.Groups), len(want.Users), len(want.External)
			for _, rows := range want.Permissions {
				c.Permissions += len(rows)
			}
			for _, m := range want.Members {
				c.Members += len(m)
			}
			if diff := cmp.Diff(c, site.Counts(), cmpopts.IgnoreFields(c, "AllUsers")); diff != "" {
				t.Errorf("Counts differ from Truth:\n%s", diff)
			}
		})
	}
}

func TestHistoryIsSeenThroughPages(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	now := &clock{now: begin}
	srv := start(t, confluencetest.Settings{Seed: 3, Now: now.Now, AccessTokenTTL: 1000 * time.Hour})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, Guests: 2})
	w := reader(t, srv, site)
	steps := site.GenerateHistory(11, begin, begin.AddDate(0, 0, 28), 25)
	if len(steps) != 700 {
		t.Fatalf("%d steps, want 700", len(steps))
	}
	kinds := map[confluencetest.ChangeKind]int{}
	for day := 1; day <= 28; day++ {
		now.Add(24 * time.Hour)
		srv.AdvanceTo(now.Now())
		if day%7 != 0 {
			continue
		}
		if diff := cmp.Diff(site.Truth(), w.read(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("day %d: what HTTP shows differs from the truth:\n%s", day, diff)
		}
	}
	if site.Pending() != 0 {
		t.Errorf("%d steps are still pending", site.Pending())
	}
	last := time.Time{}
	for _, c := range site.Log() {
		kinds[c.Kind]++
		if c.At.Before(last) || c.At.Before(begin) || c.At.After(now.Now()) {
			t.Fatalf("change at %v is out of order or outside of the history", c.At)
		}
		last = c.At
	}
	for _, k := range []confluencetest.ChangeKind{
		confluencetest.SpaceAdded, confluencetest.SpaceRemoved, confluencetest.SpaceHidden, confluencetest.SpaceShown, confluencetest.SpaceChanged,
		confluencetest.PermissionAdded, confluencetest.PermissionRemoved, confluencetest.PermissionChanged, confluencetest.GroupAdded, confluencetest.GroupRemoved,
		confluencetest.MemberAdded, confluencetest.MemberRemoved, confluencetest.UserAdded, confluencetest.UserChanged, confluencetest.SettingsChanged, confluencetest.PolicyChanged,
	} {
		if kinds[k] == 0 {
			t.Errorf("four weeks of history hold no change of kind %s", k)
		}
	}
}

func TestSameSeedSameSite(t *testing.T) {
	begin := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	play := func(seed uint64) (string, confluencetest.Truth, []confluencetest.Change) {
		srv := confluencetest.New(confluencetest.Settings{Seed: seed, Now: func() time.Time { return begin }})
		site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", AuditEvents: 5})
		site.GenerateHistory(2, begin, begin.AddDate(0, 0, 7), 30)
		srv.AdvanceTo(begin.AddDate(0, 0, 7))
		app := srv.AddApp(confluencetest.App{Scopes: []string{"offline_access"}})
		tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID})
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(site.CloudID(), app, tokens), site.Truth(), site.Log()
	}
	names1, truth1, log1 := play(5)
	names2, truth2, log2 := play(5)
	if names1 != names2 {
		t.Errorf("ids and tokens differ: %s and %s", names1, names2)
	}
	if diff := cmp.Diff(truth1, truth2); diff != "" {
		t.Errorf("truth differs:\n%s", diff)
	}
	if diff := cmp.Diff(log1, log2); diff != "" {
		t.Errorf("log differs:\n%s", diff)
	}
	if _, other, _ := play(6); cmp.Equal(truth1, other) {
		t.Error("another seed gives the same site")
	}
}
