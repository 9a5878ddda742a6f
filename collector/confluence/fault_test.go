package confluence_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// kind is how an endpoint is asked.
type kind int

const (
	byCursor kind = iota
	byOffset
	single
	inBulk
)

// target is a dataset and the endpoint that it stands or falls with.
type target struct {
	name      string
	table     *schemas.Dataset
	endpoint  string
	kind      kind
	partition func(*site) string
	site      confluencetest.SiteSettings
}

func targets() []target {
	whole := func(*site) string { return schemas.Whole }
	section := func(name string) func(*site) string { return func(*site) string { return name } }
	return []target{
		{"spaces", datasets.Spaces.Dataset, "GET /wiki/api/v2/spaces", byCursor, whole, confluencetest.SiteSettings{Spaces: 520, PermissionsPerSpace: 1, HiddenSpaces: 9}},
		{"space_permissions", datasets.SpacePermissions.Dataset, "/spaces/{id}/permissions", byCursor, wideSpace, confluencetest.SiteSettings{Spaces: 2, PermissionsPerSpace: 520, Exact: true}},
		{"system_info", datasets.SecurityConfiguration.Dataset, "systemInfo", single, section(datasets.SectionSystemInfo), confluencetest.SiteSettings{}},
		{"audit_retention", datasets.SecurityConfiguration.Dataset, "audit/retention", single, section(datasets.SectionAuditRetention), confluencetest.SiteSettings{}},
		{"space_role_mode", datasets.SecurityConfiguration.Dataset, "space-role-mode", single, section(datasets.SectionSpaceRoleMode), confluencetest.SiteSettings{}},
		{"groups", datasets.Groups.Dataset, "GET /wiki/rest/api/group", byOffset, whole, confluencetest.SiteSettings{Groups: 420}},
		{"group_members", datasets.GroupMembers.Dataset, "membersByGroupId", byOffset, wideGroup, confluencetest.SiteSettings{Users: 430}},
		{"users", datasets.Users.Dataset, "users-bulk", inBulk, whole, confluencetest.SiteSettings{Users: 520, Guests: 9, Groups: 4}},
		{"external_collaborators", datasets.ExternalCollaborators.Dataset, "users-bulk", inBulk, whole, confluencetest.SiteSettings{Users: 520, Guests: 9, Groups: 4}},
	}
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
	case datasets.GroupMembers.Name:
		first = append(first, datasets.Groups.Dataset)
	case datasets.Users.Name, datasets.ExternalCollaborators.Name:
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
	return map[kind]string{byCursor: outcome, byOffset: outcome, single: outcome, inBulk: outcome}
}

func faultCases() []faultCase {
	const complete, partial, failed, forbidden, notExposed = "complete", "partial", "failed", "forbidden", "not_exposed"
	status := func(code int, body string, times int) confluencetest.Fault {
		return confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: code, Body: body, Times: times}
	}
	roleMode := map[string]string{"space_role_mode": notExposed}
	paged := func(cursor, offset string) map[kind]string {
		return map[kind]string{byCursor: cursor, byOffset: offset, single: complete, inBulk: complete}
	}
	type f = confluencetest.Fault
	return []faultCase{
		{name: "500 once", fault: status(500, "", 1), want: always(complete)},
		{name: "500 always", fault: status(500, `{"message":"boom"}`, -1), want: always(failed)},
		{name: "503 on a later page", fault: f{Kind: confluencetest.FaultStatus, Status: 503, Page: 2, Times: -1}, want: paged(failed, failed)},
		{name: "scope", fault: status(401, `{"code":401,"message":"Unauthorized; scope does not match"}`, -1), want: always(forbidden)},
		{name: "401", fault: status(401, `{"code":401,"message":"Unauthorized"}`, -1), want: always(forbidden)},
		{name: "403", fault: status(403, `{"message":"no"}`, -1), want: always(forbidden)},
		{name: "403 by policy", fault: status(403, `{"message":"Blocked by policy: a data security policy applies"}`, -1), want: always("blocked_by_policy")},
		{name: "451", fault: status(451, "", -1), want: always("blocked_by_policy")},
		{name: "402", fault: status(402, "", -1), want: always("not_licensed")},
		{name: "404", fault: status(404, `{"errors":[{"status":404,"code":"NOT_FOUND","title":"Not Found"}]}`, -1), want: always(forbidden), special: roleMode},
		{name: "400", fault: status(400, "", -1), want: always(failed), special: roleMode},
		{name: "405", fault: status(405, "", -1), want: always(failed), special: roleMode},
		{name: "501", fault: status(501, "", -1), want: always(failed), special: roleMode},
		{name: "429 once", fault: f{Kind: confluencetest.FaultRateLimited, RetryAfter: "7", Reason: "confluence-burst-based"}, want: always(complete)},
		{name: "429 always", fault: f{Kind: confluencetest.FaultRateLimited, Times: -1}, want: always(failed)},
		{name: "reset once", fault: f{Kind: confluencetest.FaultReset}, want: always(complete)},
		{name: "reset always", fault: f{Kind: confluencetest.FaultReset, Times: -1}, want: always(failed)},
		{name: "truncated once", fault: f{Kind: confluencetest.FaultTruncated}, want: always(complete)},
		{name: "truncated always", fault: f{Kind: confluencetest.FaultTruncated, Times: -1}, want: always(failed)},
		{name: "html", fault: f{Kind: confluencetest.FaultHTML, Times: -1}, want: always(failed)},
		{name: "empty body", fault: f{Kind: confluencetest.FaultEmptyBody, Times: -1}, want: always(failed)},
		{name: "redirect", fault: f{Kind: confluencetest.FaultRedirect, Times: -1}, want: always(failed)},
		{name: "clock skew", fault: f{Kind: confluencetest.FaultClockSkew, Skew: 48 * time.Hour, Times: -1}, want: always(complete)},
		{name: "slow", fault: f{Kind: confluencetest.FaultSlow, Delay: 20 * time.Millisecond}, want: always(complete)},
		{name: "empty first page", fault: f{Kind: confluencetest.FaultEmptyPage},

			want: map[kind]string{byCursor: "complete*", byOffset: "complete*", single: complete, inBulk: partial}, special: map[string]string{"groups": partial}},
		{name: "empty last page once", fault: f{Kind: confluencetest.FaultEmptyPage, Page: 2}, want: paged(complete, complete)},
		{name: "empty with next", fault: f{Kind: confluencetest.FaultEmptyWithNext}, want: paged(complete, complete)},
		{name: "empty with next for ever", fault: f{Kind: confluencetest.FaultEmptyWithNext, Times: -1}, want: paged(failed, failed)},
		{name: "short with next", fault: f{Kind: confluencetest.FaultShortWithNext, Times: 3}, want: paged(complete, complete)},
		{name: "repeated page", fault: f{Kind: confluencetest.FaultRepeatedPage, Page: 2}, want: paged(complete, complete)},
		{name: "repeated for ever", fault: f{Kind: confluencetest.FaultRepeatedPage, Page: 2, Times: -1}, want: paged(failed, failed)},
		{name: "overlap", fault: f{Kind: confluencetest.FaultOverlap, Times: 2}, want: paged(complete, complete)},
		{name: "overlap for ever", fault: f{Kind: confluencetest.FaultOverlap, Times: -1}, want: paged(failed, failed)},
		{name: "cursor expired once", fault: f{Kind: confluencetest.FaultCursorExpired, Page: 2}, want: paged(complete, failed)},
		{name: "cursor expired for ever", fault: f{Kind: confluencetest.FaultCursorExpired, Page: 2, Times: -1}, want: paged(failed, failed)},
		{name: "endless", fault: f{Kind: confluencetest.FaultEndless, Times: -1}, want: paged(failed, failed)},
		{name: "endless later", fault: f{Kind: confluencetest.FaultEndless, Page: 2, Times: -1}, want: paged(failed, failed)},
		{name: "foreign next link", fault: f{Kind: confluencetest.FaultForeignNextLink, Times: -1}, want: paged(failed, failed)},
		{name: "foreign next link later", fault: f{Kind: confluencetest.FaultForeignNextLink, Page: 2, Times: -1}, want: paged(failed, failed)},
	}
}

// TestFaults: every fault on every dataset has the outcome that the table says,
// and whatever is handed over is true (Invariant 1).
func TestFaults(t *testing.T) {
	for _, x := range targets() {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, x.site)
			truth := truthOf(s)
			partition := x.partition(s)
			want := truth[x.table.Name][partition]
			for _, c := range faultCases() {
				t.Run(c.name, func(t *testing.T) {
					s.sim.ClearFaults()
					src := s.source()
					x.prepare(t, s, src)
					fault := c.fault
					fault.Endpoint = x.endpoint
					fault.Match = func(r *confluencetest.Request) bool { return strings.HasSuffix(r.Endpoint, x.endpoint) }
					s.sim.Fail(fault)
					got := read(t, src, x.table, partition)
					later := fault.Page > 1 && (x.kind == single || x.kind == inBulk) // these have one page
					if hit := s.sim.FaultsApplied() > 0; hit == later {
						t.Fatalf("the fault was applied: %v", hit)
					}
					outcome, ok := c.special[x.name]
					if !ok {
						outcome = c.want[x.kind]
					}
					outcome, lossy := strings.CutSuffix(outcome, "*")
					if string(got.state()) != outcome {
						t.Errorf("outcome %s (%v), want %s", got.state(), got.err, outcome)
					}
					for _, r := range got.rows {
						if !contains(want, r) {
							t.Fatalf("a row that is not true: %v", r)
						}
					}
					if outcome == "complete" && !lossy {
						if diff := cmp.Diff(sorted(x.table, want), sorted(x.table, got.rows)); diff != "" {
							t.Errorf("complete, and not the truth (-want +got):\n%s", diff)
						}
					}
					checkAdvice(t, got.err)
					if n := len(s.srv.Trapped()); n > 0 {
						t.Errorf("%d requests left the origin", n)
					}
				})
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
	if !strings.Contains(e.Evidence, "/wiki/") {
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
