//go:build linux && !noengine

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// killWorld is one installation with the simulated site that it watches. One is
// enough: its two groups run side by side.
type killWorld struct {
	bin, dir string // the program, and where everything of it lies
	provider *sim.Server
	*killSite
	gaps    bool        // attempt numbers may be left out: each take-over and each repeated insert does that
	faults  bool        // runs may fail, and be held
	others  int         // further tenants
	fleet   bool        // others take over when it is silent for long
	freezes bool        // the fail point freezes
	fills   bool        // its disk is full now and then
	mend    func(error) // what the operator of a server does that cannot read what it stored; nil: there is none
	cutOff  sync.Map    // groups in whose run the last daemon was killed, as far as seen
}

// killSite is a tenant and what its history has made so far.
type killSite struct {
	tenant string
	site   *sim.Site
	groups []string // added by steps, the oldest first
	users  []string
	hidden string // a space that was taken out of sight

	changed func() // told after each single change of the site; nil: nobody asks
}

// noted is done with one change of the site.
func (s *killSite) noted() {
	if s.changed != nil {
		s.changed()
	}
}

// accessLife is how long access tokens live, so that a refresh is never far.
const accessLife = 2 * time.Second

func newKillWorld(t testing.TB) *killWorld {
	t.Helper()
	w := &killWorld{dir: t.TempDir()}
	w.bin = killable(t)
	_, err := embedded.Find("", "")
	if missing := (*embedded.LibraryError)(nil); errors.As(err, &missing) {
		_, err = embedded.Install(t.Context(), embedded.InstallSettings{Progress: os.Stderr})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.provider = sim.New(sim.Settings{Seed: 11, AccessTokenTTL: accessLife})
	if err := w.provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.provider.Close)
	w.killSite = &killSite{tenant: "acme", site: w.provider.AddSite(sim.SiteSettings{
		Name: "acme", Spaces: 12, PermissionsPerSpace: 10, Exact: true, Groups: 6, Users: 24, Guests: 3, MembersPerGroup: 6,
	})}
	w.configure(t)
	return w
}

var building sync.Mutex

// killable is the program with fail points, built once for all tests.
func killable(t testing.TB) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	bin := filepath.Join(filepath.Dir(program(t)), "killable", "sitedrift")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoint", "-o", bin, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // no race detector, whatever the test has
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	return bin
}

// configure writes the configuration and connects the tenant, as people do.
func (w *killWorld) configure(t testing.TB) {
	t.Helper()
	app := w.provider.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
	w.write(t, "client-secret", app.ClientSecret)
	w.write(t, "sitedrift.yml", fmt.Sprintf(`
data_dir: data
vault: {key_file: vault.key}
oauth: {client_id: %q, client_secret: "file:%s"}
endpoints: {auth: %q, api: %q}
network: {allow: 127.0.0.0/8}
tenants: [{id: %q, site: %q, cloud_id: %q}]
schedules: {posture: "@every 15s", inventory: "@every 15s", audit: off}
jitter: 0s
limits: {requests_per_second: 1000, points_per_hour: 0}
server: {metrics: off}
log: {level: info, format: json}
`, app.ClientID, filepath.Join(w.dir, "client-secret"), w.provider.AuthURL(), w.provider.APIURL(), w.tenant, w.site.URL(), w.site.CloudID()))
	person := w.provider.AddPerson(sim.Person{Name: "Admin of " + w.tenant})
	tokens, _, err := w.provider.Connect(sim.ConsentRequest{ClientID: app.ClientID, AccountID: person.AccountID, Sites: []string{w.tenant}, Scopes: killScopes()})
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "refresh-token", tokens.RefreshToken)
	w.command(t, "connect", "--tenant", w.tenant, "--refresh-token", filepath.Join(w.dir, "refresh-token"))
}

func (w *killWorld) write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs the program for one command and returns what it prints.
func (w *killWorld) command(t testing.TB, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, w.bin, append([]string{"--config", filepath.Join(w.dir, "sitedrift.yml")}, args...)...)
	var told strings.Builder
	c.Stderr = &told
	out, err := c.Output()
	if err != nil {
		t.Fatalf("sitedrift %s: %v\n%s", strings.Join(args, " "), err, told.String())
	}
	return out
}

// change is one step of the history of the site: something happens to every
// dataset of both groups, and in some steps whole spaces come, go and hide.
func (s *killSite) change(step int) error {
	truth := s.site.Truth()
	space := func(n int) sim.Space { return truth.Spaces[(7*step+n)%len(truth.Spaces)] }
	var errs []error
	try := func(err error) { errs = append(errs, err); s.noted() }

	try(s.site.RenameSpace(space(1).ID, fmt.Sprintf("Space as of step %d", step)))
	_, err := s.site.AddPermission(space(2).ID, sim.Permission{})
	try(err)
	if rows := truth.Permissions[space(3).ID]; len(rows) > 1 {
		try(s.site.RemovePermission(space(3).ID, rows[0].ID))
		changed := rows[1]
		changed.Operation = map[bool]string{true: "administer", false: "read"}[changed.Operation == "read"]
		try(s.site.ChangePermission(space(3).ID, rows[1].ID, changed))
	}
	s.site.ChangeSettings(func(c *sim.SiteConfiguration) { c.Title = fmt.Sprintf("Site as of step %d", step) })
	s.noted()
	switch {
	case step%4 == 0:
		s.site.AddSpace(sim.Space{}, 3)
		s.noted()
	case step%4 == 2 && len(truth.Spaces) > 8:
		try(s.site.RemoveSpace(space(4).ID))
	case step%4 == 1 && s.hidden == "":
		s.hidden = space(5).ID
		try(s.site.HideSpace(s.hidden))
	case step%4 == 3 && s.hidden != "":
		try(s.site.ShowSpace(s.hidden))
		s.hidden = ""
	}
	return errors.Join(append(errs, s.changePeople(truth, step))...)
}

func (s *killSite) changePeople(truth sim.Truth, step int) error {
	var errs []error
	try := func(err error) { errs = append(errs, err); s.noted() }
	old := truth.Users[(5*step)%len(truth.Users)]
	try(s.site.RenameUser(old.AccountID, fmt.Sprintf("Person as of step %d", step)))
	group := truth.Groups[step%len(truth.Groups)]
	try(s.site.RenameGroup(group.ID, fmt.Sprintf("group of step %d", step)))
	fresh := s.site.AddUser(sim.User{DisplayName: fmt.Sprintf("Newcomer %d", step)})
	s.noted()
	try(s.site.AddMember(group.ID, fresh.AccountID))
	s.users = append(s.users, fresh.AccountID)
	if len(s.users) > 3 {
		try(s.site.RemoveUser(s.users[0]))
		s.users = s.users[1:]
	}
	if step%3 == 0 {
		made := s.site.AddGroup(sim.Group{Name: fmt.Sprintf("made in step %d", step)})
		s.noted()
		try(s.site.AddMember(made.ID, fresh.AccountID))
		s.groups = append(s.groups, made.ID)
	} else if len(s.groups) > 2 && s.groups[0] != group.ID {
		try(s.site.RemoveGroup(s.groups[0]))
		s.groups = s.groups[1:]
	}
	guest := !fresh.Guest()
	try(s.site.SetExternal(fresh.AccountID, &guest))
	return errors.Join(errs...)
}

// Rows of views and of the truth, as texts.
const (
	killNull = `\N`
	killSep  = "\x1f"
)

// killColumns are the columns of a dataset that say how the site is: what is
// stored as of an earlier time only (context) is left out.
func killColumns(d *schemas.Dataset) (names []string) {
	if d.PartitionColumn != "" {
		names = append(names, d.PartitionColumn)
	}
	for _, c := range d.Columns {
		if c.Role == schemas.RoleKey || c.Role == schemas.RoleTracked {
			names = append(names, c.Name)
		}
	}
	return names
}

// killScopes are what the grant allows: all but the audit log and the roles. What
// is read beside the rest makes the kills no harder, and each one takes longer.
func killScopes() []string {
	return slices.DeleteFunc(append(wantedScopes(schemas.Credential3LO), "offline_access"), func(scope string) bool {
		return scope == "read:audit-log:confluence" || scope == "read:space.permission:confluence"
	})
}

// killTables are the datasets that hold a state and that the grant opens.
func killTables() []*schemas.Dataset {
	granted := killScopes()
	opens := func(a schemas.Access) bool {
		return a.Credential == schemas.Credential3LO && !a.Closed && !slices.ContainsFunc(a.Scopes, func(anyOf []string) bool {
			return !slices.ContainsFunc(anyOf, func(scope string) bool { return slices.Contains(granted, scope) })
		})
	}
	return slices.DeleteFunc(tables(), func(d *schemas.Dataset) bool { return d.Append || !slices.ContainsFunc(d.Sources, opens) })
}

// killGroups are the groups that they are in.
func killGroups() (groups []string) {
	for _, d := range killTables() {
		if !slices.Contains(groups, d.Group) {
			groups = append(groups, d.Group)
		}
	}
	return groups
}

// killRows are rows by dataset, each as "tenant, columns", sorted.
type killRows map[string][]string

func (r killRows) sorted() killRows {
	for _, rows := range r {
		slices.Sort(rows)
	}
	return r
}

// truth is what the site holds, as the views should show it.
func (s *killSite) truth() killRows {
	all := killRows{}
	for _, d := range killTables() {
		all[d.Name] = nil
	}
	put := func(dataset string, row map[string]string) {
		i := slices.IndexFunc(tables(), func(d *schemas.Dataset) bool { return d.Name == dataset })
		texts := []string{s.tenant}
		for _, c := range killColumns(tables()[i]) {
			texts = append(texts, row[c])
		}
		all[dataset] = append(all[dataset], strings.Join(texts, killSep))
	}
	t := s.site.Truth()
	killSpaces(t, put)
	killSettings(t.Settings, s.site.URL()+"/wiki", func(dataset string, row map[string]string) {
		if row["source"] != "audit_retention" { // the grant does not allow it
			put(dataset, row)
		}
	})
	killPolicies(t, put)
	killPeople(t, put)
	return all.sorted()
}

func killSpaces(t sim.Truth, put func(string, map[string]string)) {
	for _, s := range t.Spaces {
		put("spaces", map[string]string{
			"space_id": s.ID, "space_key": s.Key, "name": s.Name, "type": s.Type, "status": s.Status,
			"alias": cmp.Or(s.Alias, killNull), "author_id": cmp.Or(s.AuthorID, killNull), "homepage_id": cmp.Or(s.HomepageID, killNull),
			"created_at": s.CreatedAt.UTC().Truncate(time.Millisecond).Format("2006-01-02 15:04:05.000"),
		})
		for _, p := range t.Permissions[s.ID] {
			put("space_permissions", map[string]string{
				"space_id": s.ID, "permission_id": p.ID, "principal_type": p.PrincipalType, "principal_id": p.PrincipalID, "operation": p.Operation, "target_type": p.Target,
			})
		}
	}
}

func killSettings(c sim.SiteConfiguration, base string, put func(string, map[string]string)) {
	for _, s := range [][4]string{
		{"system_info", "edition", c.Edition, "string"},
		{"system_info", "site_title", c.Title, "string"},
		{"system_info", "base_url", base, "string"},
		{"system_info", "default_locale", c.DefaultLocale, "string"},
		{"system_info", "default_time_zone", c.DefaultTimeZone, "string"},
		{"audit_retention", "audit_retention", fmt.Sprintf("%d %s", c.RetentionNumber, c.RetentionUnits), "period"},
		{"space_role_mode", "space_role_mode", c.RoleMode, "string"},
	} {
		put("security_configuration", map[string]string{"source": s[0], "setting": s[1], "value": s[2], "value_type": s[3], "value_bool": killNull, "value_int": killNull, "origin": "site"})
	}
}

func killPolicies(t sim.Truth, put func(string, map[string]string)) {
	for _, id := range t.BlockedSpaces {
		put("data_policies", map[string]string{"space_id": id})
	}
	for _, l := range t.Levels {
		put("classification_levels", map[string]string{
			"level_id": l.ID, "status": l.Status, "name": cmp.Or(l.Name, killNull), "description": cmp.Or(l.Description, killNull), "guideline": cmp.Or(l.Guideline, killNull),
			"color": cmp.Or(l.Color, killNull), "level_order": strconv.Itoa(l.Order),
		})
	}
}

func killPeople(t sim.Truth, put func(string, map[string]string)) {
	users := map[string]sim.User{}
	for _, u := range t.Users {
		users[u.AccountID] = u
		external := killNull
		if u.External != nil {
			external = strconv.FormatBool(*u.External)
		}
		row := map[string]string{
			"account_id": u.AccountID, "account_type": u.AccountType, "account_status": u.AccountStatus,
			"display_name": cmp.Or(u.DisplayName, killNull), "public_name": cmp.Or(u.PublicName, killNull), "email": cmp.Or(u.Email, killNull),
			"time_zone": cmp.Or(u.TimeZone, killNull), "personal_space_id": cmp.Or(u.PersonalSpace, killNull), "is_external": external,
		}
		put("users", row)
		if u.Guest() {
			row["space_ids"], row["spaces_known"] = "", "false"
			put("external_collaborators", row)
		}
	}
	for _, g := range t.Groups {
		put("groups", map[string]string{"group_id": g.ID, "name": g.Name, "type": "group"})
		for _, m := range t.Members[g.ID] {
			kind := users[m].AccountType
			if kind == "customer" { // the listing of members does not say so
				kind = ""
			}
			put("group_members", map[string]string{"group_id": g.ID, "account_id": m, "account_type": kind})
		}
	}
}
