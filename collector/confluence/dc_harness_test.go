package confluence_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// center is a simulated Data Center with what a client needs to be let in.
type center struct {
	t       testing.TB
	srv     *confluencetest.Server
	dc      *confluencetest.DataCenter
	options httpx.Options

	patience atomic.Int64 // as of a site
}

// noonOfCenter is what every clock of a center says.
func noonOfCenter() time.Time { return time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC) }

func newCenter(t testing.TB, settings confluencetest.DataCenterSettings) *center {
	t.Helper()
	srv := confluencetest.New(confluencetest.Settings{Seed: 7, Now: noonOfCenter})
	dc := srv.AddDataCenter(settings)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	wire := httpx.NewTransport(netip.MustParsePrefix("127.0.0.0/8"))
	t.Cleanup(wire.CloseIdleConnections)
	c := &center{t: t, srv: srv, dc: dc}
	c.options = httpx.Options{
		Base: dc.URL(), Tenant: "acme", Transport: impatient(wire, &c.patience), AttemptTimeout: 20 * time.Second, MaxTries: 3, Now: noonOfCenter,
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	}
	return c
}

// way is a credential of the kind, of the named user (the administrator if empty)
// and with the scope, and its secret.
func (c *center) way(kind, username, scope string) (confluence.Way, string) {
	c.t.Helper()
	w := confluence.Way{Kind: kind, Principal: c.dc.Collector().UserKey}
	var token string
	if kind == schemas.CredentialDCOAuth {
		client := c.dc.AddClient(confluencetest.DCClient{RedirectURIs: []string{"http://127.0.0.1/callback"}})
		tokens, _, err := c.dc.Connect(confluencetest.DCConsent{ClientID: client.ClientID, Username: username, Scope: scope})
		if err != nil {
			c.t.Fatal(err)
		}
		token = tokens.AccessToken
		all := []string{"READ", "WRITE", "ADMIN", "SYSTEM_ADMIN"} // each holds those before it
		w.Scopes = all[:slices.Index(all, scope)+1]
	} else {
		token = c.dc.AddPAT(confluencetest.DCPAT{Username: username}).Token
	}
	options := c.options
	options.Auth = httpx.Bearer(token)
	client, err := httpx.New(options)
	if err != nil {
		c.t.Fatal(err)
	}
	w.Client = client
	return w, token
}

func (c *center) source(ways ...confluence.Way) *confluence.Source {
	c.t.Helper()
	if len(ways) == 0 {
		w, _ := c.way(schemas.CredentialDCToken, "", "")
		ways = append(ways, w)
	}
	return confluence.New(confluence.Settings{Tenant: "acme", Deployment: schemas.DataCenter, Site: c.dc.URL(), Ways: ways, Now: noonOfCenter})
}

// dataCenterTables are the datasets that there are on Data Center.
func dataCenterTables() []*schemas.Dataset {
	return slices.DeleteFunc(datasets.All(), func(d *schemas.Dataset) bool { return !d.On(schemas.DataCenter) })
}

// readCenter does what a run does: parents before children, all partitions.
func readCenter(t testing.TB, s *confluence.Source) snapshot {
	all := snapshot{}
	for _, table := range dataCenterTables() {
		all[table.Name] = map[string]reading{}
		if table.Append {
			s.Resume(table, "")
		}
		for _, p := range partitions(s, table) {
			all[table.Name][p] = readIn(t, s, table, p)
		}
	}
	return all
}

// readIn reads a partition; the hash of events, which nobody else can tell, is taken
// off them.
func readIn(t testing.TB, s *confluence.Source, table *schemas.Dataset, partition string) reading {
	got := read(t, s, table, partition)
	if table.Append {
		for _, r := range got.rows {
			delete(r, "content_hash")
		}
	}
	return got
}

// inOrder orders rows by all that they hold, so that readings compare as sets.
func inOrder(rows []row) []row {
	byText := make(map[string][]row, len(rows))
	for _, r := range rows {
		text := fmt.Sprint(r)
		byText[text] = append(byText[text], r)
	}
	sorted := make([]row, 0, len(rows))
	for _, text := range slices.Sorted(maps.Keys(byText)) {
		sorted = append(sorted, byText[text]...)
	}
	return sorted
}

// grantIDOf is the id of a grant as it is documented, written down again.
func grantIDOf(parts ...string) string {
	h := sha256.New()
	h.Write([]byte("sitedrift data center permission\x00"))
	for _, p := range parts {
		h.Write(binary.AppendUvarint(nil, uint64(len(p))))
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// holder is whom the simulator gave a permission to: type, id and name, in the
// words of site_permissions.
func holder(s confluencetest.DCSubject) (kind, id, name string) {
	switch s.Type {
	case confluencetest.SubjectUser, confluencetest.SubjectDeleted:
		return "user", s.UserKey, s.DisplayName
	case confluencetest.SubjectGroup:
		return "group", s.Name, s.Name
	case confluencetest.SubjectAnonymous, "":
		return "anonymous", "anonymous", ""
	case confluencetest.SubjectUnlicensed:
		return "unlicensed", "unlicensed", ""
	default:
		return s.Type, s.Name, s.DisplayName
	}
}

// truthOfCenter is what the site holds, in the shape of the datasets: written down
// again here, so that a mistake in a normalizer has nothing to hide behind.
func truthOfCenter(dc *confluencetest.DataCenter) map[string]map[string][]row {
	t := dc.Truth()
	out := map[string]map[string][]row{}
	put := func(table *schemas.Dataset, partition string, r ...row) {
		if out[table.Name] == nil {
			out[table.Name] = map[string][]row{}
		}
		for _, one := range r {
			if !slices.ContainsFunc(out[table.Name][partition], func(o row) bool { return maps.Equal(o, one) }) {
				out[table.Name][partition] = append(out[table.Name][partition], one)
			}
		}
		if len(r) == 0 && out[table.Name][partition] == nil {
			out[table.Name][partition] = []row{} // it is there, and empty
		}
	}
	none := func(names ...string) row {
		r := row{}
		for _, n := range names {
			r[n] = "null"
		}
		return r
	}
	with := func(r, more row) row { maps.Copy(r, more); return r }
	for _, s := range t.Spaces {
		put(datasets.Spaces.Dataset, "", with(none("alias", "author_id", "created_at"), row{
			"space_id": js(s.ID), "space_key": js(s.Key), "name": js(s.Name), "type": js(s.Type), "status": js(s.Status), "homepage_id": orNull(s.HomepageID),
		}))
		put(datasets.SpacePermissions.Dataset, s.ID)
		for _, p := range t.Permissions[s.Key] {
			kind, id, _ := holder(p.Subject)
			if class := map[string]string{"anonymous": "anonymous-users", "unlicensed": "unlicensed-users"}[kind]; class != "" {
				kind, id = "access-class", class
			}
			put(datasets.SpacePermissions.Dataset, s.ID, row{
				"permission_id": js(grantIDOf(s.ID, kind, id, p.Operation, p.Target)), "space_key": js(s.Key), "principal_type": js(kind), "principal_id": js(id),
				"operation": js(p.Operation), "target_type": js(p.Target),
			})
		}
	}
	for _, p := range slices.Concat(t.Global, t.Unlicensed) {
		kind, id, name := holder(p.Subject)
		put(datasets.SitePermissions.Dataset, "", row{
			"principal_type": js(kind), "principal_id": js(id), "principal_name": orNull(name), "operation": js(p.Operation), "target_type": js(p.Target),
		})
	}
	setting := func(section, name, value string) {
		put(datasets.SecurityConfiguration.Dataset, section, with(none("value_bool", "value_int"), row{"setting": js(name), "value": js(value), "value_type": js("string"), "origin": js("site")}))
	}
	setting("server_information", "base_url", dc.URL())
	setting("server_information", "version", t.Server.Version)
	setting("server_information", "build_number", strconv.Itoa(t.Server.BuildNumber))
	setting("access_mode", "access_mode", t.Server.AccessMode)
	users := map[string]confluencetest.DCUser{}
	for _, u := range t.Users {
		users[u.UserKey] = u
		status := "inactive"
		if u.Active {
			status = "active"
		}
		put(datasets.Users.Dataset, "", with(none("time_zone", "personal_space_id", "is_external"), row{
			"account_id": js(u.UserKey), "account_type": js("user"), "account_status": js(status), "display_name": orNull(u.DisplayName), "public_name": js(u.Username), "email": orNull(u.Email),
		}))
	}
	for _, g := range t.Groups {
		put(datasets.Groups.Dataset, "", row{"group_id": js(g), "name": js(g), "type": js("group")})
		put(datasets.GroupMembers.Dataset, g)
		for _, key := range t.Members[g] {
			put(datasets.GroupMembers.Dataset, g, row{"account_id": js(key), "group_name": js(g), "display_name": orNull(users[key].DisplayName), "account_type": js("user")})
		}
		for _, n := range t.Nested[g] {
			put(datasets.GroupMembers.Dataset, g, row{"account_id": js(n), "group_name": js(g), "display_name": js(n), "account_type": js("group")})
		}
	}
	put(datasets.InstalledApps.Dataset, "plugins")
	for _, a := range t.Addons {
		if !a.UserInstalled {
			continue
		}
		r := with(none("license_active", "license_type", "installed_by", "installed_at", "distribution"), row{
			"app_key": js(a.Key), "name": js(a.Name), "version": orNull(a.Version), "vendor": orNull(a.Vendor), "enabled": strconv.FormatBool(a.Enabled), "user_installed": "true", "scopes": "[]", "egress": "[]",
		})
		if a.License != nil {
			r["license_active"], r["license_type"] = strconv.FormatBool(a.License.Valid), js(a.License.Type)
		}
		put(datasets.InstalledApps.Dataset, "plugins", r)
	}
	used, free := len(t.Active), "null"
	total := "null"
	if t.License.MaximumUsers >= 0 {
		total, free = strconv.Itoa(t.License.MaximumUsers), strconv.Itoa(max(t.License.MaximumUsers-used, 0))
	}
	stamp := func(at time.Time) string {
		if at.IsZero() {
			return "null"
		}
		return js(at.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	put(datasets.Subscriptions.Dataset, "", row{
		"product": js("confluence"), "seats_used": strconv.Itoa(used), "seats_free": free, "seats_total": total, "unlimited": strconv.FormatBool(t.License.MaximumUsers < 0), "plan": "null",
		"license_type": js(t.License.Type), "active": "true", "expires_at": stamp(t.License.Expires), "maintained_until": stamp(t.License.MaintenanceEnds),
	})
	seen := map[string]int{}
	for _, e := range t.Audit {
		r := auditRow(e)
		content := fmt.Sprint(r)
		seen[content]++
		r["occurrence"] = strconv.Itoa(seen[content])
		put(datasets.AuditEvents.Dataset, e.At.UTC().Format(time.DateOnly), r)
	}
	newest := map[string]confluencetest.DCAuditRecord{}
	for _, e := range t.Audit {
		if e.At.After(newest[e.AuthorKey].At) {
			newest[e.AuthorKey] = e
		}
	}
	put(datasets.UserActivities.Dataset, "")
	for key, e := range newest {
		if _, there := users[key]; there {
			put(datasets.UserActivities.Dataset, "", activityRow(key, e.AuthorName, e.At))
		}
	}
	return out
}

// auditRow is an event as the dataset has it, without its occurrence. The content
// hash is only counted on to tell contents apart.
func auditRow(e confluencetest.DCAuditRecord) row {
	list := func(objects []any) string {
		if len(objects) == 0 {
			return "null"
		}
		text, err := json.Marshal(objects)
		if err != nil {
			panic(err)
		}
		return js(string(text))
	}
	type pair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	type change struct {
		Name string  `json:"name"`
		Old  *string `json:"old"`
		New  *string `json:"new"`
	}
	type object struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
	var more, changes, others []any
	more = append(more, pair{"method", e.Method})
	for _, x := range e.Extra {
		more = append(more, pair{x.Name, x.Value})
	}
	for _, c := range e.Changed {
		one := change{Name: c.Key}
		if c.From != "" {
			one.Old = &c.From
		}
		if c.To != "" {
			one.New = &c.To
		}
		changes = append(changes, one)
	}
	r := row{
		"at": js(e.At.UTC().Format("2006-01-02T15:04:05.000Z")), "author_id": js(e.AuthorKey), "author_name": orNull(e.AuthorName), "author_type": js("user"),
		"remote_address": orNull(e.Source), "category": js(e.Category), "summary": js(e.Action), "by_system_admin": "null", "affected_type": "null", "affected_name": "null",
	}
	if e.AuthorKey == "-2" {
		r["author_type"] = js("system")
	}
	for i, o := range e.Objects {
		if i == 0 {
			r["affected_type"], r["affected_name"] = orNull(o.Type), orNull(o.Name)
		} else {
			others = append(others, object{o.Type, o.Name})
		}
	}
	r["description"], r["changed_values"], r["associated_objects"] = list(more), list(changes), list(others)
	return r
}

// prepare reads the dataset that the partitions are from.
func (c *center) prepare(s *confluence.Source, table *schemas.Dataset) {
	c.t.Helper()
	for _, d := range dataCenterTables() {
		if d.Name == table.Parent || slices.Contains(table.Needs, d.Name) && d.Parent == "" {
			if r := read(c.t, s, d, schemas.Whole); r.err != nil {
				c.t.Fatalf("%s: %v", d.Name, r.err)
			}
		}
	}
}
