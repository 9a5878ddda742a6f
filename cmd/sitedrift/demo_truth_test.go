//go:build linux && !noengine

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// demoEntity is an entity of a dataset, as events name it.
type demoEntity struct{ partition, key string }

// demoRows are rows of a dataset, as the views write them, by column.
type demoRows map[demoEntity]map[string]string

func (r demoRows) put(d *schemas.Dataset, row map[string]string) {
	fields := map[string]string{}
	for _, c := range killColumns(d) {
		fields[c] = row[c]
	}
	r[demoEntity{row[d.PartitionColumn], demoKey(d, row)}] = fields
}

// demoKey is the key of a row; of several columns a JSON array.
func demoKey(d *schemas.Dataset, row map[string]string) string {
	var keys []string
	for _, i := range d.KeyColumns() {
		keys = append(keys, row[d.Columns[i].Name])
	}
	if len(keys) == 1 {
		return keys[0]
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(keys); err != nil { // texts always encode
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// demoTruth is what a tenant's credentials show of its site: rows by the name of
// the dataset. Datasets that are not open to them have no entry.
type demoTruth struct {
	rows map[string]demoRows
	// unknown are rows about which the site says nothing at present: what was known
	// of them stays.
	unknown map[string][]demoEntity
	names   *demoNames
}

// demoNames are the people that a site was ever seen to have: a guest in no group
// is listed without the details that groups lead to.
type demoNames map[string]sim.User

func (t *demoTruth) put(dataset string, row map[string]string) {
	d := datasetNamed(dataset)
	if t.rows[dataset] == nil {
		t.rows[dataset] = demoRows{}
	}
	if row != nil {
		t.rows[dataset].put(d, row)
	}
}

// open lists datasets that are open, whether or not they have rows.
func (t *demoTruth) open(datasets ...string) {
	for _, name := range datasets {
		t.put(name, nil)
	}
}

func (t *demoTruth) setting(source, name, value, kind, origin string) {
	row := map[string]string{"source": source, "setting": name, "value": value, "value_type": kind, "value_bool": killNull, "value_int": killNull, "origin": origin}
	switch kind {
	case "bool":
		row["value_bool"] = value
	case "int":
		row["value_int"] = value
	}
	t.put("security_configuration", row)
}

// truthOf is what the story's credentials show of its site now, at the time of
// the site's clock.
func truthOf(s *story, names *demoNames, now time.Time) *demoTruth {
	t := &demoTruth{rows: map[string]demoRows{}, unknown: map[string][]demoEntity{}, names: names}
	if s.dc != nil {
		t.center(s.dc)
		truth, last := s.dc.Truth(), map[string]time.Time{}
		for _, a := range truth.Audit {
			last[a.AuthorKey] = a.At
		}
		for _, u := range truth.Users {
			t.activity(u.UserKey, last[u.UserKey], now)
		}
		return t
	}
	t.granted(s.site)
	if !slices.Contains(s.kinds, schemas.CredentialAdminKey) {
		truth, last := s.site.Truth(), map[string]time.Time{}
		for _, a := range truth.Audit {
			last[a.AuthorID] = a.At
		}
		t.open("user_activity")
		for _, u := range truth.Users {
			t.activity(u.AccountID, last[u.AccountID], now)
		}
	}
	for _, kind := range s.kinds {
		switch kind {
		case schemas.CredentialAPIToken:
			t.posture(s.site)
		case schemas.CredentialAdminKey:
			t.organization(s.org, s.site.CloudID())
		}
	}
	return t
}

// activity is what the audit log of the last seven days tells of an account.
func (t *demoTruth) activity(account string, last, now time.Time) {
	row := map[string]string{"account_id": account, "product": "confluence", "last_active_at": stamp(last), "source": "audit"}
	if last.Before(now.Add(-7 * 24 * time.Hour)) {
		t.unknown["user_activity"] = append(t.unknown["user_activity"], demoEntity{key: demoKey(datasetNamed("user_activity"), row)})
		return
	}
	t.put("user_activity", row)
}

// granted is what an OAuth grant or a service account shows.
func (t *demoTruth) granted(site *sim.Site) {
	truth := site.Truth()
	t.open("spaces", "space_permissions", "security_configuration", "data_policies", "classification_levels", "groups", "group_members", "users", "external_collaborators")
	killSpaces(truth, t.put)
	killSettings(truth.Settings, site.URL()+"/wiki", t.put)
	killPolicies(truth, t.put)
	killPeople(truth, t.put)
	for _, u := range truth.Users {
		(*t.names)[u.AccountID] = u
		if u.External == nil {
			t.unknown["external_collaborators"] = append(t.unknown["external_collaborators"], demoEntity{key: u.AccountID})
		}
	}
	if truth.Settings.RoleMode == "PRE_ROLES" {
		return
	}
	t.open("space_roles", "space_role_assignments")
	for _, r := range truth.Roles {
		t.put("space_roles", map[string]string{"role_id": r.ID, "type": r.Type, "name": orNull(r.Name), "description": orNull(r.Description), "permissions": set(r.Permissions)})
	}
	for space, list := range truth.Assignments {
		for _, a := range list {
			t.put("space_role_assignments", map[string]string{"space_id": space, "principal_type": a.PrincipalType, "principal_id": a.PrincipalID, "role_id": a.RoleID})
		}
	}
}

// posture is what a classic token shows beside, or in another way.
func (t *demoTruth) posture(site *sim.Site) {
	p := site.Posture()
	t.open("site_permissions", "public_link_spaces", "public_links", "installed_apps")
	t.siteConfiguration(p.Configuration)
	t.setting("admin_key", "admin_key_enabled", "false", "bool", "site")
	origin := "site"
	if p.PublicLinkSite == "BLOCKED_BY_ORG" {
		origin = "organization"
	}
	t.setting("public_links", "public_link_site_status", p.PublicLinkSite, "string", origin)
	for _, l := range p.ShareableLinks {
		t.setting("public_links", "shareable_links."+l.AccessType, l.Status, "string", "site")
	}
	hold := func(kind, id string, operations []sim.SiteOperation) {
		for _, o := range operations {
			t.put("site_permissions", map[string]string{"principal_type": kind, "principal_id": id, "operation": o.Operation, "target_type": o.Target})
		}
	}
	for _, g := range p.SitePermissions.Groups {
		hold("group", g.ID, g.Operations)
	}
	for _, person := range p.SitePermissions.Persons {
		hold("user", person.AccountID, person.Operations)
		if _, known := (*t.names)[person.AccountID]; !known {
			(*t.names)[person.AccountID] = sim.User{AccountID: person.AccountID, DisplayName: person.DisplayName, Email: person.Email}
		}
	}
	hold("anonymous", "anonymous", p.SitePermissions.Anonymous)
	hold("unlicensed", "unlicensed", p.SitePermissions.Unlicensed)
	for _, l := range p.PublicLinkSpaces {
		t.put("public_link_spaces", map[string]string{"space_id": l.SpaceID, "status": l.Status, "policy_set": boolText(l.ClassificationPolicy), "active_links": strconv.Itoa(l.Active)})
		for _, link := range p.PublicLinks[l.SpaceID] {
			if link.Status == "ON" {
				t.put("public_links", map[string]string{
					"space_id": l.SpaceID, "page_id": link.ID, "type": orNull(link.Type), "status": link.Status, "access_type": link.AccessType,
					"enabled_by": orNull(link.EnabledBy), "enabled_at": stamp(link.EnabledAt),
				})
			}
		}
	}
	t.rows["external_collaborators"], t.unknown["external_collaborators"] = demoRows{}, nil
	for _, g := range p.Guests {
		u := (*t.names)[g.AccountID]
		t.put("external_collaborators", map[string]string{
			"account_id": g.AccountID, "display_name": orNull(u.DisplayName), "email": orNull(u.Email), "account_status": "",
			"space_ids": set(g.SpaceIDs), "spaces_known": strconv.FormatBool(g.SpaceIDs != nil),
		})
	}
	for _, a := range p.Apps {
		t.app(a)
	}
	seats := map[string]string{
		"product": "confluence", "seats_used": strconv.Itoa(p.Seats.Used), "seats_free": killNull, "seats_total": killNull, "unlimited": strconv.FormatBool(p.Seats.Maximum < 0),
		"plan": killNull, "license_type": killNull, "active": killNull, "expires_at": killNull, "maintained_until": killNull,
	}
	if p.Seats.Maximum >= 0 {
		seats["seats_free"], seats["seats_total"] = strconv.Itoa(p.Seats.Remaining()), strconv.Itoa(p.Seats.Maximum)
	}
	t.put("subscriptions", seats)
}

func (t *demoTruth) siteConfiguration(c sim.SecurityConfiguration) {
	put := func(name, kind, value string, known bool) {
		if !known {
			t.unknown["security_configuration"] = append(t.unknown["security_configuration"], demoEntity{"site_configuration", name})
			return
		}
		t.setting("site_configuration", name, value, kind, "site")
	}
	text := func(name string, v *string) { put(name, "string", deref(v), v != nil) }
	number := func(name string, v *int) { put(name, "int", strconv.Itoa(deref(v)), v != nil) }
	truth := func(name string, v *bool) { put(name, "bool", strconv.FormatBool(deref(v)), v != nil) }
	text("attachment_security_level", c.AttachmentSecurityLevel)
	put("max_attachment_size", "int", strconv.FormatInt(deref(c.MaxAttachmentSize), 10), c.MaxAttachmentSize != nil)
	number("max_attachments_per_upload", c.MaxAttachmentsPerUpload)
	truth("is_anonymous_access_to_remote_api_enabled", c.AnonymousRemoteAPI)
	truth("is_external_connection_enabled", c.ExternalConnections)
	number("connection_timeout", c.ConnectionTimeout)
	number("socket_timeout", c.SocketTimeout)
	truth("login_settings.enable_elevated_security_check", c.ElevatedSecurityCheck)
	number("login_settings.login_attempts_threshold", c.LoginAttemptsThreshold)
	truth("is_privacy_mode_enabled", c.PrivacyMode)
	truth("is_system_admin_enabled", c.SystemAdmin)
	truth("is_xsrf_add_comments_enabled", c.XSRFAddComments)
	truth("is_nofollow_external_links_enabled", c.NofollowExternalLinks)
	truth("is_hide_title_in_url_enabled", c.HideTitleInURL)
	truth("is_contact_administrators_form_enabled", c.ContactAdministrators)
	truth("content_access_request_settings.enabled", c.ContentAccessRequests)
	truth("space_access_request_settings.enabled", c.SpaceAccessRequests)
	truth("is_snippet_sharing_for_site_enabled", c.SnippetSharing)
	truth("is_add_wildcards_to_user_and_group_searches_enabled", c.SearchWildcards)
	number("max_rss_items", c.MaxRSSItems)
}

func (t *demoTruth) app(a sim.InstalledApp) {
	row := map[string]string{
		"kind": a.Kind, "app_key": a.ID, "name": orNull(a.Name), "version": orNull(a.Version), "vendor": orNull(a.Vendor), "enabled": strconv.FormatBool(a.Enabled), "user_installed": "true",
		"scopes": "", "egress": "", "license_active": killNull, "license_type": killNull, "installed_by": killNull, "installed_at": killNull, "distribution": killNull,
	}
	if a.Kind == "forge" {
		var egress []string
		for _, e := range a.Egress {
			egress = append(egress, e.Addresses...)
		}
		row["enabled"], row["user_installed"] = killNull, killNull
		row["scopes"], row["egress"], row["distribution"] = set(a.Scopes), set(egress), orNull(a.DistributionStatus)
		row["installed_by"], row["installed_at"] = orNull(a.InstalledBy), stamp(a.InstalledAt)
		if a.License != nil {
			row["license_active"], row["license_type"] = strconv.FormatBool(a.License.Active), orNull(a.License.Type)
		}
	}
	t.put("installed_apps", row)
}

// organization is what a key of the organization shows beside.
func (t *demoTruth) organization(o *sim.Organization, cloudID string) {
	org := o.Truth()
	t.open("subscriptions", "user_activity")
	for _, p := range org.Policies {
		name := "policy." + p.Type + "." + p.ID
		t.setting("organization", name+".status", p.Status, "string", "organization")
		t.setting("organization", name+".rule", p.Rule, "list", "organization")
	}
	for _, d := range org.Domains {
		t.setting("organization", "domain."+d.Name, d.ClaimStatus, "string", "organization")
	}
	site, used := "ari:cloud:confluence::site/"+cloudID, 0
	for _, u := range org.Users {
		if len(u.Roles[site]) == 0 {
			continue
		}
		if slices.Contains(u.Roles[site], "atlassian/user") {
			used++
		}
		for _, a := range u.Access {
			if strings.HasSuffix(a.ID, "site/"+cloudID) {
				t.put("user_activity", map[string]string{"account_id": u.AccountID, "product": a.Key, "last_active_at": stamp(a.LastActive), "source": "organization"})
			}
		}
	}
	for _, w := range org.Workspaces {
		if w.ID != site {
			continue
		}
		row := map[string]string{
			"product": w.TypeKey, "seats_used": strconv.Itoa(used), "seats_free": killNull, "seats_total": killNull, "unlimited": killNull, "plan": orNull(w.Plan),
			"license_type": killNull, "active": strconv.FormatBool(w.Status == "online"), "expires_at": killNull, "maintained_until": killNull,
		}
		if w.Capacity != nil {
			row["seats_total"], row["seats_free"] = strconv.Itoa(*w.Capacity), strconv.Itoa(*w.Capacity-used)
		}
		t.put("subscriptions", row)
	}
}

// auditRecords are the times of the records of a site's audit log.
func auditRecords(s *story) (times []time.Time) {
	if s.dc != nil {
		for _, a := range s.dc.Truth().Audit {
			times = append(times, a.At)
		}
		return times
	}
	for _, a := range s.site.Truth().Audit {
		times = append(times, a.At)
	}
	return times
}

func orNull(s string) string { return cmp.Or(s, killNull) }

// set is a set of texts as the views' texts have it here.
func set(list []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(list))), " ")
}

func boolText(b *bool) string {
	if b == nil {
		return killNull
	}
	return strconv.FormatBool(*b)
}

func stamp(at time.Time) string {
	if at.IsZero() {
		return killNull
	}
	return at.UTC().Truncate(time.Millisecond).Format(clickHouseTime)
}

func deref[T any](v *T) (zero T) {
	if v == nil {
		return zero
	}
	return *v
}

func datasetNamed(name string) *schemas.Dataset {
	i := slices.IndexFunc(tables(), func(d *schemas.Dataset) bool { return d.Name == name })
	if i < 0 {
		panic(fmt.Sprintf("no dataset is named %s", name))
	}
	return tables()[i]
}

// TestDemoTruthIsOfEveryDataset: whatever is declared is open to some story, so
// that no dataset goes unwatched.
func TestDemoTruthIsOfEveryDataset(t *testing.T) {
	server := sim.New(sim.Settings{Seed: 7})
	d := &demo{server: server, start: time.Now().AddDate(0, 0, -1), end: time.Now(), stories: stories()}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	seen := map[string]bool{"audit_events": true} // counted apart
	for i, s := range d.stories {
		d.found(s, uint64(i+1))
		for name := range truthOf(s, &demoNames{}, d.end).rows {
			seen[name] = true
		}
	}
	for _, table := range tables() {
		if !seen[table.Name] {
			t.Errorf("no story shows %s", table.Name)
		}
	}
}
