package confluence_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
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

// truth is what a site holds, by dataset and partition.
type truth map[string]map[string][]row

func (t truth) put(table *schemas.Dataset, partition string, r ...row) {
	if t[table.Name] == nil {
		t[table.Name] = map[string][]row{}
	}
	t[table.Name][partition] = append(t[table.Name][partition], r...)
}

// setting puts a row of security_configuration; value is JSON.
func (t truth) setting(section, name, value, kind, origin string) {
	r := row{"setting": js(name), "value": value, "value_type": js(kind), "value_bool": "null", "value_int": "null", "origin": js(origin)}
	switch kind {
	case "bool":
		r["value_bool"] = value
	case "int":
		r["value_int"] = value
	}
	if value != "null" && (kind == "bool" || kind == "int") {
		r["value"] = strconv.Quote(value)
	}
	t.put(datasets.SecurityConfiguration.Dataset, section, r)
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return "null"
	}
	return js(at.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"))
}

func set(list []string) string {
	list = slices.Clone(list)
	slices.Sort(list)
	text, err := json.Marshal(append([]string{}, slices.Compact(list)...))
	if err != nil {
		panic(err)
	}
	return string(text)
}

// truthOf is what an OAuth grant reads of the site, in the shape of the datasets:
// written down again here, so that a mistake in a normalizer has nothing to hide
// behind. What the grant does not open is left out.
func truthOf(s *site) truth {
	t := s.sim.Truth()
	out := truth{}
	blocked := map[string]bool{}
	for _, id := range t.BlockedSpaces {
		blocked[id] = true
	}
	roles := map[string]string{}
	for _, r := range t.Roles {
		roles[r.ID] = r.Name
		out.put(datasets.SpaceRoles.Dataset, "", row{
			"role_id": js(r.ID), "type": js(r.Type), "name": orNull(r.Name), "description": orNull(r.Description), "permissions": set(r.Permissions),
		})
	}
	out.put(datasets.DataPolicies.Dataset, "")
	for _, s := range t.Spaces {
		out.put(datasets.Spaces.Dataset, "", row{
			"space_id": js(s.ID), "space_key": js(s.Key), "name": js(s.Name), "type": js(s.Type), "status": js(s.Status),
			"alias": orNull(s.Alias), "author_id": orNull(s.AuthorID), "homepage_id": orNull(s.HomepageID), "created_at": stamp(s.CreatedAt),
		})
		out.put(datasets.SpacePermissions.Dataset, s.ID)
		for _, p := range t.Permissions[s.ID] {
			out.put(datasets.SpacePermissions.Dataset, s.ID, row{
				"permission_id": js(p.ID), "space_key": js(s.Key), "principal_type": js(p.PrincipalType), "principal_id": js(p.PrincipalID),
				"operation": js(p.Operation), "target_type": js(p.Target),
			})
		}
		if blocked[s.ID] {
			out.put(datasets.DataPolicies.Dataset, "", row{"space_id": js(s.ID), "space_key": js(s.Key), "name": orNull(s.Name)})
		}
		if len(roles) == 0 {
			continue
		}
		out.put(datasets.SpaceRoleAssignments.Dataset, s.ID)
		for _, a := range t.Assignments[s.ID] {
			out.put(datasets.SpaceRoleAssignments.Dataset, s.ID, row{
				"principal_type": js(a.PrincipalType), "principal_id": js(a.PrincipalID), "role_id": js(a.RoleID), "space_key": js(s.Key), "role_name": orNull(roles[a.RoleID]),
			})
		}
	}
	for _, l := range t.Levels {
		out.put(datasets.ClassificationLevels.Dataset, "", row{
			"level_id": js(l.ID), "status": js(l.Status), "name": orNull(l.Name), "description": orNull(l.Description), "guideline": orNull(l.Guideline),
			"color": orNull(l.Color), "level_order": strconv.Itoa(l.Order),
		})
	}
	text := func(name, value string) { out.setting("system_info", name, orNull(value), "string", "site") }
	text("edition", t.Settings.Edition)
	text("site_title", t.Settings.Title)
	text("base_url", s.sim.URL()+"/wiki")
	text("default_locale", t.Settings.DefaultLocale)
	text("default_time_zone", t.Settings.DefaultTimeZone)
	out.setting("audit_retention", "audit_retention", js(fmt.Sprintf("%d %s", t.Settings.RetentionNumber, t.Settings.RetentionUnits)), "period", "site")
	out.setting("space_role_mode", "space_role_mode", js(t.Settings.RoleMode), "string", "site")
	users := map[string]confluencetest.User{}
	for _, u := range t.Users {
		users[u.AccountID] = u
		external := "null"
		if u.External != nil {
			external = strconv.FormatBool(*u.External)
		}
		out.put(datasets.Users.Dataset, "", row{
			"account_id": js(u.AccountID), "account_type": js(u.AccountType), "account_status": js(u.AccountStatus),
			"display_name": orNull(u.DisplayName), "public_name": orNull(u.PublicName), "email": orNull(u.Email), "time_zone": orNull(u.TimeZone),
			"personal_space_id": orNull(u.PersonalSpace), "is_external": external,
		})
		if u.Guest() {
			out.put(datasets.ExternalCollaborators.Dataset, "", row{
				"account_id": js(u.AccountID), "account_status": js(u.AccountStatus), "display_name": orNull(u.DisplayName), "email": orNull(u.Email),
				"space_ids": "[]", "spaces_known": "false",
			})
		}
	}
	if out[datasets.ExternalCollaborators.Name] == nil {
		out.put(datasets.ExternalCollaborators.Dataset, "")
	}
	for _, g := range t.Groups {
		out.put(datasets.Groups.Dataset, "", row{"group_id": js(g.ID), "name": js(g.Name), "type": js("group")})
		out.put(datasets.GroupMembers.Dataset, g.ID)
		for _, m := range t.Members[g.ID] {
			u := users[m]
			kind := u.AccountType
			if kind == "customer" { // the endpoint says nothing about customers
				kind = ""
			}
			out.put(datasets.GroupMembers.Dataset, g.ID, row{
				"account_id": js(m), "group_name": js(g.Name), "display_name": orNull(u.DisplayName), "account_type": js(kind),
			})
		}
	}
	out.audit(t.Audit, s.clock.Now().Add(-30*24*time.Hour), s.clock.Now())
	newest := map[string]confluencetest.AuditRecord{}
	for _, a := range t.Audit {
		if !a.At.Before(s.clock.Now().Add(-7*24*time.Hour)) && a.At.Before(s.clock.Now()) && a.At.After(newest[a.AuthorID].At) {
			newest[a.AuthorID] = a
		}
	}
	out.put(datasets.UserActivities.Dataset, "")
	for id := range users {
		if a, active := newest[id]; active {
			out.put(datasets.UserActivities.Dataset, "", activityRow(id, a.AuthorName, a.At))
		}
	}
	return out
}

// activityRow is what the audit log tells of the last use by an account.
func activityRow(id, name string, at time.Time) row {
	return row{"account_id": js(id), "product": js("confluence"), "display_name": orNull(name), "last_active_at": stamp(at), "source": js("audit")}
}

// audit puts the records before until, by day from the day of since on.
func (t truth) audit(records []confluencetest.AuditRecord, since, until time.Time) {
	first := since.UTC().Format(time.DateOnly)
	for day := since.UTC().Truncate(24 * time.Hour); day.Before(until); day = day.AddDate(0, 0, 1) {
		t.put(datasets.AuditEvents.Dataset, day.Format(time.DateOnly))
	}
	times := map[string]int{}
	for _, a := range records {
		day := a.At.UTC().Format(time.DateOnly)
		if day < first || !a.At.Before(until) {
			continue
		}
		var changed, objects []string
		for _, c := range a.Changed {
			changed = append(changed, `{"name":`+js(c.Name)+`,"old":`+js(c.Old)+`,"new":`+js(c.New)+`}`)
		}
		for _, o := range a.Associated {
			objects = append(objects, `{"type":`+js(o.Type)+`,"name":`+js(o.Name)+`}`)
		}
		list := func(items []string) string {
			if items == nil {
				return ""
			}
			return "[" + strings.Join(items, ",") + "]"
		}
		sum := contentHash(a.At.UnixMilli(), a.Category, a.Summary, "", a.AuthorID, a.AuthorName, "atlassian", a.Address, a.ObjectType, a.Object, list(changed), list(objects))
		times[sum]++
		t.put(datasets.AuditEvents.Dataset, day, row{
			"content_hash": js(sum), "occurrence": strconv.Itoa(times[sum]), "at": stamp(a.At),
			"author_id": orNull(a.AuthorID), "author_name": orNull(a.AuthorName), "author_type": js("atlassian"), "remote_address": orNull(a.Address),
			"category": js(a.Category), "summary": js(a.Summary), "description": "null", "by_system_admin": "false",
			"affected_type": orNull(a.ObjectType), "affected_name": orNull(a.Object),
			"changed_values": orNull(list(changed)), "associated_objects": orNull(list(objects)),
		})
	}
}

// contentHash is the hash of an audit record as it is documented, written down
// again. Category and summary are always there; other texts are not when empty.
func contentHash(ms int64, category, summary string, rest ...string) string {
	h := sha256.New()
	part := func(there bool, s string) {
		if !there {
			h.Write([]byte{0})
			return
		}
		h.Write(binary.AppendUvarint([]byte{1}, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write([]byte("sitedrift audit record\x00"))
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(ms))
	h.Write(at[:])
	part(true, category)
	part(true, summary)
	for _, s := range rest {
		part(s != "", s)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

func sizes() map[string]confluencetest.SiteSettings {
	return map[string]confluencetest.SiteSettings{
		"one of each": {Name: "tiny", Spaces: 1, Users: 4, Groups: 4},
		"small":       {Name: "small", Spaces: 14, PermissionsPerSpace: 21, Groups: 11, Users: 60, Guests: 5, UngroupedGuests: 2, RoleMode: "ROLES_TRANSITION", AuditEvents: 1160},
		"several pages of everything": {
			Name: "middle", Spaces: 280, PermissionsPerSpace: 5, Groups: 230, Users: 520, Guests: 40, MembersPerGroup: 5, HiddenSpaces: 60,
		},
		"spaces with several pages": {Name: "wide", Spaces: 6, PermissionsPerSpace: 620, Exact: true, Users: 450, Groups: 5, RoleMode: "ROLES", AuditEvents: 30},
	}
}

// compare checks a reading of one partition: complete, and the truth.
func compare(t *testing.T, table *schemas.Dataset, partition string, want []row, got reading) {
	t.Helper()
	if got.err != nil {
		t.Errorf("%s %q: %v", table.Name, partition, got.err)
	}
	if diff := difference(table, want, got.rows); diff != "" {
		t.Errorf("%s %q (-want +got):\n%s", table.Name, partition, diff)
	}
}

// TestReadsTheTruth reads sites of several sizes, with all the values that the
// simulator holds against careless clients, and compares every column of every
// row. What the grant does not open says so, and no call is made in vain.
func TestReadsTheTruth(t *testing.T) {
	t.Parallel()
	for name, settings := range sizes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, settings)
			want := truthOf(s)
			src := s.source()
			got := readAll(t, src)
			checkCalls(t, s, src)
			for _, table := range datasets.All() {
				for p, r := range got[table.Name] {
					rows, there := want[table.Name][p]
					if !there {
						if r.state() != schemas.CoverageNotExposed || len(r.rows)+len(r.unknown) > 0 {
							t.Errorf("%s %q: %d rows, %v", table.Name, p, len(r.rows), r.err)
						}
						continue
					}
					compare(t, table, p, rows, r)
					if table != datasets.ExternalCollaborators.Dataset && table != datasets.UserActivities.Dataset && len(r.unknown) > 0 {
						t.Errorf("%s %q: unknown rows: %v", table.Name, p, r.unknown)
					}
				}
				for p := range want[table.Name] {
					if _, read := got[table.Name][p]; !read {
						t.Errorf("%s %q was not read", table.Name, p)
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
