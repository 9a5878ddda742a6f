package confluence

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fuzz targets state what no answer may bring about: a panic, a row without
// its id, or a request to somewhere else.

func FuzzDecodeSpacePermissions(f *testing.F) {
	f.Add([]byte(`{"results":[{"id":9007199254740993,"principal":{"type":"user","id":"a"},"operation":{"key":"read","targetType":"space"}}],"_links":{"next":"/wiki/x?cursor=1"}}`))
	f.Add([]byte(`{"results":[{"id":"\ud800","operation":{"key":"a\u0000b"}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		w, err := DecodeSpacePermissions(body)
		if err != nil {
			return
		}
		for i := range w.Results {
			row, why := normalizePermission(&w.Results[i], "K")
			if row.PermissionID == "" {
				t.Error("a row without its id")
			}
			if why == "" && (row.PrincipalType == "" || row.Operation == "") {
				t.Errorf("a row that lacks what may not be unknown: %+v", row)
			}
		}
	})
}

func FuzzDecodeSpaces(f *testing.F) {
	f.Add([]byte(`{"results":[{"id":"1","key":"K","name":"n","type":"t","status":"s","createdAt":"2024-01-01T00:00:00Z"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decodeSpaces(body)
		if err != nil {
			return
		}
		for i := range b.items {
			if row, _ := normalizeSpace(&b.items[i]); row.SpaceID == "" {
				t.Error("a row without its id")
			}
		}
	})
}

func FuzzDecodeGroups(f *testing.F) {
	f.Add([]byte(`{"results":[{"id":"g","name":"n","type":"group"}],"start":0,"limit":200,"size":1,"totalSize":1,"_links":{"next":"/rest/api/group?start=200"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decodeGroups(body)
		if err != nil {
			return
		}
		if b.limit < 0 || b.total < 0 {
			t.Error("a negative size")
		}
		for i := range b.items {
			if row, _ := normalizeGroup(&b.items[i]); row.GroupID == "" {
				t.Error("a row without its id")
			}
		}
	})
}

func FuzzDecodeMembers(f *testing.F) {
	f.Add([]byte(`{"results":[{"accountId":"a","accountType":"","isGuest":false,"isExternalCollaborator":null}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := decodeMembers(body)
		if err != nil {
			return
		}
		for i := range b.items {
			if row, _ := normalizeMember(&b.items[i], "G"); row.AccountID == "" {
				t.Error("a row without its id")
			}
		}
	})
}

func FuzzDecodeUsers(f *testing.F) {
	f.Add([]byte(`{"results":[{"accountId":"a","accountType":"app","accountStatus":"active","email":"","isExternalCollaborator":true}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		items, err := decodeUsers(body)
		if err != nil {
			return
		}
		for i := range items {
			row, _ := normalizeUser(&items[i], items[i].external())
			if row.AccountID == "" || row.Email != nil && *row.Email == "" {
				t.Errorf("%+v", row)
			}
		}
		if found, err := match(items, []string{"a"}); err == nil && len(found) > 1 {
			t.Error("somebody passed who was not asked for")
		}
	})
}

func FuzzDecodeSettings(f *testing.F) {
	f.Add([]byte(`{"cloudId":"x","number":1,"units":"YEARS","mode":"ROLES"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var info systemInfoWire
		if decode(body, &info) == nil {
			normalizeSystemInfo(info)
		}
		var retention retentionWire
		if decode(body, &retention) == nil {
			if rows, err := normalizeRetention(retention); err == nil && len(rows) != 1 {
				t.Error("not one row")
			}
		}
	})
}

func FuzzDecodePlugins(f *testing.F) {
	for _, seed := range []string{
		`{"plugins":[{"key":"a","name":null,"remotable":null,"vendor":null},{"key":"b","remotable":true,"vendor":{"name":"v"},"enabled":false}]}`,
		`{"plugins":[{"name":"no key"}]}`, `{"plugins":[null]}`, `{"plugins":null}`, `{"plugins":{}}`, `{}`, `{"plugins":[{"key":7}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := decodePlugins(body)
		if err != nil {
			return
		}
		for i := range list {
			if row := normalizePlugin(&list[i]); row.AppKey == "" {
				t.Error("a row without its key")
			}
		}
	})
}

func FuzzAdminPages(f *testing.F) {
	for _, seed := range []string{
		`{"data":[{"id":"p","attributes":{"type":"ip-allowlist","status":"enabled","rule":{"b":[9007199254740993,1e400,null],"a":"<&>"}}}],"meta":{"next":"c"},"links":{"next":null}}`,
		`{"data":[{"id":"p","attributes":{"status":null,"rule":null}}]}`, `{"data":[{"attributes":null}]}`, `{"data":[null]}`, `{"data":null}`, `{"data":{}}`,
		`{"data":[{"id":"ari:cloud:confluence::site/x","attributes":{"typeKey":"confluence","usage":null,"capacity":-1},"relationships":{"entitlement":[]}}],"links":{"next":""}}`,
		`{"data":[{"accountId":"a","productAccess":[{"key":null,"id":7,"lastActiveTimestamp":"2026-13-01"}]}]}`,
		`{"data":[{"id":"d","attributes":{"name":"","claim":{"status":7}}}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var policies adminPage[policyWire]
		if decode(body, &policies) == nil && checkData(policies.Data, func(w *policyWire) ident { return w.ID }) == nil {
			for i := range policies.Data {
				rows := normalizePolicy(&policies.Data[i])
				if len(rows) != 2 || rows[0].Setting == rows[1].Setting {
					t.Errorf("%+v", rows)
				}
				if rule := rows[1].Value; rule != nil && canonical([]byte(*rule)) != *rule {
					t.Errorf("the same rule is written in two ways: %q, %q", *rule, canonical([]byte(*rule)))
				}
			}
		}
		var domains adminPage[domainWire]
		if decode(body, &domains) == nil && checkData(domains.Data, func(w *domainWire) ident { return w.ID }) == nil {
			for _, d := range domains.Data {
				if d.ID == "" {
					t.Error("a domain without its id")
				}
			}
		}
		var workspaces adminPage[workspaceWire]
		if decode(body, &workspaces) == nil && checkData(workspaces.Data, func(w *workspaceWire) ident { return w.ID }) == nil && workspaces.Data == nil {
			t.Error("a page without a list passed")
		}
		var accounts adminPage[accountWire]
		if decode(body, &accounts) == nil && checkData(accounts.Data, func(w *accountWire) ident { return w.AccountID }) == nil {
			for _, a := range accounts.Data {
				if a.AccountID == "" {
					t.Error("an account without its id")
				}
				for _, p := range a.ProductAccess {
					if at, ok := parseActivity(firstText(p.LastActive)); ok && at.Location() != time.UTC {
						t.Errorf("not in UTC: %v", at)
					}
				}
			}
		}
	})
}

func FuzzDecodeAudit(f *testing.F) {
	for _, seed := range []string{
		`{"results":[{"author":null,"creationDate":1772443267123,"summary":"s","category":null,"changedValues":[{"name":null,"oldValue":"<a>","newValue":null}],"associatedObjects":[{}]}],"limit":1000,"_links":{"next":"/rest/api/audit?start=1000"}}`,
		`{"results":[{"creationDate":9223372036854775807}]}`, `{"results":[{"creationDate":-1,"author":{"accountId":"","displayName":"\ud800"}}]}`, `{"results":[{"summary":"no time"}]}`, `{"results":[null]}`, `{"results":null}`, `{"results":[{"creationDate":"1"}]}`, `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const first, last = 1772409600000, 1772495999999
		b, err := decodeAuditWindow(body, first, last)
		if err != nil {
			if len(b.items) > 0 {
				t.Error("records of an answer that was refused")
			}
			return
		}
		for i := range b.items {
			row := normalizeAudit(&b.items[i])
			if at := row.At.UnixMilli(); at < first || at > last || row.At.Location() != time.UTC {
				t.Errorf("a record of another day: %v", row.At)
			}
			if again := normalizeAudit(&b.items[i]); len(row.ContentHash) != 32 || again.ContentHash != row.ContentHash {
				t.Errorf("hash %q, then %q", row.ContentHash, again.ContentHash)
			}
			// Two records are the same only if all of them is.
			other := row
			other.Summary, other.Category = row.Category, row.Summary
			if same := auditHash(&other) == row.ContentHash; same != (row.Summary == row.Category) {
				t.Errorf("summary and category exchanged: the same hash: %v", same)
			}
			if row.Description == nil {
				other = row
				other.Description = new("")
				if auditHash(&other) == row.ContentHash {
					t.Error("nothing and an empty text have the same hash")
				}
			}
			for _, list := range []*string{row.ChangedValues, row.Associations} {
				if list != nil && !json.Valid([]byte(*list)) {
					t.Errorf("not JSON: %q", *list)
				}
			}
		}
	})
}

func FuzzAuditCursor(f *testing.F) {
	now := time.Date(2026, 3, 2, 9, 21, 7, 0, time.UTC)
	f.Add(`{"to":1772443267000,"again":1772443267000}`)
	f.Add(`{"to":-1}`)
	f.Add(`{"to":1,"again":9223372036854775807}`)
	f.Add(`{"to":1e3}`)
	f.Fuzz(func(t *testing.T, cursor string) {
		s := &Source{now: func() time.Time { return now }}
		s.Resume(nil, cursor)
		days := s.audit.days()
		if len(days) == 0 || len(days) > 368 || !slices.IsSorted(days) || days[len(days)-1] != now.Format(time.DateOnly) {
			t.Errorf("%d days: %q", len(days), days)
		}
		next := s.Cursor(nil)
		if s.Resume(nil, next); len(s.audit.days()) != 1 && s.audit.again.Equal(now) {
			t.Errorf("after %q: %d days", next, len(s.audit.days()))
		}
	})
}

func FuzzNextLink(f *testing.F) {
	f.Add("/wiki/api/v2/spaces?cursor=x", "7")
	f.Add("//evil.example/wiki/api/v2/spaces/7/permissions?cursor=x", "7")
	f.Add("/\\evil.example/wiki/api/v2/spaces?cursor=x", "../..")
	f.Fuzz(func(t *testing.T, link, id string) {
		for _, path := range []string{pathSpaces, pathSpaces + "/" + url.PathEscape(id) + "/permissions", pathGroups} {
			cursor, err := nextCursor(link, path)
			if err == nil {
				if cursor == "" {
					t.Error("an empty cursor passed")
				}
				u, err := url.Parse(link)
				if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(link, "/") {
					t.Errorf("a link that is not relative passed: %q", link)
				}
			}
			if n, err := nextStart(link, path, 10, 200); err == nil && (n < 10 || n > 210) {
				t.Errorf("a jump passed: %q", link)
			}
		}
		linkHeader(http.Header{"Link": {link, "<" + link + ">; rel=next"}})
	})
}
