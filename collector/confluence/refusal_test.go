package confluence_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestOneEndpointProvesNothing: only a refusal of the question about the credential
// itself, after a 401, counts against it. It is asked once a run, and a credential
// that is refused is used no more in it.
func TestOneEndpointProvesNothing(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "acme", Spaces: 3, Users: 4, Groups: 2})
	const here, user = "/api/v2/spaces", "/user/current"
	status := func(endpoint string, code int) confluencetest.Fault {
		return confluencetest.Fault{Kind: confluencetest.FaultStatus, Endpoint: endpoint, Status: code, Body: `{"message":"Unauthorized"}`, Times: -1}
	}
	for name, test := range map[string]struct {
		faults  []confluencetest.Fault
		refused bool
		calls   int64 // of the two readings
	}{
		"only one endpoint":      {[]confluencetest.Fault{status(here, 401)}, false, 3},
		"all":                    {[]confluencetest.Fault{status("", 401)}, true, 2},
		"no right to ask":        {[]confluencetest.Fault{status(here, 401), status(user, 403)}, false, 3},
		"the question fails":     {[]confluencetest.Fault{status(here, 401), status(user, 400)}, false, 3},
		"the answer is nobody's": {[]confluencetest.Fault{status(here, 401), {Kind: confluencetest.FaultStatus, Endpoint: user, Status: 200, Body: `{"type":"anonymous"}`, Times: -1}}, false, 3},
		"no 401":                 {[]confluencetest.Fault{status(here, 403)}, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s.sim.ClearFaults()
			for _, f := range test.faults {
				s.sim.Fail(f)
			}
			var heard []string
			way := s.way(schemas.CredentialAPIToken, nil)
			way.OnRefused = func(_ context.Context, evidence string) { heard = append(heard, evidence) }
			source := s.source(with(way))
			for range 2 {
				if got := read(t, source, datasets.Spaces.Dataset, schemas.Whole); got.state() != schemas.CoverageForbidden {
					t.Errorf("read: %s, %v", got.state(), got.err)
				}
			}
			if got := source.Stats().Calls; got != test.calls {
				t.Errorf("%d calls, want %d", got, test.calls)
			}
			if test.refused != (len(heard) == 1) || test.refused && !strings.HasSuffix(heard[0], user+": 401: Unauthorized") {
				t.Errorf("heard %q", heard)
			}
		})
	}
}

// TestWhoIsAsked: each kind of credential that nothing renews has a question that it
// may always ask, whatever its scopes.
func TestWhoIsAsked(t *testing.T) {
	s := newSite(t, confluencetest.SiteSettings{Name: "acme"})
	center, _ := newCenter(t, confluencetest.DataCenterSettings{Name: "wayne"}).way(schemas.CredentialDCToken, "", "")
	for name, way := range map[string]confluence.Way{
		"api token":       s.way(schemas.CredentialAPIToken, nil),
		"scoped token":    s.way(schemas.CredentialScopedToken, confluencetest.AllScopes()),
		"no scope at all": s.way(schemas.CredentialScopedToken, nil),
		"service account": s.way(schemas.CredentialServiceAccount, nil),
		"admin key":       s.way(schemas.CredentialAdminKey, nil),
		"data center":     center,
	} {
		if verdict, evidence := way.Ask(t.Context()); verdict != confluence.Taken {
			t.Errorf("%s: %v, %s", name, verdict, evidence)
		}
		way.Client.Auth = httpx.Bearer("of somebody else")
		if verdict, evidence := way.Ask(t.Context()); verdict != confluence.Denied || !strings.Contains(evidence, http.MethodGet) {
			t.Errorf("%s with another secret: %v, %s", name, verdict, evidence)
		}
	}
}
