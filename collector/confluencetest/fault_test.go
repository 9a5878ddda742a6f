package confluencetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// faulty is a site with pages of 5 for faults to strike.
func faulty(t *testing.T) (*confluencetest.Server, *confluencetest.Site, *walker, string) {
	t.Helper()
	srv := start(t, confluencetest.Settings{Seed: 4})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 12, PermissionsPerSpace: 12, HiddenSpaces: -1, Exact: true, Groups: 12})
	return srv, site, reader(t, srv, site), "/wiki/api/v2/spaces/" + site.Truth().Spaces[0].ID + "/permissions?limit=5"
}

// raw sends one request and returns what went wrong with it, too.
func (w *walker) raw(ctx context.Context, path string) (page, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.base+path, nil)
	if err != nil {
		return page{}, err
	}
	req.Header.Set("Authorization", "Bearer "+w.token)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return page{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return page{resp.StatusCode, resp.Header, b}, err
}

func TestFaultsOfAnswers(t *testing.T) {
	for _, tt := range []struct {
		fault confluencetest.Fault
		check func(*testing.T, *confluencetest.Server, page, error)
	}{
		{
			confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 503, Body: "exactly this", Header: http.Header{"Content-Type": {"text/plain"}}},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 503 || string(p.body) != "exactly this" || p.header.Get("Content-Type") != "text/plain" {
					t.Errorf("%d %q %v", p.status, p.body, p.header)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultRateLimited, RetryAfter: "2026-03-02T10:00Z", Reason: "confluence-burst-based"},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 429 || p.header.Get("Retry-After") != "2026-03-02T10:00Z" || p.header.Get("RateLimit-Reason") != "confluence-burst-based" {
					t.Errorf("%d %v", p.status, p.header)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultRateLimited},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if _, has := p.header["Retry-After"]; p.status != 429 || has {
					t.Errorf("%d %v", p.status, p.header)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultReset},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 200 || !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, syscall.ECONNRESET) || len(p.body) == 0 {
					t.Errorf("%d, %d bytes, %v", p.status, len(p.body), err)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultTruncated},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 200 || err != nil || json.Valid(p.body) || len(p.body) == 0 {
					t.Errorf("%d, %v, %q", p.status, err, p.body)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultHTML},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 200 || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html") {
					t.Errorf("%d %v", p.status, p.header)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultEmptyBody},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 200 || err != nil || len(p.body) != 0 {
					t.Errorf("%d, %v, %q", p.status, err, p.body)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultCursorExpired},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 400 || !strings.Contains(string(p.body), "cursor") {
					t.Errorf("%d %q", p.status, p.body)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultClockSkew, Skew: -3 * time.Hour},
			func(t *testing.T, srv *confluencetest.Server, p page, _ error) {
				at, err := http.ParseTime(p.header.Get("Date"))
				if off := srv.Now().Sub(at); err != nil || p.status != 200 || off < 2*time.Hour || off > 4*time.Hour {
					t.Errorf("%d, date %v, %v", p.status, at, err)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultRedirect},
			func(t *testing.T, srv *confluencetest.Server, p page, _ error) {
				if p.status != 302 || !strings.HasPrefix(p.header.Get("Location"), srv.TrapURL()+"/") {
					t.Errorf("%d %v", p.status, p.header)
				}
				// Whoever goes there is recorded.
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.header.Get("Location"), nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Authorization", "Bearer x")
				resp, err := http.DefaultTransport.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if got := srv.Trapped(); len(got) != 1 || !got[0].Authorization {
					t.Errorf("the trap recorded %+v", got)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultForeignNextLink},
			func(t *testing.T, srv *confluencetest.Server, p page, err error) {
				if next := nextOf(t, p); !strings.HasPrefix(next, srv.TrapURL()+"/wiki/api/v2/") {
					t.Errorf("next link %q", next)
				}
			},
		},
		{
			confluencetest.Fault{Kind: confluencetest.FaultSlow, Delay: time.Millisecond},
			func(t *testing.T, _ *confluencetest.Server, p page, err error) {
				if p.status != 200 || err != nil {
					t.Errorf("%d, %v", p.status, err)
				}
			},
		},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			srv, site, w, path := faulty(t)
			site.Fail(tt.fault)
			p, err := w.raw(t.Context(), path)
			tt.check(t, srv, p, err)
			if site.FaultsApplied() != 1 {
				t.Errorf("%d faults were applied", site.FaultsApplied())
			}
			if p, err := w.raw(t.Context(), path); err != nil || p.status != 200 || p.header.Get("Content-Type") != "application/json" {
				t.Errorf("after the fault: status %d, %v", p.status, err)
			}
		})
	}
}

func TestFaultStallEndsWithTheClient(t *testing.T) {
	srv, site, w, path := faulty(t)
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultStall, Times: 2})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.raw(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stalled request ended with %v", err)
	}
	done := make(chan error)
	go func() {
		_, err := w.raw(t.Context(), path)
		done <- err
	}()
	for site.FaultsApplied() < 2 {
		time.Sleep(time.Millisecond)
	}
	srv.Close() // must not wait for the stalled answer
	if err := <-done; err == nil {
		t.Error("a stalled request was answered")
	}
}

func TestFaultsOfPages(t *testing.T) {
	ids := func(w *walker, path string, pages int) (ids []string, ended bool) {
		for range pages {
			var e envelope[wirePermission]
			w.json(path, &e)
			for _, p := range e.Results {
				ids = append(ids, p.ID)
			}
			if path = e.Links.Next; path == "" {
				return ids, true
			}
		}
		return ids, false
	}
	for _, tt := range []struct {
		kind    confluencetest.FaultKind
		times   int
		want    func(all []string) []string
		endless bool
	}{
		{kind: confluencetest.FaultEmptyWithNext, want: func(all []string) []string { return all }},
		{kind: confluencetest.FaultShortWithNext, want: func(all []string) []string { return all }},
		{kind: confluencetest.FaultRepeatedPage, want: func(all []string) []string { return slices.Concat(all[:10], all[5:]) }},
		{kind: confluencetest.FaultOverlap, want: func(all []string) []string { return slices.Concat(all[:10], all[7:]) }},
		{kind: confluencetest.FaultEmptyPage, want: func(all []string) []string { return all[:5] }},
		{kind: confluencetest.FaultEndless, times: -1, endless: true},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			_, site, w, path := faulty(t)
			all, _ := ids(w, path, 100)
			if len(all) != 12 {
				t.Fatalf("%d rows without faults, want 12", len(all))
			}
			site.Fail(confluencetest.Fault{Kind: tt.kind, Endpoint: "/permissions", Page: 2, Times: tt.times})
			got, ended := ids(w, path, 100)
			if ended == tt.endless {
				t.Fatalf("walk ended: %v", ended)
			}
			if tt.want != nil {
				if diff := cmp.Diff(tt.want(all), got); diff != "" {
					t.Errorf("rows (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFaultsOfGroupPages(t *testing.T) {
	names := func(w *walker) []string {
		w.limit = 5
		var list []string
		for _, g := range walkV1[confluencetest.Group](w, "/wiki/rest/api/group") {
			list = append(list, g.Name)
		}
		return list
	}
	for kind, want := range map[confluencetest.FaultKind]func(all []string) []string{
		confluencetest.FaultEmptyWithNext: func(all []string) []string { return all },
		confluencetest.FaultShortWithNext: func(all []string) []string { return all },
		confluencetest.FaultRepeatedPage:  func(all []string) []string { return slices.Concat(all[:5], all[:5], all[10:]) },
		confluencetest.FaultEmptyPage:     func(all []string) []string { return all[:5] },
	} {
		t.Run(string(kind), func(t *testing.T) {
			_, site, w, _ := faulty(t)
			all := names(w)
			site.Fail(confluencetest.Fault{Kind: kind, Endpoint: "/rest/api/group", Page: 2})
			if diff := cmp.Diff(want(all), names(w)); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaultsHitWhatTheyName(t *testing.T) {
	_, site, w, _ := faulty(t)
	spaces := site.Truth().Spaces
	at := func(i int) string { return "/wiki/api/v2/spaces/" + spaces[i].ID + "/permissions?limit=5" }
	fail := confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Endpoint: "/permissions", Object: spaces[1].ID, Page: 2, After: 1, Times: 2}
	fail.Match = func(r *confluencetest.Request) bool { return r.Gateway && r.Site == "acme" }
	site.Fail(fail)
	var got []int
	for range 4 {
		for _, i := range []int{0, 1} {
			first := w.get(at(i))
			got = append(got, first.status, w.get(nextOf(t, first)).status)
		}
	}
	want := []int{200, 200, 200, 200 /* let through */, 200, 200, 200, 500, 200, 200, 200, 500, 200, 200, 200, 200}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	site.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Times: -1})
	if p := w.get(at(0)); p.status != 500 {
		t.Errorf("a fault for everything: %d", p.status)
	}
	site.ClearFaults()
	if p := w.get(at(0)); p.status != 200 {
		t.Errorf("after ClearFaults: %d", p.status)
	}
}

func TestRequestLog(t *testing.T) {
	srv, site, w, path := faulty(t)
	first := w.get(path)
	w.get(nextOf(t, first))
	w.get("/wiki/nothing")
	(&walker{t: t, base: w.base, token: "x"}).get("/wiki/api/v2/spaces")
	const permissions = "GET /wiki/api/v2/spaces/{id}/permissions"
	id := site.Truth().Spaces[0].ID
	type line struct {
		Endpoint, Object string
		Page, Status     int
	}
	var got []line
	for _, r := range site.Requests() {
		got = append(got, line{r.Endpoint, r.Object, r.Page, r.Status})
	}
	want := []line{{permissions, id, 1, 200}, {permissions, id, 2, 200}, {"unknown", "", 1, 404}, {"unknown", "", 1, 401}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if site.APICalls() != 4 || srv.TokenCalls() != 0 {
		t.Errorf("%d API calls and %d token calls, want 4 and 0", site.APICalls(), srv.TokenCalls())
	}
	if got, want := site.PointsUsed(), int64(2+2*10); got != want { // two calls, ten rows of two points
		t.Errorf("%d points, want %d", got, want)
	}
	srv.ForgetRequests()
	if n := len(srv.Requests()); n != 0 {
		t.Errorf("%d requests after forgetting them", n)
	}
}
