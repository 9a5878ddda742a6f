package main

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// TestNetworksOfOneTenant: what is opened for a tenant's Data Center, its token
// endpoint included, stays closed to the others, also while its connection is open.
func TestNetworksOfOneTenant(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer inside.Close()
	cfg := config.Default()
	cfg.DataDir = t.TempDir()
	own := config.Network{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	cfg.Tenants = []config.Tenant{
		{ID: "acme", Site: inside.URL, Deployment: schemas.DataCenter, Network: own},
		{ID: "globex", Site: inside.URL + "/globex", Deployment: schemas.DataCenter},
	}
	v, err := vault.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	a, err := open(t.Context(), cfg, outside{now: time.Now, trace: func(string) {}, vault: v}, zap.NewNop(), needs{tokens: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	for _, test := range []struct {
		tenant string
		may    bool
	}{{"acme", true}, {"globex", false}, {"acme", true}, {"somebody", false}} {
		get := func(way http.RoundTripper) {
			t.Helper()
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, inside.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := way.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != test.may {
				t.Errorf("%s: %v", test.tenant, err)
			}
		}
		get(a.reach(test.tenant))
		if test.tenant == "somebody" {
			continue
		}
		provider, err := a.providerFor(t.Context(), collector.Credential{Tenant: test.tenant, Kind: schemas.CredentialDCOAuth})
		if err != nil {
			t.Fatal(err)
		}
		get(provider.Transport)
	}
}
