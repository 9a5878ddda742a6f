package confluence_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// dcTarget is a dataset and the endpoint of Data Center that it stands or falls
// with.
type dcTarget struct {
	name      string
	table     *schemas.Dataset
	endpoint  string // ends so
	kind      string // list, counted (a list that tells its length), array, object, nested, licences or audit
	partition func(*center) string
	settings  confluencetest.DataCenterSettings
}

func dcTargets() []dcTarget {
	whole := func(*center) string { return schemas.Whole }
	section := func(name string) func(*center) string { return func(*center) string { return name } }
	firstSpace := func(c *center) string { return c.dc.Truth().Spaces[0].ID }
	group := section("confluence-users")
	small := confluencetest.DataCenterSettings{}
	return []dcTarget{
		{"spaces", datasets.Spaces.Dataset, "GET /rest/api/space", "list", whole, confluencetest.DataCenterSettings{Spaces: 230, PermissionsPerSpace: 1, HiddenSpaces: 5}},
		{"space_permissions", datasets.SpacePermissions.Dataset, "/space/{key}/permissions", "array", firstSpace, small},
		{"site_permissions", datasets.SitePermissions.Dataset, "/rest/api/permissions", "array", whole, small},
		{"site_permissions of visitors", datasets.SitePermissions.Dataset, "/rest/api/permissions/anonymous", "array", whole, small},
		{"site_permissions without a licence", datasets.SitePermissions.Dataset, "/rest/api/permissions/unlicensed", "array", whole, small},
		{"server_information", datasets.SecurityConfiguration.Dataset, "server-information", "object", section(datasets.SectionServerInformation), small},
		{"access_mode", datasets.SecurityConfiguration.Dataset, "accessmode", "object", section(datasets.SectionAccessMode), small},
		{"groups", datasets.Groups.Dataset, "GET /rest/api/group", "counted", whole, confluencetest.DataCenterSettings{Groups: 420}},
		{"group_members", datasets.GroupMembers.Dataset, "/member", "list", group, confluencetest.DataCenterSettings{Users: 450}},
		{"nested groups", datasets.GroupMembers.Dataset, "/groupmember", "nested", section("all-staff"), small},
		{"users", datasets.Users.Dataset, "/user/list", "counted", whole, confluencetest.DataCenterSettings{Users: 450}},
		{"installed_apps", datasets.InstalledApps.Dataset, "GET /rest/plugins/1.0/", "array", section(datasets.SectionPlugins), small},
		{"licences of apps", datasets.InstalledApps.Dataset, "{key}-key/license", "licences", section(datasets.SectionPlugins), small},
		{"subscriptions", datasets.Subscriptions.Dataset, "license/details", "object", whole, small},
		{"seats", datasets.Subscriptions.Dataset, "license/userCount", "object", whole, small},
		{"user_activity", datasets.UserActivities.Dataset, "/events", "audit", whole, confluencetest.DataCenterSettings{AuditEvents: 40, MaxLimit: 10}},
		{"audit_events", datasets.AuditEvents.Dataset, "/events", "audit", func(c *center) string { return busiestDay(c.dc) }, confluencetest.DataCenterSettings{AuditEvents: 40, MaxLimit: 10}},
	}
}

// dcFaultCase is what goes wrong, and the outcome: by name of the target, by its
// kind, or for all others. A star means that rows may be missing although the
// reading is complete: the site said so, and only a witness can tell.
type dcFaultCase struct {
	name  string
	fault confluencetest.Fault
	want  string
	not   map[string]string
}

func dcFaultCases() []dcFaultCase {
	const complete, partial, failed, forbidden, notExposed = "complete", "partial", "failed", "forbidden", "not_exposed"
	type f = confluencetest.Fault
	type by = map[string]string
	status := func(code int, body string, times int) f {
		return f{Kind: confluencetest.FaultStatus, Status: code, Body: body, Times: times}
	}
	const absent = `{"message":"null for uri: https://wiki.example/rest","status-code":404}`
	// What goes wrong with nested groups, or with one licence, leaves a part.
	some := by{"nested": partial, "licences": partial}
	paged := func(list, counted, audit string) by {
		return by{"list": list, "counted": counted, "audit": audit}
	}
	return []dcFaultCase{
		{"500 once", status(500, "", 1), complete, nil},
		{"500 always", status(500, `{"message":"boom"}`, -1), failed, some},
		{"503 always", status(503, "", -1), failed, some},
		{"503 on a later page", f{Kind: confluencetest.FaultStatus, Status: 503, Page: 2, Times: -1}, complete, paged(failed, failed, complete)},
		{"401", status(401, `{"message":"Client must be authenticated to access this resource.","status-code":401}`, -1), forbidden, some},
		{"web sudo", status(401, `{"message":"This resource requires WebSudo.","status-code":401}`, -1), forbidden, some},
		{"403", status(403, `{"message":"no"}`, -1), forbidden, some},
		{"403 for apps", status(403, `{"message":"Forge and OAuth2 apps cannot access this REST resource"}`, -1), forbidden, some},
		{"404", status(404, `{"message":"not here"}`, -1), failed, by{"nested": partial, "licences": "complete*"}},
		{"404 of an older version", status(404, absent, -1), notExposed, by{"spaces": failed, "groups": failed, "nested": partial, "licences": "complete*"}},
		{"400", status(400, "", -1), failed, some},
		{"406", status(406, "", -1), failed, some},
		{"429 once", f{Kind: confluencetest.FaultRateLimited, RetryAfter: "7"}, complete, nil},
		{"429 until a date", f{Kind: confluencetest.FaultRateLimited, RetryAfter: "Mon, 02 Mar 2026 12:01:00 GMT"}, complete, nil},
		{"429 without a time", f{Kind: confluencetest.FaultRateLimited}, complete, nil},
		{"429 for ages", f{Kind: confluencetest.FaultRateLimited, RetryAfter: "99999999999"}, complete, nil},
		{"429 by X-RateLimit", f{Kind: confluencetest.FaultRateLimited, Header: http.Header{"X-Ratelimit-Remaining": {"0"}, "X-Ratelimit-Reset": {"2026-03-02T12:02Z"}}}, complete, nil},
		{"429 always", f{Kind: confluencetest.FaultRateLimited, Times: -1}, failed, some},
		{"reset once", f{Kind: confluencetest.FaultReset}, complete, nil},
		{"reset always", f{Kind: confluencetest.FaultReset, Times: -1}, failed, some},
		{"truncated once", f{Kind: confluencetest.FaultTruncated}, complete, nil},
		{"truncated always", f{Kind: confluencetest.FaultTruncated, Times: -1}, failed, some},
		{"html", f{Kind: confluencetest.FaultHTML, Times: -1}, failed, some},
		{"wrong content type", f{Kind: confluencetest.FaultContentType, Times: -1}, failed, some},
		{"stall always", f{Kind: confluencetest.FaultStall, Times: -1}, failed, some},
		{"empty body", f{Kind: confluencetest.FaultEmptyBody, Times: -1}, failed, some},
		{"redirect", f{Kind: confluencetest.FaultRedirect, Times: -1}, failed, some},
		{"clock skew", f{Kind: confluencetest.FaultClockSkew, Skew: 48 * time.Hour, Times: -1}, complete, nil},
		{"empty first page", f{Kind: confluencetest.FaultEmptyPage}, "complete*", by{"counted": partial, "installed_apps": failed}},
		{"empty last page once", f{Kind: confluencetest.FaultEmptyPage, Page: 2}, complete, nil},
		{"empty with next", f{Kind: confluencetest.FaultEmptyWithNext}, complete, nil},
		{"empty with next for ever", f{Kind: confluencetest.FaultEmptyWithNext, Times: -1}, complete, by{"list": failed, "counted": failed, "audit": failed, "nested": partial}},
		{"short with next", f{Kind: confluencetest.FaultShortWithNext, Times: 3}, complete, nil},
		{"repeated page", f{Kind: confluencetest.FaultRepeatedPage, Page: 2}, complete, nil},
		{"repeated for ever", f{Kind: confluencetest.FaultRepeatedPage, Page: 2, Times: -1}, complete, paged(failed, failed, complete)},
		{"overlap", f{Kind: confluencetest.FaultOverlap, Times: 2}, complete, nil},
		{"overlap for ever", f{Kind: confluencetest.FaultOverlap, Times: -1}, complete, by{"list": failed, "counted": failed, "audit": failed, "nested": partial}},
		{"endless", f{Kind: confluencetest.FaultEndless, Times: -1}, complete, by{"list": failed, "counted": failed, "audit": failed, "nested": partial}},
		{"endless later", f{Kind: confluencetest.FaultEndless, Page: 2, Times: -1}, complete, paged(failed, failed, complete)},
		{"foreign next link", f{Kind: confluencetest.FaultForeignNextLink, Times: -1}, complete, paged(failed, failed, complete)},
		{"foreign next link later", f{Kind: confluencetest.FaultForeignNextLink, Page: 2, Times: -1}, complete, paged(failed, failed, complete)},
	}
}

// outcome is what the fault comes to, as the case declares it.
func (x dcTarget) outcome(c dcFaultCase) string {
	outcome := c.want
	for _, key := range []string{x.kind, x.name} {
		if o, ok := c.not[key]; ok {
			outcome = o
		}
	}
	return outcome
}

// TestDataCenterFaults: every fault on every endpoint has the outcome that the
// table says, and whatever is handed over is true (Invariant 1).
func TestDataCenterFaults(t *testing.T) {
	t.Parallel()
	for _, x := range dcTargets() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c := newCenter(t, x.settings)
			partition := x.partition(c)
			want := truthOfCenter(c.dc)[x.table.Name][partition]
			for _, fc := range dcFaultCases() {
				t.Run(fc.name, func(t *testing.T) {
					c.dc.ClearFaults()
					src := c.source()
					c.prepare(src, x.table)
					fault := fc.fault
					fault.Match = func(r *confluencetest.Request) bool { return strings.HasSuffix(r.Endpoint, x.endpoint) }
					c.dc.Fail(fault)
					c.patience.Store(int64(patienceFor(fault)))
					got := readIn(t, src, x.table, partition)
					c.patience.Store(0)
					outcome, lossy := strings.CutSuffix(x.outcome(fc), "*")
					if string(got.state()) != outcome {
						t.Errorf("outcome %s (%v), want %s", got.state(), got.err, outcome)
					}
					if applied := c.dc.FaultsApplied() > 0; !applied && fault.Page < 2 {
						t.Fatal("the fault was not applied")
					}
					for _, r := range got.rows {
						if !contains(want, r) && !lossy {
							t.Fatalf("a row that is not true: %v", r)
						}
					}
					if outcome == "complete" && !lossy {
						if diff := cmp.Diff(inOrder(want), inOrder(got.rows)); diff != "" {
							t.Errorf("complete, and not the truth (-want +got):\n%s", diff)
						}
					}
					checkCenterAdvice(t, got.err)
					if n := len(c.srv.Trapped()); n > 0 {
						t.Errorf("%d requests left the origin", n)
					}
				})
			}
		})
	}
}

// checkCenterAdvice: whoever reads an error learns which call failed and, where a
// right is missing, what to do.
func checkCenterAdvice(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	var e *collector.ReadError
	if !errors.As(err, &e) {
		t.Errorf("not a ReadError: %v", err)
		return
	}
	if !strings.Contains(e.Evidence, "/rest/") {
		t.Errorf("the evidence names no call: %s", e.Evidence)
	}
	if strings.Contains(e.Evidence, "?") {
		t.Errorf("the evidence has a query: %s", e.Evidence)
	}
	if (e.State == schemas.CoverageForbidden || e.State == schemas.CoverageNotExposed) && e.Unlock == "" {
		t.Errorf("%s without advice: %s", e.State, e.Evidence)
	}
}

// busiestDay is the day with the most events.
func busiestDay(dc *confluencetest.DataCenter) string {
	days := map[string]int{}
	best := ""
	for _, e := range dc.Truth().Audit {
		day := e.At.UTC().Format(time.DateOnly)
		if days[day]++; days[day] > days[best] {
			best = day
		}
	}
	return best
}
