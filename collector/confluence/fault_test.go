package confluence_test

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// kind is how an endpoint is asked.
type kind int

const (
	byCursor kind = iota // REST, pages
	byOffset
	single   // one document
	inBulk   // many in one question
	byGraph  // GraphQL, pages
	oneGraph // GraphQL, one document
	byAdmin  // pages of the organization's API
	byWindow // the audit log
)

// target is a dataset and the endpoint that it stands or falls with.
type target struct {
	name       string
	table      *schemas.Dataset
	endpoint   string
	field      string // of a GraphQL document
	kind       kind
	onePage    bool // its listing is so short on every site
	cut        int  // by how much its pages are shorter than asked for; 0: ten times
	partition  func(*site) string
	credential string // empty: the 3LO grant
	api        string // empty: REST
	site       confluencetest.SiteSettings
	before     func(*site)
	behind     bool // other rows of it are read first, so that a failure leaves it in part
}

// findsOrganization is the call that lists the organizations of a key: one.
const findsOrganization = "/v1/orgs"

func targets() []target {
	whole := func(*site) string { return schemas.Whole }
	section := func(name string) func(*site) string { return func(*site) string { return name } }
	type settings = confluencetest.SiteSettings
	graph := func(name string, table *schemas.Dataset, field string, k kind, partition func(*site) string, site settings) target {
		return target{name: name, table: table, endpoint: "/graphql", field: field, kind: k, partition: partition, credential: schemas.CredentialAPIToken, api: schemas.APIGraphQL, site: site}
	}
	admin := func(name string, table *schemas.Dataset, endpoint string, partition func(*site) string, site settings) target {
		return target{name: name, table: table, endpoint: endpoint, kind: byAdmin, partition: partition, credential: schemas.CredentialAdminKey, api: schemas.APIAdmin, site: site}
	}
	// What every reading with the organization's key begins with.
	begins := func(name string, table *schemas.Dataset, endpoint string, partition func(*site) string) target {
		x := admin(name, table, endpoint, partition, settings{Users: 20, Guests: 3})
		x.kind = single
		if endpoint == findsOrganization {
			x.kind, x.onePage = byAdmin, true
		}
		return x
	}
	const counts = "/users/count"
	seats := admin("subscriptions of an organization", datasets.Subscriptions.Dataset, "/workspaces", whole, settings{})
	seats.onePage = true
	events := admin("events of an organization", datasets.AuditEvents.Dataset, "/events", section("2026-03-02"), settings{})
	events.cut = 50
	persons := graph("persons with site permissions", datasets.SitePermissions.Dataset, "sitePermissions.confluencePersons", byGraph, whole, settings{Users: 15, Guests: 12})
	persons.behind = true
	return []target{
		{name: "spaces", table: datasets.Spaces.Dataset, endpoint: "GET /wiki/api/v2/spaces", kind: byCursor, partition: whole, site: settings{Spaces: 56, PermissionsPerSpace: 1, HiddenSpaces: 6}},
		{name: "space_permissions", table: datasets.SpacePermissions.Dataset, endpoint: "/spaces/{id}/permissions", kind: byCursor, partition: wideSpace, site: settings{Spaces: 2, PermissionsPerSpace: 56, Exact: true}},
		{name: "system_info", table: datasets.SecurityConfiguration.Dataset, endpoint: "systemInfo", kind: single, partition: section(datasets.SectionSystemInfo)},
		{name: "audit_retention", table: datasets.SecurityConfiguration.Dataset, endpoint: "audit/retention", kind: single, partition: section(datasets.SectionAuditRetention)},
		{name: "space_role_mode", table: datasets.SecurityConfiguration.Dataset, endpoint: "space-role-mode", kind: single, partition: section(datasets.SectionSpaceRoleMode)},
		{name: "groups", table: datasets.Groups.Dataset, endpoint: "GET /wiki/rest/api/group", kind: byOffset, partition: whole, site: settings{Groups: 46}},
		{name: "group_members", table: datasets.GroupMembers.Dataset, endpoint: "membersByGroupId", kind: byOffset, partition: wideGroup, site: settings{Users: 46}},
		{name: "users", table: datasets.Users.Dataset, endpoint: "users-bulk", kind: inBulk, partition: whole, site: settings{Users: 60, Guests: 9, Groups: 4}},
		{name: "external_collaborators", table: datasets.ExternalCollaborators.Dataset, endpoint: "users-bulk", kind: inBulk, partition: whole, site: settings{Users: 60, Guests: 9, Groups: 4}},
		{name: "space_roles", table: datasets.SpaceRoles.Dataset, endpoint: "GET /wiki/api/v2/space-roles", kind: byCursor, onePage: true, partition: whole, site: settings{RoleMode: "ROLES"}},
		{name: "space_role_assignments", table: datasets.SpaceRoleAssignments.Dataset, endpoint: "/spaces/{id}/role-assignments", kind: byCursor, onePage: true, partition: wideSpace, site: settings{Spaces: 2, RoleMode: "ROLES"}},
		{name: "data_policies", table: datasets.DataPolicies.Dataset, endpoint: "/data-policies/spaces", kind: byCursor, partition: whole, site: settings{Spaces: 56, PermissionsPerSpace: 1, HiddenSpaces: 6}},
		{name: "classification_levels", table: datasets.ClassificationLevels.Dataset, endpoint: "/classification-levels", kind: single, partition: whole},
		{name: "audit_events", table: datasets.AuditEvents.Dataset, endpoint: "GET /wiki/rest/api/audit", kind: byWindow, cut: 50, partition: section("2026-03-02"), site: settings{AuditEvents: 30}},
		{name: "admin_key", table: datasets.SecurityConfiguration.Dataset, endpoint: "/admin-key", kind: single, partition: section(datasets.SectionAdminKey), credential: schemas.CredentialAPIToken, before: func(s *site) {
			s.sim.EnableAdminKey(s.srv.Collector().AccountID, s.clock.Now().Add(time.Hour))
		}},
		{name: "connect apps", table: datasets.InstalledApps.Dataset, endpoint: "/plugins/1.0/", kind: single, partition: section(datasets.SectionConnectApps), credential: schemas.CredentialAPIToken, api: schemas.APIApps},
		{name: "subscriptions by licence", table: datasets.Subscriptions.Dataset, endpoint: "/remainingSeats", kind: single, partition: whole, credential: schemas.CredentialAPIToken, api: schemas.APILicense},
		graph("groups with site permissions", datasets.SitePermissions.Dataset, "sitePermissions.groups", byGraph, whole, settings{Groups: 26}),
		persons,
		graph("public_link_spaces", datasets.PublicLinkSpaces.Dataset, "publicLinkSpacesByCriteria", byGraph, whole, settings{Spaces: 40, PermissionsPerSpace: 1, Exact: true}),
		graph("public_links", datasets.PublicLinks.Dataset, "publicLinksByCriteria", byGraph, wideSpace, settings{Spaces: 2, PublicLinks: 7}),
		graph("collaborators listed", datasets.ExternalCollaborators.Dataset, "confluence_externalCollaboratorsByCriteria", byGraph, whole, settings{Users: 16, Guests: 14, UngroupedGuests: 2}),
		graph("forge apps", datasets.InstalledApps.Dataset, "ecosystem.appInstallationsByContext", byGraph, section(datasets.SectionForgeApps), settings{Apps: 14}),
		graph("site_configuration", datasets.SecurityConfiguration.Dataset, "confluence.siteConfiguration", oneGraph, section(datasets.SectionSiteConfiguration), settings{}),
		graph("switch of public links", datasets.SecurityConfiguration.Dataset, "publicLinkSiteStatus", oneGraph, section(datasets.SectionPublicLinkSwitch), settings{}),
		admin("policies of an organization", datasets.SecurityConfiguration.Dataset, "/policies", section(datasets.SectionOrganization), settings{}),
		admin("domains of an organization", datasets.SecurityConfiguration.Dataset, "/domains", section(datasets.SectionOrganization), settings{}),
		{name: "user_activity by the audit log", table: datasets.UserActivities.Dataset, endpoint: "GET /wiki/rest/api/audit", kind: byWindow, cut: 50, partition: whole, site: settings{AuditEvents: 30, Users: 4}},
		admin("users of an organization", datasets.Users.Dataset, "/users/search", whole, settings{Users: 20}),
		admin("guests of an organization", datasets.ExternalCollaborators.Dataset, "/users/search", whole, settings{Users: 24, Guests: 18}),
		events,
		{name: "space_roles by mode", table: datasets.SpaceRoles.Dataset, endpoint: "space-role-mode", kind: single, partition: whole, site: settings{RoleMode: "ROLES"}},
		graph("shareable links", datasets.SecurityConfiguration.Dataset, "confluence_shareableLinkSiteConfig", oneGraph, section(datasets.SectionPublicLinkSwitch), settings{}),
		{name: "users by licence", table: datasets.Subscriptions.Dataset, endpoint: "/userCount", kind: single, partition: whole, credential: schemas.CredentialAPIToken, api: schemas.APILicense},
		{name: "seats by licence", table: datasets.Subscriptions.Dataset, endpoint: "/maxUsers", kind: single, partition: whole, credential: schemas.CredentialAPIToken, api: schemas.APILicense},
		begins("organization of security_configuration", datasets.SecurityConfiguration.Dataset, findsOrganization, section(datasets.SectionOrganization)),
		begins("organization of users", datasets.Users.Dataset, findsOrganization, whole),
		begins("organization of external_collaborators", datasets.ExternalCollaborators.Dataset, findsOrganization, whole),
		begins("organization of subscriptions", datasets.Subscriptions.Dataset, findsOrganization, whole),
		begins("organization of user_activity", datasets.UserActivities.Dataset, findsOrganization, whole),
		begins("organization of audit_events", datasets.AuditEvents.Dataset, findsOrganization, section("2026-03-02")),
		begins("count of security_configuration", datasets.SecurityConfiguration.Dataset, counts, section(datasets.SectionOrganization)),
		begins("count of subscriptions", datasets.Subscriptions.Dataset, counts, whole),
		begins("count of audit_events", datasets.AuditEvents.Dataset, counts, section("2026-03-02")),
		admin("user_activity", datasets.UserActivities.Dataset, "/users/search", whole, settings{Users: 20}),
		seats,
	}
}

// source reads with the target's credential.
func (x target) source(s *site) *confluence.Source {
	switch x.credential {
	case "":
		return s.source()
	case schemas.CredentialAdminKey:
		return s.source(with(s.way(x.credential, confluencetest.AdminScopes())))
	default:
		return s.source(with(s.way(x.credential, nil)))
	}
}

// faulty is where faults of a target are scripted.
type faulty interface {
	Fail(confluencetest.Fault)
	ClearFaults()
	FaultsApplied() int
}

func (x target) faulty(s *site) faulty {
	if x.credential == schemas.CredentialAdminKey {
		return s.organization()
	}
	return s.sim
}

// fail scripts a fault of the endpoint.
func (x target) fail(s *site, fault confluencetest.Fault) {
	fault.Endpoint = x.endpoint
	if fault.Field == "" {
		fault.Field = x.field
	}
	fault.Match = func(r *confluencetest.Request) bool { return strings.HasSuffix(r.Endpoint, x.endpoint) }
	x.faulty(s).Fail(fault)
}

// later reports whether there is a second page.
func (x target) later() bool {
	return !x.onePage && (x.kind == byCursor || x.kind == byOffset || x.kind == byGraph || x.kind == byAdmin)
}

func wideSpace(s *site) string { return s.sim.Truth().Spaces[0].ID }

func wideGroup(s *site) string {
	truth := s.sim.Truth()
	widest := truth.Groups[0].ID
	for id, members := range truth.Members {
		if len(members) > len(truth.Members[widest]) {
			widest = id
		}
	}
	return widest
}

// prepare reads what the dataset needs, without a fault.
func (x target) prepare(t *testing.T, s *site, src *confluence.Source) {
	t.Helper()
	var first []*schemas.Dataset
	switch x.table.Name {
	case datasets.SpacePermissions.Name:
		first = append(first, datasets.Spaces.Dataset)
	case datasets.SpaceRoleAssignments.Name:
		first = append(first, datasets.Spaces.Dataset, datasets.SpaceRoles.Dataset)
	case datasets.PublicLinks.Name:
		first = append(first, datasets.PublicLinkSpaces.Dataset)
	case datasets.AuditEvents.Name:
		src.Resume(x.table, "")
	case datasets.GroupMembers.Name:
		first = append(first, datasets.Groups.Dataset)
	case datasets.Users.Name, datasets.ExternalCollaborators.Name, datasets.UserActivities.Name:
		if x.api != "" {
			break
		}
		first = append(first, datasets.Groups.Dataset, datasets.GroupMembers.Dataset)
	}
	for _, table := range first {
		for _, p := range partitions(src, table) {
			if r := read(t, src, table, p); r.err != nil {
				t.Fatalf("%s %q: %v", table.Name, p, r.err)
			}
		}
	}
}

// faultCase is what goes wrong, and the outcome by kind of endpoint. An outcome
// with a star means that rows may be missing although the reading is complete:
// the site said so, and only a witness can tell.
type faultCase struct {
	name    string
	fault   confluencetest.Fault
	want    map[kind]string
	special map[string]string // by target
}

func always(outcome string) map[kind]string {
	return map[kind]string{
		byCursor: outcome, byOffset: outcome, single: outcome, inBulk: outcome,
		byGraph: outcome, oneGraph: outcome, byAdmin: outcome, byWindow: outcome,
	}
}

func faultCases() []faultCase {
	const complete, partial, failed, forbidden, notExposed, notLicensed = "complete", "partial", "failed", "forbidden", "not_exposed", "not_licensed"
	const lossy = "complete*"
	type f = confluencetest.Fault
	status := func(code int, body string, times int) f {
		return f{Kind: confluencetest.FaultStatus, Status: code, Body: body, Times: times}
	}
	// The site of these has roles or has not, and says so in many ways.
	without := func(outcome string) map[string]string {
		return map[string]string{"space_role_mode": outcome, "space_roles by mode": outcome}
	}
	notFound := without(notExposed)
	notFound["admin_key"], notFound["classification_levels"], notFound["subscriptions by licence"] = lossy, notLicensed, notExposed
	notFound["users by licence"], notFound["seats by licence"] = notExposed, notExposed
	// The listing of the organizations of a key has one, on one page.
	keyed := func(outcome string, special map[string]string) map[string]string {
		for _, x := range targets() {
			if x.endpoint == findsOrganization {
				special[x.name] = outcome
			}
		}
		return special
	}
	// Faults of pages: what has pages, by kind, and all else as if nothing was.
	paged := func(cursor, offset, graph, admin string) map[kind]string {
		want := always(complete)
		want[byCursor], want[byOffset], want[byGraph], want[byAdmin] = cursor, offset, graph, admin
		return want
	}
	// Faults of a first page also meet the windows of the audit log.
	first := func(window string, want map[kind]string) map[kind]string {
		want[byWindow] = window
		return want
	}
	// The last page has no link; and a listing whose pages hold two items overlaps
	// by all of them.
	noLink := map[string]string{"space_roles": complete, "space_role_assignments": complete, "subscriptions of an organization": complete, "user_activity": complete, "users of an organization": complete, "guests of an organization": complete}
	circles := map[string]string{"policies of an organization": failed, "domains of an organization": failed}
	graphs := func(listing, document string) map[kind]string {
		return map[kind]string{byGraph: listing, oneGraph: document}
	}
	return []faultCase{
		{name: "500 once", fault: status(500, "", 1), want: always(complete)},
		{name: "500 always", fault: status(500, `{"message":"boom"}`, -1), want: always(failed)},
		{name: "503 always", fault: status(503, "", -1), want: always(failed)},
		{name: "503 on a later page", fault: f{Kind: confluencetest.FaultStatus, Status: 503, Page: 2, Times: -1}, want: paged(failed, failed, partial, failed)},
		{name: "scope", fault: status(401, `{"code":401,"message":"Unauthorized; scope does not match"}`, -1), want: always(forbidden)},
		{name: "401", fault: status(401, `{"code":401,"message":"Unauthorized"}`, -1), want: always(forbidden)},
		{name: "403", fault: status(403, `{"message":"no"}`, -1), want: always(forbidden)},
		{name: "403 by policy", fault: status(403, `{"message":"Blocked by policy: a data security policy applies"}`, -1), want: always("blocked_by_policy")},
		{name: "451", fault: status(451, "", -1), want: always("blocked_by_policy")},
		{name: "402", fault: status(402, "", -1), want: always(notLicensed)},
		{name: "404", fault: status(404, `{"errors":[{"status":404,"code":"NOT_FOUND","title":"Not Found"}]}`, -1), want: always(forbidden), special: notFound},
		{name: "400", fault: status(400, "", -1), want: always(failed), special: without(notExposed)},
		{name: "405", fault: status(405, "", -1), want: always(failed), special: without(notExposed)},
		{name: "501", fault: status(501, "", -1), want: always(failed), special: without(notExposed)},
		{name: "429 once", fault: f{Kind: confluencetest.FaultRateLimited, RetryAfter: "7", Reason: "confluence-burst-based"}, want: always(complete)},
		{name: "429 until a date", fault: f{Kind: confluencetest.FaultRateLimited, RetryAfter: "Mon, 02 Mar 2026 09:22:07 GMT"}, want: always(complete)},
		{name: "429 without a time", fault: f{Kind: confluencetest.FaultRateLimited}, want: always(complete)},
		{name: "429 for ages", fault: f{Kind: confluencetest.FaultRateLimited, RetryAfter: "99999999999"}, want: always(complete)},
		{name: "429 by X-RateLimit", fault: f{Kind: confluencetest.FaultRateLimited, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"2026-03-02T09:23Z"}}}, want: always(complete)},
		{name: "429 always", fault: f{Kind: confluencetest.FaultRateLimited, Times: -1}, want: always(failed)},
		{name: "reset once", fault: f{Kind: confluencetest.FaultReset}, want: always(complete)},
		{name: "reset always", fault: f{Kind: confluencetest.FaultReset, Times: -1}, want: always(failed)},
		{name: "truncated once", fault: f{Kind: confluencetest.FaultTruncated}, want: always(complete)},
		{name: "truncated always", fault: f{Kind: confluencetest.FaultTruncated, Times: -1}, want: always(failed)},
		{name: "html", fault: f{Kind: confluencetest.FaultHTML, Times: -1}, want: always(failed)},
		{name: "wrong content type", fault: f{Kind: confluencetest.FaultContentType, Times: -1}, want: always(failed)},
		{name: "stall always", fault: f{Kind: confluencetest.FaultStall, Times: -1}, want: always(failed)},
		{name: "empty body", fault: f{Kind: confluencetest.FaultEmptyBody, Times: -1}, want: always(failed)},
		{name: "redirect", fault: f{Kind: confluencetest.FaultRedirect, Times: -1}, want: always(failed)},
		{name: "clock skew", fault: f{Kind: confluencetest.FaultClockSkew, Skew: 48 * time.Hour, Times: -1}, want: always(complete)},
		{name: "slow", fault: f{Kind: confluencetest.FaultSlow, Delay: 20 * time.Millisecond}, want: always(complete)},
		{
			name: "empty first page", fault: f{Kind: confluencetest.FaultEmptyPage},
			want: map[kind]string{byCursor: lossy, byOffset: lossy, single: complete, inBulk: partial, byGraph: lossy, oneGraph: complete, byAdmin: lossy, byWindow: lossy},
			special: keyed(failed, map[string]string{
				"groups": partial, // the site counts them
				// These are never empty.
				"connect apps": failed, "groups with site permissions": failed, "subscriptions of an organization": forbidden, "user_activity": forbidden, "users of an organization": forbidden,
			}),
		},
		{name: "empty last page once", fault: f{Kind: confluencetest.FaultEmptyPage, Page: 2}, want: paged(complete, complete, complete, complete)},
		{name: "empty with next", fault: f{Kind: confluencetest.FaultEmptyWithNext}, want: paged(complete, complete, complete, complete)},
		{name: "empty with next for ever", fault: f{Kind: confluencetest.FaultEmptyWithNext, Times: -1}, want: first(partial, paged(failed, failed, failed, failed))},
		{name: "short with next", fault: f{Kind: confluencetest.FaultShortWithNext, Times: 3}, want: paged(complete, complete, complete, complete)},
		{name: "repeated page", fault: f{Kind: confluencetest.FaultRepeatedPage, Page: 2}, want: paged(complete, complete, complete, complete)},
		{name: "repeated for ever", fault: f{Kind: confluencetest.FaultRepeatedPage, Page: 2, Times: -1}, want: paged(failed, failed, failed, failed)},
		{name: "overlap", fault: f{Kind: confluencetest.FaultOverlap, Times: 2}, want: paged(complete, complete, complete, complete), special: circles},
		{name: "overlap for ever", fault: f{Kind: confluencetest.FaultOverlap, Times: -1}, want: first(partial, paged(failed, failed, failed, failed))},
		{name: "cursor expired once", fault: f{Kind: confluencetest.FaultCursorExpired, Page: 2}, want: paged(complete, failed, complete, complete)},
		{name: "cursor expired for ever", fault: f{Kind: confluencetest.FaultCursorExpired, Page: 2, Times: -1}, want: paged(failed, failed, partial, failed)},
		{name: "endless", fault: f{Kind: confluencetest.FaultEndless, Times: -1}, want: first(partial, paged(failed, failed, failed, failed))},
		{name: "endless later", fault: f{Kind: confluencetest.FaultEndless, Page: 2, Times: -1}, want: paged(failed, failed, failed, failed)},
		{name: "foreign next link", fault: f{Kind: confluencetest.FaultForeignNextLink, Times: -1}, want: first(failed, paged(failed, failed, partial, failed)), special: keyed(complete, map[string]string{
			"space_roles": complete, "space_role_assignments": complete, "subscriptions of an organization": complete,
		})},
		{name: "foreign next link later", fault: f{Kind: confluencetest.FaultForeignNextLink, Page: 2, Times: -1}, want: paged(failed, failed, complete, failed), special: noLink}, // two pages by GraphQL

		{name: "no data", fault: f{Kind: confluencetest.FaultNoData, Times: -1}, want: graphs(failed, failed)},
		{name: "no data later", fault: f{Kind: confluencetest.FaultNoData, Page: 2, Times: -1}, want: graphs(partial, complete)},
		{name: "no data for want of a right", fault: f{Kind: confluencetest.FaultNoData, Status: 403, Times: -1}, want: graphs(forbidden, forbidden)},
		{name: "null data", fault: f{Kind: confluencetest.FaultNullData, Times: -1}, want: graphs(failed, failed)},
		{name: "null data for want of a scope", fault: f{Kind: confluencetest.FaultNullData, Classification: "InsufficientOAuthScopes", Times: -1}, want: graphs(notExposed, notExposed)},
		{name: "the field is null", fault: f{Kind: confluencetest.FaultPartialData, Times: -1}, want: graphs(failed, failed), special: map[string]string{"shareable links": partial}},
		{name: "the field is null later", fault: f{Kind: confluencetest.FaultPartialData, Page: 2, Times: -1}, want: graphs(partial, complete)},
		{name: "the field is forbidden", fault: f{Kind: confluencetest.FaultPartialData, Status: 403, Times: -1}, want: graphs(forbidden, forbidden)},
		{name: "cost limited once", fault: f{Kind: confluencetest.FaultCostLimited}, want: graphs(complete, complete)},
		{name: "cost limited always", fault: f{Kind: confluencetest.FaultCostLimited, Times: -1}, want: graphs(failed, failed)},
	}
}

// spared reports whether the fault is on a page that the target does not have.
func (x target) spared(c faultCase) bool { return c.fault.Page > 1 && !x.later() }

// outcome is what the fault comes to, as the case declares it; false when the
// endpoint cannot fail like this.
func (x target) outcome(c faultCase) (outcome string, ok bool) {
	outcome, ok = c.special[x.name]
	if !ok {
		outcome, ok = c.want[x.kind]
	}
	switch {
	case !ok:
	case x.spared(c):
		outcome = string(schemas.CoverageComplete)
	case x.behind && outcome == string(schemas.CoverageFailed):
		outcome = string(schemas.CoveragePartial)
	}
	return outcome, ok
}

// TestFaults: every fault on every dataset has the outcome that the table says,
// and whatever is handed over is true (Invariant 1).
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, x := range targets() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, x.site)
			s.cutPages(cmp.Or(x.cut, 10))
			s.organization()
			if x.before != nil {
				x.before(s)
			}
			partition := x.partition(s)
			want := truthBy(s)[cmp.Or(x.api, schemas.APIRest)][x.table.Name][partition]
			for _, c := range faultCases() {
				outcome, ok := x.outcome(c)
				if !ok {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					x.faulty(s).ClearFaults()
					src := x.source(s)
					x.prepare(t, s, src)
					x.fail(s, c.fault)
					s.patience.Store(int64(patienceFor(c.fault)))
					got := read(t, src, x.table, partition)
					s.patience.Store(0)
					if hit := x.faulty(s).FaultsApplied() > 0; hit == x.spared(c) {
						t.Fatalf("the fault was applied: %v", hit)
					}
					outcome, lossy := strings.CutSuffix(outcome, "*")
					if string(got.state()) != outcome {
						t.Errorf("outcome %s (%v), want %s", got.state(), got.err, outcome)
					}
					if line := untrue(x.table, want, got.rows); line != "" && !lossy {
						t.Errorf("a row that is not true, or handed over twice: %q", line)
					}
					if outcome == "complete" && !lossy {
						if diff := difference(x.table, want, got.rows); diff != "" {
							t.Errorf("complete, and not the truth (-want +got):\n%s", diff)
						}
					}
					checkAdvice(t, got.err)
				})
			}
			if n := len(s.srv.Trapped()); n > 0 {
				t.Errorf("%d requests left the origin", n)
			}
		})
	}
}

// checkAdvice: whoever reads an error learns which call failed and, where a right
// is missing, what to do.
func checkAdvice(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *collector.ReadError
	if !errors.As(err, &e) {
		t.Errorf("not a ReadError: %v", err)
		return
	}
	if !slices.ContainsFunc([]string{"/wiki/", "GraphQL ", "/graphql: ", "/orgs"}, func(call string) bool { return strings.Contains(e.Evidence, call) }) {
		t.Errorf("the evidence names no call: %s", e.Evidence)
	}
	if strings.Contains(e.Evidence, "?") {
		t.Errorf("the evidence has a query: %s", e.Evidence)
	}
	if (e.State == schemas.CoverageForbidden || e.State == schemas.CoverageBlocked) && e.Unlock == "" {
		t.Errorf("%s without advice: %s", e.State, e.Evidence)
	}
}

// TestStall: silence ends by the time limit of a try.
func TestStall(t *testing.T) {
	t.Parallel()
	for _, x := range targets() {
		if x.name != "space_permissions" && x.name != "groups" {
			continue
		}
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, x.site)
			src := s.source()
			x.prepare(t, s, src)
			s.options.AttemptTimeout, s.options.MaxTries = 300*time.Millisecond, 2
			slow := s.source()
			s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStall, Endpoint: x.endpoint, Times: -1})
			got := read(t, slow, x.table, x.partition(s))
			if got.state() != schemas.CoverageFailed || !strings.Contains(got.err.Error(), "timeout") {
				t.Errorf("%v", got.err)
			}
		})
	}
}

// TestSpaceGoneOrHidden: the 404 of a listed space is looked into.
func TestSpaceGoneOrHidden(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Spaces: 3})
	src := s.source()
	read(t, src, datasets.Spaces.Dataset, "")
	id := src.Partitions(datasets.SpacePermissions.Dataset)[0]
	notFound := confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: http.StatusNotFound, Endpoint: "/spaces/{id}/permissions", Times: -1}
	s.sim.Fail(notFound)
	if got := read(t, src, datasets.SpacePermissions.Dataset, id); got.state() != schemas.CoverageForbidden {
		t.Errorf("space answers, its grants do not: %v", got.err)
	}
	s.sim.ClearFaults()
	s.sim.HideSpace(id)
	if got := read(t, src, datasets.SpacePermissions.Dataset, id); got.state() != schemas.CoverageGone {
		t.Errorf("space is out of view: %v", got.err)
	}
	s.sim.ShowSpace(id)
	s.sim.Fail(notFound)
	s.sim.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: http.StatusInternalServerError, Endpoint: "GET /wiki/api/v2/spaces/{id}", Times: -1})
	if got := read(t, src, datasets.SpacePermissions.Dataset, id); got.state() != schemas.CoverageFailed {
		t.Errorf("space cannot be asked: %v", got.err)
	}
}
