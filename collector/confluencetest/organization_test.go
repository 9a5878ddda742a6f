package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// steward reads an organization with a key, through HTTP alone.
type steward struct {
	t     *testing.T
	base  string // .../api/admin
	key   string
	limit int // 0: the endpoint's default
}

func newSteward(t *testing.T, srv *confluencetest.Server, org *confluencetest.Organization) *steward {
	t.Helper()
	return &steward{t: t, base: srv.APIURL() + "/admin", key: org.AddAdminKey(confluencetest.AdminScopes(), time.Time{}).Key}
}

func (st *steward) do(method, path, body string) page {
	st.t.Helper()
	return send(st.t, method, st.base+path, body, bearer(st.key))
}

type adminEnvelope[T any] struct {
	Data []T
	Meta *struct {
		Next     *string
		PageSize *int `json:"page_size"`
		Total    *int
	}
	Links struct{ Self, Next *string }
}

func decodeAdmin[T any](t *testing.T, p page) adminEnvelope[T] {
	t.Helper()
	var e adminEnvelope[T]
	if err := json.Unmarshal(p.body, &e); err != nil || p.status != http.StatusOK {
		t.Fatalf("status %d, %v in %s", p.status, err, p.body)
	}
	if e.Links.Next != nil && (strings.Contains(*e.Links.Next, "/") || *e.Links.Next == "") {
		t.Fatalf("the link to the next page is no bare cursor: %q", *e.Links.Next)
	}
	return e
}

// walkAdmin follows the cursors of a GET listing.
func walkAdmin[T any](st *steward, path string, limited bool) []T {
	st.t.Helper()
	var all []T
	q := url.Values{}
	if limited && st.limit > 0 {
		q.Set("limit", strconv.Itoa(st.limit))
	}
	for {
		e := decodeAdmin[T](st.t, st.do(http.MethodGet, path+"?"+q.Encode(), ""))
		all = append(all, e.Data...)
		if e.Meta != nil && (*e.Meta.PageSize != len(e.Data) || (e.Meta.Next == nil) != (e.Links.Next == nil)) {
			st.t.Fatalf("%s: meta %+v and links %+v with %d items", path, e.Meta, e.Links, len(e.Data))
		}
		if e.Links.Next == nil {
			return all
		}
		q.Set("cursor", *e.Links.Next)
	}
}

// post sends a JSON body.
func (st *steward) post(path string, body map[string]any) page {
	st.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		st.t.Fatal(err)
	}
	return st.do(http.MethodPost, path, string(b))
}

type wireAccount struct {
	AccountID, AccountType, Status, AccountStatus, MembershipStatus, Name, Nickname, Email, ClaimStatus string

	ManagementSource *string
	MFAEnabled       *bool
	AddedToOrg       time.Time
	PlatformRoles    []string
	Counts           *struct{ Resources int }
	ProductAccess    []struct {
		Key, ID             string
		LastActiveTimestamp *time.Time
	}
	Groups []confluencetest.GroupReference
}

// users walks the search; filters are further members of the body.
func (st *steward) users(org, directory string, filters map[string]any) []wireAccount {
	st.t.Helper()
	body := map[string]any{}
	maps.Copy(body, filters)
	if st.limit > 0 {
		body["limit"] = st.limit
	}
	var all []wireAccount
	for {
		e := decodeAdmin[wireAccount](st.t, st.post("/v2/orgs/"+org+"/directories/"+directory+"/users/search", body))
		all = append(all, e.Data...)
		if e.Links.Next == nil {
			return all
		}
		body["cursor"] = *e.Links.Next
	}
}

// read collects everything that OrganizationTruth covers.
func (st *steward) read() confluencetest.OrganizationTruth {
	st.t.Helper()
	var t confluencetest.OrganizationTruth
	orgs := walkAdmin[struct {
		ID         string
		Attributes struct{ Name string }
	}](st, "/v1/orgs", false)
	if len(orgs) != 1 {
		st.t.Fatalf("the key shows %d organizations", len(orgs))
	}
	t.ID, t.Name = orgs[0].ID, orgs[0].Attributes.Name
	v1, v2 := "/v1/orgs/"+t.ID, "/v2/orgs/"+t.ID
	for _, d := range walkAdmin[struct{ DirectoryID, Name string }](st, v2+"/directories", true) {
		t.Directories = append(t.Directories, confluencetest.Directory{ID: d.DirectoryID, Name: d.Name})
	}
	for _, d := range walkAdmin[struct {
		ID         string
		Attributes struct {
			Name  string
			Claim struct{ Type, Status string }
		}
	}](st, v1+"/domains", false) {
		t.Domains = append(t.Domains, confluencetest.Domain{ID: d.ID, Name: d.Attributes.Name, ClaimType: d.Attributes.Claim.Type, ClaimStatus: d.Attributes.Claim.Status})
	}
	for _, p := range walkAdmin[struct {
		ID         string
		Attributes struct {
			Type, Name, Status string
			Rule               json.RawMessage
			Resources          []confluencetest.PolicyResource
			CreatedAt          time.Time
			UpdatedAt          *time.Time
		}
	}](st, v1+"/policies", false) {
		policy := confluencetest.Policy{
			ID: p.ID, Type: p.Attributes.Type, Name: p.Attributes.Name, Status: p.Attributes.Status, Rule: string(p.Attributes.Rule), Resources: p.Attributes.Resources, CreatedAt: p.Attributes.CreatedAt,
		}
		if p.Attributes.UpdatedAt != nil {
			policy.UpdatedAt = *p.Attributes.UpdatedAt
		}
		t.Policies = append(t.Policies, policy)
	}
	for _, e := range walkAdmin[struct {
		ID         string
		Attributes struct {
			Time               time.Time
			Action             string
			Actor              struct{ ID, Name string }
			Context, Container []struct {
				ID, Type   string
				Attributes struct{ Name string }
			}
			Location struct{ IP, CountryName string }
		}
	}](st, v1+"/events", true) {
		a := e.Attributes
		t.Events = append(t.Events, confluencetest.OrganizationEvent{
			ID: e.ID, At: a.Time, Action: a.Action, ActorID: a.Actor.ID, ActorName: a.Actor.Name, IP: a.Location.IP, Country: a.Location.CountryName, Product: a.Container[0].ID,
			ObjectID: a.Context[0].ID, ObjectType: a.Context[0].Type, ObjectName: a.Context[0].Attributes.Name,
		})
	}
	slices.Reverse(t.Events) // newest first
	t.Workspaces = st.workspaces(t.ID)
	for _, u := range st.users(t.ID, "-", map[string]any{"expand": []string{"platformRoles", "counts.resources", "productAccess", "groups"}}) {
		t.Users = append(t.Users, u.user())
	}
	return t
}

func (u wireAccount) user() confluencetest.OrganizationUser {
	o := confluencetest.OrganizationUser{
		AccountID: u.AccountID, AccountType: u.AccountType, Name: u.Name, Nickname: u.Nickname, Email: u.Email, Status: u.Status, AccountStatus: u.AccountStatus,
		MembershipStatus: u.MembershipStatus, ClaimStatus: u.ClaimStatus, ManagementSource: value(u.ManagementSource), MFA: u.MFAEnabled, AddedToOrg: u.AddedToOrg,
		PlatformRoles: u.PlatformRoles, Groups: u.Groups,
	}
	for _, a := range u.ProductAccess {
		access := confluencetest.ProductAccess{Key: a.Key, ID: a.ID}
		if a.LastActiveTimestamp != nil {
			access.LastActive = *a.LastActiveTimestamp
		}
		o.Access = append(o.Access, access)
	}
	return o
}

func (st *steward) workspaces(org string) (list []confluencetest.Workspace) {
	st.t.Helper()
	body := map[string]any{}
	if st.limit > 0 {
		body["limit"] = st.limit
	}
	for {
		e := decodeAdmin[struct {
			ID         string
			Attributes struct {
				Name, TypeKey, Type, Status string
				HostURL                     *string
				Usage, Capacity             *int
			}
			Relationships struct {
				Entitlement []struct{ Attributes struct{ PlanKey string } }
			}
		}](st.t, st.post("/v2/orgs/"+org+"/workspaces", body))
		for _, w := range e.Data {
			list = append(list, confluencetest.Workspace{
				ID: w.ID, TypeKey: w.Attributes.TypeKey, Type: w.Attributes.Type, Name: w.Attributes.Name, Status: w.Attributes.Status, HostURL: value(w.Attributes.HostURL),
				Plan: w.Relationships.Entitlement[0].Attributes.PlanKey, Usage: w.Attributes.Usage, Capacity: w.Attributes.Capacity,
			})
		}
		if e.Links.Next == nil {
			if *e.Meta.Total != len(list) {
				st.t.Errorf("%d workspaces, the total says %d", len(list), *e.Meta.Total)
			}
			return list
		}
		body = map[string]any{"cursor": *e.Links.Next} // alone
	}
}

func twoSites(t *testing.T, settings confluencetest.Settings) (*confluencetest.Server, *confluencetest.Organization, *confluencetest.Site, *confluencetest.Site) {
	t.Helper()
	srv := start(t, settings)
	acme := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Users: 60, Guests: 5})
	bravo := srv.AddSite(confluencetest.SiteSettings{Name: "bravo", Users: 30, Edition: "enterprise"})
	org := srv.AddOrganization(confluencetest.OrganizationSettings{Name: "Acme \"Group\"", Sites: []string{"acme", "bravo"}, Events: 30, OtherUsers: 4, Domains: 5, Policies: 7})
	return srv, org, acme, bravo
}

func TestOrganizationPagesEqualTruth(t *testing.T) {
	for _, limit := range []int{0, 1, 7, 100} {
		t.Run(fmt.Sprint("limit ", limit), func(t *testing.T) {
			srv, org, acme, bravo := twoSites(t, confluencetest.Settings{Seed: 3})
			st := newSteward(t, srv, org)
			st.limit = limit
			got, want := st.read(), org.Truth()
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(confluencetest.OrganizationUser{}, "Roles", "Directory")); diff != "" {
				t.Errorf("what HTTP shows differs from the truth (-truth +read):\n%s", diff)
			}
			if len(want.Users) < 60 || len(want.Workspaces) != 3 || org.AdminCalls() == 0 || srv.Calls().Admin != org.AdminCalls() || acme.APICalls()+acme.SiteCalls() != 0 {
				t.Errorf("%d users, %d workspaces, calls %+v", len(want.Users), len(want.Workspaces), srv.Calls())
			}
			// The licence endpoint, the count and the roles agree on the seats.
			for _, site := range []*confluencetest.Site{acme, bravo} {
				ari := "ari:cloud:confluence::site/" + site.CloudID()
				p := st.do(http.MethodGet, "/v2/orgs/"+org.ID()+"/directories/-/users/count?resourceIds="+url.QueryEscape(ari)+"&roleIds=atlassian%2Fuser", "")
				if compact(p.body) != fmt.Sprintf(`{"count":%d}`, site.Posture().Seats.Used) {
					t.Errorf("%s: %s, want %d", site.Name(), p.body, site.Posture().Seats.Used)
				}
			}
			if acme.Posture().OrganizationID != org.ID() || strings.Trim(org.ID(), "0123456789abcdef-") == "" {
				t.Errorf("organization id %q of site: %q", org.ID(), acme.Posture().OrganizationID)
			}
		})
	}
}

func TestOrganizationUserFilters(t *testing.T) {
	srv, org, acme, _ := twoSites(t, confluencetest.Settings{Seed: 3})
	st := newSteward(t, srv, org)
	truth := org.Truth()
	ari := "ari:cloud:confluence::site/" + acme.CloudID()
	groups := acme.Truth()
	group := groups.Groups[slices.IndexFunc(groups.Groups, func(g confluencetest.Group) bool { return len(groups.Members[g.ID]) > 2 })]
	for what, tt := range map[string]struct {
		directory string
		filters   map[string]any
		keep      func(u confluencetest.OrganizationUser) bool
	}{
		"everybody": {"-", nil, func(confluencetest.OrganizationUser) bool { return true }},
		"directory": {truth.Directories[1].ID, nil, func(u confluencetest.OrganizationUser) bool { return u.Directory == truth.Directories[1].ID }},
		"guests":    {"-", map[string]any{"roleIds": []string{"atlassian/guest"}}, func(u confluencetest.OrganizationUser) bool { return slices.Contains(u.Roles[ari], "atlassian/guest") }},
		"admins":    {"-", map[string]any{"resourceIds": []string{ari}, "roleIds": []string{"atlassian/admin"}}, func(u confluencetest.OrganizationUser) bool { return slices.Contains(u.Roles[ari], "atlassian/admin") }},
		"org admins": {"-", map[string]any{"roleIds": []string{"atlassian/org-admin"}}, func(u confluencetest.OrganizationUser) bool {
			return slices.Contains(u.PlatformRoles, "atlassian/org-admin")
		}},
		"no mfa":    {"-", map[string]any{"mfaEnabled": false}, func(u confluencetest.OrganizationUser) bool { return u.MFA != nil && !*u.MFA }},
		"unmanaged": {"-", map[string]any{"claimStatus": "unmanaged"}, func(u confluencetest.OrganizationUser) bool { return u.ClaimStatus == "unmanaged" }},
		"suspended": {"-", map[string]any{"status": []string{"suspended", "deactivated"}}, func(u confluencetest.OrganizationUser) bool {
			return u.Status == "suspended" || u.Status == "deactivated"
		}},
		"members": {"-", map[string]any{"groupIds": []string{group.ID}}, func(u confluencetest.OrganizationUser) bool {
			return slices.ContainsFunc(u.Groups, func(g confluencetest.GroupReference) bool { return g.ID == group.ID })
		}},
		"domain": {"-", map[string]any{"emailDomains": []string{"mail0.example"}}, func(u confluencetest.OrganizationUser) bool { return strings.HasSuffix(u.Email, "@mail0.example") }},
		"term":   {"-", map[string]any{"searchTerm": "alex"}, func(u confluencetest.OrganizationUser) bool { return strings.Contains(strings.ToLower(u.Name), "alex") }},
	} {
		var want, got []string
		for _, u := range truth.Users {
			if tt.keep(u) {
				want = append(want, u.AccountID)
			}
		}
		for _, u := range st.users(org.ID(), tt.directory, tt.filters) {
			got = append(got, u.AccountID)
			if u.PlatformRoles != nil || u.Counts != nil || u.ProductAccess != nil || u.Groups != nil {
				t.Fatalf("%s: what was not expanded is there: %+v", what, u)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
			t.Errorf("%s (%d wanted):\n%s", what, len(want), diff)
		}
	}
	sorted := st.users(org.ID(), "-", map[string]any{"sortBy": []map[string]string{{"field": "nick_name", "direction": "desc"}}})
	if !slices.IsSortedFunc(sorted, func(a, b wireAccount) int { return strings.Compare(b.Nickname, a.Nickname) }) {
		t.Error("not sorted by nickname")
	}
}
