package clickhouse

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// everything is a row with a column of every kind.
type everything struct {
	ID       string
	Text     string
	NullText *string
	Few      string
	NullFew  *string
	Int      int64
	NullInt  *int64
	Bool     bool
	NullBool *bool
	At       time.Time
	NullAt   time.Time
	Set      []string
}

var everythings = schemas.Declare(schemas.Table[everything]{
	Name: "everythings", Version: 1, Group: schemas.GroupPosture, Doc: "One of each kind.", Grain: "tenant, id",
	Sections: []string{"a"}, PartitionColumn: "part", PartitionDoc: "Part.",
	Columns: []schemas.Column[everything]{
		schemas.String("id", "Id.", func(r *everything) string { return r.ID }).Key(),
		schemas.String("text", "Text.", func(r *everything) string { return r.Text }),
		schemas.NullString("null_text", "Text or null.", func(r *everything) *string { return r.NullText }),
		schemas.Enum("few", "Few.", func(r *everything) string { return r.Few }),
		schemas.Int("int", "Int.", func(r *everything) int64 { return r.Int }),
		schemas.NullInt("null_int", "Int or null.", func(r *everything) *int64 { return r.NullInt }),
		schemas.Bool("bool", "Bool.", func(r *everything) bool { return r.Bool }),
		schemas.NullBool("null_bool", "Bool or null.", func(r *everything) *bool { return r.NullBool }),
		schemas.Time("at_time", "Time.", func(r *everything) time.Time { return r.At }),
		schemas.NullTime("null_at", "Time or null.", func(r *everything) time.Time { return r.NullAt }),
		schemas.Strings("words", "Set.", func(r *everything) []string { return r.Set }),
	},
	Sources: []schemas.Access{{Deployment: "cloud", Credential: "3lo", Calls: []string{"GET /x"}}}, Examples: []schemas.Example{{Question: "q", SQL: "SELECT 1"}},
})

// nasty are texts that break naive encodings.
var nasty = []string{
	"", " ", "'", `\`, `\'`, `"`, "`", "\x00", "a\x00b", "\t\r\n", "\x01\x1f\x7f", "NULL", `\N`, "null", "'); DROP TABLE sitedrift.heads; --",
	"שלום \u202eevil\u202c", "🦊", "{at:String}", "%s%d", "?", "$1", "@at", "__exception__\r\n", "\xff\xfe", "é", "e\u0301",
}

//go:fix inline
func everyRow() []everything {
	var rows []everything
	for i, s := range nasty {
		rows = append(rows, everything{
			ID: s, Text: s, NullText: &s, Few: s, Int: int64(i) - 3, NullInt: new(int64(-1) << 62), Bool: i%2 == 0, NullBool: new(i%3 == 0),
			At: time.Date(1969, 12, 31, 23, 59, 59, 999e6, time.UTC), NullAt: time.Date(2026, 3, 1, 0, 0, 0, 1e6, time.UTC), Set: nasty[:i],
		})
	}
	rows = append(rows, everything{ID: "nulls", At: time.UnixMilli(0)}, everything{ID: "empty", NullText: new(""), NullInt: new(int64(0)), NullBool: new(false), At: time.UnixMilli(0), NullAt: time.UnixMilli(0), Set: []string{""}})
	return rows
}

func TestRoundTrip(t *testing.T) {
	w := open(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{everythings.Dataset} })
	var blocks []*schemas.Block
	var entities []schemas.Entity
	want := map[schemas.Entity]string{}
	for _, p := range nasty {
		b := block(everythings, p, schemas.OpAdded, everyRow()...)
		blocks = append(blocks, b)
		for i := range b.N {
			e := schemas.Entity{Partition: p, Key: b.Key(i)}
			entities = append(entities, e)
			want[e] = render(b, i)
		}
	}
	h := head("o'tenant \x00", everythings.Dataset, 1)
	stage(t, w, delta(h, stream(blocks...)))
	if got := ask(t, w, "SELECT count() FROM everythings"); got[0][0] != "0" {
		t.Errorf("before Show %s rows are visible", got[0][0])
	}
	show(t, w, h)
	got, err := w.Versions(t.Context(), everythings.Dataset, h, entities)
	if err != nil {
		t.Fatal(err)
	}
	if err := checkBlock(got); err != nil {
		t.Fatal(err)
	}
	have := map[schemas.Entity]string{}
	for i := range got.N {
		have[schemas.Entity{Partition: got.Partition.Text(i), Key: got.Key(i)}] = render(got, i)
		if got.FirstSeen[i] != h.ObservedAt.UnixMilli() || schemas.Op(got.Ops[i]) != schemas.OpAdded {
			t.Fatalf("row %d: first seen %d, op %d", i, got.FirstSeen[i], got.Ops[i])
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("Versions (-stored +read):\n%s", diff)
	}

	// The view shows the same to people, byte for byte.
	seen := map[string]bool{}
	for _, row := range ask(t, w, "SELECT hex(part), hex(id), hex(text), ifNull(hex(null_text), 'null'), hex(few), arrayMap(x -> hex(x), words) = arrayMap(x -> hex(x), arraySort(words)), tenant_id = "+text(h.Tenant)+" FROM everythings WHERE text = id") {
		seen[row[0]+"/"+row[1]] = true
		if row[1] != row[2] || row[1] != row[3] || row[1] != row[4] || row[5] != "true" && row[5] != "1" || row[6] != "1" {
			t.Fatalf("row %q", row)
		}
	}
	if len(seen) != len(nasty)*len(nasty) {
		t.Errorf("the view shows %d rows, want %d", len(seen), len(nasty)*len(nasty))
	}
	for _, c := range []struct{ sql, want string }{
		{"SELECT countIf(null_text IS NULL), countIf(null_int IS NULL), countIf(null_bool IS NULL), countIf(null_at IS NULL) FROM everythings WHERE id = 'nulls'", "26 26 26 26"},
		{"SELECT countIf(null_text = ''), countIf(null_int = 0), countIf(null_bool = false), countIf(null_at = toDateTime64(0, 3, 'UTC')), any(length(words)) FROM everythings WHERE id = 'empty'", "26 26 26 26 1"},
		{"SELECT DISTINCT toString(at_time) FROM everythings WHERE text != ''", "1969-12-31 23:59:59.999"},
	} {
		if got := ask(t, w, c.sql); !cmp.Equal(got, [][]string{fields(c.want)}) && !cmp.Equal(got, [][]string{{c.want}}) {
			t.Errorf("%s: %v, want %s", c.sql, got, c.want)
		}
	}
}

func TestBaseline(t *testing.T) {
	w := open(t, func(s *Settings) { s.Datasets = []*schemas.Dataset{everythings.Dataset} })
	rows := everyRow()
	h := head("t1", everythings.Dataset, 3)
	h.Void = []uint64{2}
	other := head("t2", everythings.Dataset, 1)
	type version struct {
		partition string
		key       schemas.BaselineKey
	}
	var want []version
	write := func(h schemas.Head, seq uint64, op schemas.Op, count bool, partitions []string, rows []everything) {
		h.Seq = seq
		var blocks []*schemas.Block
		for _, p := range partitions {
			b := block(everythings, p, op, rows...)
			blocks = append(blocks, b)
			for i := range b.N {
				if count {
					want = append(want, version{p, schemas.BaselineKey{Key: b.Key(i), Row: b.Hash(i), Seq: seq, Op: op}})
				}
			}
		}
		stage(t, w, delta(h, stream(blocks...)))
	}
	write(h, 1, schemas.OpBaseline, true, nasty, rows)
	write(h, 2, schemas.OpRemoved, false, nasty[:5], rows)       // void
	write(h, 3, schemas.OpRemoved, true, nasty[:7], rows[:4])    // decided
	write(h, 4, schemas.OpAdded, false, nasty[:9], rows)         // above the head
	write(other, 1, schemas.OpAdded, false, []string{"x"}, rows) // of somebody else
	parts, err := w.Partitions(t.Context(), everythings.Dataset, h)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[string]uint64{}
	for _, v := range want {
		sizes[v.partition]++
	}
	sorted := slices.Sorted(slices.Values(nasty))
	if len(parts) != len(nasty) {
		t.Fatalf("%d partitions, want %d", len(parts), len(nasty))
	}
	for i, p := range parts {
		if p.Partition != sorted[i] || p.Versions != sizes[p.Partition] {
			t.Errorf("partition %d: %q with %d versions, want %q with %d", i, p.Partition, p.Versions, sorted[i], sizes[sorted[i]])
		}
	}
	order := cmpopts.SortSlices(func(a, b version) bool {
		return slices.Compare([]byte(a.partition+string(a.key.Key[:])), []byte(b.partition+string(b.key.Key[:]))) < 0 ||
			a.partition == b.partition && a.key.Key == b.key.Key && a.key.Seq < b.key.Seq
	})
	for _, r := range [][2]int{{0, len(sorted) - 1}, {0, 0}, {3, 9}, {len(sorted) - 1, len(sorted) - 1}} {
		first, last := sorted[r[0]], sorted[r[1]]
		var got, part []version
		err := w.Baseline(t.Context(), everythings.Dataset, h, first, last, func(p string, keys []schemas.BaselineKey) error {
			for _, k := range keys {
				got = append(got, version{p, k})
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range want {
			if v.partition >= first && v.partition <= last {
				part = append(part, v)
			}
		}
		if diff := cmp.Diff(part, got, order, cmp.AllowUnexported(version{})); diff != "" {
			t.Errorf("baseline from %q to %q (-want +got):\n%s", first, last, diff)
		}
	}
}

// render is a row as text, nulls told from empty.
func render(b *schemas.Block, i int) string {
	var text []byte
	for c := range b.Cols {
		text = append(append(text, '|'), b.Cols[c].AppendJSON(nil, i)...)
		text = append(text, []byte(b.Cols[c].Display(i))...)
	}
	return string(text) + string(b.Hashes[32*i:32*i+32])
}

func head(tenant string, d *schemas.Dataset, seq uint64) schemas.Head {
	return schemas.Head{
		Tenant: tenant, Dataset: d.Name, Group: d.Group, Seq: seq, Epoch: 1,
		ObservedAt: epoch.Add(time.Duration(seq) * time.Hour), RunID: runID(tenant, seq),
	}
}

// runID is the run of an attempt in tests.
func runID(tenant string, seq uint64) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(tenant+"\x00"+string(rune('0'+seq))))
}

// delta makes the delta of one dataset.
func delta(h schemas.Head, rows schemas.Blocks) *schemas.Delta {
	return &schemas.Delta{
		Tenant: h.Tenant, Group: h.Group, Seq: h.Seq, RunID: h.RunID,
		Parts: []schemas.Part{{Table: dataset(h.Dataset), Head: h, Rows: rows}},
		Run: schemas.Run{
			RunID: h.RunID, Tenant: h.Tenant, Group: h.Group, Seq: h.Seq, Outcome: schemas.OutcomeChanged, Trigger: "schedule",
			StartedAt: h.ObservedAt.Add(-time.Minute), EndedAt: h.ObservedAt.Add(time.Minute), Datasets: []string{h.Dataset}, Complete: []string{h.Dataset}, Gate: h.Dataset,
		},
	}
}

func stage(t testing.TB, w *Warehouse, d *schemas.Delta) {
	t.Helper()
	if err := w.Stage(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func show(t testing.TB, w *Warehouse, heads ...schemas.Head) {
	t.Helper()
	if err := w.Show(t.Context(), heads); err != nil {
		t.Fatal(err)
	}
}
