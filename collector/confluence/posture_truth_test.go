package confluence_test

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// truthBy is what the site holds as each interface shows it: that of OAuth grants
// by REST, and beside it what only other credentials read.
func truthBy(s *site) map[string]truth {
	t := s.sim.Truth()
	p := s.sim.Posture()
	names := map[string]string{}
	for _, sp := range t.Spaces {
		names[sp.ID] = sp.Key
	}
	out := map[string]truth{schemas.APIRest: truthOf(s), schemas.APIGraphQL: {}, schemas.APIApps: {}, schemas.APILicense: {}, schemas.APIAdmin: {}}
	rest, graph := out[schemas.APIRest], out[schemas.APIGraphQL]

	enabled := p.AdminKey != nil && p.AdminKey.AccountID == s.srv.Collector().AccountID // that of others is not told
	rest.setting("admin_key", "admin_key_enabled", strconv.FormatBool(enabled), "bool", "site")
	if enabled {
		rest.setting("admin_key", "admin_key_account", js(p.AdminKey.AccountID), "string", "site")
		rest.setting("admin_key", "admin_key_until", stamp(p.AdminKey.Until), "string", "site")
	}

	graph.sitePermissions(p.SitePermissions)
	graph.configuration(p.Configuration)
	origin := "site"
	if p.PublicLinkSite == "BLOCKED_BY_ORG" {
		origin = "organization"
	}
	graph.setting("public_links", "public_link_site_status", js(p.PublicLinkSite), "string", origin)
	for _, l := range p.ShareableLinks {
		graph.setting("public_links", "shareable_links."+l.AccessType, js(l.Status), "string", "site")
	}
	for _, l := range p.PublicLinkSpaces {
		graph.put(datasets.PublicLinkSpaces.Dataset, "", row{
			"space_id": js(l.SpaceID), "space_key": js(l.Key), "name": orNull(l.Name), "status": js(l.Status), "policy_set": flag(l.ClassificationPolicy), "active_links": strconv.Itoa(l.Active),
		})
		graph.put(datasets.PublicLinks.Dataset, l.SpaceID)
		for _, link := range p.PublicLinks[l.SpaceID] {
			if link.Status != "ON" {
				continue
			}
			graph.put(datasets.PublicLinks.Dataset, l.SpaceID, row{
				"page_id": js(link.ID), "space_key": js(names[l.SpaceID]), "title": orNull(link.Title), "type": orNull(link.Type), "status": js(link.Status),
				"access_type": js(link.AccessType), "enabled_by": orNull(link.EnabledBy), "enabled_at": stamp(link.EnabledAt),
			})
		}
	}
	persons := map[string]confluencetest.SitePerson{}
	for _, person := range p.SitePermissions.Persons {
		persons[person.AccountID] = person
	}
	for _, g := range p.Guests {
		who := persons[g.AccountID] // guests hold a site permission each
		graph.put(datasets.ExternalCollaborators.Dataset, "", row{
			"account_id": js(g.AccountID), "account_status": js(""), "display_name": orNull(who.DisplayName), "email": orNull(who.Email),
			"space_ids": set(g.SpaceIDs), "spaces_known": strconv.FormatBool(g.SpaceIDs != nil),
		})
	}
	out[schemas.APIApps].put(datasets.InstalledApps.Dataset, "connect")
	graph.put(datasets.InstalledApps.Dataset, "forge")
	for _, a := range p.Apps {
		if a.Kind == "connect" {
			out[schemas.APIApps].put(datasets.InstalledApps.Dataset, "connect", row{
				"app_key": js(a.ID), "name": orNull(a.Name), "version": orNull(a.Version), "vendor": orNull(a.Vendor), "enabled": strconv.FormatBool(a.Enabled), "user_installed": "true",
				"scopes": "[]", "egress": "[]", "license_active": "null", "license_type": "null", "installed_by": "null", "installed_at": "null", "distribution": "null",
			})
			continue
		}
		active, kind := "null", "null"
		if a.License != nil {
			active, kind = strconv.FormatBool(a.License.Active), orNull(a.License.Type)
		}
		var egress []string
		for _, e := range a.Egress {
			egress = append(egress, e.Addresses...)
		}
		graph.put(datasets.InstalledApps.Dataset, "forge", row{
			"app_key": js(a.ID), "name": orNull(a.Name), "version": orNull(a.Version), "vendor": orNull(a.Vendor), "enabled": "null", "user_installed": "null",
			"scopes": set(a.Scopes), "egress": set(egress), "license_active": active, "license_type": kind,
			"installed_by": orNull(a.InstalledBy), "installed_at": stamp(a.InstalledAt), "distribution": orNull(a.DistributionStatus),
		})
	}
	seats := row{
		"product": js("confluence"), "seats_used": strconv.Itoa(p.Seats.Used), "seats_free": "null", "seats_total": "null", "unlimited": strconv.FormatBool(p.Seats.Maximum < 0),
		"plan": "null", "license_type": "null", "active": "null", "expires_at": "null", "maintained_until": "null",
	}
	if p.Seats.Maximum >= 0 {
		seats["seats_free"], seats["seats_total"] = strconv.Itoa(p.Seats.Remaining()), strconv.Itoa(p.Seats.Maximum)
	}
	out[schemas.APILicense].put(datasets.Subscriptions.Dataset, "", seats)
	if s.org != nil {
		out[schemas.APIAdmin].organization(s.org.Truth(), s.sim.CloudID())
		out[schemas.APIAdmin].events(s.org.Truth().Events, s.clock.Now().Add(-30*24*time.Hour), s.clock.Now())
	}
	return out
}

func flag(b *bool) string {
	if b == nil {
		return "null"
	}
	return strconv.FormatBool(*b)
}

func (t truth) sitePermissions(p confluencetest.SitePermissions) {
	hold := func(kind, id, name string, operations []confluencetest.SiteOperation) {
		for _, o := range operations {
			t.put(datasets.SitePermissions.Dataset, "", row{
				"principal_type": js(kind), "principal_id": js(id), "principal_name": orNull(name), "operation": js(o.Operation), "target_type": js(o.Target),
			})
		}
	}
	for _, g := range p.Groups {
		hold("group", g.ID, g.Name, g.Operations)
	}
	for _, person := range p.Persons {
		hold("user", person.AccountID, person.DisplayName, person.Operations)
	}
	hold("anonymous", "anonymous", "", p.Anonymous)
	hold("unlicensed", "unlicensed", "", p.Unlicensed)
}

// configuration puts the settings that the site does not leave null.
func (t truth) configuration(c confluencetest.SecurityConfiguration) {
	text := func(name string, v *string) {
		if v != nil {
			t.setting("site_configuration", name, js(*v), "string", "site")
		}
	}
	number := func(name string, v *int) {
		if v != nil {
			t.setting("site_configuration", name, strconv.Itoa(*v), "int", "site")
		}
	}
	truthValue := func(name string, v *bool) {
		if v != nil {
			t.setting("site_configuration", name, strconv.FormatBool(*v), "bool", "site")
		}
	}
	text("attachment_security_level", c.AttachmentSecurityLevel)
	if c.MaxAttachmentSize != nil {
		t.setting("site_configuration", "max_attachment_size", strconv.FormatInt(*c.MaxAttachmentSize, 10), "int", "site")
	}
	number("max_attachments_per_upload", c.MaxAttachmentsPerUpload)
	truthValue("is_anonymous_access_to_remote_api_enabled", c.AnonymousRemoteAPI)
	truthValue("is_external_connection_enabled", c.ExternalConnections)
	number("connection_timeout", c.ConnectionTimeout)
	number("socket_timeout", c.SocketTimeout)
	truthValue("login_settings.enable_elevated_security_check", c.ElevatedSecurityCheck)
	number("login_settings.login_attempts_threshold", c.LoginAttemptsThreshold)
	truthValue("is_privacy_mode_enabled", c.PrivacyMode)
	truthValue("is_system_admin_enabled", c.SystemAdmin)
	truthValue("is_xsrf_add_comments_enabled", c.XSRFAddComments)
	truthValue("is_nofollow_external_links_enabled", c.NofollowExternalLinks)
	truthValue("is_hide_title_in_url_enabled", c.HideTitleInURL)
	truthValue("is_contact_administrators_form_enabled", c.ContactAdministrators)
	truthValue("content_access_request_settings.enabled", c.ContentAccessRequests)
	truthValue("space_access_request_settings.enabled", c.SpaceAccessRequests)
	truthValue("is_snippet_sharing_for_site_enabled", c.SnippetSharing)
	truthValue("is_add_wildcards_to_user_and_group_searches_enabled", c.SearchWildcards)
	number("max_rss_items", c.MaxRSSItems)
}

// events puts the events of an organization before until, by day from the day of
// since on.
func (t truth) events(events []confluencetest.OrganizationEvent, since, until time.Time) {
	t.audit(nil, since, until) // the days
	times := map[string]int{}
	for _, e := range events {
		day := e.At.UTC().Format(time.DateOnly)
		if day < since.UTC().Format(time.DateOnly) || !e.At.Before(until) {
			continue
		}
		text, objects := e.ActorName+": "+e.Action, `[{"type":"product","name":`+js(e.Product)+`}]`
		sum := contentHash(e.At.UnixMilli(), "organization", e.Action, text, e.ActorID, e.ActorName, "", e.IP, e.ObjectType, e.ObjectName, "", objects)
		times[sum]++
		t.put(datasets.AuditEvents.Dataset, day, row{
			"content_hash": js(sum), "occurrence": strconv.Itoa(times[sum]), "at": stamp(e.At), "author_id": orNull(e.ActorID), "author_name": orNull(e.ActorName), "author_type": "null",
			"remote_address": orNull(e.IP), "category": js("organization"), "summary": js(e.Action), "description": js(text), "by_system_admin": "null",
			"affected_type": orNull(e.ObjectType), "affected_name": orNull(e.ObjectName), "changed_values": "null", "associated_objects": js(objects),
		})
	}
}

// organization puts what a key of the organization reads about one of its sites.
func (t truth) organization(org confluencetest.OrganizationTruth, cloudID string) {
	for _, p := range org.Policies {
		t.setting("organization", "policy."+p.Type+"."+p.ID+".status", js(p.Status), "string", "organization")
		t.setting("organization", "policy."+p.Type+"."+p.ID+".rule", js(p.Rule), "list", "organization")
	}
	for _, d := range org.Domains {
		t.setting("organization", "domain."+d.Name, js(d.ClaimStatus), "string", "organization")
	}
	site := "ari:cloud:confluence::site/" + cloudID
	used := 0
	for _, u := range org.Users {
		if u.Roles[site] == nil {
			continue
		}
		if slices.Contains(u.Roles[site], "atlassian/user") {
			used++
		}
		t.put(datasets.Users.Dataset, "", row{
			"account_id": js(u.AccountID), "account_type": js(u.AccountType), "account_status": js(u.AccountStatus), "display_name": orNull(u.Name), "email": orNull(u.Email),
			"public_name": "null", "time_zone": "null", "personal_space_id": "null", "is_external": "null",
		})
		if slices.Contains(u.Roles[site], "atlassian/guest") {
			t.put(datasets.ExternalCollaborators.Dataset, "", row{
				"account_id": js(u.AccountID), "account_status": js(u.AccountStatus), "display_name": orNull(u.Name), "email": orNull(u.Email), "space_ids": "[]", "spaces_known": "false",
			})
		}
		for _, a := range u.Access {
			if strings.HasSuffix(a.ID, "site/"+cloudID) {
				t.put(datasets.UserActivities.Dataset, "", row{
					"account_id": js(u.AccountID), "product": js(a.Key), "display_name": orNull(u.Name), "last_active_at": stamp(a.LastActive), "source": js("organization"),
				})
			}
		}
	}
	for _, w := range org.Workspaces {
		if w.ID != site {
			continue
		}
		free, total := "null", "null"
		if w.Capacity != nil {
			free, total = strconv.Itoa(*w.Capacity-used), strconv.Itoa(*w.Capacity)
		}
		t.put(datasets.Subscriptions.Dataset, "", row{
			"product": js(w.TypeKey), "seats_used": strconv.Itoa(used), "seats_free": free, "seats_total": total, "unlimited": "null",
			"plan": orNull(w.Plan), "license_type": "null", "active": strconv.FormatBool(w.Status == "online"), "expires_at": "null", "maintained_until": "null",
		})
	}
}
