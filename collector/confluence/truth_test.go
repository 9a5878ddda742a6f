package confluence_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// js is a text as JSON; null when it is empty and the column may be unknown.
func js(s string) string {
	var w strings.Builder
	enc := json.NewEncoder(&w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(w.String(), "\n")
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return js(s)
}

// truthOf is what the site holds, in the shape of the datasets: written down
// again here, so that a mistake in a normalizer has nothing to hide behind.
func truthOf(sim *confluencetest.Site) map[string]map[string][]row {
	t := sim.Truth()
	out := map[string]map[string][]row{}
	put := func(table *schemas.Dataset, partition string, r ...row) {
		if out[table.Name] == nil {
			out[table.Name] = map[string][]row{}
		}
		out[table.Name][partition] = append(out[table.Name][partition], r...)
	}
	for _, s := range t.Spaces {
		put(datasets.Spaces.Dataset, "", row{
			"space_id": js(s.ID), "space_key": js(s.Key), "name": js(s.Name), "type": js(s.Type), "status": js(s.Status),
			"alias": orNull(s.Alias), "author_id": orNull(s.AuthorID), "homepage_id": orNull(s.HomepageID),
			"created_at": js(s.CreatedAt.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z")),
		})
		put(datasets.SpacePermissions.Dataset, s.ID)
		for _, p := range t.Permissions[s.ID] {
			put(datasets.SpacePermissions.Dataset, s.ID, row{
				"permission_id": js(p.ID), "space_key": js(s.Key), "principal_type": js(p.PrincipalType), "principal_id": js(p.PrincipalID),
				"operation": js(p.Operation), "target_type": js(p.Target),
			})
		}
	}
	setting := func(section, name, value, kind string) {
		put(datasets.SecurityConfiguration.Dataset, section, row{"setting": js(name), "value": js(value), "value_type": js(kind)})
	}
	setting("system_info", "edition", t.Settings.Edition, "string")
	setting("system_info", "site_title", t.Settings.Title, "string")
	setting("system_info", "base_url", sim.URL()+"/wiki", "string")
	setting("system_info", "default_locale", t.Settings.DefaultLocale, "string")
	setting("system_info", "default_time_zone", t.Settings.DefaultTimeZone, "string")
	setting("audit_retention", "audit_retention", fmt.Sprintf("%d %s", t.Settings.RetentionNumber, t.Settings.RetentionUnits), "period")
	setting("space_role_mode", "space_role_mode", t.Settings.RoleMode, "string")
	users := map[string]confluencetest.User{}
	for _, u := range t.Users {
		users[u.AccountID] = u
		external := "null"
		if u.External != nil {
			external = fmt.Sprint(*u.External)
		}
		put(datasets.Users.Dataset, "", row{
			"account_id": js(u.AccountID), "account_type": js(u.AccountType), "account_status": js(u.AccountStatus),
			"display_name": orNull(u.DisplayName), "public_name": orNull(u.PublicName), "email": orNull(u.Email), "time_zone": orNull(u.TimeZone),
			"personal_space_id": orNull(u.PersonalSpace), "is_external": external,
		})
		if u.Guest() {
			put(datasets.ExternalCollaborators.Dataset, "", row{
				"account_id": js(u.AccountID), "account_status": js(u.AccountStatus), "display_name": orNull(u.DisplayName), "email": orNull(u.Email),
			})
		}
	}
	for _, g := range t.Groups {
		put(datasets.Groups.Dataset, "", row{"group_id": js(g.ID), "name": js(g.Name), "type": js("group")})
		put(datasets.GroupMembers.Dataset, g.ID)
		for _, m := range t.Members[g.ID] {
			u := users[m]
			kind := u.AccountType
			if kind == "customer" { // the endpoint says nothing about customers
				kind = ""
			}
			put(datasets.GroupMembers.Dataset, g.ID, row{
				"account_id": js(m), "group_name": js(g.Name), "display_name": orNull(u.DisplayName), "account_type": js(kind),
			})
		}
	}
	return out
}

func sizes() map[string]confluencetest.SiteSettings {
	return map[string]confluencetest.SiteSettings{
		"one of each": {Name: "tiny", Spaces: 1, Users: 4, Groups: 4},
		"small":       {Name: "small", Spaces: 14, PermissionsPerSpace: 21, Groups: 11, Users: 60, Guests: 5, UngroupedGuests: 2},
		"several pages of everything": {Name: "middle", Spaces: 530, PermissionsPerSpace: 9, Groups: 430, Users: 700, Guests: 40,
			MembersPerGroup: 9, HiddenSpaces: 300},
		"spaces with several pages": {Name: "wide", Spaces: 6, PermissionsPerSpace: 620, Exact: true, Users: 450, Groups: 5, RoleMode: "ROLES"},
	}
}

// TestReadsTheTruth reads sites of several sizes, with all the values that the
// simulator holds against careless clients, and compares every column of every row.
func TestReadsTheTruth(t *testing.T) {
	for name, settings := range sizes() {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, settings)
			want := truthOf(s.sim)
			got := readAll(t, s.source())
			for _, table := range datasets.All() {
				parts := slices.Sorted(maps.Keys(got[table.Name]))
				if table.PartitionColumn != "" {
					if diff := cmp.Diff(slices.Sorted(maps.Keys(want[table.Name])), parts); diff != "" {
						t.Errorf("%s: partitions (-want +got):\n%s", table.Name, diff)
					}
				}
				for p, r := range got[table.Name] {
					if r.err != nil {
						t.Errorf("%s %q: %v", table.Name, p, r.err)
					}
					if diff := cmp.Diff(sorted(table, want[table.Name][p]), sorted(table, r.rows)); diff != "" && len(want[table.Name][p])+len(r.rows) > 0 {
						t.Errorf("%s %q (-want +got):\n%s", table.Name, p, diff)
					}
					if table != datasets.ExternalCollaborators.Dataset && len(r.unknown) > 0 {
						t.Errorf("%s %q: unknown rows: %v", table.Name, p, r.unknown)
					}
				}
			}
			if n := len(s.srv.Trapped()); n > 0 {
				t.Errorf("%d requests left the origin", n)
			}
		})
	}
}

// TestGuestsWithUnknownFlag: a flag that the site leaves out is neither yes nor no.
func TestGuestsWithUnknownFlag(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "guests", Users: 30, Guests: 3})
	truth := s.sim.Truth()
	var doubtful []string
	for _, u := range truth.Users {
		if u.External == nil {
			doubtful = append(doubtful, js(u.AccountID))
		}
	}
	if len(doubtful) == 0 {
		t.Fatal("the simulated site has nobody without the flag")
	}
	got := readAll(t, s.source())[datasets.ExternalCollaborators.Name][schemas.Whole]
	var unknown []string
	for _, r := range got.unknown {
		unknown = append(unknown, r["account_id"])
	}
	slices.Sort(doubtful)
	slices.Sort(unknown)
	if diff := cmp.Diff(doubtful, unknown); diff != "" {
		t.Errorf("unknown rows (-want +got):\n%s", diff)
	}
	if got.err != nil {
		t.Errorf("accounts whose flag is null by choice do not make the reading incomplete: %v", got.err)
	}
	if len(got.rows) != 3 {
		t.Errorf("%d guests, want 3", len(got.rows))
	}
}
