package schemas_test

import (
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/schemas"
)

// thing has a column of every kind, some of them in the key.
type thing struct {
	A, B   string
	Text   string
	Maybe  *string
	Num    int64
	MaybeN *int64
	Flag   bool
	MaybeF *bool
	At     time.Time
	Since  time.Time
	Set    []string
	Note   string
	Late   string
}

var things = schemas.Declare(schemas.Table[thing]{
	Name: "things", Version: 2, Group: schemas.GroupAudit, Doc: "Things.", Grain: "thing",
	Columns: []schemas.Column[thing]{
		schemas.String("a", "First part of the key.", func(r *thing) string { return r.A }).Key(),
		schemas.String("b", "Second part of the key.", func(r *thing) string { return r.B }).Key(),
		schemas.String("text", "Text.", func(r *thing) string { return r.Text }),
		schemas.NullString("maybe", "Text or unknown.", func(r *thing) *string { return r.Maybe }),
		schemas.Int("num", "Number.", func(r *thing) int64 { return r.Num }),
		schemas.NullInt("maybe_num", "Number or unknown.", func(r *thing) *int64 { return r.MaybeN }),
		schemas.Bool("flag", "Flag.", func(r *thing) bool { return r.Flag }),
		schemas.NullBool("maybe_flag", "Flag or unknown.", func(r *thing) *bool { return r.MaybeF }),
		schemas.Time("at", "Time.", func(r *thing) time.Time { return r.At }),
		schemas.NullTime("since", "Time or unknown.", func(r *thing) time.Time { return r.Since }),
		schemas.Strings("labels", "Set.", func(r *thing) []string { return r.Set }),
		schemas.String("note", "Not compared.", func(r *thing) string { return r.Note }).Context(),
		schemas.String("late", "Came with version 2.", func(r *thing) string { return r.Late }).Since(2),
	},
	EntityName: []string{"a", "text"},
	Sources:    []schemas.Access{{Credential: "3lo", Scopes: [][]string{{"one", "other"}, {"two"}}}}, Examples: []schemas.Example{{Question: "?", SQL: "SELECT 1"}},
	Severities: []schemas.Severity{
		{Level: schemas.LevelHigh, Changes: []schemas.ChangeKind{schemas.ChangeAdded}, Where: []schemas.Condition{{Column: "text", In: []string{"danger"}}}, Why: "danger"},
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"num"}, Why: "the number moved"},
	},
})

func drawThing(t *rapid.T, label string) thing {
	text := rapid.SampledFrom([]string{"", "a", "ab", "b", "a\x00", "\x01", "é", "null", "a|b", strings.Repeat("x", 300)})
	num := rapid.SampledFrom([]int64{0, 1, -1, 256, 1 << 60})
	r := thing{
		A: text.Draw(t, label+" a"), B: text.Draw(t, label+" b"), Text: text.Draw(t, label+" text"), Num: num.Draw(t, label+" num"), Flag: rapid.Bool().Draw(t, label+" flag"),
		At: time.UnixMilli(num.Draw(t, label+" at") % 1e12).UTC(), Set: rapid.SliceOfN(text, 0, 3).Draw(t, label+" set"), Note: text.Draw(t, label+" note"), Late: text.Draw(t, label+" late"),
	}
	if rapid.Bool().Draw(t, label+" known") {
		s, n, f := text.Draw(t, label+" maybe"), num.Draw(t, label+" maybe num"), rapid.Bool().Draw(t, label+" maybe flag")
		r.Maybe, r.MaybeN, r.MaybeF, r.Since = &s, &n, &f, time.UnixMilli(1)
	}
	return r
}

// compared are the values that the row hash stands for, as Go compares them.
func compared(r thing, version int) []any {
	set := slices.Clone(r.Set)
	slices.Sort(set)
	all := []any{r.Text, r.Maybe, r.Num, r.MaybeN, r.Flag, r.MaybeF, r.At.UnixMilli(), r.Since.UnixMilli(), strings.Join(slices.Compact(set), "\xff"), len(slices.Compact(set))}
	if version > 1 {
		all = append(all, r.Late)
	}
	return all
}

// TestNoTwoRowsLookAlike is Invariant 10: hashes are equal exactly when what
// they stand for is, however the values are chosen.
func TestNoTwoRowsLookAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawThing(t, "x"), drawThing(t, "y")
		if rapid.Bool().Draw(t, "near") { // differ by the border between the two texts of the key only
			whole := x.A + x.B
			cut := rapid.IntRange(0, len(whole)).Draw(t, "cut")
			y = x
			y.A, y.B = whole[:cut], whole[cut:]
		}
		h := &schemas.Hasher{}
		for version := 1; version <= 2; version++ {
			page := things.Page([]thing{x, y})
			kx, rx := page.Hash(h, 0, version)
			ky, ry := page.Hash(h, 1, version)
			if same := x.A == y.A && x.B == y.B; same != (kx == ky) {
				t.Fatalf("keys equal: %v, key hashes equal: %v: %+v %+v", same, kx == ky, x, y)
			}
			if same := reflect.DeepEqual(compared(x, version), compared(y, version)); same != (rx == ry) {
				t.Fatalf("version %d: values equal: %v, hashes equal: %v:\n%+v\n%+v", version, same, rx == ry, x, y)
			}
		}
	})
}

// TestHashesArePinned: stored hashes outlive the program that wrote them.
func TestHashesArePinned(t *testing.T) {
	yes, n := true, int64(7)
	row := thing{A: "k", B: "l", Text: "t", Num: 3, MaybeN: &n, MaybeF: &yes, At: time.UnixMilli(1700000000123), Set: []string{"b", "a", "b"}}
	h := &schemas.Hasher{}
	key, hash := things.Page([]thing{row}).Hash(h, 0, 2)
	digest := h.RowDigest("p", key, hash)
	event := schemas.EventID("acme", "things", "p", key, 4, schemas.ChangeAdded, hash)
	got := []string{hex.EncodeToString(key[:]), hex.EncodeToString(hash[:]), digest.String(), event.String()}
	want := []string{
		"1362e0e6a354c3b4a7e0a26584aa655d", "ae85782b3e53bb542230e552a4ab7defe16b15e6c77ab56a734b391a720a5768",
		"419d6208d4b83b8094996dc36f81ad8a", "d6eb1933-0a80-8f5e-be0d-f3ad9e620e3e",
	}
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("stored hashes would no longer match (-want +got):\n%s", d)
	}
}

// TestBlocksKeepValues: columns give back what rows put in, also by way of a file.
func TestBlocksKeepValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) thing { return drawThing(t, "row") }), 1, 8).Draw(t, "rows")
		page, b := things.Page(rows), schemas.NewBlock(things.Dataset)
		for i := range rows {
			b.Version(strconv.Itoa(i), schemas.KeyHash{byte(i)}, schemas.RowHash{byte(i)}, schemas.OpAdded, int64(i))
			page.AppendColumns(b, i)
		}
		data, err := b.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		c := schemas.NewBlock(things.Dataset)
		if err := c.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		for i, r := range rows {
			if c.Partition.Text(i) != strconv.Itoa(i) || c.Key(i) != b.Key(i) || c.Hash(i) != b.Hash(i) || c.FirstSeen[i] != int64(i) {
				t.Fatalf("row %d: the engine's part changed on the way", i)
			}
			for n := range c.Cols {
				if !c.Cols[n].Equal(i, &b.Cols[n], i) {
					t.Fatalf("row %d: column %s changed on the way", i, c.Table.Columns[n].Name)
				}
			}
			var maybe any
			if r.Maybe != nil {
				maybe = *r.Maybe
			}
			var got any
			if err := json.Unmarshal(c.Cols[things.Column("maybe")].AppendJSON(nil, i), &got); err != nil || got != maybe {
				t.Fatalf("row %d: maybe is %v in JSON, want %v (%v)", i, got, maybe, err)
			}
			if got := c.Cols[things.Column("text")].Text(i); got != r.Text {
				t.Fatalf("row %d: text %q, want %q", i, got, r.Text)
			}
			d := schemas.NewBlock(things.Dataset)
			d.CopyColumns(c, i)
			for n := range d.Cols {
				if !d.Cols[n].Equal(0, &b.Cols[n], i) {
					t.Fatalf("row %d: column %s changed by copying", i, d.Table.Columns[n].Name)
				}
			}
		}
	})
}

func TestEntityKeysDoNotReadAlike(t *testing.T) {
	b := schemas.NewBlock(things.Dataset)
	page := things.Page([]thing{{A: `x","y`, B: "z"}, {A: "x", B: `y","z`}})
	page.AppendColumns(b, 0)
	page.AppendColumns(b, 1)
	if x, y := b.EntityKey(0), b.EntityKey(1); x == y || x != `["x\",\"y","z"]` {
		t.Errorf("keys %s and %s", x, y)
	}
}

func TestGrade(t *testing.T) {
	b := schemas.NewBlock(things.Dataset)
	page := things.Page([]thing{{Text: "Danger"}, {Text: "harmless"}})
	page.AppendColumns(b, 0)
	page.AppendColumns(b, 1)
	for _, tc := range []struct {
		kind   schemas.ChangeKind
		row    int
		fields []string
		want   schemas.Level
	}{
		{schemas.ChangeAdded, 0, nil, schemas.LevelHigh},
		{schemas.ChangeAdded, 1, nil, schemas.LevelLow},
		{schemas.ChangeRemoved, 0, nil, schemas.LevelLow},
		{schemas.ChangeChanged, 1, []string{"num"}, schemas.LevelMedium},
		{schemas.ChangeChanged, 1, []string{"text"}, schemas.LevelLow},
		{schemas.ChangeVanished, 1, nil, schemas.LevelHigh},
		{schemas.ChangeBaseline, 0, nil, schemas.LevelInfo},
	} {
		if got := things.Grade(tc.kind, b, tc.row, tc.fields); got != tc.want {
			t.Errorf("%s of row %d, fields %v: %s, want %s", tc.kind, tc.row, tc.fields, got, tc.want)
		}
	}
}

func TestScopesAskForTheFirstAlternative(t *testing.T) {
	if d := gocmp.Diff([]string{"one", "two"}, things.Scopes("3lo")); d != "" {
		t.Error(d)
	}
}

// TestCheckReportsEveryMistake of declarations at once.
func TestCheckReportsEveryMistake(t *testing.T) {
	get := func(r *thing) string { return r.A }
	bad := schemas.Declare(schemas.Table[thing]{
		Name: "Bad", Version: 1, Group: "nobody", Doc: "No stop", Parent: "absent", Needs: []string{"missing"},
		Columns: []schemas.Column[thing]{
			schemas.String("x", "Doc.", get).Since(2), schemas.String("x", "Doc.", get),
			schemas.NullString("k", "Doc.", func(*thing) *string { return nil }).Key(), schemas.String("seq", "Doc.", get),
		},
		EntityName: []string{"y"}, Severities: []schemas.Severity{{Level: "grave"}},
	})
	err := schemas.Check([]*schemas.Dataset{bad.Dataset})
	if err == nil {
		t.Fatal("nothing is wrong with it")
	}
	for _, want := range []string{
		"the name must match", "full stop", `unknown group "nobody"`, "x is declared twice", "a key cannot be null", "adds a column of that name",
		"columns of later versions", "names its partition column", "no source", "no example", `no column "y"`, "its parent absent", "missing, which it needs", "severity",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("not reported: %s\n%v", want, err)
		}
	}
}

func TestDigestIsAnAbelianGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(l string) schemas.Digest {
			return schemas.Digest{Hi: rapid.Uint64().Draw(t, l+" hi"), Lo: rapid.Uint64().Draw(t, l+" lo")}
		}
		a, b, c := draw("a"), draw("b"), draw("c")
		if a.Add(b) != b.Add(a) || a.Add(b).Add(c) != a.Add(b.Add(c)) || a.Add(b).Sub(b) != a || schemas.DigestFromBytes(a.Bytes()) != a {
			t.Fatalf("%v %v %v", a, b, c)
		}
	})
}

func BenchmarkHash(b *testing.B) {
	page := things.Page([]thing{{A: "9007199254740993", B: "user", Text: "read", Note: "space"}})
	h := &schemas.Hasher{}
	b.ReportAllocs()
	for b.Loop() {
		page.Hash(h, 0, 2)
	}
}
