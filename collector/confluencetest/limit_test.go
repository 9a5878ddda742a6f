package confluencetest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestBurstLimit(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now, Limits: confluencetest.Limits{Enforce: true, Burst: 3}})
	w := reader(t, srv, srv.AddSite(confluencetest.SiteSettings{}))
	for i := range 3 {
		if p := w.get("/wiki/api/v2/space-role-mode"); p.status != http.StatusOK {
			t.Fatalf("request %d: status %d", i, p.status)
		}
	}
	p := w.get("/wiki/api/v2/space-role-mode")
	if p.status != http.StatusTooManyRequests || p.header.Get("RateLimit-Reason") != "confluence-burst-based" || p.header.Get("Retry-After") != "1" || p.header.Get("X-RateLimit-NearLimit") != "true" {
		t.Errorf("beyond the burst: %d %v", p.status, p.header)
	}
	now.Add(time.Second)
	if p := w.get("/wiki/api/v2/space-role-mode"); p.status != http.StatusOK {
		t.Errorf("a second later: status %d", p.status)
	}
}

func TestPointsQuota(t *testing.T) {
	for _, perTenant := range []bool{false, true} {
		now := newClock() // 20 minutes past the hour
		srv := start(t, confluencetest.Settings{Now: now.Now, Limits: confluencetest.Limits{Enforce: true, PointsPerHour: 60, PerTenant: perTenant, HeaderPrefix: "Beta-"}})
		app := srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes()})
		first, second := srv.AddSite(confluencetest.SiteSettings{Name: "acme"}), srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
		tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID})
		if err != nil {
			t.Fatal(err)
		}
		on := func(s *confluencetest.Site) *walker {
			return &walker{t: t, base: srv.APIURL() + "/ex/confluence/" + s.CloudID(), token: tokens.AccessToken}
		}
		rows := "/wiki/api/v2/spaces/" + first.Truth().Spaces[0].ID + "/permissions?limit=20"
		p := on(first).get(rows) // 1 + 20 * 2
		if got := p.header.Get("Beta-RateLimit"); p.status != 200 || got != quotaName(perTenant)+";r=60;t=2400" {
			t.Errorf("first answer: %d, %q", p.status, got)
		}
		if p = on(first).get(rows); p.header.Get("Beta-RateLimit") != quotaName(perTenant)+";r=19;t=2400" {
			t.Errorf("second answer: %q", p.header.Get("Beta-RateLimit"))
		}
		p = on(first).get(rows)
		reason := "confluence-quota-global-based"
		if perTenant {
			reason = "confluence-quota-tenant-based"
		}
		if p.status != 429 || p.header.Get("RateLimit-Reason") != reason || p.header.Get("Retry-After") != "2400" || p.header.Get("Beta-RateLimit-Policy") != "" {
			t.Errorf("beyond the quota: %d %v", p.status, p.header)
		}
		want := 429
		if perTenant {
			want = 200
		}
		if p := on(second).get("/wiki/api/v2/space-role-mode"); p.status != want {
			t.Errorf("per tenant %v: the other site answers %d, want %d", perTenant, p.status, want)
		}
		// API tokens are outside of the quota.
		scoped := srv.AddToken(confluencetest.APIToken{Scopes: confluencetest.AllScopes()})
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, on(first).base+rows, nil)
		if err != nil {
			t.Fatal(err)
		}
		basic(scoped)(req)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 {
			t.Errorf("API token: status %d", resp.StatusCode)
		}
		now.Add(40 * time.Minute) // the next hour begins
		if p := on(first).get(rows); p.status != 200 {
			t.Errorf("in the next hour: status %d", p.status)
		}
		second.DrainQuota(app.ClientID)
		if p := on(second).get("/wiki/api/v2/space-role-mode"); p.status != 429 {
			t.Errorf("after draining: status %d", p.status)
		}
	}
}

func quotaName(perTenant bool) string {
	if perTenant {
		return `"tenant-app-quota"`
	}
	return `"global-app-quota"`
}
