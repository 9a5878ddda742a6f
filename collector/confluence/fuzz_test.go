package confluence

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
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
