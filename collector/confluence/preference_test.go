package confluence_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// allWays is a tenant with one credential of every kind.
func allWays(s *site) []confluence.Way {
	var ways []confluence.Way
	for _, kind := range schemas.Credentials(schemas.Cloud) {
		scopes := append(confluencetest.AllScopes(), "confluence:atlassian-external")
		if kind == schemas.CredentialAdminKey {
			scopes = confluencetest.AdminScopes()
		}
		ways = append(ways, s.way(kind, scopes))
	}
	slices.Reverse(ways) // the order of the credentials does not count
	return ways
}

// without leaves the credential of a kind out.
func without(ways []confluence.Way, kind string) []confluence.Way {
	return slices.DeleteFunc(slices.Clone(ways), func(w confluence.Way) bool { return w.Kind == kind })
}

// part is a dataset, or a section of one.
type part struct {
	table   *schemas.Dataset
	section string
}

// parts are all that there are on Cloud.
func parts() []part {
	var list []part
	for _, table := range datasets.All() {
		sections := table.SectionsOf(schemas.Cloud)
		if len(table.Sections) == 0 {
			sections = []string{""}
		}
		for _, section := range sections {
			list = append(list, part{table, section})
		}
	}
	return list
}

// first is the declared source that a run should take, given the kinds of
// credentials that it has; nil: none.
func (p part) first(open bool, has func(kind string) bool) *schemas.Access {
	for i, a := range p.table.Sources {
		if a.Deployment == schemas.Cloud && a.Section == p.section && has(a.Credential) && (open || !a.Closed) {
			return &p.table.Sources[i]
		}
	}
	return nil
}

func (p part) name() string { return strings.TrimSuffix(p.table.Name+"."+p.section, ".") }

// TestPreference: of several credentials the first source in the order of the
// declaration that one of them opens is taken.
func TestPreference(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "many"})
	ways := allWays(s)
	open := func(settings *confluence.Settings) { settings.Open = func(string, string, string) bool { return true } }
	for _, lost := range append(schemas.Credentials(schemas.Cloud), "none") {
		for _, opened := range []bool{false, true} {
			changes := []func(*confluence.Settings){with(without(ways, lost)...)}
			if opened {
				changes = append(changes, open)
			}
			src := s.source(changes...)
			got, want := map[string]string{}, map[string]string{}
			for _, p := range parts() {
				got[p.name()], want[p.name()] = src.Via(p.table, p.section), ""
				if a := p.first(opened, func(kind string) bool { return kind != lost }); a != nil {
					want[p.name()] = a.String()
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("without %s, opened %v (-want +got):\n%s", lost, opened, diff)
			}
		}
	}
	if n := s.srv.Calls().Total() - s.srv.TokenCalls(); n != 0 {
		t.Errorf("choosing cost %d calls", n)
	}
	// What is named is what is asked.
	table := datasets.Spaces.Dataset
	for _, c := range []struct {
		lost    []string
		gateway bool
		account string
	}{
		{nil, true, s.srv.Collector().AccountID},
		{[]string{schemas.Credential3LO, schemas.CredentialScopedToken, schemas.CredentialAPIToken}, true, "712020:"},
		{[]string{schemas.Credential3LO, schemas.CredentialServiceAccount, schemas.CredentialScopedToken}, false, s.srv.Collector().AccountID},
	} {
		left := ways
		for _, kind := range c.lost {
			left = without(left, kind)
		}
		s.srv.ForgetRequests()
		if r := read(t, s.source(with(left...)), table, ""); r.err != nil {
			t.Errorf("without %v: %v", c.lost, r.err)
		}
		for _, r := range s.sim.Requests() {
			if r.Gateway != c.gateway || !strings.HasPrefix(r.AccountID, c.account) {
				t.Errorf("without %v: asked through the gateway %v as %s", c.lost, r.Gateway, r.AccountID)
			}
		}
	}
}

// TestFingerprintsOfWays: who loses or gains a credential begins a new epoch for
// what it reads by another way now, and for nothing else.
func TestFingerprintsOfWays(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "many"})
	ways := allWays(s)
	fingerprints := func(changes ...func(*confluence.Settings)) map[string]string {
		src := s.source(changes...)
		m := map[string]string{}
		for _, table := range datasets.All() {
			m[table.Name] = src.Fingerprint(table)
		}
		return m
	}
	base := fingerprints(with(ways...))
	if diff := cmp.Diff(base, fingerprints(with(ways...))); diff != "" {
		t.Errorf("it changes by itself:\n%s", diff)
	}
	// served lists the datasets of which some part is read by a kind of credential.
	served := func(open bool, kinds ...string) map[string]bool {
		m := map[string]bool{}
		for _, p := range parts() {
			if a := p.first(open, func(string) bool { return true }); a != nil && slices.Contains(kinds, a.Credential) {
				m[p.table.Name] = true
			}
		}
		return m
	}
	check := func(what string, want map[string]bool, got map[string]string) {
		t.Helper()
		for name, f := range got {
			if changed := f != base[name]; changed != want[name] {
				t.Errorf("%s: the fingerprint of %s changed: %v, want %v", what, name, changed, want[name])
			}
		}
	}
	for _, kind := range schemas.Credentials(schemas.Cloud) {
		check("without "+kind, served(false, kind), fingerprints(with(without(ways, kind)...)))
		dead := slices.Clone(ways)
		for i := range dead {
			if dead[i].Kind == kind {
				dead[i].Refused = &collector.ReadError{State: schemas.CoverageForbidden, Evidence: "the grant is dead"}
			}
		}
		check("with a dead "+kind, served(false, kind), fingerprints(with(dead...)))
		// A credential that fails for the time being is no other view of the site.
		late := slices.Clone(ways)
		for i := range late {
			if late[i].Kind == kind {
				late[i].Refused = &collector.ReadError{State: schemas.CoverageFailed, Evidence: "the token endpoint does not answer"}
			}
		}
		check("with a failing "+kind, nil, fingerprints(with(late...)))
	}
	// Sources that open are other sources.
	want := map[string]bool{}
	for _, p := range parts() {
		all := func(string) bool { return true }
		if a, b := p.first(false, all), p.first(true, all); a != b {
			want[p.table.Name] = true
		}
	}
	check("opened", want, fingerprints(with(ways...), func(settings *confluence.Settings) { settings.Open = func(string, string, string) bool { return true } }))
}

// TestRefusedWays: a credential that only a person can mend is passed over; one
// that fails for the time being is waited for, so that nobody sees the site with
// other eyes meanwhile.
func TestRefusedWays(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "many"})
	ways := allWays(s)
	table := datasets.Groups.Dataset
	order := []string{schemas.Credential3LO, schemas.CredentialServiceAccount, schemas.CredentialScopedToken, schemas.CredentialAPIToken}
	refuse := func(state schemas.CoverageState, kinds ...string) []confluence.Way {
		list := slices.Clone(ways)
		for i := range list {
			if slices.Contains(kinds, list[i].Kind) {
				list[i].Refused = &collector.ReadError{State: state, Evidence: "no " + list[i].Kind, Unlock: "mend " + list[i].Kind}
				list[i].Client, list[i].GraphQL = nil, nil
			}
		}
		return list
	}
	for n := range order {
		src := s.source(with(refuse(schemas.CoverageForbidden, order[:n]...)...))
		if got, want := src.Via(table, ""), (schemas.Access{API: schemas.APIRest, Credential: order[n]}).String(); got != want {
			t.Errorf("%v are dead: %q, want %q", order[:n], got, want)
		}
		if r := read(t, src, table, ""); r.err != nil || len(r.rows) == 0 {
			t.Errorf("%v are dead: %v", order[:n], r.err)
		}
	}
	before := s.srv.Calls().Total()
	src := s.source(with(refuse(schemas.CoverageForbidden, order...)...))
	if r := read(t, src, table, ""); r.state() != schemas.CoverageForbidden || !strings.Contains(r.err.Error(), "no ") {
		t.Errorf("all are dead: %v", r.err)
	}
	for n, kind := range order {
		list := refuse(schemas.CoverageForbidden, order[:n]...)
		for i, w := range refuse(schemas.CoverageFailed, kind) {
			if w.Kind == kind {
				list[i] = w
			}
		}
		src := s.source(with(list...))
		if r := read(t, src, table, ""); r.state() != schemas.CoverageFailed || !strings.Contains(r.err.Error(), "no "+kind) {
			t.Errorf("%s fails: %v", kind, r.err)
		}
		if err := src.Reach(table); (reading{err: err}).state() != schemas.CoverageFailed {
			t.Errorf("%s fails: it is reached: %v", kind, err)
		}
		if via := src.Via(table, ""); via != "" {
			t.Errorf("%s fails: it is read via %q", kind, via)
		}
	}
	if n := s.srv.Calls().Total() - before; n != 0 {
		t.Errorf("%d calls were made for credentials that cannot be used", n)
	}
	// What others serve is read all the same.
	src = s.source(with(refuse(schemas.CoverageFailed, schemas.CredentialAPIToken)...))
	if r := read(t, src, table, ""); r.err != nil {
		t.Errorf("the API token fails, which groups are not read with: %v", r.err)
	}
}
