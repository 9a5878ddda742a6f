package confluence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// refusals are what a reading was refused, by dataset and partition.
func refusals(all snapshot) map[string]*collector.ReadError {
	list := map[string]*collector.ReadError{}
	for name, parts := range all {
		for p, r := range parts {
			if e, ok := errors.AsType[*collector.ReadError](r.err); ok {
				list[strings.TrimSuffix(name+" "+p, " ")] = e
			}
		}
	}
	return list
}

// TestDataCenterReader: an account that administers nothing reads what it may, and
// is told what it lacks for the rest.
func TestDataCenterReader(t *testing.T) {
	for _, kind := range []string{schemas.CredentialDCToken, schemas.CredentialDCOAuth} {
		t.Run(kind, func(t *testing.T) {
			c := newCenter(t, confluencetest.DataCenterSettings{})
			own := c.dc.Truth().Spaces[2]
			reader, err := c.dc.UserSubject(c.dc.Reader().Username)
			if err != nil {
				t.Fatal(err)
			}
			for _, operation := range []string{"read", "administer"} {
				// One of them may be there already.
				_ = c.dc.AddPermission(own.Key, confluencetest.DCPermission{Subject: reader, Operation: operation, Target: "space"})
			}
			truth := truthOfCenter(c.dc)
			way, _ := c.way(kind, c.dc.Reader().Username, "ADMIN")
			src := c.source(way)
			all := readCenter(t, src)
			refused := refusals(all)
			for _, name := range []string{"users", "site_permissions", "installed_apps plugins", "subscriptions"} {
				if e := refused[name]; e == nil || e.State != schemas.CoverageForbidden || !strings.Contains(e.Unlock, "Confluence Administrator permission") {
					t.Errorf("%s: %v", name, e)
				}
			}
			for _, name := range []string{"spaces", "groups", "security_configuration server_information", "security_configuration access_mode"} {
				if e := refused[name]; e != nil {
					t.Errorf("%s: %v", name, e)
				}
			}
			spaces := all[datasets.Spaces.Name][""].rows
			if len(spaces) == 0 || len(spaces) == len(truth[datasets.Spaces.Name][""]) {
				t.Errorf("the reader sees %d of %d spaces", len(spaces), len(truth[datasets.Spaces.Name][""]))
			}
			for p, r := range all[datasets.SpacePermissions.Name] {
				e := refused[datasets.SpacePermissions.Name+" "+p]
				switch {
				case p == own.ID:
					if diff := cmp.Diff(inOrder(truth[datasets.SpacePermissions.Name][p]), inOrder(r.rows)); diff != "" || r.err != nil {
						t.Errorf("the reader's own space: %v (-want +got):\n%s", r.err, diff)
					}
				case e == nil:
					if len(r.rows) != len(truth[datasets.SpacePermissions.Name][p]) {
						t.Errorf("%s: %d rows are no refusal and not the truth", p, len(r.rows))
					}
				case e.State != schemas.CoverageForbidden || len(r.rows) > 0 || !strings.Contains(e.Unlock, "administrator of the space"):
					t.Errorf("%s: %v (%s)", p, e, e.Unlock)
				}
			}
		})
	}
}

// TestDataCenterScopes: a grant with little scope is not used for what needs more,
// and another credential is taken instead.
func TestDataCenterScopes(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	grant, _ := c.way(schemas.CredentialDCOAuth, "", "READ")
	src := c.source(grant)
	all := readCenter(t, src)
	var missing []string
	for name, e := range refusals(all) {
		if e.State != schemas.CoverageForbidden || !strings.Contains(e.Unlock, "grant scope ADMIN (sitedrift connect --tenant acme)") {
			t.Errorf("%s: %v (%s)", name, e, e.Unlock)
		}
		missing = append(missing, strings.Fields(name)[0])
	}
	slices.Sort(missing)
	want := []string{"audit_events", "installed_apps", "site_permissions", "space_permissions", "subscriptions", "user_activity", "users"}
	if diff := cmp.Diff(want, slices.Compact(missing)); diff != "" {
		t.Errorf("without the scope ADMIN (-want +got):\n%s", diff)
	}
	for _, r := range c.dc.Requests() {
		if r.Status != http.StatusOK {
			t.Errorf("%s was asked in vain: %d", r.Endpoint, r.Status)
		}
	}
	token, _ := c.way(schemas.CredentialDCToken, "", "")
	both := c.source(grant, token)
	if e := refusals(readCenter(t, both)); len(e) > 0 {
		t.Errorf("with a token beside the grant: %v", e)
	}
	if by := both.Via(datasets.Users.Dataset, ""); by != "rest with dc_pat (unscoped)" {
		t.Errorf("users by %s", by)
	}
	if by := both.Via(datasets.Spaces.Dataset, ""); by != "rest with dc_oauth" {
		t.Errorf("spaces by %s", by)
	}
}

// TestDataCenterNoApps: a site that keeps OAuth apps from permissions says so, and
// the advice is a personal access token.
func TestDataCenterNoApps(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{OAuthNoPermissions: true})
	grant, _ := c.way(schemas.CredentialDCOAuth, "", "ADMIN")
	refused := refusals(readCenter(t, c.source(grant)))
	if len(refused) != 1+len(c.dc.Truth().Spaces) {
		t.Errorf("%d refusals: %v", len(refused), refused)
	}
	for name, e := range refused {
		if e.State != schemas.CoverageForbidden || !strings.Contains(e.Unlock, "add a personal access token (sitedrift connect --tenant acme --kind dc_pat)") {
			t.Errorf("%s: %v (%s)", name, e, e.Unlock)
		}
	}
	if e := refusals(readCenter(t, c.source())); len(e) > 0 {
		t.Errorf("with a token: %v", e)
	}
}

// TestDataCenterDeadCredential: a token that is no longer good is told apart from a
// missing right, and never shown.
func TestDataCenterDeadCredential(t *testing.T) {
	for kind, advice := range map[string]string{
		schemas.CredentialDCToken: "replace the personal access token", schemas.CredentialDCOAuth: "consent anew (sitedrift connect --tenant acme --kind dc_oauth)",
	} {
		c := newCenter(t, confluencetest.DataCenterSettings{Spaces: 2})
		way, token := c.way(kind, "", "ADMIN")
		c.dc.RevokePAT(token)
		c.dc.ExpireAccessTokens()
		for _, table := range dataCenterTables() {
			if table.Parent != "" || table.Append {
				continue
			}
			p := schemas.Whole
			if sections := table.SectionsOf(schemas.DataCenter); sections != nil {
				p = sections[0]
			}
			src := c.source(way)
			for _, need := range dataCenterTables() {
				if slices.Contains(table.Needs, need.Name) && need.Parent == "" {
					read(t, src, need, schemas.Whole)
				}
			}
			err := read(t, src, table, p).err
			for what, err := range map[string]error{"read": err, "witness": src.Witness(t.Context(), table, p)} {
				var e *collector.ReadError
				if !errors.As(err, &e) || e.State != schemas.CoverageForbidden || !strings.HasPrefix(e.Unlock, advice) {
					t.Errorf("%s: %s %s: %v", kind, what, table.Name, err)
					continue
				}
				if text := fmt.Sprintf("%v %+v %s", err, e.Err, e.Unlock); strings.Contains(text, token) {
					t.Errorf("%s: the token is in the error: %s", kind, text)
				}
			}
		}
	}
}

// TestDataCenterGone: what a 404 or 403 means for a space or a group that was
// listed a moment ago.
func TestDataCenterGone(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	spaces, groups := c.dc.Truth().Spaces, c.dc.Truth().Groups
	src := c.source()
	for _, table := range []*schemas.Dataset{datasets.SpacePermissions.Dataset, datasets.GroupMembers.Dataset} {
		c.prepare(src, table)
	}
	state := func(table *schemas.Dataset, partition string, want schemas.CoverageState, witness schemas.CoverageState) {
		t.Helper()
		got := read(t, src, table, partition)
		if got.state() != want || want != schemas.CoverageComplete && len(got.rows) > 0 {
			t.Errorf("%s %q: %v with %d rows, want %s", table.Name, partition, got.err, len(got.rows), want)
		}
		if w := (reading{err: src.Witness(t.Context(), table, partition)}).state(); w != witness {
			t.Errorf("witness of %s %q: %s, want %s", table.Name, partition, w, witness)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const complete, forbidden, gone, failed = schemas.CoverageComplete, schemas.CoverageForbidden, schemas.CoverageGone, schemas.CoverageFailed
	perms, members := datasets.SpacePermissions.Dataset, datasets.GroupMembers.Dataset
	state(perms, spaces[0].ID, complete, complete)
	must(c.dc.RestrictSpace(spaces[0].Key, true))
	state(perms, spaces[0].ID, forbidden, complete)
	must(c.dc.HideSpace(spaces[1].Key))
	state(perms, spaces[1].ID, gone, gone)
	must(c.dc.RemoveSpace(spaces[2].Key))
	state(perms, spaces[2].ID, gone, gone)
	// The key passes to another space: neither its permissions nor its life are those
	// of the one that went.
	c.dc.AddSpace(confluencetest.DCSpace{Key: spaces[2].Key}, 5)
	state(perms, spaces[2].ID, failed, gone)
	state(perms, "17", failed, failed) // never listed

	group := groups[slices.Index(groups, "confluence-users")]
	state(members, group, complete, complete)
	i := slices.IndexFunc(groups, func(g string) bool { return strings.Contains(g, "/") })
	state(members, groups[i], complete, complete)
	must(c.dc.RemoveGroup(groups[i]))
	state(members, groups[i], gone, gone)
}

// TestDataCenterWitness: the site is the one whose base address it says it has.
func TestDataCenterWitness(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	token, _ := c.way(schemas.CredentialDCToken, "", "")
	at := func(site string) *confluence.Source {
		return confluence.New(confluence.Settings{Tenant: "acme", Deployment: schemas.DataCenter, Site: site, Ways: []confluence.Way{token}})
	}
	check := func(what string, src *confluence.Source, want schemas.CoverageState) error {
		t.Helper()
		err := src.Witness(t.Context(), datasets.Users.Dataset, schemas.Whole)
		if got := (reading{err: err}).state(); got != want {
			t.Errorf("%s: %s (%v), want %s", what, got, err, want)
		}
		return err
	}
	check("its address", at(c.dc.URL()), schemas.CoverageComplete)
	check("a slash at the end", at(c.dc.URL()+"/"), schemas.CoverageComplete)
	check("with TLS in front of it", at("https"+strings.TrimPrefix(c.dc.URL(), "http")), schemas.CoverageComplete)
	err := check("another host", at("https://wiki.example/confluence"), schemas.CoverageFailed)
	if e := (*collector.ReadError)(nil); !errors.As(err, &e) || !strings.Contains(e.Unlock, "site address") {
		t.Errorf("the advice of %v", err)
	}
	got := read(t, at(c.dc.URL()+"2"), datasets.SecurityConfiguration.Dataset, datasets.SectionServerInformation)
	if got.state() != schemas.CoverageFailed || len(got.rows) > 0 {
		t.Errorf("settings of another site: %d rows, %v", len(got.rows), got.err)
	}
	// A version that does not tell its address, or tells it to no app: the owner of
	// the token is asked for.
	fail := func(endpoint string, status int, body string) {
		c.dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: status, Body: body, Endpoint: endpoint, Times: -1})
	}
	fail("server-information", http.StatusNotFound, `{"message":"null for uri: x","status-code":404}`)
	check("an older version", at(c.dc.URL()), schemas.CoverageComplete)
	fail("user/current", http.StatusOK, `{"type":"anonymous","displayName":"Anonymous"}`)
	check("a token that is nobody's", at(c.dc.URL()), schemas.CoverageFailed)
	c.dc.ClearFaults()
	fail("server-information", http.StatusInternalServerError, "")
	check("a site that is down", at(c.dc.URL()), schemas.CoverageFailed)
}

// TestDataCenterNames: names that cannot be asked for are said to be so, and cost
// nobody else's rows.
func TestDataCenterNames(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{RefuseEncodedSlash: true})
	for _, name := range []string{"..", "a/../b", ".", "...", "back\\slash", "%2e%2e"} {
		if err := c.dc.AddGroup(name); err != nil {
			t.Fatal(err)
		}
	}
	truth := truthOfCenter(c.dc)
	all := readCenter(t, c.source())
	refused := refusals(all)
	for name, e := range refused {
		dataset, partition, _ := strings.Cut(name, " ")
		odd := slices.Contains([]string{"..", ".", "a/../b"}, partition)
		slash := strings.Contains(partition, "/") || strings.Contains(e.Evidence, "%2F")
		if dataset == datasets.InstalledApps.Name {
			if e.State != schemas.CoveragePartial {
				t.Errorf("%s: %v", name, e)
			}
		} else if e.State != schemas.CoverageNotExposed || !odd && !slash || odd != strings.HasPrefix(e.Evidence, "not asked") || e.Unlock == "" {
			t.Errorf("%s: %v (%s)", name, e, e.Unlock)
		}
	}
	if len(refused) < 6 {
		t.Errorf("refused: %v", refused)
	}
	members := datasets.GroupMembers.Name
	for p, want := range truth[members] {
		if refused[members+" "+p] == nil {
			if diff := cmp.Diff(inOrder(want), inOrder(all[members][p].rows)); diff != "" && len(want) > 0 {
				t.Errorf("%q (-want +got):\n%s", p, diff)
			}
		}
	}
	for _, r := range c.dc.Requests() {
		if r.Endpoint == "unknown" && !strings.Contains(fmt.Sprint(r), "%2F") && r.Status != http.StatusBadRequest {
			t.Errorf("a path that nobody meant: %+v", r)
		}
	}
}

// TestDataCenterSameName: a group named like the key of a member hides nobody.
func TestDataCenterSameName(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	key := c.dc.Collector().UserKey
	if err := errors.Join(c.dc.AddGroup(key), c.dc.NestGroup("confluence-administrators", key)); err != nil {
		t.Fatal(err)
	}
	src := c.source()
	c.prepare(src, datasets.GroupMembers.Dataset)
	got := read(t, src, datasets.GroupMembers.Dataset, "confluence-administrators")
	var found []string
	for _, r := range got.rows {
		if r["account_id"] == js(key) {
			found = append(found, r["account_type"])
		}
	}
	if got.state() != schemas.CoveragePartial || !slices.Equal(found, []string{js("user")}) {
		t.Errorf("%v, %v", found, got.err)
	}
}

// TestDataCenterMovingListing: a space that goes while spaces are listed, which
// have no count, is noticed because pages overlap.
func TestDataCenterMovingListing(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{Spaces: 230, PermissionsPerSpace: 1})
	first := c.dc.Truth().Spaces[0]
	var once sync.Once
	wire := c.options.Transport
	c.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/rest/api/space") && r.URL.Query().Get("start") != "" {
			once.Do(func() {
				if err := c.dc.RemoveSpace(first.Key); err != nil {
					t.Error(err)
				}
			})
		}
		return wire.RoundTrip(r)
	})
	got := read(t, c.source(), datasets.Spaces.Dataset, schemas.Whole)
	if got.err != nil {
		t.Fatal(got.err)
	}
	for _, r := range truthOfCenter(c.dc)[datasets.Spaces.Name][""] {
		if !contains(got.rows, r) {
			t.Errorf("space %s slipped through", r["space_key"])
		}
	}
}

// TestDataCenterSecrets: what the plugin manager tells of licences holds their text,
// which goes nowhere.
func TestDataCenterSecrets(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{})
	var raw []string
	for _, a := range c.dc.Truth().Addons {
		if a.License != nil {
			raw = append(raw, a.License.Raw)
		}
	}
	all := readCenter(t, c.source())
	text, err := json.Marshal(all[datasets.InstalledApps.Name][datasets.SectionPlugins].rows)
	if err != nil || len(raw) == 0 {
		t.Fatal(err, raw)
	}
	for _, secret := range raw {
		if bytes.Contains(text, []byte(secret)) {
			t.Error("the text of a licence is in a row")
		}
	}
}

// TestDataCenterRateLimit: an administrator's limit slows reading down and costs
// nothing else. Its header on good answers is no refusal.
func TestDataCenterRateLimit(t *testing.T) {
	var mu sync.Mutex
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	srv := confluencetest.New(confluencetest.Settings{Seed: 7, Now: clock})
	c := &center{t: t, srv: srv, dc: srv.AddDataCenter(confluencetest.DataCenterSettings{
		RateLimit: confluencetest.DCRateLimit{Enabled: true, Limit: 3, Fill: 2, Interval: 10 * time.Second},
	})}
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	plain := newCenter(t, confluencetest.DataCenterSettings{})
	c.options = plain.options
	c.options.Base, c.options.Now = c.dc.URL(), clock
	waits := 0
	c.options.Sleep = func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
		waits++
		return ctx.Err()
	}
	way, _ := c.way(schemas.CredentialDCToken, "", "")
	src := confluence.New(confluence.Settings{Tenant: "acme", Deployment: schemas.DataCenter, Site: c.dc.URL(), Ways: []confluence.Way{way}, Now: clock})
	if e := refusals(readCenter(t, src)); len(e) > 0 {
		t.Errorf("%v", e)
	}
	if st := src.Stats(); st.Throttled == 0 || waits != int(st.Throttled) {
		t.Errorf("throttled %d times, %d waits", st.Throttled, waits)
	}
}
