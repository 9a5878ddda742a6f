package confluence

import (
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

func TestIdentKeepsDigits(t *testing.T) {
	for in, want := range map[string]string{
		`"9007199254740993"`: "9007199254740993", `9007199254740993`: "9007199254740993", `123456789012345678901234567890`: "123456789012345678901234567890",
		`"557058:a-b"`: "557058:a-b", `"caf\u00e9 \"x\""`: `café "x"`, `"日本"`: "日本", `null`: "", `""`: "", `-1`: "-1",
	} {
		var w struct {
			ID ident `json:"id"`
		}
		if err := decode([]byte(`{"id":`+in+`}`), &w); err != nil || string(w.ID) != want {
			t.Errorf("%s: %q (%v), want %q", in, w.ID, err, want)
		}
	}
}

// TestAnswerOfTinyValues is a part of Invariant 7: an answer within its bound of bytes
// does not become gigabytes when it is decoded.
func TestAnswerOfTinyValues(t *testing.T) {
	for _, item := range []string{"0", "{}", "null", `""`, `[[]]`} {
		body := []byte(`{"results":[` + strings.Repeat(item+",", 4<<20/len(item)) + item + `]}`)
		for name, read := range map[string]func([]byte) error{
			"grants":        func(b []byte) error { _, err := decodePermissions(b); return err },
			"audit records": func(b []byte) error { _, err := decodeAudit(b); return err },
		} {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := read(body)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), "more than 524288 values") {
				t.Errorf("%s of %s: %v", name, item, err)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > 16<<20 {
				t.Errorf("%s of %s: %d bytes became %d", name, item, len(body), n)
			}
		}
	}
	// Commas that a person wrote are no values.
	body := `{"results":[{"id":"1","principal":{"type":"user","id":"\\\",` + strings.Repeat(",", maxValues+1) + `"}}]}`
	if w, err := DecodeSpacePermissions([]byte(body)); err != nil || len(w.Results) != 1 {
		t.Errorf("a long text: %v", err)
	}
}

// TestMarksAreShort is a part of Invariant 7: what was met is told apart, and not kept.
func TestMarksAreShort(t *testing.T) {
	s := seen{}
	id := func(i *ident) ident { return *i }
	long := strings.Repeat("x", 1<<10)
	if fresh, progress := keep(&s, []ident{ident(long + "a"), ident(long + "b"), ident(long + "a")}, id); len(fresh) != 2 || progress != 2 {
		t.Errorf("of three, one of them twice: %d new, %d progress", len(fresh), progress)
	}
	if !s.has(markOf(long+"b")) || s.has(markOf(long+"c")) || unsafe.Sizeof(markOf(long)) != 16 {
		t.Error("what was met is not told apart")
	}
}

func TestMalformedSaysWhere(t *testing.T) {
	grants := func(item string) string { return `{"results":[{"id":"1"},` + item + `],"_links":{}}` }
	for name, c := range map[string]struct{ body, want string }{
		"id is an object":       {grants(`{"id":{"x":1}}`), "results.id is object, expected string or number at byte 29"},
		"id is a truth value":   {grants(`{"id":true}`), "results.id is bool"},
		"operation is a number": {grants(`{"id":"2","operation":{"key":5}}`), "results.operation.key is number, expected string at byte 52"},
		"principal is a text":   {grants(`{"id":"2","principal":"x"}`), "results.principal is string"},
		"results is an object":  {`{"results":{}}`, "results is object"},
		"no results":            {`{"_links":{}}`, "no results"},
		"results is null":       {`{"results":null}`, "no results"},
		"item without id":       {grants(`{"id":null}`), "results[1] has no id"},
		"item is null":          {grants(`null`), "results[1] has no id"},
		"broken":                {`{"results":[{"id":"1"},]}`, "not JSON at byte"},
		"array":                 {`[]`, "the answer is array"},
		"one empty item":        {`{"results":[{}]}`, "no results, or an empty one"},
		"one item, null":        {`{"results":[null]}`, "no results, or an empty one"},
		"two values":            {`{"results":[]} {"results":[]}`, "not JSON at byte"},
	} {
		_, err := DecodeSpacePermissions([]byte(c.body))
		var m *malformed
		if !errors.As(err, &m) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestCheckJSON(t *testing.T) {
	for _, c := range []struct{ body, kind, want string }{
		{`{"a":1}`, "application/json", ""},
		{" \n[]", "", ""},
		{"", "application/json", "empty"},
		{"  ", "", "empty"},
		{"<html>", "text/html; charset=utf-8", `content type "text/html; charset=utf-8"`},
		{`{"a":1}`, "text/html", "not JSON"},
	} {
		err := checkJSON([]byte(c.body), http.Header{"Content-Type": {c.kind}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q as %q: %v", c.body, c.kind, err)
		}
	}
}

// TestIncompleteItems: what may not be unknown and was left out makes a row
// unknown; it never becomes an empty value (Invariant 1).
func TestIncompleteItems(t *testing.T) {
	space := func(body string) string {
		b, err := decodeSpaces([]byte(`{"results":[` + body + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, why := normalizeSpace(&b.items[0])
		return why
	}
	const rest = `,"key":"K","name":"","type":"new_type","status":"current"`
	for body, want := range map[string]string{
		`{"id":1` + rest + `}`: "",
		`{"id":1` + rest + `,"createdAt":"2024-02-03T04:05:06.007Z"}`: "",
		`{"id":1` + rest + `,"createdAt":"2024-02-03T04:05:06+0100"}`: "",
		`{"id":1` + rest + `,"createdAt":"yesterday"}`:                "createdAt is no time: yesterday",
		`{"id":1,"name":"n","type":"t","status":"s"}`:                 "no key",
		`{"id":1,"key":"K","name":null,"type":"t","status":"s"}`:      "no name",
		`{"id":1,"key":"K","name":"n","status":"s"}`:                  "no type",
		`{"id":1,"key":"K","name":"n","type":"t"}`:                    "no status",
	} {
		if got := space(body); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
	grant := func(body string) string {
		w, err := DecodeSpacePermissions([]byte(`{"results":[` + body + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, why := normalizePermission(&w.Results[0], "K")
		return why
	}
	for body, want := range map[string]string{
		`{"id":"1","principal":{"type":"user","id":"u"},"operation":{"key":"read","targetType":"space"}}`: "",
		`{"id":"1","principal":{"type":"anonymous","id":null},"operation":{"key":"read"}}`:                "",
		`{"id":"1","principal":{"type":"user"},"operation":{"key":"read"}}`:                               "no principal id",
		`{"id":"1","principal":null,"operation":{"key":"read"}}`:                                          "no principal type",
		`{"id":"1","principal":{"type":"group","id":"g"}}`:                                                "no operation",
	} {
		if got := grant(body); got != want {
			t.Errorf("%s: %q, want %q", body, got, want)
		}
	}
}

func TestGuestFlags(t *testing.T) {
	for body, want := range map[string]flag{
		`{"accountId":"a","isGuest":true}`:                                 flagTrue,
		`{"accountId":"a","isGuest":false,"isExternalCollaborator":true}`:  flagTrue,
		`{"accountId":"a","isGuest":true,"isExternalCollaborator":null}`:   flagTrue,
		`{"accountId":"a","isGuest":false,"isExternalCollaborator":null}`:  flagNull,
		`{"accountId":"a","isGuest":false}`:                                flagFalse,
		`{"accountId":"a","isGuest":false,"isExternalCollaborator":false}`: flagFalse,
		`{"accountId":"a","isExternalCollaborator":false}`:                 flagFalse,
		`{"accountId":"a"}`:                flagNull,
		`{"accountId":"a","isGuest":null}`: flagNull,
	} {
		b, err := decodeMembers([]byte(`{"results":[` + body + `]}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := b.items[0].external(); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
	if _, err := decodeMembers([]byte(`{"results":[{"accountId":"a","isGuest":"yes"}]}`)); err == nil {
		t.Error("a flag that is a text passed")
	}
	p := people{}
	p.reset()
	for _, f := range []flag{flagNull, flagFalse, flagNull} {
		p.add("a", f)
	}
	if p.guests["a"] != flagFalse {
		t.Errorf("two records that do not know outweigh one that does: %d", p.guests["a"])
	}
}

func TestNextLinks(t *testing.T) {
	const path = "/wiki/api/v2/spaces/7/permissions"
	for link, want := range map[string]string{
		path + "?cursor=abc%3D%3D&limit=250":                  "abc==",
		"/api/v2/spaces/7/permissions?limit=25&cursor=x":      "x",
		"/wiki/api/v2/spaces/8/permissions?cursor=x":          "",
		"/wiki/api/v2/spaces/7/permissions/?cursor=x":         "",
		"/wiki/api/v2/spaces/7/../7/permissions?cursor=x":     "",
		path + "?limit=250":                                   "",
		path + "?cursor=":                                     "",
		path + "?cursor=a&cursor=b":                           "",
		"https://evil.example" + path + "?cursor=x":           "",
		"//evil.example" + path + "?cursor=x":                 "",
		"///" + path + "?cursor=x":                            "",
		"https:" + path + "?cursor=x":                         "",
		"user@" + path + "?cursor=x":                          "",
		"javascript:alert(1)":                                 "",
		"\\\\evil.example" + path + "?cursor=x":               "",
		"http://[::1" + path:                                  "",
		path + "?cursor=%zz":                                  "",
		"/wiki/api/v2/spaces/7/permissions%2f..%2f?cursor=x":  "",
		"/wiki/api/v2/spaces/%37/permissions?cursor=same-id":  "same-id",
		"/wiki/wiki/api/v2/spaces/7/permissions?cursor=x":     "",
		"wiki/api/v2/spaces/7/permissions?cursor=not-rooted":  "",
		"?cursor=nothing-else":                                "",
		"/wiki/api/v2/spaces/7/permissions?cursor=x#fragment": "x",
	} {
		got, err := nextCursor(link, path)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", link, got, err)
		}
	}
	for _, c := range []struct {
		link        string
		start, page int
		want        int
	}{
		{"/rest/api/group?limit=200&start=200", 0, 200, 200},
		{"/wiki/rest/api/group?start=200", 0, 200, 200},
		{"/rest/api/group?start=150", 100, 200, 150},
		{"/rest/api/group?start=100", 100, 200, 100},
		{"/rest/api/group?start=99", 100, 200, -1},
		{"/rest/api/group?start=301", 100, 200, -1},
		{"/rest/api/group?start=-1", 0, 200, -1},
		{"/rest/api/group?start=99999999999999999999", 0, 200, -1},
		{"/rest/api/group", 0, 200, -1},
		{"http://evil.example/rest/api/group?start=200", 0, 200, -1},
	} {
		got, err := nextStart(c.link, pathGroups, c.start, c.page)
		if err != nil {
			got = -1
		}
		if got != c.want {
			t.Errorf("%s from %d: %d (%v), want %d", c.link, c.start, got, err, c.want)
		}
	}
}

func TestLinkHeader(t *testing.T) {
	for line, want := range map[string]string{
		`</wiki/a?cursor=1>; rel="next", <https://x/wiki>; rel="base"`: "/wiki/a?cursor=1",
		`<https://x/wiki>; rel="base", </wiki/a?cursor=1>; rel=next`:   "/wiki/a?cursor=1",
		`<https://x/wiki>; rel="base"`:                                 "",
		`</a>; title="x"; REL="NEXT"`:                                  "/a",
		`</a; rel="next"`:                                              "",
		`rel="next"`:                                                   "",
		"":                                                             "",
	} {
		if got := linkHeader(http.Header{"Link": {line}}); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	rows, err := normalizeRetention(retentionWire{Number: new(int64(1)), Units: new("YEARS")})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]datasets.Setting{{Setting: "audit_retention", Value: new("1 YEARS"), ValueType: "period"}}, rows); diff != "" {
		t.Error(diff)
	}
	if _, err := normalizeRetention(retentionWire{Units: new("YEARS")}); err == nil {
		t.Error("a period without a number passed")
	}
	for _, r := range normalizeSystemInfo(systemInfoWire{CloudID: "x"}) {
		if r.Value != nil {
			t.Errorf("%s: not said, and became %q", r.Setting, *r.Value)
		}
	}
}
