package confluencetest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestDataCenterAnswerFaults(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{})
	w := newDCWalker(t, dc, "")
	key := dc.Truth().Spaces[2].Key
	path := "/rest/api/space/" + url.PathEscape(key) + "/permissions"
	for _, tt := range []struct {
		fault confluencetest.Fault
		check func(page, error) bool
	}{
		{confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: 500, Body: "exactly this"}, func(p page, err error) bool { return p.status == 500 && string(p.body) == "exactly this" }},
		{confluencetest.Fault{Kind: confluencetest.FaultRateLimited, RetryAfter: "7"}, func(p page, err error) bool { return p.status == 429 && p.header.Get("Retry-After") == "7" }},
		{confluencetest.Fault{Kind: confluencetest.FaultReset}, func(p page, err error) bool { return err != nil }},
		{confluencetest.Fault{Kind: confluencetest.FaultTruncated}, func(p page, err error) bool { return p.status == 200 && len(p.body) > 0 && !json.Valid(p.body) }},
		{confluencetest.Fault{Kind: confluencetest.FaultHTML}, func(p page, err error) bool { return p.status == 200 && strings.Contains(string(p.body), "<html") }},
		{confluencetest.Fault{Kind: confluencetest.FaultEmptyBody}, func(p page, err error) bool { return p.status == 200 && len(p.body) == 0 && err == nil }},
		{confluencetest.Fault{Kind: confluencetest.FaultEmptyPage}, func(p page, err error) bool { return p.status == 200 && string(p.body) == "[]" }},
		{confluencetest.Fault{Kind: confluencetest.FaultCursorExpired}, func(p page, err error) bool { return p.status == 400 }},
		{confluencetest.Fault{Kind: confluencetest.FaultSlow, Delay: time.Millisecond}, func(p page, err error) bool { return p.status == 200 && json.Valid(p.body) }},
		{confluencetest.Fault{Kind: confluencetest.FaultClockSkew, Skew: -time.Hour}, func(p page, err error) bool {
			at, dateErr := http.ParseTime(p.header.Get("Date"))
			return dateErr == nil && p.status == 200 && time.Until(at) < -50*time.Minute
		}},
		{confluencetest.Fault{Kind: confluencetest.FaultRedirect}, func(p page, err error) bool {
			return p.status == 302 && strings.HasPrefix(p.header.Get("Location"), srv.TrapURL()+"/dc/")
		}},
	} {
		fault := tt.fault
		fault.Endpoint, fault.Object, fault.After = "/space/{key}/permissions", key, 1
		dc.Fail(fault)
		if p := w.get(path); p.status != 200 || !json.Valid(p.body) {
			t.Errorf("%s: struck at the first request: %d", fault.Kind, p.status)
		}
		if p := w.get("/rest/api/space/none/permissions"); p.status != 404 {
			t.Errorf("%s: struck at another space: %d", fault.Kind, p.status)
		}
		if p, err := w.raw(t.Context(), path); !tt.check(p, err) {
			t.Errorf("%s: %d %v, %.100q, %v", fault.Kind, p.status, p.header, p.body, err)
		}
		if p := w.get(path); p.status != 200 || !json.Valid(p.body) || dc.FaultsApplied() != 1 {
			t.Errorf("%s: afterwards: %d, applied %d times", fault.Kind, p.status, dc.FaultsApplied())
		}
		dc.ClearFaults()
	}
	dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultStall, Match: func(r *confluencetest.Request) bool {
		return r.Site == dc.Name() && r.AccountID == dc.Collector().UserKey
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := w.raw(ctx, path); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stall: %v", err)
	}
}

func TestDataCenterPagingFaults(t *testing.T) {
	srv := start(t, confluencetest.Settings{})
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{Groups: 10, AuditEvents: 10})
	w := newDCWalker(t, dc, "")
	truth := dc.Truth()
	names := truth.Groups
	w.limit, w.links = 4, true
	for _, tt := range []struct {
		kind confluencetest.FaultKind
		page int
		want func() []string
	}{
		{confluencetest.FaultEmptyPage, 2, func() []string { return names[:4] }},
		{confluencetest.FaultEmptyWithNext, 2, func() []string { return names }},
		{confluencetest.FaultShortWithNext, 2, func() []string { return names }},
		{confluencetest.FaultRepeatedPage, 2, func() []string { return slices.Concat(names[:4], names[:4], names[8:]) }},
		{confluencetest.FaultOverlap, 1, func() []string { return slices.Concat(names[:4], names[1:]) }},
		{confluencetest.FaultForeignNextLink, 3, func() []string { return names }}, // the last page has no link
	} {
		dc.Fail(confluencetest.Fault{Kind: tt.kind, Endpoint: "GET /rest/api/group", Page: tt.page})
		var got []string
		for _, g := range walkDC[struct{ Name string }](w, "/rest/api/group") {
			got = append(got, g.Name)
		}
		if !slices.Equal(got, tt.want()) || dc.FaultsApplied() != 1 {
			t.Errorf("%s on page %d (applied %d times): %q", tt.kind, tt.page, dc.FaultsApplied(), got)
		}
		dc.ClearFaults()
	}
	dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultForeignNextLink})
	var e envelope[json.RawMessage]
	if w.json("/rest/api/group?limit=4", &e); !strings.HasPrefix(e.Links.Next, srv.TrapURL()+"/rest/api/group?") {
		t.Errorf("foreign link: %q", e.Links.Next)
	}
	dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultEndless, Times: -1})
	for range 5 {
		if w.json("/rest/api/group?limit=4&start=8", &e); e.Size != 4 || e.Links.Next == "" {
			t.Fatalf("endless: %+v", e)
		}
	}
	dc.ClearFaults()

	for _, tt := range []struct {
		kind confluencetest.FaultKind
		want int
	}{
		{confluencetest.FaultEmptyPage, 4}, {confluencetest.FaultEmptyWithNext, 10}, {confluencetest.FaultShortWithNext, 10}, {confluencetest.FaultRepeatedPage, 10}, {confluencetest.FaultOverlap, 13},
	} {
		dc.Fail(confluencetest.Fault{Kind: tt.kind, Endpoint: "/auditing/", Page: 2})
		if got := w.events(""); len(got) != tt.want {
			t.Errorf("%s on the second page of the audit log: %d events, want %d", tt.kind, len(got), tt.want)
		}
		dc.ClearFaults()
	}
	dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultEmptyWithNext, Endpoint: "/auditing/", Page: 1})
	if got := w.events(""); len(got) != 10 {
		t.Errorf("an empty first page of the audit log: %d events", len(got))
	}
}

func TestDataCenterRateLimit(t *testing.T) {
	now := newClock()
	srv := start(t, confluencetest.Settings{Now: now.Now})
	limit := confluencetest.DCRateLimit{Enabled: true, Limit: 3, Fill: 2, Interval: 10 * time.Second}
	dc := srv.AddDataCenter(confluencetest.DataCenterSettings{RateLimit: limit})
	w, other := newDCWalker(t, dc, ""), newDCWalker(t, dc, dc.Reader().Username)
	check := func(what string, w *dcWalker, status int, remaining, retry string) {
		t.Helper()
		p := w.get("/rest/api/accessmode")
		h := p.header
		if p.status != status || h.Get("X-RateLimit-Limit") != "3" || h.Get("X-RateLimit-FillRate") != "2" || h.Get("X-RateLimit-Interval-Seconds") != "10" ||
			h.Get("X-RateLimit-Remaining") != remaining || h.Get("Retry-After") != retry {
			t.Errorf("%s: %d %v", what, p.status, h)
		}
	}
	check("first", w, 200, "2", "0")
	check("second", w, 200, "1", "0")
	now.Add(4 * time.Second)
	check("third", w, 200, "0", "6")
	check("fourth", w, 429, "0", "6")
	check("another user", other, 200, "2", "0")
	w.token = dc.AddPAT(confluencetest.DCPAT{}).Token
	check("another token of the user", w, 429, "0", "6")
	now.Add(7 * time.Second)
	check("after the interval", w, 200, "1", "0")
	check("before the next one, which does not wait for requests", w, 200, "0", "9")
	now.Add(time.Hour)
	check("after an hour", w, 200, "2", "0")

	off := srv.AddDataCenter(confluencetest.DataCenterSettings{})
	w = newDCWalker(t, off, "")
	for range 30 {
		p := w.get("/rest/api/accessmode")
		if _, has := p.header["Retry-After"]; p.status != 200 || has || p.header.Get("X-RateLimit-Limit") != "" {
			t.Fatalf("switched off: %d %v", p.status, p.header)
		}
	}
}
