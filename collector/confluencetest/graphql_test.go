package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestDocumentsAreValidated(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Guests: 2})
	in := newInsider(t, srv, site)
	for _, tt := range []struct {
		query     string
		variables map[string]any
		message   string
		class     string
	}{
		{`{ sitePermissions { grups { count } } }`, nil, "Validation error (FieldUndefined@[sitePermissions/grups]) : Field 'grups' in type 'SitePermission' is undefined", "ValidationError"},
		{`{ a: sitePermissions { groups { nodes { id x } } } }`, nil, "Validation error (FieldUndefined@[a/groups/nodes/x]) : Field 'x' in type 'GroupWithPermissions' is undefined", "ValidationError"},
		{`{ externalCollaboratorsByCriteria { count } }`, nil, "Validation error (FieldUndefined@[externalCollaboratorsByCriteria]) : Field 'externalCollaboratorsByCriteria' in type 'Query' is undefined", "ValidationError"},
		{`{ publicLinkSpacesByCriteria { edges { cursor } } }`, nil, "Validation error (FieldUndefined@[publicLinkSpacesByCriteria/edges]) : Field 'edges' in type 'PublicLinkSpaceConnection' is undefined", "ValidationError"},
		{`{ publicLinkSpacesByCriteria { pageInfo { endCursor } } }`, nil, "Validation error (FieldUndefined@[publicLinkSpacesByCriteria/pageInfo/endCursor]) : Field 'endCursor' in type 'PublicLinkPageInfo' is undefined", "ValidationError"},
		{`{ publicLinkSiteStatus(cloudId: "x") { status } }`, nil, "Validation error (UnknownArgument@[publicLinkSiteStatus]) : Unknown field argument 'cloudId'", "ValidationError"},
		{`{ publicLinksByCriteria { nodes { id } } }`, nil, "Validation error (MissingFieldArgument@[publicLinksByCriteria]) : Missing field argument 'spaceId'", "ValidationError"},
		{`{ sitePermissions }`, nil, "Validation error (SubselectionRequired@[sitePermissions]) : Subselection required for type 'SitePermission' of field 'sitePermissions'", "ValidationError"},
		{`{ publicLinkSiteStatus { status { x } } }`, nil, "Validation error (SubselectionNotAllowed@[publicLinkSiteStatus/status]) : Subselection not allowed on leaf type 'PublicLinkSiteStatus!' of field 'status'", "ValidationError"},
		{`{ publicLinkSpacesByCriteria(orderBy: SIZE) { nodes { spaceId } } }`, nil, "Validation error (WrongType@[publicLinkSpacesByCriteria]) : argument 'orderBy' with value 'SIZE'", "ValidationError"},
		{`{ sitePermissions { groups(first: "5") { count } } }`, nil, "Validation error (WrongType@[sitePermissions/groups]) : argument 'first' with value '\"5\"'", "ValidationError"},
		{`query($f: Int) { sitePermissions { groups(first: $f) { count } } }`, map[string]any{"f": "5"}, "Variable 'f' has an invalid value", "ValidationError"},
		{`query($f: Int) { sitePermissions { groups(first: $f) { count } } }`, map[string]any{"f": 1.5}, "Variable 'f' has an invalid value", "ValidationError"},
		{`query($f: Int!) { sitePermissions { groups(first: $f) { count } } }`, nil, "Variable 'f' has an invalid value", "ValidationError"},
		{`query($o: PublicLinkSpacesByCriteriaOrder) { publicLinkSpacesByCriteria(orderBy: $o) { nodes { spaceId } } }`, map[string]any{"o": "name"}, "Variable 'o' has an invalid value", "ValidationError"},
		{`query($s: String) { publicLinksByCriteria(spaceId: $s) { nodes { id } } }`, map[string]any{"s": "1"}, "Validation error (VariableTypeMismatch@[publicLinksByCriteria])", "ValidationError"},
		{`query($a: String) { publicLinkSiteStatus { status } }`, nil, "Validation error (UnusedVariable", "ValidationError"},
		{`mutation { x }`, nil, "Validation error (UnknownOperation", "ValidationError"},
		{`{ sitePermissions { `, nil, "Invalid syntax", "InvalidSyntax"},
		{`fragment f on SitePermission { anonymous { type } }`, nil, "The document holds no operation.", "ValidationError"},
		{`query a { publicLinkSiteStatus { status } } query b { publicLinkSiteStatus { status } }`, nil, "Must provide operation name", "ValidationError"},
	} {
		p := in.post(tt.query, tt.variables)
		a := parseAnswer(t, p)
		found := false
		for _, e := range a.Errors {
			found = found || strings.HasPrefix(e.Message, tt.message) && e.Extensions["classification"] == tt.class
		}
		if a.Data != nil || !found {
			t.Errorf("%s %v: %s", tt.query, tt.variables, p.body)
		}
		if strings.Contains(string(p.body), `"data"`) {
			t.Errorf("%s: an invalid document has data: %s", tt.query, p.body)
		}
	}
	a := parseAnswer(t, in.post(`{ sitePermissions { grups { count } } }`, nil))
	if l := a.Errors[0].Locations; len(l) != 1 || l[0].Line != 1 || l[0].Column != 21 {
		t.Errorf("locations %v", l)
	}
}

func TestFieldsFailAlone(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Guests: 2})
	in := newInsider(t, srv, site)
	ask := func(query string) (gqlAnswer, map[string]json.RawMessage) {
		a := parseAnswer(t, in.post(query, nil))
		var data map[string]json.RawMessage
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v in %s", err, a.Data)
		}
		return a, data
	}
	for query, status := range map[string]string{
		`{ publicLinkSiteStatus { status } f: publicLinkSpacesByCriteria(first: 101) { nodes { spaceId } } }`:                                  "400",
		`{ publicLinkSiteStatus { status } f: publicLinkSpacesByCriteria(first: 0) { nodes { spaceId } } }`:                                    "400",
		`{ publicLinkSiteStatus { status } f: publicLinkSpacesByCriteria(after: "nonsense") { nodes { spaceId } } }`:                           "400",
		`{ publicLinkSiteStatus { status } f: publicLinksByCriteria(spaceId: "1") { nodes { id } } }`:                                          "404",
		`{ publicLinkSiteStatus { status } f: tenantContexts { cloudId } }`:                                                                    "400",
		`{ publicLinkSiteStatus { status } f: confluence_externalCollaboratorsByCriteria(cloudId: "other") { count pageInfo { endCursor } } }`: "404",
		`{ publicLinkSiteStatus { status } f: confluence_externalCollaboratorsByCriteria(first: 201) { count } }`:                              "400",
	} {
		a, data := ask(query)
		if len(a.Errors) != 1 || fmt.Sprint(a.Errors[0].Path) != "[f]" || fmt.Sprint(a.Errors[0].Extensions["statusCode"]) != status || string(data["f"]) != "null" || string(data["publicLinkSiteStatus"]) == "null" {
			t.Errorf("%s: %+v", query, a)
		}
	}
	site.SetMaxFirst(3)
	if a, _ := ask(`{ sitePermissions { groups(first: 4) { count } confluencePersons { nodes { accountId } } } }`); len(a.Errors) != 1 || fmt.Sprint(a.Errors[0].Path) != "[sitePermissions groups]" {
		t.Errorf("a lower maximum: %+v", a)
	}
	site.SetMaxFirst(0)
	// A cursor works for its own listing only, whatever the size of the page.
	var first struct {
		SitePermissions struct {
			Groups struct{ PageInfo wireInfo }
		}
	}
	in.data(&first, `{ sitePermissions { groups(first: 2) { pageInfo { endCursor hasNextPage } } } }`, nil)
	cursor := *first.SitePermissions.Groups.PageInfo.EndCursor
	for query, fails := range map[string]bool{
		`{ sitePermissions { groups(first: 3, after: %q) { count } } }`:                   false,
		`{ sitePermissions { groups(after: %q, filterText: "a") { count } } }`:            true,
		`{ sitePermissions { confluencePersons(after: %q) { count } } }`:                  true,
		`{ publicLinkSpacesByCriteria(after: %q) { nodes { spaceId } } }`:                 true,
		`{ confluence_externalCollaboratorsByCriteria(after: %q) { count } }`:             true,
		`{ sitePermissions(operations: [CREATE_SPACE]) { groups(after: %q) { count } } }`: false, // the resolver cannot know where its parent came from
	} {
		if a, _ := ask(fmt.Sprintf(query, cursor)); (len(a.Errors) > 0) != fails {
			t.Errorf("%s: %+v", query, a)
		}
	}
}

func TestGatewayFilters(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 30, Guests: 8})
	in := newInsider(t, srv, site)
	p := site.Posture()
	var got struct {
		SitePermissions struct {
			Groups            struct{ Nodes []struct{ ID string } }
			ConfluencePersons struct {
				Nodes []struct{ PermissionType string }
			}
		}
		On     struct{ Nodes []struct{ Status string } }
		Linked struct{ Nodes []struct{ SpaceID string } }
		Free   struct{ Count int }
		Apps   struct {
			AppsInstalledInContexts struct {
				TotalCount int
				Edges      []struct{ Node struct{ ID, Name string } }
			}
		}
		Elsewhere struct{ AppsInstalledInContexts struct{ TotalCount int } }
	}
	in.data(&got, `query($context: ID!, $other: ID!) {
		sitePermissions(operations: [ADMINISTER_SYSTEM], permissionTypes: [EXTERNAL, APP]) { groups { nodes { id } } confluencePersons { nodes { permissionType } } }
		on: publicLinkSpacesByCriteria(status: OFF, first: 100) { nodes { status } }
		linked: publicLinkSpacesByCriteria(orderBy: ACTIVE_LINKS, isAscending: false, first: 1) { nodes { spaceId } }
		free: confluence_externalCollaboratorsByCriteria(spaceAssignmentType: UNASSIGNED) { count }
		apps: ecosystem { appsInstalledInContexts(contextIds: [$context], orderBy: [{sortKey: NAME, direction: ASC}], options: {shouldExcludeFirstPartyApps: true}) {
			totalCount edges { node { ... on App { id name } ... on EcosystemConnectApp { id name } } } } }
		elsewhere: ecosystem { appsInstalledInContexts(contextIds: [$other]) { totalCount } }
	}`, map[string]any{"context": "ari:cloud:confluence::site/" + site.CloudID(), "other": "ari:cloud:jira::site/" + site.CloudID()})
	var groups []string
	for _, g := range p.SitePermissions.Groups {
		if slices.ContainsFunc(g.Operations, func(o confluencetest.SiteOperation) bool { return o.Operation == "ADMINISTER_SYSTEM" }) {
			groups = append(groups, g.ID)
		}
	}
	var ids []string
	for _, n := range got.SitePermissions.Groups.Nodes {
		ids = append(ids, n.ID)
	}
	if diff := cmp.Diff(groups, ids); diff != "" || len(ids) == 0 {
		t.Errorf("groups that administer the system:\n%s", diff)
	}
	if len(got.SitePermissions.ConfluencePersons.Nodes) != 0 { // nobody outside holds it
		t.Errorf("persons: %v", got.SitePermissions.ConfluencePersons.Nodes)
	}
	if len(got.On.Nodes) != 1 || got.On.Nodes[0].Status != "OFF" {
		t.Errorf("spaces that are off: %v", got.On.Nodes)
	}
	most := slices.MaxFunc(p.PublicLinkSpaces, func(a, b confluencetest.PublicLinkSpace) int { return a.Active - b.Active })
	if got.Linked.Nodes[0].SpaceID != most.SpaceID {
		t.Errorf("the space with the most links is %s, want %s", got.Linked.Nodes[0].SpaceID, most.SpaceID)
	}
	free := 0
	for _, g := range p.Guests {
		if len(g.SpaceIDs) == 0 {
			free++
		}
	}
	if got.Free.Count != free || free == 0 {
		t.Errorf("%d guests without spaces, want %d", got.Free.Count, free)
	}
	names := []string{}
	for _, e := range got.Apps.AppsInstalledInContexts.Edges {
		names = append(names, e.Node.Name)
	}
	if !slices.IsSorted(names) || len(names) != len(p.Apps)-1 || got.Elsewhere.AppsInstalledInContexts.TotalCount != 0 {
		t.Errorf("apps: %q, elsewhere %d", names, got.Elsewhere.AppsInstalledInContexts.TotalCount)
	}
}

func TestWhoMayUseTheGateway(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	org := srv.AddOrganization(confluencetest.OrganizationSettings{Sites: []string{"acme"}})
	key := org.AddAdminKey(confluencetest.AdminScopes(), time.Time{})
	oauth := reader(t, srv, site)
	service := srv.AddApp(confluencetest.App{ServiceAccount: true, Scopes: confluencetest.AllScopes()})
	issued := send(t, http.MethodPost, srv.AuthURL()+"/oauth/token", fmt.Sprintf(`{"grant_type":"client_credentials","client_id":%q,"client_secret":%q}`, service.ClientID, service.ClientSecret), nil)
	var machine struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(issued.body, &machine); err != nil || machine.AccessToken == "" {
		t.Fatalf("%v in %s", err, issued.body)
	}
	classic := srv.AddToken(confluencetest.APIToken{Expires: now.Now().Add(time.Hour)})
	scoped := srv.AddToken(confluencetest.APIToken{Scopes: confluencetest.AllScopes()})
	host, api := site.URL()+"/gateway/api/graphql", srv.APIURL()+"/graphql"
	query := graphqlBody(t, `{ publicLinkSiteStatus { status } }`, nil)
	for _, tt := range []struct {
		what, url string
		auth      func(*http.Request)
		status    int
	}{
		{"classic on the host", host, basic(classic), 200},
		{"scoped on the host", host, basic(scoped), 401},
		{"3LO on the host", host, bearer(oauth.token), 401},
		{"service account on the host", host, bearer(machine.AccessToken), 401},
		{"admin key on the host", host, bearer(key.Key), 401},
		{"nobody on the host", host, nil, 401},
		{"3LO at the API", api, bearer(oauth.token), 200},
		{"service account at the API", api, bearer(machine.AccessToken), 200},
		{"classic at the API", api, basic(classic), 401},
		{"scoped at the API", api, basic(scoped), 401},
		{"admin key at the API", api, bearer(key.Key), 401},
		{"admin key for Confluence", srv.APIURL() + "/ex/confluence/" + site.CloudID() + "/wiki/api/v2/spaces", bearer(key.Key), 401},
	} {
		if p := send(t, http.MethodPost, tt.url, query, tt.auth); p.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.what, p.status, tt.status, p.body)
		}
	}
	for _, tt := range []struct {
		what, method, body, kind string
		status                   int
	}{
		{"GET", http.MethodGet, "", "", 405},
		{"no JSON", http.MethodPost, query, "text/plain", 415},
		{"broken", http.MethodPost, `{"query"`, "application/json", 400},
		{"no query", http.MethodPost, `{"variables":{}}`, "application/json", 400},
		{"batch", http.MethodPost, "[" + query + "]", "application/json", 400},
		{"unknown member", http.MethodPost, `{"query":"{__typename}","extensions":{}}`, "application/json", 400},
		{"everything", http.MethodPost, `{"query":"query a {__typename}","variables":null,"operationName":"a"}`, "application/json", 200},
	} {
		p := send(t, tt.method, host, tt.body, func(r *http.Request) { basic(classic)(r); r.Header.Set("Content-Type", tt.kind) })
		if p.status != tt.status {
			t.Errorf("%s: status %d, want %d: %s", tt.what, p.status, tt.status, p.body)
		}
	}
	now.Add(time.Hour)
	p := send(t, http.MethodPost, host, query, basic(classic))
	if p.status != http.StatusUnauthorized || compact(p.body) != `{"code":401,"message":"Unauthorized"}` || p.header.Get("X-Seraph-LoginReason") != "AUTHENTICATED_FAILED" {
		t.Errorf("an expired token: %d %v %s", p.status, p.header, p.body)
	}
	if p := send(t, http.MethodGet, site.URL()+"/wiki/api/v2/spaces", "", basic(classic)); p.status != http.StatusUnauthorized {
		t.Errorf("an expired token opens REST: %d", p.status)
	}
}

func TestOAuthIsRefusedFieldByField(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", RequiredScopesKey: "required_scopes_any"})
	srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
	tokens := func(sites []string, scopes ...string) string {
		app := srv.AddApp(confluencetest.App{})
		issued, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: sites, Scopes: scopes})
		if err != nil {
			t.Fatal(err)
		}
		return issued.AccessToken
	}
	ask := func(token, query string, headers ...string) gqlAnswer {
		t.Helper()
		return parseAnswer(t, send(t, http.MethodPost, srv.APIURL()+"/graphql", graphqlBody(t, query, nil), bearer(token), headers...))
	}
	one := tokens([]string{"acme"}, "read:space:confluence", "read:x")
	const both = `{ sitePermissions { anonymousAccessDSPBlocked } confluence { siteConfiguration { maxRssItems } } }`
	a := ask(one, both)
	var data struct {
		SitePermissions *struct{}
		Confluence      *struct{ SiteConfiguration *struct{} }
	}
	if err := json.Unmarshal(a.Data, &data); err != nil || data.SitePermissions != nil || data.Confluence == nil || data.Confluence.SiteConfiguration != nil || len(a.Errors) != 2 {
		t.Fatalf("%v: %+v", err, a)
	}
	if e := a.Errors[0].Extensions; e["classification"] != "InsufficientOAuthScopes" || fmt.Sprint(e["required_scopes_any"]) != "[confluence:atlassian-external]" {
		t.Errorf("site permissions: %v", e)
	}
	if e := a.Errors[1]; e.Extensions["classification"] != "FieldNotExposedForOauth" || fmt.Sprint(e.Path) != "[confluence siteConfiguration]" {
		t.Errorf("site configuration: %v", e)
	}
	site.OpenToOAuth("sitePermissions", "read:x")
	site.OpenToOAuth("confluence.siteConfiguration", "read:y", "read:x")
	a = ask(one, both)
	if len(a.Errors) != 1 || fmt.Sprint(a.Errors[0].Extensions["required_scopes_any"]) != "[read:y read:x]" || !strings.Contains(string(a.Data), `"anonymousAccessDSPBlocked":false`) {
		t.Errorf("half open: %+v", a)
	}
	if a = ask(tokens([]string{"acme"}, "read:x", "read:y"), both); len(a.Errors) != 0 {
		t.Errorf("open: %+v", a)
	}
	site.CloseToOAuth("sitePermissions")
	if a = ask(one, `{ sitePermissions { anonymousAccessDSPBlocked } }`); len(a.Errors) != 1 {
		t.Errorf("closed again: %+v", a)
	}
	// A token of several sites must name one.
	site.OpenToOAuth("publicLinkSiteStatus")
	two := tokens(nil, "read:x")
	const status = `{ publicLinkSiteStatus { status } }`
	const prefix = "ari:cloud:confluence::site/"
	for what, tt := range map[string]struct {
		query   string
		headers []string
		class   any
	}{
		"no site":       {status, nil, "MissingQueryContext"},
		"header":        {status, []string{"X-Query-Context", prefix + site.CloudID()}, nil},
		"broken header": {status, []string{"X-Query-Context", site.CloudID()}, "BAD_REQUEST"},
		"unknown site":  {status, []string{"X-Query-Context", prefix + "x"}, "DataFetchingException"},
		"argument":      {`{ publicLinkSiteStatus { status } confluence { siteConfiguration(cloudId: "` + site.CloudID() + `") { __typename } } }`, nil, "InsufficientOAuthScopes"},
		"two arguments": {`{ a: confluence { siteConfiguration(cloudId: "x") { __typename } } b: confluence { siteConfiguration(cloudId: "y") { __typename } } }`, nil, "BAD_REQUEST"},
		"context":       {`{ ecosystem { appsInstalledInContexts(contextIds: ["` + prefix + site.CloudID() + `"]) { totalCount } } }`, nil, "FieldNotExposedForOauth"},
	} {
		a := ask(two, tt.query, tt.headers...)
		var class any
		if len(a.Errors) > 0 {
			class = a.Errors[0].Extensions["classification"]
		}
		if class != tt.class {
			t.Errorf("%s: %v, want %v: %+v", what, class, tt.class, a)
		}
	}
	before := site.APICalls()
	ask(two, status, "X-Query-Context", prefix+site.CloudID())
	if site.APICalls() != before+1 || site.SiteCalls() != 0 {
		t.Errorf("gateway calls %d after %d, site calls %d", site.APICalls(), before, site.SiteCalls())
	}
	last := site.Requests()
	if r := last[len(last)-1]; r.Endpoint != "POST /graphql" || r.Object != "publicLinkSiteStatus" || !r.Gateway || r.Status != 200 {
		t.Errorf("logged as %+v", r)
	}
}

func TestSchemaDrift(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Groups: 9})
	other := srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
	in, neighbour := newInsider(t, srv, site), newInsider(t, srv, other)
	const old, renamed = `{ sitePermissions { groups { count } } }`, `{ sitePermissions { groupsV2 { count } } }`
	fails := func(in *insider, query string) bool { return len(parseAnswer(t, in.post(query, nil)).Errors) > 0 }
	if err := site.RenameGraphQLField("SitePermission", "groups", "groupsV2"); err != nil {
		t.Fatal(err)
	}
	if err := site.RenameGraphQLField("SitePermission", "groups", "x"); err == nil {
		t.Error("a field that is gone was renamed")
	}
	if err := site.RenameGraphQLField("Nothing", "groups", "x"); err == nil {
		t.Error("a field of an unknown type was renamed")
	}
	if !fails(in, old) || fails(in, renamed) || fails(neighbour, old) || !fails(neighbour, renamed) {
		t.Error("the renaming is not what documents are checked against, or not on this site alone")
	}
	var got struct {
		SitePermissions struct{ GroupsV2 struct{ Count int } }
	}
	in.data(&got, renamed, nil)
	if want := len(site.Posture().SitePermissions.Groups); got.SitePermissions.GroupsV2.Count != want {
		t.Errorf("%d groups under the new name, want %d", got.SitePermissions.GroupsV2.Count, want)
	}
	if err := site.RenameGraphQLField("SitePermission", "groupsV2", "groupsV3"); err != nil {
		t.Fatal(err)
	}
	if fails(in, `{ sitePermissions { groupsV3 { count } } }`) {
		t.Error("renamed twice, the field lost its data")
	}
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultPartialData, Field: "sitePermissions.groups"})
	if !fails(in, `{ sitePermissions { groupsV3 { count } } }`) {
		t.Error("faults do not know the field's first name")
	}
	if err := site.DropGraphQLField("Query", "publicLinkSiteStatus"); err != nil {
		t.Fatal(err)
	}
	if !fails(in, `{ publicLinkSiteStatus { status } }`) || slices.Contains(in.fieldNames("Query"), "publicLinkSiteStatus") || !slices.Contains(in.fieldNames("SitePermission"), "groupsV3") {
		t.Error("a dropped field is still there, or introspection does not know")
	}
	site.ResetGraphQLSchema()
	if fails(in, old) || !slices.Contains(in.fieldNames("PublicLinkPageInfo"), "endPage") || in.fieldNames("Nothing") != nil {
		t.Error("the schema is not what it was")
	}
	site.RequireExperimental("publicLinkSiteStatus", "confluence-agg-beta")
	a := parseAnswer(t, in.post(`{ publicLinkSiteStatus { status } }`, nil))
	if len(a.Errors) != 1 || a.Data != nil || !strings.Contains(a.Errors[0].Message, "X-ExperimentalApi: confluence-agg-beta") {
		t.Errorf("without the header: %+v", a)
	}
	if a := parseAnswer(t, in.post(`{ publicLinkSiteStatus { status } }`, nil, "X-ExperimentalApi", "other", "X-ExperimentalApi", "confluence-agg-beta")); len(a.Errors) != 0 {
		t.Errorf("with the header: %+v", a)
	}
}

func TestGatewayCostLimit(t *testing.T) {
	now := newClock()
	now.Add(30 * time.Second)
	srv := start(t, confluencetest.Settings{Now: now.Now, Limits: confluencetest.Limits{Enforce: true, GraphQLPointsPerMinute: 100}})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	in := newInsider(t, srv, site)
	const query = `{ sitePermissions { groups { nodes { id operations { operation } } } } }`
	served := 0
	p := in.post(query, nil)
	for ; p.status == http.StatusOK && served < 50; served++ {
		p = in.post(query, nil)
	}
	if served < 1 || served > 11 || p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") != "2026-03-02T09:21Z" || !strings.Contains(string(p.body), `"RateLimited"`) {
		t.Fatalf("after %d documents: %d %v %s", served, p.status, p.header, p.body)
	}
	if p := in.get("/wiki/api/v2/spaces"); p.status != http.StatusOK {
		t.Errorf("the gateway's limit stops REST: %d", p.status)
	}
	now.Add(29 * time.Second)
	if p := in.post(query, nil); p.status != http.StatusTooManyRequests {
		t.Errorf("a second before the minute is over: %d", p.status)
	}
	now.Add(time.Second)
	if p := in.post(query, nil); p.status != http.StatusOK {
		t.Errorf("in the next minute: %d", p.status)
	}
}
