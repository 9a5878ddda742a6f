package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// dcWalker reads a Data Center through the API alone, in pages of limit items,
// either by the links or by counting what came.
type dcWalker struct {
	walker
	links bool
}

func newDCWalker(t *testing.T, dc *confluencetest.DataCenter, username string) *dcWalker {
	t.Helper()
	pat := dc.AddPAT(confluencetest.DCPAT{Username: username})
	return &dcWalker{walker: walker{t: t, base: dc.URL(), token: pat.Token, limit: 3}}
}

// with sends a GET with further headers and returns the answer.
func (w *dcWalker) with(path string, header ...string) page {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.base+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.token != "" {
		req.Header.Set("Authorization", "Bearer "+w.token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatalf("GET %s: %v", path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatalf("GET %s: %v", path, err)
	}
	w.calls++
	return page{resp.StatusCode, resp.Header, b}
}

// walkDC reads a numbered listing to its end.
func walkDC[T any](w *dcWalker, path string) []T {
	w.t.Helper()
	if !w.links {
		return walkV1[T](&w.walker, path)
	}
	var all []T
	for path = w.withLimit(path); path != ""; {
		var e envelope[T]
		w.json(path, &e)
		if len(e.Results) != e.Size || e.Links.Base != w.base || !strings.HasSuffix(w.base, e.Links.Context) {
			w.t.Fatalf("%s: %d results, envelope %+v", path, len(e.Results), e.Links)
		}
		all = append(all, e.Results...)
		path = e.Links.Next
	}
	return all
}

type dcWireUser struct{ Type, Username, UserKey, DisplayName, Email, Status string }

type dcWireRow struct {
	Operation struct{ TargetType, OperationKey string }
	Subject   *struct{ Type, Name, Username, UserKey, DisplayName string }
	SpaceKey  string
	SpaceID   json.Number
}

func (r dcWireRow) permission() confluencetest.DCPermission {
	p := confluencetest.DCPermission{Operation: r.Operation.OperationKey, Target: r.Operation.TargetType}
	if s := r.Subject; s != nil {
		p.Subject = confluencetest.DCSubject{Type: s.Type, Name: s.Name + s.Username, UserKey: s.UserKey, DisplayName: s.DisplayName}
		if s.Type == confluencetest.SubjectGroup && s.Name != s.DisplayName {
			p.Subject.Name = "group named " + s.Name + " and shown as " + s.DisplayName
		}
	}
	return p
}

func (w *dcWalker) rows(path string) []confluencetest.DCPermission {
	w.t.Helper()
	var wire []dcWireRow
	w.json(path, &wire)
	list := make([]confluencetest.DCPermission, len(wire))
	for i, r := range wire {
		list[i] = r.permission()
	}
	return list
}

// read collects everything that DCTruth covers and the API shows.
func (w *dcWalker) read() confluencetest.DCTruth {
	w.t.Helper()
	t := confluencetest.DCTruth{Permissions: map[string][]confluencetest.DCPermission{}, Members: map[string][]string{}, Nested: map[string][]string{}}
	for _, s := range walkDC[struct {
		ID                      json.Number
		Key, Name, Type, Status string
		Homepage                struct{ ID string }
		Description             struct{ Plain struct{ Value string } }
	}](w, "/rest/api/space?expand=description.plain,homepage") {
		t.Spaces = append(t.Spaces, confluencetest.DCSpace{
			ID: s.ID.String(), Key: s.Key, Name: s.Name, Type: s.Type, Status: s.Status, Description: s.Description.Plain.Value, HomepageID: s.Homepage.ID,
		})
		path := "/rest/api/space/" + url.PathEscape(s.Key) + "/permissions"
		if p := w.get(path); p.status == http.StatusForbidden {
			t.Restricted = append(t.Restricted, s.Key)
			continue
		}
		var wire []dcWireRow
		w.json(path, &wire)
		for _, r := range wire {
			if r.SpaceKey != s.Key || r.SpaceID != s.ID {
				w.t.Errorf("permission of space %q says space %q, id %s", s.Key, r.SpaceKey, r.SpaceID)
			}
		}
		t.Permissions[s.Key] = w.rows(path)
	}
	t.Global, t.Unlicensed = w.rows("/rest/api/permissions"), w.rows("/rest/api/permissions/unlicensed")
	for _, g := range walkDC[struct{ Type, Name string }](w, "/rest/api/group") {
		t.Groups = append(t.Groups, g.Name)
		path := "/rest/api/group/" + url.PathEscape(g.Name)
		t.Members[g.Name], t.Nested[g.Name] = []string{}, []string{}
		for _, m := range walkDC[dcWireUser](w, path+"/member") {
			t.Members[g.Name] = append(t.Members[g.Name], m.UserKey)
		}
		for _, n := range walkDC[struct{ Name string }](w, path+"/groupmember") {
			t.Nested[g.Name] = append(t.Nested[g.Name], n.Name)
		}
	}
	for _, u := range walkDC[dcWireUser](w, "/rest/api/admin/users/list/active") {
		t.Active = append(t.Active, u.UserKey)
	}
	for _, u := range walkDC[dcWireUser](w, "/rest/api/user/list?expand=status") {
		t.Users = append(t.Users, confluencetest.DCUser{UserKey: u.UserKey, Username: u.Username, DisplayName: u.DisplayName, Email: u.Email, Active: u.Status == "active"})
	}
	w.readSystem(&t)
	w.readAudit(&t)
	return t
}

func (w *dcWalker) readSystem(t *confluencetest.DCTruth) {
	w.t.Helper()
	const installed = "application/vnd.atl.plugins.installed+json"
	p := w.with("/rest/plugins/1.0/?os_authType=basic", "Accept", "text/html;q=0.1, "+installed)
	var list struct {
		Plugins []struct {
			Key, Name, Version, Description       string
			Enabled, UserInstalled, UsesLicensing bool
			Vendor                                struct{ Name string }
		}
	}
	if err := json.Unmarshal(p.body, &list); err != nil || p.status != http.StatusOK || p.header.Get("Content-Type") != installed || p.header.Get("Upm-Token") == "" {
		w.t.Fatalf("apps: status %d, %v, header %v, body %s", p.status, err, p.header, p.body)
	}
	for _, a := range list.Plugins {
		addon := confluencetest.DCAddon{Key: a.Key, Name: a.Name, Version: a.Version, Vendor: a.Vendor.Name, Description: a.Description, Enabled: a.Enabled, UserInstalled: a.UserInstalled, UsesLicensing: a.UsesLicensing}
		if a.UsesLicensing {
			var l struct {
				Valid, Evaluation                   bool
				Error, LicenseType, RawLicense      string
				MaximumNumberOfUsers                int
				ExpiryDate, MaintenanceExpiryDate   *int64
				OrganizationName, PluginKey, Status string
			}
			w.json("/rest/plugins/1.0/"+url.PathEscape(a.Key)+"-key/license", &l)
			if l.Error == "" {
				addon.License = &confluencetest.DCAddonLicense{
					Type: l.LicenseType, Valid: l.Valid, Evaluation: l.Evaluation, MaximumUsers: l.MaximumNumberOfUsers, Expires: millis(l.ExpiryDate),
					MaintenanceEnds: millis(l.MaintenanceExpiryDate), Raw: l.RawLicense,
				}
			}
		}
		t.Addons = append(t.Addons, addon)
	}
	var l struct {
		LicenseType, OrganisationName, SupportEntitlementNumber string
		Evaluation                                              bool
		MaximumNumberOfUsers                                    int
		ExpiryDate, MaintenanceExpiryDate, PurchaseDate         *int64
	}
	w.json("/rest/license/1.0/license/details", &l)
	t.License = confluencetest.DCLicense{
		Type: l.LicenseType, Organization: l.OrganisationName, SupportNumber: l.SupportEntitlementNumber, Evaluation: l.Evaluation, MaximumUsers: l.MaximumNumberOfUsers,
		Expires: millis(l.ExpiryDate), MaintenanceEnds: millis(l.MaintenanceExpiryDate), Purchased: millis(l.PurchaseDate),
	}
	var used, most, left struct{ Count, Seats int }
	w.json("/rest/license/1.0/license/userCount", &used)
	w.json("/rest/license/1.0/license/maxUsers", &most)
	w.json("/rest/license/1.0/license/remainingSeats", &left)
	if used.Count != len(t.Active) || most.Count != l.MaximumNumberOfUsers || left.Seats != most.Count-used.Count {
		w.t.Errorf("licence: %d of %d used, %d left, %d active users", used.Count, most.Count, left.Seats, len(t.Active))
	}
	var s struct {
		Version, Title, BaseURL string
		BuildNumber             int
		BuildDate               time.Time
	}
	w.json("/rest/api/server-information", &s)
	t.Server = confluencetest.DCServer{Version: s.Version, BuildNumber: s.BuildNumber, BuildDate: s.BuildDate, Title: s.Title}
	w.json("/rest/api/accessmode", &t.Server.AccessMode)
	var m struct{ Spaces, Users, Groups int }
	if w.json("/rest/api/instance-metrics", &m); m.Users != len(t.Users) || m.Groups != len(t.Groups) || m.Spaces < len(t.Spaces) {
		w.t.Errorf("metrics %+v for %d users, %d groups, %d spaces", m, len(t.Users), len(t.Groups), len(t.Spaces))
	}
}

func millis(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

type dcWireEvent struct {
	Timestamp       time.Time
	Author          struct{ ID, Name, Type string }
	Type            struct{ Category, Action string }
	AffectedObjects []confluencetest.DCAuditObject
	ChangedValues   []struct {
		Key      string
		From, To *string
	}
	ExtraAttributes []confluencetest.DCAuditAttribute
	Source          *string
	Method          string
}

// events reads the audit log by its page cursors, newest first.
func (w *dcWalker) events(query string) []dcWireEvent {
	w.t.Helper()
	var all []dcWireEvent
	for cursor := ""; ; {
		var answer struct {
			Entities   []dcWireEvent
			PagingInfo struct {
				LastPage       bool
				NextPageCursor string
				Size           int
			}
		}
		path := "/rest/auditing/1.0/events?" + query + fmt.Sprintf("&limit=%d", w.limit)
		if cursor != "" {
			path += "&pageCursor=" + url.QueryEscape(cursor)
		}
		w.json(path, &answer)
		if len(answer.Entities) != answer.PagingInfo.Size || len(answer.Entities) > w.limit {
			w.t.Fatalf("%s: %d entities, paging %+v", path, len(answer.Entities), answer.PagingInfo)
		}
		all = append(all, answer.Entities...)
		if answer.PagingInfo.LastPage {
			return all
		}
		cursor = answer.PagingInfo.NextPageCursor
	}
}

func (w *dcWalker) readAudit(t *confluencetest.DCTruth) {
	w.t.Helper()
	for _, e := range w.events("from=2000-01-01T00:00:00Z") {
		a := confluencetest.DCAuditRecord{
			At: e.Timestamp, AuthorKey: e.Author.ID, AuthorName: e.Author.Name, Category: e.Type.Category, Action: e.Type.Action,
			Source: value(e.Source), Method: e.Method, Objects: e.AffectedObjects, Extra: e.ExtraAttributes,
		}
		for _, v := range e.ChangedValues {
			a.Changed = append(a.Changed, confluencetest.DCAuditChange{Key: v.Key, From: value(v.From), To: value(v.To)})
		}
		t.Audit = append(t.Audit, a)
	}
	slices.Reverse(t.Audit)
}

// shown is the part of a truth that the API tells: no rights, no licence of single
// users, no ids of audit events.
func shown(t confluencetest.DCTruth) confluencetest.DCTruth {
	for i := range t.Users {
		t.Users[i].Right, t.Users[i].Licensed = 0, false
	}
	for i := range t.Audit {
		t.Audit[i].ID = 0
	}
	return t
}

func diffTruth(want, got confluencetest.DCTruth) string {
	for _, list := range [][]confluencetest.DCAuditRecord{want.Audit, got.Audit} {
		for i := range list {
			if len(list[i].Changed) == 0 {
				list[i].Changed = nil
			}
			if len(list[i].Extra) == 0 {
				list[i].Extra = nil
			}
		}
	}
	return cmp.Diff(want, got)
}

func TestDataCenterShowsItsTruth(t *testing.T) {
	for name, settings := range map[string]confluencetest.DataCenterSettings{
		"plain":              {Spaces: 12, AuditEvents: 40, Groups: 19},
		"hidden and cyclic":  {Spaces: 13, HiddenSpaces: 2, GroupCycle: true, EffectiveMembers: true, AuditEvents: 10, Addons: 9},
		"without a context":  {ContextPath: "-", Spaces: 3, Users: 4, Groups: 6, Exact: true},
		"in a deeper folder": {ContextPath: "tools/wiki", Spaces: 6, MaxLimit: 2},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			srv := start(t, confluencetest.Settings{Seed: 7, Now: now.Now})
			dc := srv.AddDataCenter(settings)
			if len(settings.ContextPath) == 0 && !strings.HasSuffix(dc.URL(), "/dc/dc1/confluence") {
				t.Errorf("base URL %s", dc.URL())
			}
			if err := dc.RestrictSpace(dc.Truth().Spaces[1].Key, true); err != nil {
				t.Fatal(err)
			}
			w := newDCWalker(t, dc, "")
			if diff := diffTruth(shown(dc.Truth()), w.read()); diff != "" {
				t.Fatalf("what the API shows at the start (-truth +API):\n%s", diff)
			}
			begin := now.Now()
			dc.GenerateHistory(3, begin, begin.AddDate(0, 0, 20), 12)
			now.Add(20 * 24 * time.Hour)
			srv.AdvanceTo(now.Now())
			if dc.Pending() != 0 || len(dc.Log()) < 50 {
				t.Fatalf("%d steps pending, %d changes", dc.Pending(), len(dc.Log()))
			}
			w.links = true
			if diff := diffTruth(shown(dc.Truth()), w.read()); diff != "" {
				t.Errorf("what the API shows after a history (-truth +API):\n%s", diff)
			}
			if got := dc.APICalls(); got != w.calls || int64(len(dc.Requests())) != got {
				t.Errorf("%d calls counted and %d logged, %d were made", got, len(dc.Requests()), w.calls)
			}
			counts, truth := dc.Counts(), dc.Truth()
			if counts.Spaces != len(truth.Spaces) || counts.Users != len(truth.Users) || counts.Global != len(truth.Global) || counts.Groups != len(truth.Groups) || counts.Addons != len(truth.Addons) {
				t.Errorf("counts %+v", counts)
			}
		})
	}
}

func TestDataCenterIsReproducible(t *testing.T) {
	var truths []confluencetest.DCTruth
	for range 2 {
		now := newClock()
		srv := confluencetest.New(confluencetest.Settings{Seed: 11, Now: now.Now})
		dc := srv.AddDataCenter(confluencetest.DataCenterSettings{Name: "intra", AuditEvents: 5})
		cloud := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
		dc.GenerateHistory(1, now.Now(), now.Now().AddDate(0, 0, 10), 20)
		cloud.GenerateHistory(1, now.Now(), now.Now().AddDate(0, 0, 10), 5)
		srv.AdvanceTo(now.Now().AddDate(0, 0, 5))
		if cloud.Pending() == 0 || dc.Pending() == 0 {
			t.Error("nothing is left for the second half")
		}
		srv.AdvanceTo(now.Now().AddDate(0, 0, 10))
		if cloud.Pending()+dc.Pending() != 0 {
			t.Errorf("%d and %d steps are left", cloud.Pending(), dc.Pending())
		}
		truths = append(truths, dc.Truth())
	}
	if diff := cmp.Diff(truths[0], truths[1]); diff != "" {
		t.Errorf("two sites from one seed differ:\n%s", diff)
	}
}

func TestDataCenterIsNasty(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	truth := srv.AddDataCenter(confluencetest.DataCenterSettings{Groups: 19, GroupCycle: true}).Truth()
	types := map[string]int{}
	for _, rows := range truth.Permissions {
		seen := map[confluencetest.DCPermission]bool{}
		for _, p := range rows {
			if seen[p] {
				t.Errorf("permission %+v twice", p)
			}
			seen[p] = true
			types[p.Subject.Type]++
		}
	}
	for _, kind := range []string{"", "known", "unknown", "group", "anonymous", "app"} {
		if types[kind] == 0 {
			t.Errorf("no subject of type %q", kind)
		}
	}
	if types[""] != 1 {
		t.Errorf("%d rows without a subject", types[""])
	}
	if len(truth.Permissions["a"]) != 0 || len(truth.Permissions["a|b"]) < 251 {
		t.Errorf("%d and %d rows in the empty and the large space", len(truth.Permissions["a"]), len(truth.Permissions["a|b"]))
	}
	if !slices.ContainsFunc(truth.Spaces, func(s confluencetest.DCSpace) bool {
		return strings.HasPrefix(s.Key, "~slash/") && s.Type == "personal"
	}) {
		t.Error("no personal space with a slash in its key")
	}
	for _, special := range []string{"/", "%", " ", ";", "?", "\n"} {
		if !slices.ContainsFunc(truth.Groups, func(g string) bool { return strings.Contains(g, special) }) {
			t.Errorf("no group has %q in its name", special)
		}
	}
	if !slices.Contains(truth.Nested[truth.Nested["division-emea"][0]], "all-staff") {
		t.Error("the nested groups form no circle")
	}
}
