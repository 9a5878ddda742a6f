package confluence_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestDataCenterCheck: one small call for each thing and credential, and what is in
// the way of the others.
func TestDataCenterCheck(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{Spaces: 150, Groups: 210, Users: 210})
	token, _ := c.way(schemas.CredentialDCToken, c.dc.Reader().Username, "")
	grant, _ := c.way(schemas.CredentialDCOAuth, "", "ADMIN")
	src := c.source(token, grant)
	got, taken := map[string]schemas.CoverageState{}, map[string]string{}
	for _, f := range src.Check(t.Context()) {
		name := strings.TrimSuffix(f.Dataset+"."+f.Section, ".")
		got[name+" by "+f.Credential] = f.State
		if f.Taken {
			taken[name] = f.Credential
		}
		if f.Evidence == "" || f.State == schemas.CoverageForbidden && f.Unlock == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	const ok, forbidden, absent = schemas.CoverageComplete, schemas.CoverageForbidden, schemas.CoverageNotExposed
	want := map[string]schemas.CoverageState{}
	wantTaken := map[string]string{}
	for _, table := range datasets.All() {
		if !table.On(schemas.DataCenter) {
			want[table.Name+" by "] = absent
			continue
		}
		names := []string{table.Name}
		for i, section := range table.SectionsOf(schemas.DataCenter) {
			if i == 0 {
				names = nil
			}
			names = append(names, table.Name+"."+section)
		}
		for _, name := range names {
			wantTaken[name] = schemas.CredentialDCOAuth // the first source of each
			want[name+" by dc_oauth"], want[name+" by dc_pat"] = ok, ok
			switch table.Name {
			case datasets.SpacePermissions.Name, datasets.SitePermissions.Name, datasets.Users.Name, datasets.InstalledApps.Name, datasets.Subscriptions.Name, datasets.AuditEvents.Name, datasets.UserActivities.Name:
				want[name+" by dc_pat"] = forbidden // its owner administers nothing
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantTaken, taken); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
	if n := src.Stats().Calls; n > 24 {
		t.Errorf("%d calls", n)
	}
}

// TestDataCenterCalls: a reading costs no call more than it must.
func TestDataCenterCalls(t *testing.T) {
	for name, settings := range centers() {
		t.Run(name, func(t *testing.T) {
			c := newCenter(t, settings)
			src := c.source()
			readCenter(t, src)
			truth := c.dc.Truth()
			size := func(usual int) int {
				if settings.MaxLimit > 0 {
					return settings.MaxLimit
				}
				return usual
			}
			// Pages overlap by an item, which now and then takes one more.
			list := func(n, limit int) (calls int64) {
				calls = 1
				for at := limit; at < n; calls++ {
					at += limit - 1
				}
				return calls
			}
			archived, want := false, int64(0)
			for _, s := range truth.Spaces {
				archived = archived || s.Status == "archived"
			}
			if !archived {
				want++ // asked for by name
			}
			want += list(len(truth.Spaces), size(100)) + int64(len(truth.Spaces)) + list(len(truth.Groups), size(200)) + list(len(truth.Users), size(200))
			for _, g := range truth.Groups {
				want += list(len(truth.Members[g]), size(200)) + list(len(truth.Nested[g]), size(200))
			}
			for _, a := range truth.Addons {
				if a.UserInstalled && a.UsesLicensing {
					want++
				}
			}
			want += 3 + 2 + 1 + 2 // site permissions, settings, plugins, licence
			audit := int64(0)
			for _, r := range c.dc.Requests() {
				if strings.HasSuffix(r.Endpoint, "/events") {
					audit++
				}
			}
			if got := src.Stats().Calls - audit; got != want || c.dc.APICalls()-audit != want {
				t.Errorf("%d calls counted here and %d at the site, want %d", got, c.dc.APICalls()-audit, want)
			}
			if audit != 31+1 {
				t.Errorf("%d calls for the audit log of thirty days, two of which are not whole, and for who was active", audit)
			}
			if src.Stats().Bytes == 0 {
				t.Error("no bytes counted")
			}
		})
	}
}
