package confluence

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestDataCenterSubjects: all the ways in which sites write whom a permission is
// given to.
func TestDataCenterSubjects(t *testing.T) {
	type want struct{ kind, id, name, why string }
	for body, w := range map[string]want{
		`{"type":"user","userKey":"4028800d98315ec6"}`:                      {"user", "4028800d98315ec6", "", ""}, // CONFSERVER-100505
		`{"type":"known","userKey":"k","username":"u","displayName":"Una"}`: {"user", "k", "Una", ""},
		`{"type":"unknown","userKey":"k","displayName":"Unknown User (k)"}`: {"user", "k", "Unknown User (k)", ""},
		`{"type":"known","username":"u","displayName":"Una"}`:               {"user", "", "Una", "its user has no key"},
		`{"type":"known","userKey":""}`:                                     {"user", "", "", "its user has no key"},
		`{"type":"group","name":"confluence-users"}`:                        {"group", "confluence-users", "confluence-users", ""}, // CONFSERVER-100505
		`{"type":"group","displayName":"ops"}`:                              {"group", "ops", "ops", ""},
		`{"type":"group"}`:                                                  {"group", "", "", "its group has no name"},
		`{"type":"anonymous","displayName":"Anonymous"}`:                    {"anonymous", "anonymous", "", ""},
		`{"type":"unlicensed","displayName":"Unlicensed users"}`:            {"unlicensed", "unlicensed", "", ""},
		`null`: {"anonymous", "anonymous", "", ""},
		`{"type":"app","name":"com.example.bot","displayName":"Bot"}`: {"app", "com.example.bot", "Bot", ""},
		`{"type":"app","displayName":"Bot"}`:                          {"app", "Bot", "Bot", ""},
		`{"type":"app"}`:                                              {"app", "", "", "its subject has no name"},
		`{"displayName":"x"}`:                                         {"", "", "", "its subject has no type"},
		`{"type":null,"userKey":"k"}`:                                 {"", "", "", "its subject has no type"},
		`{"type":"user","userKey":"k","profilePicture":{"path":"x"},"_links":{"a":[]}}`: {"user", "k", "", ""},
	} {
		list, err := decodeDataCenterPermissions([]byte(`[{"operation":{"targetType":"space","operationKey":"read"},"subject":` + body + `}]`))
		if err != nil {
			t.Errorf("%s: %v", body, err)
			continue
		}
		p, why := list[0].principal()
		got := want{p.kind, p.id, "", why}
		if p.name != nil {
			got.name = *p.name
		}
		if got != w {
			t.Errorf("%s: %+v, want %+v", body, got, w)
		}
	}
}

// TestGrantID: ids are in the warehouse, so that they must never change; and no
// two permissions share one, whatever a group is called.
func TestGrantID(t *testing.T) {
	if got := grantID("98305", "group", "confluence-users", "read", "space"); got != "c79d9abca4704ccf414f7a0eb0209787" {
		t.Errorf("the id of a permission is %s now", got)
	}
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{"1", "group", "ops", "team|read", "space"},
		{"1", "group", "ops|team", "read", "space"},
		{"1", "group", "opsteam", "read", "space"},
		{"1", "user", "ops", "team|read", "space"},
		{"11", "group", "ops", "read", "space"},
		{"1", "1group", "ops", "read", "space"},
		{"1", "group", "ops", "read", ""},
		{"1", "group", "ops", "", "read"},
		{"1", "group", "", "ops", "read"},
		{"1", "group", "ops", "read", "space"},
		{"2", "group", "ops", "read", "space"},
	} {
		id := grantID(parts[0], parts[1], parts[2], parts[3], parts[4])
		if other, taken := seen[id]; taken {
			t.Errorf("%q and %q share an id", parts, other)
		}
		seen[id] = parts
	}
}

func TestDataCenterMalformed(t *testing.T) {
	try := func(body string, decode func([]byte) error, want string) {
		t.Helper()
		var m *malformed
		if err := decode([]byte(body)); !errors.As(err, &m) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
	permissions := func(body []byte) error { _, err := decodeDataCenterPermissions(body); return err }
	try(`null`, permissions, "no list of permissions")
	try(`{"results":[]}`, permissions, "the answer is object")
	try(`[{"operation":"read"}]`, permissions, "operation is string")
	try(`[{"subject":"x"}]`, permissions, "subject is string")
	try(`[{}`, permissions, "not JSON")
	spaces := func(body []byte) error { _, err := decodeDataCenterSpaces(body); return err }
	try(`{"results":[{"key":"A"}]}`, spaces, "results[0] has no id")
	try(`{"start":0,"limit":25}`, spaces, "no results")
	try(`[]`, spaces, "the answer is array")
	groups := func(body []byte) error { _, err := decodeDataCenterGroups(body); return err }
	try(`{"results":[{"type":"group","name":"a"},{"type":"group","name":""}]}`, groups, "results[1] has no id")
	users := func(body []byte) error { _, err := decodeDataCenterUsers(body); return err }
	try(`{"results":[{"type":"known","username":"a"}]}`, users, "results[0] has no id")
	mode := func(body []byte) error { _, err := decodeAccessMode(body); return err }
	try(`""`, mode, "no access mode")
	try(`null`, mode, "no access mode")
	try(`{"mode":"READ_ONLY"}`, mode, "the answer is object")
	audit := func(body []byte) error { _, err := decodeDataCenterAudit(body); return err }
	try(`{"pagingInfo":{"lastPage":true}}`, audit, "no entities")
	try(`{"entities":[]}`, audit, "last page")
	try(`{"entities":[],"pagingInfo":{}}`, audit, "last page")
	try(`{"entities":[{"timestamp":"yesterday"}],"pagingInfo":{"lastPage":true}}`, audit, "entities[0] is no time")
}

func TestAccessMode(t *testing.T) {
	for _, body := range []string{`"READ_ONLY"`, " \"READ_ONLY\"\n", "READ_ONLY", "READ_ONLY\n"} {
		rows, err := decodeAccessMode([]byte(body))
		if err != nil || len(rows) != 1 || *rows[0].Value != "READ_ONLY" {
			t.Errorf("%s: %v %v", body, rows, err)
		}
	}
}

func TestSameAddress(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"https://wiki.example/confluence", "https://WIKI.example/confluence/", true},
		{"https://wiki.example", "http://wiki.example:80/", true},
		{"https://wiki.example:443/x", "https://wiki.example/x", true},
		{"https://wiki.example:8443/x", "https://wiki.example/x", false},
		{"https://wiki.example:80", "https://wiki.example", false},
		{"https://wiki.example/confluence", "https://wiki.example", false},
		{"https://wiki.example/confluence", "https://wiki.example/Confluence", false},
		{"https://wiki.example.evil/confluence", "https://wiki.example/confluence", false},
		{"https://wiki.example@evil/confluence", "https://wiki.example/confluence", false},
		{"", "", false},
		{"wiki.example", "wiki.example", false},
	} {
		if got := sameAddress(c.a, c.b); got != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, got)
		}
	}
}

func TestSegment(t *testing.T) {
	for name, want := range map[string]string{
		"a b": "a%20b", "a/b": "a%2Fb", "100%": "100%25", "what?#;": "what%3F%23%3B", "~ann": "~ann", "...": "...", "..%2F..": "..%252F..", "a\\..": "a%5C..", "bell\u0007": "bell%07",
	} {
		if got, err := segment("group", name); got != want || err != nil {
			t.Errorf("%q: %q (%v), want %q", name, got, err, want)
		}
	}
	for _, name := range []string{".", "..", "../x", "x/..", "x/./y", "/.."} {
		_, err := segment("group", name)
		if r := (*collector.ReadError)(nil); !errors.As(err, &r) || r.State != schemas.CoverageNotExposed || r.Unlock == "" {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestDataCenterUnsaid: what the site leaves out is unknown, not false or empty.
func TestDataCenterUnsaid(t *testing.T) {
	var u dcUserWire
	if err := decode([]byte(`{"userKey":"k","email":""}`), &u); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(datasets.User{AccountID: "k", AccountType: "user", AccountStatus: "unknown"}, normalizeDataCenterUser(&u)); diff != "" {
		t.Error(diff)
	}
	for body, want := range map[string]string{
		`{"id":1,"name":"n","type":"global","status":"current"}`:             "no key",
		`{"id":1,"key":"","name":"n","type":"global","status":"current"}`:    "no key",
		`{"id":1,"key":"K","type":"global","status":"current"}`:              "no name",
		`{"id":1,"key":"K","name":"n","type":"global"}`:                      "no status",
		`{"id":9007199254740993,"key":"K","name":"","type":"","status":"s"}`: "",
	} {
		var w dcSpaceWire
		if err := decode([]byte(body), &w); err != nil {
			t.Fatal(err)
		}
		if _, why := normalizeDataCenterSpace(&w); why != want {
			t.Errorf("%s: %q, want %q", body, why, want)
		}
	}
	used := int64(7)
	got := normalizeLicence(&licenceWire{MaxUsers: new(int64(-1))}, &used)
	if got.Total != nil || got.Free != nil || !*got.Unlimited || got.Active != nil || !got.ExpiresAt.IsZero() {
		t.Errorf("without a limit: %+v", got)
	}
	if got := normalizeLicence(&licenceWire{MaxUsers: new(int64(5))}, &used); *got.Free != 0 || *got.Total != 5 || *got.Unlimited {
		t.Errorf("more users than seats: %+v", got)
	}
	for _, ms := range []int64{0, -1, lastMillis + 1} {
		if !millis(&ms).IsZero() {
			t.Errorf("%d ms is a date", ms)
		}
	}
	if ms := int64(1772359200123); !millis(&ms).Equal(time.UnixMilli(ms)) {
		t.Error("a date is lost")
	}
}
