package contract_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/confluencetest/contract"
)

// exchange is one recorded request with its answer.
type exchange struct {
	req    *http.Request
	status int
	header http.Header
	body   []byte
}

// record asks the simulator everything it can answer, on a site with nasty values.
func record(t *testing.T) []exchange {
	t.Helper()
	srv := confluencetest.New(confluencetest.Settings{Seed: 9})
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	var all []exchange
	for _, mode := range []string{"PRE_ROLES", "ROLES"} {
		site := srv.AddSite(confluencetest.SiteSettings{Name: strings.ToLower(mode), Spaces: 30, Groups: 12, Guests: 3, RoleMode: mode, AuditEvents: 20})
		app := srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes()})
		tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: []string{site.Name()}})
		if err != nil {
			t.Fatal(err)
		}
		base := srv.APIURL() + "/ex/confluence/" + site.CloudID()
		bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+tokens.AccessToken) }
		auth := bearer
		ask := func(method, path, body string) exchange {
			req := httptest.NewRequestWithContext(t.Context(), method, base+path, strings.NewReader(body))
			req.RequestURI = ""
			auth(req)
			if body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			req.Body = io.NopCloser(strings.NewReader(body))
			e := exchange{req, resp.StatusCode, resp.Header, b}
			all = append(all, e)
			return e
		}
		truth := site.Truth()
		paths := []string{
			"/wiki/api/v2/space-role-mode", "/wiki/api/v2/classification-levels", "/wiki/api/v2/data-policies/metadata",
			"/wiki/api/v2/data-policies/spaces?limit=7", "/wiki/api/v2/space-roles", "/wiki/api/v2/space-permissions",
			"/wiki/rest/api/group", "/wiki/rest/api/group?start=3&limit=4&accessType=user", "/wiki/rest/api/user/current",
			"/wiki/rest/api/user?accountId=" + url.QueryEscape(truth.Users[1].AccountID), "/wiki/rest/api/settings/systemInfo",
			"/wiki/rest/api/audit?limit=5", "/wiki/rest/api/audit/retention",
			"/wiki/rest/api/search/user?cql=type%3Duser&limit=9&sitePermissionTypeFilter=all&expand=isExternalCollaborator",
		}
		for _, s := range truth.Spaces {
			paths = append(paths, "/wiki/api/v2/spaces/"+s.ID, "/wiki/api/v2/spaces/"+s.ID+"/permissions?limit=250", "/wiki/api/v2/spaces/"+s.ID+"/role-assignments")
		}
		for _, g := range truth.Groups {
			paths = append(paths, "/wiki/rest/api/group/by-id?id="+g.ID, "/wiki/rest/api/group/"+g.ID+"/membersByGroupId?limit=200&shouldReturnTotalSize=true&expand=isExternalCollaborator")
		}
		for _, p := range paths {
			ask(http.MethodGet, p, "")
		}
		for next := "/wiki/api/v2/spaces?limit=11&sort=name&include-icon=true&description-format=plain"; next != ""; {
			var page struct {
				Links struct{ Next string } `json:"_links"`
			}
			if err := json.Unmarshal(ask(http.MethodGet, next, "").body, &page); err != nil {
				t.Fatal(err)
			}
			next = page.Links.Next
		}
		ids := make([]string, 0, len(truth.Users))
		for _, u := range truth.Users {
			ids = append(ids, u.AccountID)
		}
		body, err := json.Marshal(map[string]any{"accountIds": ids})
		if err != nil {
			t.Fatal(err)
		}
		ask(http.MethodPost, "/wiki/api/v2/users-bulk", string(body))
		site.EnableAdminKey(srv.Collector().AccountID, time.Now().Add(time.Hour))
		token := srv.AddToken(confluencetest.APIToken{})
		oauth := base
		base = site.URL() // the only endpoint in the files that OAuth does not open
		auth = func(r *http.Request) { r.SetBasicAuth(token.Email, token.Token) }
		if e := ask(http.MethodGet, "/wiki/api/v2/admin-key", ""); e.status != http.StatusOK {
			t.Fatalf("admin key: %d %s", e.status, e.body)
		}
		site.DisableAdminKey()
		ask(http.MethodGet, "/wiki/api/v2/admin-key", "")
		base, auth = oauth, bearer
		// Error answers of both shapes.
		ask(http.MethodGet, "/wiki/api/v2/spaces/12345/permissions", "")
		ask(http.MethodGet, "/wiki/rest/api/group/by-id?id=unknown", "")
	}
	return all
}

// TestAnswersFollowTheContract checks the shape of every answer by rules of its
// own and, where the OpenAPI files are at hand, against them.
func TestAnswersFollowTheContract(t *testing.T) {
	exchanges := record(t)
	served := map[string]bool{}
	for _, e := range exchanges {
		if problem := shape(e); problem != "" {
			t.Errorf("%s %s: %s", e.req.Method, e.req.URL, problem)
		}
		served[e.req.URL.Path] = true
	}
	c := load(t)
	if c == nil {
		return
	}
	for _, e := range exchanges {
		if err := c.ValidateExchange(e.req, e.status, e.header, e.body); err != nil {
			t.Errorf("%v\nbody: %.2000s", err, e.body)
		}
	}
	t.Logf("%d exchanges on %d addresses follow the OpenAPI files", len(exchanges), len(served))
}

// load returns nil, and says so, when there are no files to compare with.
func load(t *testing.T) *contract.Contract {
	t.Helper()
	dir := os.Getenv("SITEDRIFT_SPECS")
	if dir == "" {
		t.Log("SITEDRIFT_SPECS names no folder: the part that needs Atlassian's OpenAPI files had none to compare with")
		return nil
	}
	c, err := contract.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// shape checks the envelopes: what the documentation promises in words.
func shape(e exchange) string {
	if ct := e.header.Get("Content-Type"); ct != "application/json" {
		return "content type " + ct
	}
	if !json.Valid(e.body) {
		return "invalid JSON"
	}
	for _, h := range []string{"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit"} {
		if _, _, basic := e.req.BasicAuth(); e.header.Get(h) == "" && !(basic && h == "RateLimit") { // API tokens have no quota
			return "header " + h + " is missing"
		}
	}
	if e.body[0] == '[' {
		return ""
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(e.body, &m); err != nil {
		return err.Error()
	}
	v2 := strings.Contains(e.req.URL.Path, "/wiki/api/v2/")
	if e.status != http.StatusOK {
		want := []string{"data", "message", "statusCode"}
		if v2 {
			want = []string{"errors"}
		}
		for _, name := range want {
			if m[name] == nil {
				return "error without " + name
			}
		}
		return ""
	}
	if m["results"] == nil {
		return ""
	}
	var links struct{ Next, Base string }
	if err := json.Unmarshal(m["_links"], &links); err != nil {
		return err.Error()
	}
	if !strings.HasSuffix(links.Base, "/wiki") {
		return "_links.base is " + links.Base
	}
	if !v2 {
		var results []json.RawMessage
		var size int
		if json.Unmarshal(m["results"], &results) != nil || json.Unmarshal(m["size"], &size) != nil || size != len(results) {
			return "size " + strconv.Itoa(size) + " for " + strconv.Itoa(len(results)) + " results"
		}
		return ""
	}
	link := e.header.Get("Link")
	if links.Next != "" && (!strings.HasPrefix(links.Next, "/wiki/api/v2/") || !strings.Contains(link, "<"+links.Next+`>; rel="next"`)) {
		return "the next link " + links.Next + " is not in the header " + link
	}
	if links.Next == "" && strings.Contains(link, `rel="next"`) {
		return "only the header has a next link"
	}
	return ""
}

// TestContractRefuses proves that the contract can say no, and that the
// simulator's scopes are those of the files.
func TestContractRefuses(t *testing.T) {
	c := load(t)
	if c == nil {
		// Without files, loading must fail with the name of what is missing.
		if _, err := contract.Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), contract.FileV2) {
			t.Errorf("loading an empty folder: %v", err)
		}
		return
	}
	header := http.Header{"Content-Type": {"application/json"}}
	for name, e := range map[string]exchange{
		"path":              {req: httptest.NewRequest("GET", "/wiki/api/v2/space", nil)},
		"method":            {req: httptest.NewRequest("DELETE", "/wiki/api/v2/users-bulk", nil)},
		"parameter":         {req: httptest.NewRequest("GET", "/wiki/api/v2/spaces?start=25", nil)},
		"limit":             {req: httptest.NewRequest("GET", "/wiki/api/v2/spaces?limit=251", nil)},
		"enumeration":       {req: httptest.NewRequest("GET", "/wiki/api/v2/spaces?status=deleted", nil)},
		"missing parameter": {req: httptest.NewRequest("GET", "/wiki/rest/api/group/by-id", nil)},
		"no wiki":           {req: httptest.NewRequest("GET", "/rest/api/group", nil)},
		"answer type":       {req: httptest.NewRequest("GET", "/wiki/api/v2/spaces", nil), status: 200, body: []byte(`{"results":[{"id":12}]}`)},
		"answer missing":    {req: httptest.NewRequest("GET", "/wiki/rest/api/group", nil), status: 200, body: []byte(`{"results":[]}`)},
		"answer no JSON":    {req: httptest.NewRequest("GET", "/wiki/api/v2/spaces", nil), status: 200, body: []byte(`<html>`)},
	} {
		if err := c.ValidateExchange(e.req, e.status, header, e.body); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	bulk := httptest.NewRequest("POST", "/api/ex/confluence/x/wiki/api/v2/users-bulk", strings.NewReader(`{"accountIds":[]}`))
	bulk.Header.Set("Content-Type", "application/json")
	if err := c.ValidateRequest(bulk); err == nil {
		t.Error("an empty list of accounts is accepted")
	}
	for _, name := range confluencetest.Endpoints() {
		method, template, _ := strings.Cut(name, " ")
		want, err := c.Scopes(method, template)
		if err != nil {
			t.Error(err)
			continue
		}
		got := confluencetest.EndpointScopes(name)
		for _, set := range got {
			slices.Sort(set)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("scopes of %s (-file +simulator):\n%s", name, diff)
		}
	}
}
