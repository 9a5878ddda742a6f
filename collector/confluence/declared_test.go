package confluence_test

import (
	"slices"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// cell is one source of a declaration.
type cell struct {
	table *schemas.Dataset
	schemas.Access
}

func (c cell) String() string {
	name := c.Credential + "/" + c.table.Name
	if c.Section != "" {
		name += "." + c.Section
	}
	return name + "/" + c.API
}

// cells are the sources that the declarations list for Cloud.
func cells() []cell {
	var list []cell
	for _, table := range datasets.All() {
		for _, a := range table.Sources {
			if a.Deployment == schemas.Cloud {
				list = append(list, cell{table, a})
			}
		}
	}
	return list
}

// alone is the declaration of the dataset with this source only.
func (c cell) alone() *schemas.Dataset {
	table := *c.table
	table.Sources = []schemas.Access{c.Access}
	return &table
}

// before are the datasets that have to be read first, in an order that works. What
// a dataset needs beside its parent is for reading it by REST.
func (c cell) before() (list []*schemas.Dataset) {
	var needs func(table *schemas.Dataset, other string) bool
	needs = func(table *schemas.Dataset, other string) bool {
		return slices.ContainsFunc(datasets.All(), func(d *schemas.Dataset) bool {
			return (d.Name == table.Parent || c.API == schemas.APIRest && slices.Contains(table.Needs, d.Name)) && (d.Name == other || needs(d, other))
		})
	}
	for _, table := range datasets.All() {
		if needs(c.table, table.Name) {
			list = append(list, table)
		}
	}
	return list
}

// scopes are those that the declarations ask for, for the source and what has to
// be read before it, and no other.
func (c cell) scopes() []string {
	list := (&schemas.Dataset{Sources: []schemas.Access{{Credential: c.Credential, Scopes: c.Scopes}}}).Scopes(c.Credential)
	for _, table := range c.before() {
		for _, a := range table.Sources {
			if a.Credential == c.Credential && (!a.Closed || c.Closed) {
				for _, alternatives := range a.Scopes {
					list = append(list, alternatives[0])
				}
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// open has the simulator let OAuth grants with the declared scopes into the closed
// sources that the cell is about, and no other; what it returns tells the reader.
func (c cell) open(t testing.TB, s *site) func(dataset, section, credential string) bool {
	opened := map[[3]string]bool{}
	for _, table := range append(c.before(), c.alone()) {
		for _, a := range table.Sources {
			if !a.Closed || !c.Closed || a.Credential != c.Credential {
				continue
			}
			var scopes []string
			for _, alternatives := range a.Scopes {
				scopes = append(scopes, alternatives[0])
			}
			for _, field := range a.Calls {
				s.sim.OpenToOAuth(field, scopes...)
				t.Cleanup(func() { s.sim.CloseToOAuth(field) })
			}
			opened[[3]string{table.Name, a.Section, a.Credential}] = true
		}
	}
	return func(dataset, section, credential string) bool { return opened[[3]string{dataset, section, credential}] }
}

// read reads the dataset, or the section of it, by this source alone.
func (c cell) read(t *testing.T, s *site) map[string]reading {
	t.Helper()
	open := c.open(t, s)
	src := s.source(with(s.way(c.Credential, c.scopes())), func(settings *confluence.Settings) { settings.Open = open })
	for _, table := range c.before() {
		if err := src.Reach(table); err != nil && !c.Closed {
			t.Fatalf("%s, which is read first: %v", table.Name, err)
		}
		for _, p := range partitions(src, table) {
			if r := read(t, src, table, p); r.err != nil {
				t.Fatalf("%s %q, which is read first: %v", table.Name, p, r.err)
			}
		}
	}
	table := c.alone()
	if err := src.Reach(table); err != nil {
		t.Fatal(err)
	}
	if got, want := src.Via(table, c.Section), c.Access.String(); got != want {
		t.Errorf("it is read via %q, want %q", got, want)
	}
	if table.Append {
		src.Resume(table, "")
	}
	out := map[string]reading{}
	for _, p := range partitions(src, table) {
		out[p] = read(t, src, table, p)
	}
	return out
}

// declaredSites are the sites that every declared source is read of: one where all
// listings fit into a page, and one where those that only classic tokens and
// organization keys read do not, with other values for what is one of a site.
func declaredSites(t *testing.T) map[string]*site {
	small := newSite(t, confluencetest.SiteSettings{
		Name: "small", Spaces: 9, PermissionsPerSpace: 12, Groups: 7, Users: 40, Guests: 5, UngroupedGuests: 2, RoleMode: "ROLES", AuditEvents: 60,
	})
	small.organization()
	small.sim.EnableAdminKey(small.srv.Collector().AccountID, small.clock.Now().Add(time.Hour))
	small.sim.SetAnonymousAccess(confluencetest.SiteOperation{Operation: "USE_CONFLUENCE", Target: "APPLICATION"})
	small.sim.SetPublicLinks("BLOCKED_BY_ORG")

	wide := newSite(t, confluencetest.SiteSettings{
		Name: "wide", Spaces: 320, PermissionsPerSpace: 2, Exact: true, HiddenSpaces: 20, Groups: 220, Users: 240, Guests: 110, MembersPerGroup: 2,
		PublicLinks: 55, Apps: 110, Edition: "enterprise", RoleMode: "ROLES_TRANSITION",
	})
	wide.organizationOf(1100) // on one day, and the one before
	wide.sim.SetUnlicensedAccess()
	wide.sim.SetPublicLinks("OFF")
	wide.sim.ChangeSecurity(func(c *confluencetest.SecurityConfiguration) {
		c.MaxAttachmentSize = new(int64(1)<<53 + 1) // no float holds it
		c.ElevatedSecurityCheck, c.LoginAttemptsThreshold, c.PrivacyMode = nil, nil, nil
	})
	p := wide.sim.Posture()
	links, forge := 0, 0
	for _, l := range p.PublicLinks {
		links = max(links, len(l))
	}
	for _, a := range p.Apps {
		if a.Kind == "forge" {
			forge++
		}
	}
	if n := min(len(p.SitePermissions.Groups), len(p.SitePermissions.Persons), len(p.Guests), len(p.PublicLinkSpaces), links, 2*forge); n <= 100 {
		t.Fatalf("a listing of the wide site has %d items", n)
	}
	return map[string]*site{"small": small, "wide": wide}
}

// TestEveryDeclaredSource reads everything that the declarations say can be read
// with one kind of credential, with nothing but such a credential and the scopes
// that are declared, and compares it with what the site holds. Sources that are
// declared closed are opened first. A dataset that is declared tomorrow is in it.
func TestEveryDeclaredSource(t *testing.T) {
	t.Parallel()
	for name, s := range declaredSites(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := truthBy(s)
			for _, c := range cells() {
				if name == "wide" && c.API == schemas.APIRest {
					continue // TestReadsTheTruth reads more of these
				}
				t.Run(c.String(), func(t *testing.T) {
					truth := want[c.API][c.table.Name]
					if truth == nil {
						t.Fatalf("nobody has written down what %s holds of %s", c.API, c.table.Name)
					}
					got := c.read(t, s)
					for p, r := range got {
						rows, there := truth[p]
						if !there {
							t.Errorf("%q is no partition of it", p)
						}
						compare(t, c.table, p, rows, r)
					}
					for p := range truth {
						if _, read := got[p]; !read && c.Section == "" {
							t.Errorf("%q was not read", p)
						}
					}
				})
			}
			if n := len(s.srv.Trapped()); n > 0 {
				t.Errorf("%d requests left the pinned hosts", n)
			}
		})
	}
}

// TestDeclarationsHaveReaders: each source has a reader, and each reader a source.
func TestDeclarationsHaveReaders(t *testing.T) {
	declared, written := map[[3]string]bool{}, map[[3]string]bool{}
	for _, table := range datasets.All() {
		for _, a := range table.Sources {
			declared[[3]string{table.Name, a.Deployment, a.API}] = true
		}
	}
	for _, line := range confluence.FetchLines() {
		if written[line] {
			t.Errorf("%v has two readers", line)
		}
		written[line] = true
		if !declared[line] {
			t.Errorf("%v has a reader and no source in a declaration", line)
		}
	}
	for line := range declared {
		if !written[line] {
			t.Errorf("%v is declared and has no reader", line)
		}
	}
}
