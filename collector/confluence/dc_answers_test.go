package confluence_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// bend lets a test change what is asked of, or answered by, paths that end so.
func (c *center) bend(suffix string, ask func(*http.Request), answer func(map[string]any)) {
	wire := c.options.Transport
	c.options.Transport = tripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(r.URL.Path, suffix) {
			return wire.RoundTrip(r)
		}
		if r = r.Clone(r.Context()); ask != nil {
			ask(r)
		}
		resp, err := wire.RoundTrip(r)
		if err != nil || answer == nil {
			return resp, err
		}
		var page map[string]any
		d := json.NewDecoder(resp.Body)
		d.UseNumber()
		if err := errors.Join(d.Decode(&page), resp.Body.Close()); err != nil {
			return nil, err
		}
		answer(page)
		body, err := json.Marshal(page)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return resp, err
	})
}

// TestDataCenterArchived: archived spaces are read also from a site whose plain
// listing leaves them out; a site that overlooks the parameter doubles nothing.
func TestDataCenterArchived(t *testing.T) {
	t.Run("left out", func(t *testing.T) {
		c := newCenter(t, confluencetest.DataCenterSettings{})
		c.bend("/rest/api/space", func(r *http.Request) {
			if q := r.URL.Query(); !q.Has("status") {
				q.Set("status", "current")
				r.URL.RawQuery = q.Encode()
			}
		}, nil)
		want := truthOfCenter(c.dc)[datasets.Spaces.Name][""]
		got := read(t, c.source(), datasets.Spaces.Dataset, schemas.Whole)
		if diff := cmp.Diff(inOrder(want), inOrder(got.rows)); diff != "" || got.err != nil {
			t.Errorf("%v (-want +got):\n%s", got.err, diff)
		}
	})
	t.Run("overlooked", func(t *testing.T) {
		c := newCenter(t, confluencetest.DataCenterSettings{Spaces: 4})
		c.bend("/rest/api/space", func(r *http.Request) {
			q := r.URL.Query()
			q.Del("status")
			r.URL.RawQuery = q.Encode()
		}, nil)
		got := read(t, c.source(), datasets.Spaces.Dataset, schemas.Whole)
		if got.err != nil || len(got.rows) != 4 || c.dc.APICalls() != 2 {
			t.Errorf("%d rows in %d calls, %v", len(got.rows), c.dc.APICalls(), got.err)
		}
	})
}

// TestDataCenterWithoutLinks: an answer without links goes on as long as its pages
// are as long as the site says that pages are.
func TestDataCenterWithoutLinks(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{Groups: 25, MaxLimit: 7})
	c.bend("/rest/api/group", nil, func(page map[string]any) {
		delete(page, "_links")
		delete(page, "totalCount")
	})
	got := read(t, c.source(), datasets.Groups.Dataset, schemas.Whole)
	if got.err != nil || len(got.rows) != 25 {
		t.Errorf("%d groups, %v", len(got.rows), got.err)
	}
}

// TestDataCenterAdvice: words in answers that call for another remedy.
func TestDataCenterAdvice(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{Spaces: 3})
	// A grant that holds less than is known of it.
	grant, _ := c.way(schemas.CredentialDCOAuth, "", "READ")
	grant.Scopes = []string{"READ", "WRITE", "ADMIN"}
	token, _ := c.way(schemas.CredentialDCToken, "", "")
	src, own := c.source(grant), c.source(token)
	c.prepare(own, datasets.SpacePermissions.Dataset)
	space := c.dc.Truth().Spaces[0].ID
	check := func(what string, err error, state schemas.CoverageState, advice string) {
		t.Helper()
		var e *collector.ReadError
		if !errors.As(err, &e) || e.State != state || !strings.Contains(e.Unlock, advice) || advice == "" && e.Unlock != "" {
			t.Errorf("%s: %v (%+v)", what, err, e)
		}
	}
	users := func(what string, advice string) {
		t.Helper()
		check(what, read(t, own, datasets.Users.Dataset, "").err, schemas.CoverageForbidden, advice)
	}
	check("a scope", read(t, src, datasets.Users.Dataset, "").err, schemas.CoverageForbidden, "grant scope ADMIN")
	fail := func(endpoint string, status int, body string) {
		c.dc.ClearFaults()
		c.dc.Fail(confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: status, Body: body, Endpoint: endpoint, Times: -1})
	}
	fail("/user/list", http.StatusUnauthorized, `{"message":"This resource requires WebSudo.","status-code":401}`)
	users("a second password", "secure administrator sessions")
	fail("/user/list", http.StatusForbidden, `{"message":"The scope is fine"}`) // tokens have none
	users("a right", "Confluence Administrator permission")
	fail("/permissions", http.StatusNotFound, `{"message":"no"}`)
	check("a space that answers", read(t, own, datasets.SpacePermissions.Dataset, space).err, schemas.CoverageFailed, "")
	fail("/rest/api/space", http.StatusNotFound, "")
	check("a wrong address", read(t, own, datasets.Spaces.Dataset, "").err, schemas.CoverageFailed, "site address")
	fail("/rest/api/space", http.StatusFound, "")
	check("a redirect", read(t, own, datasets.Spaces.Dataset, "").err, schemas.CoverageFailed, "site address")
}

// TestDataCenterYieldEnds: an error of the receiver, or the end of the run, ends a
// reading at once.
func TestDataCenterYieldEnds(t *testing.T) {
	c := newCenter(t, confluencetest.DataCenterSettings{AuditEvents: 30, Groups: 30, MaxLimit: 7})
	full := errors.New("disk full")
	for _, table := range dataCenterTables() {
		src := c.source()
		c.prepare(src, table)
		if table.Append {
			src.Resume(table, "")
		}
		ended := false
		for _, p := range partitions(src, table) {
			ctx, cancel := context.WithCancel(t.Context())
			asked := int64(-1)
			err := src.Read(ctx, table, p, func(collector.Page) error {
				if asked >= 0 {
					t.Errorf("%s %q: a page after the end", table.Name, p)
				}
				asked = src.Stats().Calls
				return full
			})
			cancel()
			if asked >= 0 && (!errors.Is(err, full) || stateIs(err, schemas.CoverageFailed) || src.Stats().Calls != asked) {
				t.Errorf("%s %q: %v, and %d calls after the end", table.Name, p, err, src.Stats().Calls-asked)
			}
			ended = ended || asked >= 0
		}
		if !ended {
			t.Errorf("%s: no rows", table.Name)
		}
	}
	src := c.source()
	c.prepare(src, datasets.GroupMembers.Dataset)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := src.Stats().Calls
	err := src.Read(ctx, datasets.GroupMembers.Dataset, "all-staff", func(collector.Page) error { return nil })
	if !errors.Is(err, context.Canceled) || stateIs(err, schemas.CoveragePartial) || src.Stats().Calls > before+1 {
		t.Errorf("%v after %d calls", err, src.Stats().Calls-before)
	}
}

func stateIs(err error, state schemas.CoverageState) bool {
	return (reading{err: err}).state() == state
}

// TestDataCenterAuditCircles: a log that says that there is more, for ever, ends as
// failed.
func TestDataCenterAuditCircles(t *testing.T) {
	for name, cursor := range map[string]any{"the same cursor": "1,2", "no cursor": nil} {
		c := newCenter(t, confluencetest.DataCenterSettings{AuditEvents: 9})
		c.bend("/events", func(r *http.Request) {
			q := r.URL.Query()
			q.Del("pageCursor")
			r.URL.RawQuery = q.Encode()
		}, func(page map[string]any) {
			if len(page["entities"].([]any)) > 0 {
				page["pagingInfo"] = map[string]any{"lastPage": false, "nextPageCursor": cursor}
			}
		})
		src := c.source()
		src.Resume(datasets.AuditEvents.Dataset, "")
		got := read(t, src, datasets.AuditEvents.Dataset, busiestDay(c.dc))
		if got.state() != schemas.CoverageFailed || !strings.Contains(got.err.Error(), "endless") || src.Stats().Calls > 200 {
			t.Errorf("%s: %v after %d calls", name, got.err, src.Stats().Calls)
		}
	}
}
