package confluencetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestDataCenterTakesRequestsStrictly(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{Groups: 19})
	admin, reader := newDCWalker(t, dc, ""), newDCWalker(t, dc, dc.Reader().Username)
	truth := dc.Truth()
	escaped := url.PathEscape
	space := "/rest/api/space/" + escaped(truth.Spaces[0].Key)
	const ok, bad, no, gone = http.StatusOK, http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound
	for _, tt := range []struct {
		path          string
		admin, reader int
	}{
		{"/rest/api/space", ok, ok},
		{"/rest/api/space?limit=0", bad, bad},
		{"/rest/api/space?limit=-1", bad, bad},
		{"/rest/api/space?start=x", bad, bad},
		{"/rest/api/space?limit=1&limit=2", bad, bad},
		{"/rest/api/space?cursor=x", bad, bad},
		{"/rest/api/space?type=team_hub", bad, bad},
		{"/rest/api/space?status=CURRENT", bad, bad},
		{"/rest/api/space?expand=owner", bad, bad},
		{"/rest/api/space?expand=icon", 501, 501},
		{"/rest/api/space?label=x", 501, 501},
		{"/rest/api/space?spaceKey=a&spaceKey=none", ok, ok},
		{"/rest/api/space?%zz", bad, bad},
		{"/rest/api/space/none", gone, gone},
		{"/rest/api/space/", gone, gone},
		{"/rest/api/spaces", gone, gone},
		{"/rest/api/space/none/permissions", gone, gone},
		{space + "/permissions", ok, no},
		{space + "/permissions?start=1", bad, bad},
		{space + "/permissions/", gone, gone},
		{space + "/permissions/anonymous", ok, no},
		{space + "/permissions/somebody", gone, gone},
		{"/rest/api/permissions", ok, no},
		{"/rest/api/permissions?limit=5", bad, no},
		{"/rest/api/permissions/anonymous", ok, no},
		{"/rest/api/permissions/unlicensed", ok, no},
		{"/rest/api/group?limit=500", ok, ok},
		{"/rest/api/group?accessType=user", bad, bad},
		{"/rest/api/group/none", gone, gone},
		{"/rest/api/group/none/member", gone, gone},
		{"/rest/api/group/none/groupmember", gone, gone},
		{"/rest/api/group/" + escaped("ops/night shift"), ok, ok},
		{"/rest/api/group/ops/night%20shift", gone, gone}, // the slash was not escaped
		{"/rest/api/group/" + escaped("what?#group") + "/member", ok, ok},
		{"/rest/api/group/" + escaped("..%2F..") + "/member", ok, ok},
		{"/rest/api/group/" + escaped("semi;colon=1") + "/member", ok, ok},
		{"/rest/api/group/semi;colon=1/member", gone, gone}, // the rest of the segment is a path parameter
		{"/rest/api/user?key=" + dc.Reader().UserKey, ok, ok},
		{"/rest/api/user?username=" + url.QueryEscape("user name+tag"), ok, ok},
		{"/rest/api/user?username=none", gone, gone},
		{"/rest/api/user", bad, bad},
		{"/rest/api/user?key=x&username=y", bad, bad},
		{"/rest/api/user?accountId=x", bad, bad},
		{"/rest/api/user/current", ok, ok},
		{"/rest/api/user/list", ok, no},
		{"/rest/api/user/list?expand=email", bad, no},
		{"/rest/api/admin/users/list/active", ok, no},
		{"/rest/auditing/1.0/events", ok, no},
		{"/rest/auditing/1.0/events?from=yesterday", bad, no},
		{"/rest/auditing/1.0/events?from=1772359200000", bad, no},
		{"/rest/auditing/1.0/events?to=2026-03-02T10:00:00.123%2B01:00", ok, no},
		{"/rest/auditing/1.0/events?pageCursor=7", bad, no},
		{"/rest/auditing/1.0/events?pageCursor=7,x", bad, no},
		{"/rest/auditing/1.0/events?pageCursor=7,1&offset=1", bad, no},
		{"/rest/auditing/1.0/events?offset=-1", bad, no},
		{"/rest/auditing/1.0/events?scanLimit=0", bad, no},
		{"/rest/auditing/1.0/events?search=x", 501, no},
		{"/rest/plugins/1.0", gone, gone},
		{"/rest/plugins/1.0/", http.StatusNotAcceptable, no},
		{"/rest/plugins/1.0/com.example.diagrams-key", ok, no},
		{"/rest/plugins/1.0/com.example.diagrams", gone, gone},
		{"/rest/plugins/1.0/none-key", gone, no},
		{"/rest/plugins/1.0/none-key/license", gone, no},
		{"/rest/plugins/1.0/" + escaped("com.example.scripts/runner") + "-key/license", ok, no},
		{"/rest/plugins/1.0/" + escaped("in-house 100%") + "-key/license", gone, no}, // uses no licensing
		{"/rest/license/1.0/license/details", ok, no},
		{"/rest/license/1.0/license/userCount?x=1", bad, no},
		{"/rest/license/1.0/license/remainingSeats", ok, no},
		{"/rest/license/1.0/license/maxUsers", ok, no},
		{"/rest/license/1.0/license", gone, gone},
		{"/rest/api/server-information", ok, ok},
		{"/rest/api/instance-metrics", ok, no},
		{"/rest/api/accessmode", ok, ok},
		{"/rest/api/audit", gone, gone},
		{"/rest/oauth2/1.0/token", gone, gone},
	} {
		for who, want := range map[*dcWalker]int{admin: tt.admin, reader: tt.reader} {
			if p := who.get(tt.path); p.status != want {
				t.Errorf("GET %s: status %d, want %d (administrator: %v): %.200s", tt.path, p.status, want, who == admin, p.body)
			}
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodHead} {
		if p := admin.do(method, "/rest/api/group", ""); p.status != http.StatusMethodNotAllowed || p.header.Get("Allow") != "GET" {
			t.Errorf("%s: status %d, Allow %q", method, p.status, p.header.Get("Allow"))
		}
	}
	var e envelope[json.RawMessage]
	if admin.json("/rest/api/space?limit=1000", &e); e.Limit != 100 {
		t.Errorf("limit 1000 of spaces was answered with limit %d", e.Limit)
	}
	if admin.json("/rest/api/group?start=7&limit=4", &e); e.Limit != 4 || e.Start != 7 || e.Size != 4 {
		t.Errorf("window of groups: %+v", e)
	}
	for _, endpoint := range confluencetest.DataCenterEndpoints() {
		if !slices.ContainsFunc(dc.Requests(), func(r confluencetest.Request) bool { return r.Endpoint == endpoint && r.Site == dc.Name() }) {
			t.Errorf("%s is not in the log", endpoint)
		}
	}
}

func TestDataCenterErrorsHaveTheirShapes(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{})
	w := newDCWalker(t, dc, dc.Reader().Username)
	for _, tt := range []struct{ path, token, want string }{
		{"/rest/api/user/list", w.token, `{"statusCode":403,"data":{"authorized":false,"valid":true,"errors":[],"successful":false},"message":"User not permitted to use this resource: administrator permission is required","reason":"Forbidden"}`},
		{"/rest/api/group/none", w.token, `{"statusCode":404,"data":{"authorized":true,"valid":true,"errors":[],"successful":false},"message":"No group found with name: none","reason":"Not Found"}`},
		{"/rest/api/nothing", w.token, `{"message":"null for uri: ` + dc.URL() + `/rest/api/nothing","status-code":404}`},
		{"/rest/api/group", "wrong", `{"message":"Client must be authenticated to access this resource.","status-code":401}`},
		{"/rest/api/group", "", `{"message":"Client must be authenticated to access this resource.","status-code":401}`},
	} {
		w.token = tt.token
		if p := w.get(tt.path); compact(p.body) != tt.want || p.header.Get("Content-Type") != "application/json" {
			t.Errorf("GET %s: %d %s", tt.path, p.status, p.body)
		}
	}
}

func TestPersonalAccessTokens(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{Name: "intra"})
	other := srv.AddDataCenter(confluencetest.DataCenterSettings{Name: "extra"})
	pat := dc.AddPAT(confluencetest.DCPAT{Expires: now.Now().Add(time.Hour)})
	w := &dcWalker{walker: walker{t: t, base: dc.URL(), token: pat.Token}}
	expect := func(what, path string, status int) {
		t.Helper()
		if p := w.get(path); p.status != status {
			t.Errorf("%s: status %d, want %d", what, p.status, status)
		}
	}
	var me dcWireUser
	w.json("/rest/api/user/current", &me)
	if want := dc.Collector(); me.Username != want.Username || me.UserKey != want.UserKey || me.Email != want.Email {
		t.Errorf("current user is %+v", me)
	}
	w.base = other.URL()
	expect("token of another site", "/rest/api/group", 401)
	w.base = dc.URL()
	if err := dc.SetRight(dc.Collector().Username, confluencetest.RightUser); err != nil {
		t.Fatal(err)
	}
	expect("without the right", "/rest/api/permissions", 403)
	if err := dc.SetRight(dc.Collector().Username, confluencetest.RightAdmin); err != nil {
		t.Fatal(err)
	}
	expect("with the right again", "/rest/api/permissions", 200)
	if err := dc.RenameUser(dc.Collector().Username, "renamed"); err != nil {
		t.Fatal(err)
	}
	expect("after a renaming", "/rest/api/permissions", 200)
	now.Add(time.Hour)
	expect("expired", "/rest/api/group", 401)
	w.token = dc.AddPAT(confluencetest.DCPAT{}).Token
	expect("a new one", "/rest/api/group", 200)
	if err := dc.DeactivateUser("renamed"); err != nil {
		t.Fatal(err)
	}
	expect("of a deactivated user", "/rest/api/group", 401)
	if err := dc.ChangeUser("renamed", func(u *confluencetest.DCUser) { u.Active = true }); err != nil {
		t.Fatal(err)
	}
	expect("of an activated user", "/rest/api/group", 200)
	dc.RevokePAT(w.token)
	expect("revoked", "/rest/api/group", 401)
}

func TestPasswordLogin(t *testing.T) {
	for _, enabled := range []bool{false, true} {
		srv := start(t, confluencetest.Settings{})
		dc := srv.AddDataCenter(confluencetest.DataCenterSettings{PasswordLogin: enabled})
		if err := dc.SetPassword(dc.Collector().Username, "pass:word"); err != nil {
			t.Fatal(err)
		}
		w := &dcWalker{walker: walker{t: t, base: dc.URL()}}
		login := func(user, password string) page {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, dc.URL(), nil)
			if err != nil {
				t.Fatal(err)
			}
			req.SetBasicAuth(user, password)
			return w.with("/rest/api/permissions", "Authorization", req.Header.Get("Authorization"))
		}
		p, wrong, without := login(dc.Collector().Username, "pass:word"), login(dc.Collector().Username, "guess"), login(dc.Reader().Username, "")
		if enabled && (p.status != 200 || wrong.status != 401 || without.status != 401 || wrong.header.Get("X-Seraph-LoginReason") != "AUTHENTICATED_FAILED") {
			t.Errorf("enabled: %d, wrong password %d, user without password %d", p.status, wrong.status, without.status)
		}
		if !enabled && (p.status != 403 || compact(p.body) != `{"message":"Basic Authentication has been disabled on this instance."}`) {
			t.Errorf("disabled: %d %s", p.status, p.body)
		}
	}
}

func TestOrdinaryUsersSeeWhatTheyMay(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{Spaces: 2, PermissionsPerSpace: 1, Exact: true, HiddenSpaces: 1, GroupCycle: true})
	w := newDCWalker(t, dc, dc.Reader().Username)
	keys := func() []string {
		t.Helper()
		var list []string
		for _, s := range walkDC[struct{ Key string }](w, "/rest/api/space") {
			list = append(list, s.Key)
		}
		return list
	}
	truth := dc.Truth()
	nested := truth.Nested["division-emea"][0] // in it: all-staff, in a circle
	for _, step := range []struct {
		what    string
		subject confluencetest.DCSubject
	}{
		{"as oneself", confluencetest.DCSubject{Type: confluencetest.SubjectUser, Name: dc.Reader().Username}},
		{"through a group", confluencetest.GroupSubject("confluence-users")},
		{"as everybody", confluencetest.AnonymousSubject()},
		{"through nested groups", confluencetest.GroupSubject("all-staff")},
	} {
		if step.what == "through nested groups" {
			if err := dc.AddMember(nested, dc.Reader().Username); err != nil {
				t.Fatal(err)
			}
		}
		key := dc.AddSpace(confluencetest.DCSpace{Name: step.what}, 0).Key
		if before := keys(); slices.Contains(before, key) {
			t.Fatalf("%s: the space is seen without a permission", step.what)
		}
		if p := w.get("/rest/api/space/" + key); p.status != 404 {
			t.Errorf("%s: space answers %d before the permission", step.what, p.status)
		}
		p := confluencetest.DCPermission{Subject: step.subject, Operation: "read", Target: "space"}
		if err := dc.AddPermission(key, p); err != nil {
			t.Fatal(err)
		}
		if err := dc.AddPermission(key, p); err == nil {
			t.Errorf("%s: the permission could be added twice", step.what)
		}
		if after := keys(); !slices.Contains(after, key) {
			t.Errorf("%s: the space is not seen, only %q", step.what, after)
		}
		if p := w.get("/rest/api/space/" + key + "/permissions"); p.status != 403 {
			t.Errorf("%s: permissions answer %d", step.what, p.status)
		}
		p.Operation = "administer"
		if err := dc.AddPermission(key, p); err != nil {
			t.Fatal(err)
		}
		if got := w.rows("/rest/api/space/" + key + "/permissions"); len(got) != 2 {
			t.Errorf("%s: a space administrator reads %d rows", step.what, len(got))
		}
	}
	users := walkDC[dcWireUser](w, "/rest/api/group/confluence-users/member")
	for _, u := range users {
		if u.Email != "" {
			t.Errorf("the address %s is shown to an ordinary user", u.Email)
		}
	}
}

func TestSparseSubjects(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{SparseSubjects: true})
	w := newDCWalker(t, dc, "")
	want := dc.Truth().Global
	for i := range want {
		want[i].Subject.UserKey, want[i].Subject.Name = "", ""
		if want[i].Subject.Type == confluencetest.SubjectGroup {
			want[i].Subject.Name = "group named  and shown as " + want[i].Subject.DisplayName
		}
	}
	if diff := cmp.Diff(want, w.rows("/rest/api/permissions")); diff != "" {
		t.Errorf("global permissions (-want +got):\n%s", diff)
	}
}

func TestEncodedSlashesCanBeRefused(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	w := newDCWalker(t, srv.AddDataCenter(confluencetest.DataCenterSettings{RefuseEncodedSlash: true}), "")
	if p := w.get("/rest/api/group/ops%2fnight%20shift/member"); p.status != 400 || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
		t.Errorf("%d %v", p.status, p.header)
	}
	if p := w.get("/rest/api/group/100%25%20wild/member"); p.status != 200 {
		t.Errorf("another escaped name: %d", p.status)
	}
}

func TestAuditWindows(t *testing.T) {
	srv := start(t, confluencetest.Settings{Seed: 3})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{AuditEvents: 60})
	w := newDCWalker(t, dc, "")
	all := dc.Truth().Audit
	from, to := all[10].At, all[49].At
	n := 0
	for _, a := range all {
		if !a.At.Before(from) && !a.At.After(to) {
			n++
		}
	}
	q := url.Values{"from": {from.Format(time.RFC3339Nano)}, "to": {to.Format(time.RFC3339Nano)}}
	for _, limit := range []int{1, 7, 1000} {
		w.limit = limit
		if got := w.events(q.Encode()); len(got) != n || !got[0].Timestamp.Equal(to) || !got[n-1].Timestamp.Equal(from) {
			t.Errorf("pages of %d: %d events, want the %d between %s and %s, both included", limit, len(got), n, from, to)
		}
	}
	var answer struct {
		Entities   []dcWireEvent
		PagingInfo struct{ LastPage bool }
	}
	w.json("/rest/auditing/1.0/events?offset=58&limit=10", &answer)
	if len(answer.Entities) != 2 || !answer.PagingInfo.LastPage || !answer.Entities[1].Timestamp.Equal(all[0].At) {
		t.Errorf("with an offset: %d events, last page %v", len(answer.Entities), answer.PagingInfo.LastPage)
	}
	w.json("/rest/auditing/1.0/events?limit=10&scanLimit=4", &answer)
	if len(answer.Entities) != 4 || answer.PagingInfo.LastPage {
		t.Errorf("with a scan limit: %d events, last page %v", len(answer.Entities), answer.PagingInfo.LastPage)
	}
}

func TestActiveUsersLagWhileReindexing(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{})
	w := newDCWalker(t, dc, "")
	count := func() int { return len(walkDC[dcWireUser](w, "/rest/api/admin/users/list/active")) }
	before := count()
	dc.Reindex(true)
	if during := count(); during >= before {
		t.Errorf("%d active users while reindexing, %d before", during, before)
	}
	dc.Reindex(false)
	if after := count(); after != before || after != len(dc.Truth().Active) {
		t.Errorf("%d active users after reindexing, %d before, truth has %d", after, before, len(dc.Truth().Active))
	}
}

func TestDataCenterMutations(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{})
	user := dc.AddUser(confluencetest.DCUser{Username: "new one"})
	subject, err := dc.UserSubject("new one")
	if err != nil || subject.UserKey != user.UserKey {
		t.Fatal(subject, err)
	}
	key := dc.AddSpace(confluencetest.DCSpace{Key: "NEW"}, 3).Key
	row := confluencetest.DCPermission{Subject: subject, Operation: "read", Target: "space"}
	for i, err := range []error{
		dc.AddPermission(key, row), dc.AddGlobal(row), dc.AddGroup("new/group"), dc.AddMember("new/group", "new one"), dc.NestGroup("all-staff", "new/group"),
		dc.HideSpace(key), dc.ShowSpace(key), dc.ArchiveSpace(key), dc.RenameSpace(key, "x"), dc.AddAddon(confluencetest.DCAddon{Key: "k"}),
		dc.ChangeAddon("k", func(a *confluencetest.DCAddon) { a.Version = "2" }), dc.RemoveAddon("k"), dc.RemoveUser("new one"),
		dc.ChangeServer(func(s *confluencetest.DCServer) { s.AccessMode = "READ_ONLY" }),
	} {
		if err != nil {
			t.Errorf("mutation %d: %v", i, err)
		}
	}
	truth := dc.Truth()
	rows := truth.Permissions[key]
	if last := rows[len(rows)-1]; last.Subject.Type != confluencetest.SubjectDeleted || last.Subject.UserKey != user.UserKey || last.Subject.Name != "" {
		t.Errorf("the row of the deleted user is %+v", last)
	}
	if len(truth.Members["new/group"]) != 0 || !slices.Contains(truth.Nested["all-staff"], "new/group") || truth.Server.AccessMode != "READ_ONLY" {
		t.Errorf("members %v, nested %v, access %s", truth.Members["new/group"], truth.Nested["all-staff"], truth.Server.AccessMode)
	}
	for i, err := range []error{
		dc.RemovePermission(key, row), dc.RemoveGlobal(row), dc.RemoveGroup("new/group"), dc.RemoveSpace(key),
	} {
		if err != nil {
			t.Errorf("removal %d: %v", i, err)
		}
	}
	if truth := dc.Truth(); slices.Contains(truth.Nested["all-staff"], "new/group") || len(truth.Permissions[key]) != 0 {
		t.Errorf("nested %v", truth.Nested["all-staff"])
	}
	for what, err := range map[string]error{
		"space": dc.RemoveSpace("none"), "group": dc.RemoveGroup("none"), "user": dc.RemoveUser("none"), "row": dc.RemovePermission(truth.Spaces[0].Key, row),
		"app": dc.RemoveAddon("none"), "nesting": dc.UnnestGroup("all-staff", "none"), "member": dc.RemoveMember("all-staff", "none"), "taken": dc.AddGroup("all-staff"),
		"standing": dc.RemoveUser(dc.Collector().Username), "name": dc.RenameUser(dc.Reader().Username, dc.Collector().Username),
		"mode": dc.ChangeServer(func(s *confluencetest.DCServer) { s.AccessMode = "MAYBE" }),
	} {
		if err == nil {
			t.Errorf("%s: a mutation of what does not exist, or must stay, succeeds", what)
		}
	}
	var kinds []string
	for _, c := range dc.Log() {
		kinds = append(kinds, string(c.Kind))
	}
	want := "user_added space_added permission_added global_permission_added group_added member_added group_nested space_hidden space_shown space_changed space_changed " +
		"addon_added addon_changed addon_removed member_removed user_removed settings_changed permission_removed global_permission_removed group_unnested group_removed space_removed"
	if got := strings.Join(kinds, " "); got != want {
		t.Errorf("log:\n%s\nwant:\n%s", got, want)
	}
	if n := len(truth.Audit); n < 12 {
		t.Errorf("%d audit events", n)
	}
	if s := fmt.Sprint(dc.RemoveSpace("none")); s != `site "dc1" has no space "none"; ids are listed by Truth` {
		t.Errorf("error text %q", s)
	}
}
