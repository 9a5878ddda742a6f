package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// faultyGateway is a site with several pages of groups.
func faultyGateway(t *testing.T) (*confluencetest.Server, *confluencetest.Site, *insider) {
	t.Helper()
	now := newClock()
	srv := start(t, confluencetest.Settings{Seed: 4, Now: now.Now})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Groups: 24, Guests: 3})
	return srv, site, newInsider(t, srv, site)
}

func TestFaultsOfTheGateway(t *testing.T) {
	const query = `{ publicLinkSiteStatus { status } sitePermissions { groups { count } } }`
	for _, tt := range []struct {
		fault  confluencetest.Fault
		status int
		check  func(p page) bool
	}{
		{confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 502, Body: "bad"}, 502, func(p page) bool { return string(p.body) == "bad" }},
		{confluencetest.Fault{Kind: confluencetest.FaultHTML, Field: "sitePermissions"}, 200, func(p page) bool { return strings.HasPrefix(string(p.body), "<!doctype html>") }},
		{confluencetest.Fault{Kind: confluencetest.FaultEmptyBody}, 200, func(p page) bool { return len(p.body) == 0 }},
		{confluencetest.Fault{Kind: confluencetest.FaultTruncated}, 200, func(p page) bool { return len(p.body) > 0 && !json.Valid(p.body) }},
		{confluencetest.Fault{Kind: confluencetest.FaultRateLimited, RetryAfter: "2021-05-10T11:00Z"}, 429, func(p page) bool { return p.header.Get("Retry-After") == "2021-05-10T11:00Z" }},
		{confluencetest.Fault{Kind: confluencetest.FaultCostLimited, Endpoint: "/gateway/api/graphql"}, 429, func(p page) bool { return p.header.Get("Retry-After") == "2026-03-02T09:21Z" }},
		{confluencetest.Fault{Kind: confluencetest.FaultRedirect}, 302, func(p page) bool { return strings.HasSuffix(p.header.Get("Location"), "/gateway/api/graphql") }},
		{confluencetest.Fault{Kind: confluencetest.FaultNoData, Body: "gone", Classification: "X"}, 200, func(p page) bool {
			return strings.HasPrefix(string(p.body), `{"errors":[{"message":"gone","extensions":{"classification":"X"}}],"extensions"`)
		}},
		{confluencetest.Fault{Kind: confluencetest.FaultNullData, Status: 500}, 200, func(p page) bool {
			return strings.Contains(string(p.body), `"statusCode":500`) && strings.Contains(string(p.body), `"data":null`)
		}},
		{confluencetest.Fault{Kind: confluencetest.FaultPartialData, Field: "sitePermissions.groups", Status: 503}, 200, func(p page) bool {
			return strings.HasPrefix(string(p.body), `{"data":{"publicLinkSiteStatus":{"status":"ON"},"sitePermissions":{"groups":null}},"errors":[{"message":`) &&
				strings.Contains(string(p.body), `"path":["sitePermissions","groups"],"locations":[{"line":1,"column":53}],"extensions":{"classification":"DataFetchingException","statusCode":503}`)
		}},
		{confluencetest.Fault{Kind: confluencetest.FaultPartialData}, 200, func(p page) bool {
			return strings.HasPrefix(string(p.body), `{"data":{"publicLinkSiteStatus":null,"sitePermissions":{"groups":{"count":`)
		}},
		// A member that may not be null takes its parent along.
		{confluencetest.Fault{Kind: confluencetest.FaultPartialData, Field: "publicLinkSiteStatus.status"}, 200, func(p page) bool {
			return strings.HasPrefix(string(p.body), `{"data":{"publicLinkSiteStatus":null,"sitePermissions":{`) && strings.Contains(string(p.body), `"path":["publicLinkSiteStatus","status"]`)
		}},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			_, site, in := faultyGateway(t)
			site.Fail(tt.fault)
			if p := in.post(query, nil); p.status != tt.status || !tt.check(p) {
				t.Errorf("struck: %d %v %s", p.status, p.header, p.body)
			}
			if p := in.post(query, nil); p.status != 200 || len(parseAnswer(t, p).Errors) != 0 || site.FaultsApplied() != 1 {
				t.Errorf("afterwards: %d %s", p.status, p.body)
			}
		})
	}
	_, site, in := faultyGateway(t)
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultNoData, Field: "publicLinksByCriteria", Times: -1})
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultNoData, Endpoint: "POST /graphql", Times: -1})
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultNoData, Object: "sitePermissions", Times: -1})
	if in.post(query, nil); site.FaultsApplied() != 0 {
		t.Error("faults of another field, door or document struck")
	}
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultNoData, Times: -1, Match: func(r *confluencetest.Request) bool { return slices.Contains(r.Fields, "sitePermissions.groups.count") }})
	if in.post(query, nil); site.FaultsApplied() != 1 {
		t.Error("Match does not know the fields")
	}
	site.ClearFaults()
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultReset})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, site.URL()+"/gateway/api/graphql", strings.NewReader(graphqlBody(t, query, nil)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	in.auth(req)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err == nil {
		_, err = fmt.Fscan(resp.Body, new(string))
		resp.Body.Close()
	}
	if site.FaultsApplied() != 1 {
		t.Errorf("no reset: %v", err)
	}
}

func TestPagingFaultsOfTheGateway(t *testing.T) {
	const first = 4
	groups := func(in *insider, limit int) (ids []string, pages int, failed string) {
		v := map[string]any{"first": first, "after": (*string)(nil)}
		for more := true; more && pages < limit; pages++ {
			a := parseAnswer(t, in.post(`query($first: Int, $after: String) { sitePermissions {
				groups(first: $first, after: $after) { pageInfo { endCursor hasNextPage } nodes { id } } confluencePersons(first: 3) { pageInfo { hasNextPage } nodes { accountId } }
			} }`, v))
			if len(a.Errors) > 0 {
				return ids, pages, a.Errors[0].Message
			}
			var data struct {
				SitePermissions struct {
					Groups struct {
						PageInfo wireInfo
						Nodes    []struct{ ID string }
					}
					ConfluencePersons struct{ Nodes []struct{ AccountID string } }
				}
			}
			if err := json.Unmarshal(a.Data, &data); err != nil {
				t.Fatal(err)
			}
			if n := len(data.SitePermissions.ConfluencePersons.Nodes); n != 3 {
				t.Errorf("the other connection was struck, too: %d persons", n)
			}
			for _, n := range data.SitePermissions.Groups.Nodes {
				ids = append(ids, n.ID)
			}
			v["after"], more = data.SitePermissions.Groups.PageInfo.next(t)
		}
		return ids, pages, ""
	}
	_, site, in := faultyGateway(t)
	all, pages, _ := groups(in, 100)
	if len(all) < 3*first || pages != (len(all)+first-1)/first {
		t.Fatalf("%d groups on %d pages", len(all), pages)
	}
	for _, tt := range []struct {
		kind  confluencetest.FaultKind
		times int
		want  []string
		pages int
	}{
		{confluencetest.FaultEmptyPage, 0, all[:first], 2},
		{confluencetest.FaultEmptyWithNext, 0, all, pages + 1},
		{confluencetest.FaultShortWithNext, 0, all, (len(all)-first-first/2+first-1)/first + 2},
		{confluencetest.FaultRepeatedPage, 0, slices.Concat(all[:2*first], all[first:]), pages + 1},
		{confluencetest.FaultOverlap, 0, slices.Concat(all[:2*first], all[2*first-3:]), 2 + (len(all)-2*first+3+first-1)/first},
		{confluencetest.FaultEndless, -1, slices.Concat(all[:first], slices.Repeat(all[first:2*first], 19)), 20},
	} {
		site.ClearFaults()
		site.Fail(confluencetest.Fault{Kind: tt.kind, Field: "sitePermissions.groups", Page: 2, Times: tt.times})
		got, n, failed := groups(in, 20)
		if diff := cmp.Diff(tt.want, got); diff != "" || n != tt.pages || failed != "" {
			t.Errorf("%s: %d pages, want %d, %s:\n%s", tt.kind, n, tt.pages, failed, diff)
		}
	}
	site.ClearFaults()
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultCursorExpired, Field: "sitePermissions.groups", Page: 3})
	if got, n, failed := groups(in, 20); n != 2 || len(got) != 2*first || !strings.Contains(failed, "cursor") {
		t.Errorf("an outdated cursor: %d pages, %q", n, failed)
	}
}

func TestGatewayListingsSurviveChanges(t *testing.T) {
	_, site, in := faultyGateway(t)
	want := site.Posture().SitePermissions.Groups
	var answer struct {
		SitePermissions struct {
			Groups struct {
				PageInfo wireInfo
				Nodes    []struct{ ID string }
			}
		}
	}
	const query = `query($after: String) { sitePermissions { groups(first: 4, after: $after) { pageInfo { endCursor hasNextPage } nodes { id } } } }`
	in.data(&answer, query, nil)
	cursor := answer.SitePermissions.Groups.PageInfo.EndCursor
	if err := site.RemoveGroup(want[1].ID); err != nil {
		t.Fatal(err)
	}
	site.AddGroup(confluencetest.Group{Name: "\x01 first of all"})
	in.data(&answer, query, map[string]any{"after": cursor})
	if got := answer.SitePermissions.Groups.Nodes[0].ID; got != want[4].ID {
		t.Errorf("the second page begins with %s, want %s", got, want[4].ID)
	}
}
