package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// nextOf returns the successor's address of a v2 page.
func nextOf(t *testing.T, p page) string {
	t.Helper()
	var e envelope[json.RawMessage]
	if err := json.Unmarshal(p.body, &e); err != nil || p.status != http.StatusOK {
		t.Fatalf("status %d, %v in %s", p.status, err, p.body)
	}
	return e.Links.Next
}

func TestRequestsAreTakenStrictly(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30})
	w := reader(t, srv, site)
	truth := site.Truth()
	space, group := "/wiki/api/v2/spaces/"+truth.Spaces[0].ID, "/wiki/rest/api/group/"+truth.Groups[0].ID
	many := strings.TrimSuffix(strings.Repeat("1,", 251), ",")
	for _, tt := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/wiki/api/v2/spaces?limit=250", "", 200},
		{"GET", "/wiki/api/v2/spaces?limit=251", "", 400},
		{"GET", "/wiki/api/v2/spaces?limit=0", "", 400},
		{"GET", "/wiki/api/v2/spaces?limit=x", "", 400},
		{"GET", "/wiki/api/v2/spaces?start=25", "", 400},
		{"GET", "/wiki/api/v2/spaces?limit=5&limit=5", "", 400},
		{"GET", "/wiki/api/v2/spaces?cursor=abc", "", 400},
		{"GET", "/wiki/api/v2/spaces?sort=created", "", 400},
		{"GET", "/wiki/api/v2/spaces?status=gone", "", 400},
		{"GET", "/wiki/api/v2/spaces?ids=x", "", 400},
		{"GET", "/wiki/api/v2/spaces?ids=" + many, "", 400},
		{"GET", "/wiki/api/v2/spaces?labels=x", "", 501},
		{"GET", "/wiki/api/v2/spaces/1", "", 404},
		{"GET", "/wiki/api/v2/spaces/x/permissions", "", 400},
		{"GET", "/wiki/api/v2/spaces/1/permissions", "", 404},
		{"GET", space + "/permissions?limit=251", "", 400},
		{"GET", space + "/permissions/", "", 404},
		{"GET", "/wiki/api/v2/space", "", 404},
		{"GET", "/wiki/api/v3/spaces", "", 404},
		{"GET", "/api/v2/spaces", "", 404},
		{"POST", "/wiki/api/v2/spaces", "{}", 405},
		{"DELETE", space, "", 405},
		{"GET", "/wiki/api/v2/users-bulk", "", 405},
		{"POST", "/wiki/api/v2/users-bulk", `{"accountIds":[]}`, 400},
		{"POST", "/wiki/api/v2/users-bulk", `{"accountIds":["` + strings.ReplaceAll(many, ",", `","`) + `"]}`, 400},
		{"POST", "/wiki/api/v2/users-bulk", `{"accountIds":["x"],"extra":1}`, 400},
		{"POST", "/wiki/api/v2/users-bulk", `{"accountIds":["x"]}`, 200},
		{"GET", "/wiki/api/v2/space-roles", "", 404}, // no roles on this site
		{"GET", "/wiki/rest/api/group?limit=500", "", 200},
		{"GET", "/wiki/rest/api/group?cursor=x", "", 400},
		{"GET", "/wiki/rest/api/group?accessType=root", "", 400},
		{"GET", "/wiki/rest/api/group?start=-1", "", 400},
		{"GET", group + "/membersByGroupId?limit=200", "", 200},
		{"GET", group + "/membersByGroupId?limit=201", "", 400},
		{"GET", group + "/membersByGroupId?expand=details", "", 400},
		{"GET", "/wiki/rest/api/group/unknown/membersByGroupId", "", 200},
		{"GET", "/wiki/rest/api/group/by-id?id=unknown", "", 404},
		{"GET", "/wiki/rest/api/group/by-id", "", 400},
		{"GET", "/wiki/rest/api/user?accountId=unknown", "", 404},
		{"GET", "/wiki/rest/api/search/user?cql=user.fullname~x", "", 400},
		{"GET", "/wiki/rest/api/search/user", "", 400},
		{"GET", "/wiki/rest/api/audit?startDate=2026-01-01", "", 400},
		{"GET", "/wiki/rest/api/space", "", 404},
	} {
		if p := w.do(tt.method, tt.path, tt.body); p.status != tt.status {
			t.Errorf("%s %.120s: status %d, want %d: %.200s", tt.method, tt.path, p.status, tt.status, p.body)
		}
	}
	var e envelope[json.RawMessage]
	w.json("/wiki/rest/api/group?limit=500", &e)
	if e.Limit != 200 {
		t.Errorf("limit 500 was answered with limit %d, want the system's 200", e.Limit)
	}
}

func TestCursorsBelongToTheirListing(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, PermissionsPerSpace: 40})
	other := srv.AddSite(confluencetest.SiteSettings{Name: "bravo", Spaces: 30})
	w := reader(t, srv, site)
	srvTwo := reader(t, srv, other)
	spaces := site.Truth().Spaces
	next := nextOf(t, w.get("/wiki/api/v2/spaces?limit=5&status=current"))
	u, err := url.Parse(next)
	if err != nil {
		t.Fatal(err)
	}
	cur := u.Query().Get("cursor")
	q := func(path string, pairs ...string) string {
		v := url.Values{"cursor": {cur}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return path + "?" + v.Encode()
	}
	if p := w.get(next); p.status != http.StatusOK {
		t.Errorf("the link itself: %d", p.status)
	}
	flipped := "A" + cur[1:]
	if cur[0] == 'A' {
		flipped = "B" + cur[1:]
	}
	for what, path := range map[string]string{
		"another limit":      q("/wiki/api/v2/spaces", "limit", "6", "status", "current"),
		"no limit":           q("/wiki/api/v2/spaces", "status", "current"),
		"another filter":     q("/wiki/api/v2/spaces", "limit", "5", "status", "archived"),
		"a dropped filter":   q("/wiki/api/v2/spaces", "limit", "5"),
		"an added parameter": q("/wiki/api/v2/spaces", "limit", "5", "status", "current", "sort", "id"),
		"another endpoint":   q("/wiki/api/v2/spaces/"+spaces[0].ID+"/permissions", "limit", "5"),
		"tampered":           q("/wiki/api/v2/spaces", "limit", "5", "status", "current", "cursor", flipped),
		"cut":                q("/wiki/api/v2/spaces", "limit", "5", "status", "current", "cursor", cur[:len(cur)-2]),
	} {
		if p := w.get(path); p.status != http.StatusBadRequest {
			t.Errorf("cursor with %s: status %d, want 400", what, p.status)
		}
	}
	if p := srvTwo.get(next); p.status != http.StatusBadRequest {
		t.Errorf("cursor on another site: status %d, want 400", p.status)
	}
	rows := nextOf(t, w.get("/wiki/api/v2/spaces/"+spaces[0].ID+"/permissions"))
	if p := w.get(strings.Replace(rows, spaces[0].ID, spaces[1].ID, 1)); p.status != http.StatusBadRequest {
		t.Errorf("cursor for another space: status %d, want 400", p.status)
	}
}

func TestShortPagesHaveSuccessors(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, HiddenSpaces: 6})
	w := reader(t, srv, site)
	short := 0
	for path := "/wiki/api/v2/spaces?limit=5"; path != ""; {
		var e envelope[wireSpace]
		w.json(path, &e)
		if path = e.Links.Next; path != "" && len(e.Results) < 5 {
			short++
		}
	}
	if short == 0 {
		t.Error("no page was short in spite of a successor")
	}
}

func TestListingsSurviveChangesBetweenPages(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, HiddenSpaces: -1})
	w := reader(t, srv, site)
	before := site.Truth().Spaces
	first := w.get("/wiki/api/v2/spaces?limit=10")
	if err := site.RemoveSpace(before[2].ID); err != nil {
		t.Fatal(err)
	}
	made := site.AddSpace(confluencetest.Space{Name: "new"}, 3)
	var ids []string
	for path := nextOf(t, first); path != ""; {
		var e envelope[wireSpace]
		w.json(path, &e)
		for _, s := range e.Results {
			ids = append(ids, s.ID)
		}
		path = e.Links.Next
	}
	var want []string
	for _, s := range before[10:] {
		want = append(want, s.ID)
	}
	want = append(want, made.ID)
	if diff := cmp.Diff(want, ids); diff != "" {
		t.Errorf("pages after the first (-want +got):\n%s", diff)
	}
}

func TestOrdersAndFilters(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30})
	w := reader(t, srv, site)
	w.limit = 4
	spaces := site.Truth().Spaces
	get := func(query string) []string {
		var ids []string
		for _, s := range walkV2[wireSpace](w, "/wiki/api/v2/spaces"+query) {
			ids = append(ids, s.ID)
		}
		return ids
	}
	selection := func(keep func(confluencetest.Space) bool, order func(a, b confluencetest.Space) int) []string {
		list := slices.Clone(spaces)
		if order != nil {
			slices.SortStableFunc(list, order)
		}
		var ids []string
		for _, s := range list {
			if keep == nil || keep(s) {
				ids = append(ids, s.ID)
			}
		}
		return ids
	}
	for query, want := range map[string][]string{
		"?sort=name":       selection(nil, func(a, b confluencetest.Space) int { return strings.Compare(a.Name, b.Name) }),
		"?sort=-key":       selection(nil, func(a, b confluencetest.Space) int { return -strings.Compare(a.Key, b.Key) }),
		"?status=archived": selection(func(s confluencetest.Space) bool { return s.Status == "archived" }, nil),
		"?type=personal":   selection(func(s confluencetest.Space) bool { return s.Type == "personal" }, nil),
		"?keys=" + url.QueryEscape(spaces[4].Key+","+spaces[9].Key):  {spaces[4].ID, spaces[9].ID},
		"?ids=" + spaces[7].ID + "&ids=" + spaces[1].ID + "&ids=999": {spaces[1].ID, spaces[7].ID},
		"?sort=-id&status=current": selection(func(s confluencetest.Space) bool { return s.Status == "current" }, func(a, b confluencetest.Space) int {
			x, _ := strconv.ParseInt(a.ID, 10, 64)
			y, _ := strconv.ParseInt(b.ID, 10, 64)
			return int(max(min(y-x, 1), -1))
		}),
	} {
		if len(want) == 0 {
			t.Fatalf("%s selects nothing, the test is empty", query)
		}
		if diff := cmp.Diff(want, get(query)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", query, diff)
		}
	}
}

func TestScopes(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", RoleMode: "ROLES"})
	truth := site.Truth()
	app := srv.AddApp(confluencetest.App{})
	base := srv.APIURL() + "/ex/confluence/" + site.CloudID()
	with := func(scopes ...string) *walker {
		tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Scopes: scopes})
		if err != nil {
			t.Fatal(err)
		}
		return &walker{t: t, base: base, token: tokens.AccessToken}
	}
	replacer := strings.NewReplacer("{id}", truth.Spaces[0].ID, "{groupId}", truth.Groups[0].ID)
	all := confluencetest.AllScopes()
	for _, name := range confluencetest.Endpoints() {
		method, template, _ := strings.Cut(name, " ")
		path, body := replacer.Replace(template), ""
		switch {
		case strings.HasSuffix(path, "/by-id"):
			path += "?id=" + truth.Groups[0].ID
		case strings.HasSuffix(path, "/search/user"):
			path += "?cql=type%3Duser"
		case strings.HasSuffix(path, "/rest/api/user"):
			path += "?accountId=" + url.QueryEscape(truth.Users[0].AccountID)
		case method == http.MethodPost:
			body = `{"accountIds":["x"]}`
		}
		sets := confluencetest.EndpointScopes(name)
		for _, set := range sets {
			if p := with(set...).do(method, path, body); p.status != http.StatusOK {
				t.Errorf("%s with %v: status %d: %s", name, set, p.status, p.body)
			}
			for i := range set { // every single one is needed
				if p := with(slices.Delete(slices.Clone(set), i, i+1)...).do(method, path, body); p.status != http.StatusUnauthorized {
					t.Errorf("%s without %s: status %d", name, set[i], p.status)
				}
			}
		}
		others := slices.DeleteFunc(slices.Clone(all), func(s string) bool {
			return slices.ContainsFunc(sets, func(set []string) bool { return slices.Contains(set, s) })
		})
		p := with(others...).do(method, path, body)
		if want := `{"code":401,"message":"Unauthorized; scope does not match"}`; p.status != http.StatusUnauthorized || compact(p.body) != want {
			t.Errorf("%s with %v: status %d: %s", name, others, p.status, p.body)
		}
	}
}

func TestWhoMayGoWhere(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	other := srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
	oauth := reader(t, srv, site)
	classic := srv.AddToken(confluencetest.APIToken{})
	scoped := srv.AddToken(confluencetest.APIToken{Scopes: []string{"read:space:confluence"}})
	gateway, gatewayOther, host := srv.APIURL()+"/ex/confluence/"+site.CloudID(), srv.APIURL()+"/ex/confluence/"+other.CloudID(), site.URL()
	for _, tt := range []struct {
		what, base, path string
		auth             func(*http.Request)
		status           int
	}{
		{"3LO on the gateway", gateway, "/wiki/api/v2/spaces", bearer(oauth.token), 200},
		{"3LO on the site host", host, "/wiki/api/v2/spaces", bearer(oauth.token), 401},
		{"3LO on a site that the grant lacks", gatewayOther, "/wiki/api/v2/spaces", bearer(oauth.token), 404},
		{"3LO on a cloud id that does not exist", srv.APIURL() + "/ex/confluence/none", "/wiki/api/v2/spaces", bearer(oauth.token), 404},
		{"unknown token", gateway, "/wiki/api/v2/spaces", bearer("x"), 401},
		{"nobody", gateway, "/wiki/api/v2/spaces", func(*http.Request) {}, 401},
		{"classic token on the site host", host, "/wiki/api/v2/spaces", basic(classic), 200},
		{"classic token on the gateway", gateway, "/wiki/api/v2/spaces", basic(classic), 401},
		{"scoped token on the gateway", gateway, "/wiki/api/v2/spaces", basic(scoped), 200},
		{"scoped token without the scope", gateway, "/wiki/rest/api/group", basic(scoped), 401},
		{"scoped token on the site host", host, "/wiki/api/v2/spaces", basic(scoped), 401},
		{"classic token and data policies", host, "/wiki/api/v2/data-policies/metadata", basic(classic), 403},
		{"tenant info, no login", host, "/_edge/tenant_info", func(*http.Request) {}, 200},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.base+tt.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		tt.auth(req)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", tt.what, resp.StatusCode, tt.status)
		}
	}
	site.DenyAudit(true)
	if p := oauth.get("/wiki/rest/api/audit"); p.status != http.StatusForbidden {
		t.Errorf("audit without the administrator permission: %d", p.status)
	}
	if err := site.HideSpace(site.Truth().Spaces[0].ID); err != nil {
		t.Fatal(err)
	}
	for _, c := range site.Log() {
		if p := oauth.get("/wiki/api/v2/spaces/" + c.SpaceID); p.status != http.StatusNotFound {
			t.Errorf("a hidden space answers %d", p.status)
		}
	}
}

func bearer(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
}

func basic(t confluencetest.APIToken) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(t.Email, t.Token) }
}

func TestSearchIsCapped(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Users: 10050, Guests: 20, Spaces: 2, Groups: 4})
	w := reader(t, srv, site)
	w.limit = 200
	if n := len(walkV1[json.RawMessage](w, "/wiki/rest/api/search/user?cql=type%3Duser")); n != 10000 {
		t.Errorf("the search for users returned %d, want the cap of 10000", n)
	}
	if n := len(walkV1[json.RawMessage](w, "/wiki/rest/api/search/user?cql=type%3Duser&sitePermissionTypeFilter=externalCollaborator")); n != 20 {
		t.Errorf("the search for guests returned %d, want 20", n)
	}
}

// TestEverySiteIsNasty makes sure that the awkward values are really served.
func TestEverySiteIsNasty(t *testing.T) {
	srv := start(t, confluencetest.Settings{Seed: 21})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	truth := site.Truth()
	text := fmt.Sprintf("%#v", truth)
	for _, part := range []string{"access-class", "anonymous-users", "manage_users", "team_hub", `\n`, `\x1b`, `\u202e`, "🔒", "'", `\"`, "administer|space", "space|page"} {
		if !strings.Contains(text, part) {
			t.Errorf("the site holds no %q", part)
		}
	}
	beyond, names, null, noMail := 0, map[string]int{}, 0, 0
	for _, s := range truth.Spaces {
		if id, err := strconv.ParseInt(s.ID, 10, 64); err == nil && id > 1<<53 {
			beyond++
		}
	}
	floats := map[float64]int{}
	for _, rows := range truth.Permissions {
		for _, r := range rows {
			f, _ := strconv.ParseFloat(r.ID, 64)
			floats[f]++
		}
	}
	collisions := 0
	for _, n := range floats {
		if n > 1 {
			collisions++
		}
	}
	for _, u := range truth.Users {
		names[u.DisplayName]++
		if u.External == nil {
			null++
		}
		if u.Email == "" {
			noMail++
		}
	}
	if beyond == 0 || collisions == 0 || names["Alex Kim"] < 2 || null == 0 || noMail == 0 {
		t.Errorf("space ids beyond 2^53: %d, permission ids equal as floats: %d, users named alike: %d, unknown guests: %d, users without email: %d", beyond, collisions, names["Alex Kim"], null, noMail)
	}
	joined := map[string]int{}
	for _, s := range truth.Spaces {
		joined[s.Key+"|"+s.Name]++
	}
	if joined["a|b|c"] != 2 {
		t.Errorf("no two spaces collide when joined: %v", joined)
	}
}
