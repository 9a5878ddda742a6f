package diff_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestDifferencesOfEveryDataset applies the difference of two random readings of
// each declared dataset to the first, by way of a spool file, and gets the second,
// whatever the values are, and tries to make two keys or rows of each look alike
// (Invariant 10).
func TestDifferencesOfEveryDataset(t *testing.T) {
	tested := map[*schemas.Dataset]bool{}
	for _, property := range []func(*testing.T, map[*schemas.Dataset]bool){
		rowsOf(confluence.Spaces), rowsOf(confluence.SpaceRoles), rowsOf(confluence.SpacePermissions), rowsOf(confluence.SpaceRoleAssignments),
		rowsOf(confluence.SitePermissions), rowsOf(confluence.SecurityConfiguration), rowsOf(confluence.PublicLinkSpaces), rowsOf(confluence.PublicLinks),
		rowsOf(confluence.DataPolicies), rowsOf(confluence.ClassificationLevels), rowsOf(confluence.Groups), rowsOf(confluence.GroupMembers), rowsOf(confluence.Users),
		rowsOf(confluence.ExternalCollaborators), rowsOf(confluence.InstalledApps), rowsOf(confluence.Subscriptions), rowsOf(confluence.UserActivities), rowsOf(confluence.AuditEvents),
	} {
		property(t, tested)
	}
	for _, d := range confluence.All() {
		if !tested[d] {
			t.Errorf("%s is not tested", d.Name)
		}
	}
}

func rowsOf[R any](table *schemas.Typed[R]) func(*testing.T, map[*schemas.Dataset]bool) {
	return func(t *testing.T, tested map[*schemas.Dataset]bool) {
		tested[table.Dataset] = true
		t.Run(table.Name, func(t *testing.T) {
			bordersHold(t, table)
			rapid.Check(t, func(t *rapid.T) {
				one := rapid.Custom(func(t *rapid.T) R { return drawRow[R](t) })
				before := rapid.SliceOfN(one, 0, 6).Draw(t, "before")
				after := rapid.SliceOfN(rapid.OneOf(append([]*rapid.Generator[R]{one}, near(before, one)...)...), 0, 6).Draw(t, "after")
				applies(t, table, before, after)
			})
		})
	}
}

// bordersHold moves what stands between two texts of a row into one of them: for
// whoever knows how rows are hashed, that is the way to make two look alike.
func bordersHold[R any](t *testing.T, table *schemas.Typed[R]) {
	texts := func(row *R) (list []func(string)) {
		v := reflect.ValueOf(row).Elem()
		for _, field := range v.Fields() {
			switch f := field.Addr().Interface().(type) {
			case *string:
				list = append(list, func(s string) { *f = s })
			case **string:
				list = append(list, func(s string) { *f = &s })
			case *[]string:
				list = append(list, func(s string) { *f = append(*f, s) })
			}
		}
		return list
	}
	h := &schemas.Hasher{}
	var none R
	for i := range texts(&none) {
		for j := range texts(&none) {
			for n := range len(table.Columns) {
				border := string([]byte{byte(n), 1}) // the second column's number, and that it is known
				var x, y R
				texts(&x)[i]("a" + border + "b")
				texts(&x)[j]("c")
				texts(&y)[i]("a")
				texts(&y)[j]("b" + border + "c")
				page := table.Page([]R{x, y})
				all := schemas.NewBlock(table.Dataset)
				page.AppendColumns(all, 0)
				page.AppendColumns(all, 1)
				kx, rx := page.Hash(h, 0, table.Version)
				ky, ry := page.Hash(h, 1, table.Version)
				if same := alike(all, 0, all, 1, columns(table.Dataset, schemas.RoleKey)); same != (kx == ky) {
					t.Fatalf("%+v and %+v: one key: %v, one hash of the key: %v", x, y, same, kx == ky)
				}
				if same := alike(all, 0, all, 1, columns(table.Dataset, schemas.RoleTracked)); same != (rx == ry) {
					t.Fatalf("%+v and %+v: one value: %v, one hash of it: %v", x, y, same, rx == ry)
				}
			}
		}
	}
}

// columns are the numbers of those that have a role.
func columns(table *schemas.Dataset, role schemas.Role) (list []int) {
	for i, c := range table.Columns {
		if c.Role == role {
			list = append(list, i)
		}
	}
	return list
}

// near are rows like those of before: the same, or with one field of another.
func near[R any](before []R, one *rapid.Generator[R]) []*rapid.Generator[R] {
	if len(before) == 0 {
		return nil
	}
	same := rapid.SampledFrom(before)
	return []*rapid.Generator[R]{same, rapid.Custom(func(t *rapid.T) R {
		row, other := same.Draw(t, "row"), one.Draw(t, "other")
		at := rapid.IntRange(0, reflect.TypeFor[R]().NumField()-1).Draw(t, "field")
		reflect.ValueOf(&row).Elem().Field(at).Set(reflect.ValueOf(other).Field(at))
		return row
	})}
}

// nasty are texts that careless encodings confuse.
var nasty = []string{"", "a", "ab", "b", "a\x00", "\x00", "\x01a", "null", "[]", `a","b`, "e\u0301", "\u00e9", "\xff", "\xfe", "\u202ea", "a\n", strings.Repeat("x", 130)}

// drawRow draws a value for each field of a row, from few, so that rows are often
// nearly the same.
func drawRow[R any](t *rapid.T) (row R) {
	text, number := rapid.SampledFrom(nasty), rapid.SampledFrom([]int64{0, 1, -1, 255, 256, 1 << 62, -1 << 63})
	v := reflect.ValueOf(&row).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		known := rapid.Bool().Draw(t, name+" known")
		switch f := v.Field(i).Addr().Interface().(type) {
		case *string:
			*f = text.Draw(t, name)
		case *int64:
			*f = number.Draw(t, name)
		case *bool:
			*f = known
		case *time.Time:
			if known {
				*f = time.UnixMilli(number.Draw(t, name) % 1e13).Add(time.Duration(rapid.IntRange(0, 1).Draw(t, name+" ns")))
			}
		case *[]string:
			*f = rapid.SliceOfN(text, 0, 3).Draw(t, name)
		case **string:
			if known {
				*f = new(text.Draw(t, name))
			}
		case **int64:
			if known {
				*f = new(number.Draw(t, name))
			}
		case **bool:
			if known {
				*f = new(rapid.Bool().Draw(t, name))
			}
		default:
			t.Fatalf("%s: no values for %T", name, f)
		}
	}
	return row
}

// applies is the property. That keys or values are the same is decided by what
// would be stored, not by hashes.
func applies[R any](t *rapid.T, table *schemas.Typed[R], before, after []R) {
	keys, values := columns(table.Dataset, schemas.RoleKey), columns(table.Dataset, schemas.RoleTracked)
	h := &schemas.Hasher{}
	old, now := versions(table.Page(before), h, keys), versions(table.Page(after), h, keys)
	base := diff.NewBaseline(0)
	for i := range old.N {
		base.Add([]schemas.BaselineKey{{Key: old.Key(i), Row: old.Hash(i), Seq: 1, Op: schemas.OpAdded}})
	}
	if rows, _ := base.Seal(h, ""); rows != uint64(old.N) {
		t.Fatalf("%d entities, %d of them sealed: two keys have one hash", old.N, rows)
	}
	delta := schemas.NewBlock(table.Dataset)
	for i := range now.N {
		v, _ := base.See(now.Key(i), now.Hash(i))
		want, at := diff.New, slices.IndexFunc(indexes(old.N), func(j int) bool { return alike(now, i, old, j, keys) })
		switch {
		case at >= 0 && alike(now, i, old, at, values):
			want = diff.Unchanged
		case at >= 0:
			want = diff.Changed
		}
		if v != want {
			t.Fatalf("%s is %d, want %d", now.EntityKey(i), v, want)
		}
		if v != diff.Unchanged {
			delta.Version("", now.Key(i), now.Hash(i), schemas.OpChanged, 0)
			delta.CopyColumns(now, i)
		}
	}
	spooled := respool(t, delta)
	result := schemas.NewBlock(table.Dataset)
	gone := map[schemas.KeyHash]bool{}
	for k := range base.Missing() {
		gone[k] = true
	}
	take := func(b *schemas.Block, i int) {
		result.Version("", b.Key(i), b.Hash(i), schemas.OpAdded, 0)
		result.CopyColumns(b, i)
	}
	for i := range old.N {
		if !gone[old.Key(i)] && !slices.ContainsFunc(indexes(spooled.N), func(j int) bool { return spooled.Key(j) == old.Key(i) }) {
			take(old, i)
		}
	}
	for i := range spooled.N {
		take(spooled, i)
	}
	if result.N != now.N {
		t.Fatalf("%d rows, want %d", result.N, now.N)
	}
	compared := slices.Concat(keys, values)
	for i := range now.N {
		if !slices.ContainsFunc(indexes(result.N), func(j int) bool { return alike(now, i, result, j, compared) }) {
			t.Fatalf("%s is not as it was read", now.EntityKey(i))
		}
	}
}

// versions is a page as versions, the first of each entity only.
func versions(page schemas.Rows, h *schemas.Hasher, keys []int) *schemas.Block {
	all, first := schemas.NewBlock(page.Table()), schemas.NewBlock(page.Table())
	for i := range page.Len() {
		k, r := page.Hash(h, i, page.Table().Version)
		all.Version("", k, r, schemas.OpAdded, 0)
		page.AppendColumns(all, i)
		if !slices.ContainsFunc(indexes(first.N), func(j int) bool { return alike(all, i, first, j, keys) }) {
			first.Version("", k, r, schemas.OpAdded, 0)
			first.CopyColumns(all, i)
		}
	}
	return first
}

// alike tells whether two rows have the same values in columns.
func alike(a *schemas.Block, i int, b *schemas.Block, j int, columns []int) bool {
	return !slices.ContainsFunc(columns, func(c int) bool { return !a.Cols[c].Equal(i, &b.Cols[c], j) })
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

func respool(t *rapid.T, b *schemas.Block) *schemas.Block {
	data, err := b.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	again := schemas.NewBlock(b.Table)
	if err := again.UnmarshalBinary(data); err != nil {
		t.Fatal(err)
	}
	return again
}
