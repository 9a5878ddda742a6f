package confluencetest_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// walker reads a site through HTTP alone. It follows links as the gateway needs
// it and knows nothing of how the simulator makes them.
type walker struct {
	t     *testing.T
	base  string // .../api/ex/confluence/{cloudId}
	token string
	limit int // 0: the endpoint's default
	calls int64
}

// page is one answer.
type page struct {
	status int
	header http.Header
	body   []byte
}

func (w *walker) do(method, path, body string) page {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	w.calls++
	return page{status: resp.StatusCode, header: resp.Header, body: b}
}

func (w *walker) get(path string) page { w.t.Helper(); return w.do(http.MethodGet, path, "") }

// json decodes the answer to a GET that must succeed.
func (w *walker) json(path string, into any) {
	w.t.Helper()
	p := w.get(path)
	if p.status != http.StatusOK {
		w.t.Fatalf("GET %s: status %d, body %s", path, p.status, p.body)
	}
	if err := json.Unmarshal(p.body, into); err != nil {
		w.t.Fatalf("GET %s: %v in %q", path, err, p.body)
	}
}

type envelope[T any] struct {
	Results   []T
	Start     int
	Limit     int
	Size      int
	TotalSize *int
	Links     struct{ Next, Base, Context string } `json:"_links"`
}

func (w *walker) withLimit(path string) string {
	if w.limit == 0 {
		return path
	}
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	return fmt.Sprintf("%s%slimit=%d", path, separator, w.limit)
}

// walkV2 follows next links to the end.
func walkV2[T any](w *walker, path string) []T {
	w.t.Helper()
	var all []T
	for path = w.withLimit(path); path != ""; {
		var e envelope[T]
		w.json(path, &e)
		all = append(all, e.Results...)
		path = e.Links.Next
	}
	return all
}

// walkV1 pages by start and size.
func walkV1[T any](w *walker, path string) []T {
	w.t.Helper()
	var all []T
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	for start := 0; ; {
		var e envelope[T]
		w.json(w.withLimit(path+separator+fmt.Sprintf("start=%d", start)), &e)
		if e.Size != len(e.Results) || e.Start != start {
			w.t.Fatalf("%s from %d: envelope says start %d size %d for %d results", path, start, e.Start, e.Size, len(e.Results))
		}
		all = append(all, e.Results...)
		start += e.Size
		if e.Links.Next == "" {
			return all
		}
	}
}

// value maps null to the empty string.
func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type wireSpace struct {
	ID, Key, Name, Type, Status, AuthorID string
	CurrentActiveAlias, HomepageID        *string
	CreatedAt                             time.Time
	Description                           *struct{ Plain struct{ Value string } }
}

type wirePermission struct {
	ID        string
	Principal struct{ Type, ID string }
	Operation struct{ Key, TargetType string }
}

type wireUser struct {
	AccountID, AccountType, AccountStatus, Email, DisplayName, PublicName string
	TimeZone, PersonalSpaceID                                             *string
	IsExternalCollaborator                                                *bool
	IsGuest                                                               bool
}

// read collects everything that Truth covers.
func (w *walker) read() confluencetest.Truth {
	w.t.Helper()
	t := confluencetest.Truth{
		Permissions: map[string][]confluencetest.Permission{}, Members: map[string][]string{}, Assignments: map[string][]confluencetest.RoleAssignment{},
	}
	for _, s := range walkV2[wireSpace](w, "/wiki/api/v2/spaces?description-format=plain") {
		space := confluencetest.Space{
			ID: s.ID, Key: s.Key, Name: s.Name, Type: s.Type, Status: s.Status, AuthorID: s.AuthorID,
			Alias: value(s.CurrentActiveAlias), HomepageID: value(s.HomepageID), CreatedAt: s.CreatedAt,
		}
		if s.Description != nil {
			space.Description = s.Description.Plain.Value
		}
		t.Spaces = append(t.Spaces, space)
		rows := []confluencetest.Permission{}
		for _, p := range walkV2[wirePermission](w, "/wiki/api/v2/spaces/"+s.ID+"/permissions") {
			rows = append(rows, confluencetest.Permission{
				ID: p.ID, PrincipalType: p.Principal.Type, PrincipalID: p.Principal.ID, Operation: p.Operation.Key, Target: p.Operation.TargetType,
			})
		}
		t.Permissions[s.ID] = rows
	}
	for _, s := range walkV2[struct {
		ID         string
		DataPolicy struct{ AnyContentBlocked bool }
	}](w, "/wiki/api/v2/data-policies/spaces") {
		if s.DataPolicy.AnyContentBlocked {
			t.BlockedSpaces = append(t.BlockedSpaces, s.ID)
		}
	}
	w.readPeople(&t)
	w.readSettings(&t)
	return t
}

func (w *walker) readPeople(t *confluencetest.Truth) {
	w.t.Helper()
	ids := map[string]bool{}
	access := map[string]string{}
	for _, a := range []string{"user", "admin", "site-admin"} {
		for _, g := range walkV1[confluencetest.Group](w, "/wiki/rest/api/group?accessType="+a) {
			access[g.ID] = a
		}
	}
	for _, g := range walkV1[confluencetest.Group](w, "/wiki/rest/api/group") {
		t.Groups = append(t.Groups, confluencetest.Group{ID: g.ID, Name: g.Name, Access: access[g.ID]})
		members := []string{}
		for _, u := range walkV1[wireUser](w, "/wiki/rest/api/group/"+g.ID+"/membersByGroupId?expand=isExternalCollaborator") {
			members = append(members, u.AccountID)
			ids[u.AccountID] = true
		}
		t.Members[g.ID] = members
	}
	var wanted []string
	for id := range ids {
		wanted = append(wanted, id)
	}
	slices.Sort(wanted)
	for part := range slices.Chunk(wanted, 250) {
		body, err := json.Marshal(map[string]any{"accountIds": part})
		if err != nil {
			w.t.Fatal(err)
		}
		p := w.do(http.MethodPost, "/wiki/api/v2/users-bulk", string(body))
		var e envelope[wireUser]
		if err := json.Unmarshal(p.body, &e); err != nil || p.status != http.StatusOK {
			w.t.Fatalf("users-bulk: status %d, %v in %s", p.status, err, p.body)
		}
		for _, u := range e.Results {
			t.Users = append(t.Users, confluencetest.User{
				AccountID: u.AccountID, AccountType: u.AccountType, AccountStatus: u.AccountStatus, Email: u.Email, DisplayName: u.DisplayName,
				PublicName: u.PublicName, TimeZone: value(u.TimeZone), PersonalSpace: value(u.PersonalSpaceID), External: u.IsExternalCollaborator,
			})
		}
	}
	slices.SortFunc(t.Users, func(a, b confluencetest.User) int { return cmp.Compare(a.AccountID, b.AccountID) })
	for _, hit := range walkV1[struct{ User wireUser }](w, "/wiki/rest/api/search/user?cql="+url.QueryEscape("type = user")+"&sitePermissionTypeFilter=externalCollaborator") {
		t.External = append(t.External, hit.User.AccountID)
	}
	slices.Sort(t.External)
}

func (w *walker) readSettings(t *confluencetest.Truth) {
	w.t.Helper()
	var info struct{ Edition, SiteTitle, DefaultLocale, DefaultTimeZone string }
	w.json("/wiki/rest/api/settings/systemInfo", &info)
	var mode struct{ Mode string }
	w.json("/wiki/api/v2/space-role-mode", &mode)
	var retention struct {
		Number int
		Units  string
	}
	w.json("/wiki/rest/api/audit/retention", &retention)
	var policy struct{ AnyContentBlocked bool }
	w.json("/wiki/api/v2/data-policies/metadata", &policy)
	t.Settings = confluencetest.SiteConfiguration{
		Edition: info.Edition, Title: info.SiteTitle, DefaultLocale: info.DefaultLocale, DefaultTimeZone: info.DefaultTimeZone,
		RoleMode: mode.Mode, RetentionNumber: retention.Number, RetentionUnits: retention.Units, AnyContentBlocked: policy.AnyContentBlocked,
	}
	w.json("/wiki/api/v2/classification-levels", &t.Levels)
	if mode.Mode != "PRE_ROLES" {
		for _, r := range walkV2[struct {
			ID, Type, Name, Description string
			SpacePermissions            []string
		}](w, "/wiki/api/v2/space-roles") {
			t.Roles = append(t.Roles, confluencetest.Role{ID: r.ID, Type: r.Type, Name: r.Name, Description: r.Description, Permissions: r.SpacePermissions})
		}
		for _, s := range t.Spaces {
			for _, a := range walkV2[struct {
				Principal struct{ PrincipalType, PrincipalID string }
				RoleID    string
			}](w, "/wiki/api/v2/spaces/"+s.ID+"/role-assignments") {
				t.Assignments[s.ID] = append(t.Assignments[s.ID], confluencetest.RoleAssignment{PrincipalType: a.Principal.PrincipalType, PrincipalID: a.Principal.PrincipalID, RoleID: a.RoleID})
			}
		}
	}
	for _, a := range walkV1[struct {
		Author                           struct{ AccountID, DisplayName string }
		RemoteAddress, Summary, Category string
		CreationDate                     int64
		AffectedObject                   struct{ Name, ObjectType string }
		ChangedValues                    []struct{ Name, OldValue, NewValue string }
		AssociatedObjects                []struct{ Name, ObjectType string }
	}](w, "/wiki/rest/api/audit") {
		r := confluencetest.AuditRecord{
			At: time.UnixMilli(a.CreationDate).UTC(), AuthorID: a.Author.AccountID, AuthorName: a.Author.DisplayName, Address: a.RemoteAddress,
			Summary: a.Summary, Category: a.Category, Object: a.AffectedObject.Name, ObjectType: a.AffectedObject.ObjectType,
		}
		for _, v := range a.ChangedValues {
			r.Changed = append(r.Changed, confluencetest.AuditChange{Name: v.Name, Old: v.OldValue, New: v.NewValue})
		}
		for _, o := range a.AssociatedObjects {
			r.Associated = append(r.Associated, confluencetest.AuditObject{Name: o.Name, Type: o.ObjectType})
		}
		t.Audit = append(t.Audit, r)
	}
	slices.Reverse(t.Audit) // the endpoint answers newest first
}

// start runs a server that is closed with the test.
func start(t *testing.T, s confluencetest.Settings) *confluencetest.Server {
	t.Helper()
	srv := confluencetest.New(s)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// reader connects to a site with all scopes.
func reader(t *testing.T, srv *confluencetest.Server, site *confluencetest.Site) *walker {
	t.Helper()
	app := srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes(), RedirectURIs: []string{"http://127.0.0.1/callback"}})
	tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID, Sites: []string{site.Name()}})
	if err != nil {
		t.Fatal(err)
	}
	return &walker{t: t, base: srv.APIURL() + "/ex/confluence/" + site.CloudID(), token: tokens.AccessToken}
}

// compact makes bodies comparable in messages.
func compact(b []byte) string { return string(bytes.TrimSpace(b)) }
