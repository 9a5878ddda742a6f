package confluence

import (
	"net/url"
	"strings"
	"testing"
)

// As for Cloud, the fuzz targets state what no answer may bring about: a panic, a
// row without its id, or a request to somewhere else.

func FuzzDecodeDataCenterPermissions(f *testing.F) {
	f.Add([]byte(`[{"operation":{"targetType":"space","operationKey":"read"},"subject":{"type":"user","userKey":"k"},"spaceKey":"K","spaceId":9007199254740993}]`))
	f.Add([]byte(`[{"operation":{"targetType":"space","operationKey":"read"},"subject":null,"spaceKey":"~\ud800","spaceId":"1"},null]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		list, err := decodeDataCenterPermissions(body)
		if err != nil {
			return
		}
		about := aboutSpace(list, "1", "K") == nil
		for i := range list {
			row, why := normalizeDataCenterPermission(&list[i], "1", "K")
			if why == "" && (row.PermissionID == "" || row.PrincipalType == "" || row.PrincipalID == "" || row.Operation == "") || why != "" && row.PermissionID != "" {
				t.Errorf("%q: %+v", why, row)
			}
			if id := list[i].SpaceID; about && id != "" && id != "1" {
				t.Error("an answer about another space passed")
			}
			if global, why := normalizeDataCenterGlobal(&list[i]); why == "" && (global.PrincipalType == "" || global.PrincipalID == "" || global.Operation == "") {
				t.Errorf("%+v", global)
			}
		}
	})
}

func FuzzDecodeDataCenterLists(f *testing.F) {
	f.Add([]byte(`{"results":[{"id":1,"key":"~a b","name":"n","type":"global","status":"current","homepage":{"id":"2"}}],"limit":100,"_links":{"next":"/rest/api/space?start=1"}}`))
	f.Add([]byte(`{"results":[{"type":"group","name":"ops/night"}],"totalCount":-1,"limit":-3}`))
	f.Add([]byte(`{"results":[{"type":"known","userKey":"k","username":"u","email":"","status":"inactive"}],"totalCount":1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := decodeDataCenterSpaces(body); err == nil {
			for i := range b.items {
				if row, why := normalizeDataCenterSpace(&b.items[i]); row.SpaceID == "" || why == "" && row.Key == "" {
					t.Errorf("%q: %+v", why, row)
				}
			}
		}
		if b, err := decodeDataCenterGroups(body); err == nil {
			if b.limit < 0 || b.total < 0 {
				t.Error("a negative size")
			}
			for i := range b.items {
				if row, _ := normalizeDataCenterGroup(&b.items[i]); row.GroupID == "" {
					t.Error("a group without its name")
				}
			}
		}
		if b, err := decodeDataCenterUsers(body); err == nil {
			for i := range b.items {
				row := normalizeDataCenterUser(&b.items[i])
				if row.AccountID == "" || row.AccountStatus == "" || row.Email != nil && *row.Email == "" {
					t.Errorf("%+v", row)
				}
				if m := normalizeDataCenterMember(&b.items[i], "g"); m.AccountID == "" {
					t.Error("a member without a key")
				}
			}
		}
	})
}

func FuzzDecodeDataCenterAudit(f *testing.F) {
	f.Add([]byte(`{"entities":[{"timestamp":"2026-03-01T10:00:00.123Z","author":{"id":"-2","name":"System","type":"system"},"type":{"category":"c","action":"a"},"affectedObjects":[{"name":"n"},{"type":"t"}],"changedValues":[{"key":"k","from":null,"to":"x"}],"extraAttributes":[{}],"method":"Browser"}],"pagingInfo":{"lastPage":false,"nextPageCursor":"1,2"}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		page, err := decodeDataCenterAudit(body)
		if err != nil {
			return
		}
		for i := range page.events {
			if row := normalizeDataCenterAudit(&page.events[i]); row.ContentHash == "" || row.At.UnixMilli() != page.events[i].at {
				t.Errorf("%+v", row)
			}
		}
		if n := len(within(page.events, 5, 4)); n != 0 {
			t.Errorf("%d events in an empty window", n)
		}
	})
}

func FuzzDecodeDataCenterSettings(f *testing.F) {
	f.Add([]byte(`{"version":"9.2.4","buildNumber":9111,"baseUrl":"https://wiki.example/confluence"}`))
	f.Add([]byte(`"READ_WRITE"`))
	f.Add([]byte(`{"licenseType":"COMMERCIAL","active":true,"maximumNumberOfUsers":-1,"expiryDate":9223372036854775807}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var server serverWire
		if decode(body, &server) == nil {
			normalizeServer(server)
			if server.BaseURL != nil && sameAddress(*server.BaseURL, "https://wiki.example/confluence") {
				if u, err := url.Parse(strings.TrimSpace(*server.BaseURL)); err != nil || !strings.EqualFold(u.Hostname(), "wiki.example") {
					t.Errorf("another site passed: %q", *server.BaseURL)
				}
			}
		}
		if rows, err := decodeAccessMode(body); err == nil && (len(rows) != 1 || *rows[0].Value == "") {
			t.Error("an empty access mode")
		}
		var licence licenceWire
		if decode(body, &licence) == nil && licence.MaxUsers != nil {
			if row := normalizeLicence(&licence, new(int64(3))); row.Free != nil && *row.Free < 0 || row.ExpiresAt.Year() > 9999 {
				t.Errorf("%+v", row)
			}
		}
		if list, err := decodePlugins(body); err == nil {
			for i := range list {
				if normalizePlugin(&list[i]).AppKey == "" {
					t.Error("an app without its key")
				}
			}
		}
	})
}

func FuzzSegment(f *testing.F) {
	f.Add("ops/night shift")
	f.Add("..%2F..")
	f.Add("a\\..\u0000")
	f.Fuzz(func(t *testing.T, name string) {
		part, err := segment("group", name)
		if err != nil {
			return
		}
		u, err := url.Parse(pathGroupsDC + "/" + part + "/member")
		if err != nil || u.Path != pathGroupsDC+"/"+name+"/member" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q became %v (%v)", name, u, err)
		}
		for seg := range strings.SplitSeq(u.Path, "/") {
			if seg == ".." || seg == "." {
				t.Errorf("%q walks up", name)
			}
		}
	})
}
