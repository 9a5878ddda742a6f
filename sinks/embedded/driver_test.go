//go:build unix && !noengine

package embedded_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"
	"time"

	chproto "github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// These tests pin what is relied on in clickhouse-go. They are the first to look at when its version changes: the
// whole way of serving rests on the driver decoding all blocks at the revision that the hello answer names.

func TestDriverHello(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, err := conn.ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if v.Revision != 0 || v.Version.Major != 26 || v.Version.Minor != 7 {
		t.Errorf("server says revision %d, version %s; want 0 and 26.7", v.Revision, v.Version)
	}
	// A JSON column has a serialization of its own at newer revisions.
	var js string
	if err := conn.QueryRow(t.Context(), `SELECT toString('{"a":{"b":1}}'::JSON)`).Scan(&js); err != nil {
		t.Fatal(err)
	}
	var obj clickhouse.JSON
	if err := conn.QueryRow(t.Context(), `SELECT '{"a":{"b":1}}'::JSON`).Scan(&obj); err != nil {
		t.Fatal(err)
	}
	if _, ok := obj.ValueAtPath("a.b"); !ok {
		t.Errorf("JSON column without its path: %v", obj)
	}
}

func TestDriverExceptions(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	for _, tc := range []struct {
		name, sql string
		settings  clickhouse.Settings
		code      int32
	}{
		{"syntax", "SELEC 1", nil, 62},
		{"no table", "SELECT * FROM nowhere", nil, 60},
		{"no database", "SELECT * FROM nowhere.x", nil, 81},
		{"no such setting", "SELECT 1", clickhouse.Settings{"no_such_setting": 1}, 115},
		{"thrown", "SELECT throwIf(1)", nil, 395},
		{"read only", "CREATE TABLE ro (a Int8) ENGINE = Memory", clickhouse.Settings{"readonly": 1}, 164},
		{"memory", "SELECT groupArray(number) FROM numbers(100000000)", clickhouse.Settings{"max_memory_usage": 10_000_000}, 241},
		{"time", "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 0", clickhouse.Settings{"max_execution_time": 1}, 159},
		{"two statements", "SELECT 1; SELECT 2", nil, 62},
		{"mid-stream", "SELECT throwIf(number = 3000000), number FROM numbers(4000000)", clickhouse.Settings{"max_block_size": 65536, "max_threads": 1}, 395},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(tc.settings))
			rows, err := conn.Query(ctx, tc.sql)
			n := 0
			if err == nil {
				for rows.Next() {
					n++
				}
				err = rows.Err()
				rows.Close()
			}
			var ex *clickhouse.Exception
			if !errors.As(err, &ex) || ex.Code != tc.code {
				t.Fatalf("error %v, want a *clickhouse.Exception with code %d", err, tc.code)
			}
			if tc.name == "mid-stream" && n < 100_000 {
				t.Errorf("%d rows before the exception: the result was not streamed", n)
			}
		})
	}
}

func TestDriverTypes(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	ctx := t.Context()
	if err := conn.Exec(ctx, `CREATE TABLE types (
		s String, lc LowCardinality(String), u UInt64, i Int64, u128 UInt128, b Bool, id UUID, ts DateTime64(3, 'UTC'),
		ns Nullable(String), nu Nullable(UInt64), nt Nullable(DateTime64(3, 'UTC')), ss Array(String), us Array(UInt64),
		e Enum8('added' = 1, 'removed' = 2), f16 FixedString(16), f32 FixedString(32)
	) ENGINE = MergeTree ORDER BY u`); err != nil {
		t.Fatal(err)
	}
	type row struct {
		S, LC    string
		U        uint64
		I        int64
		U128     *big.Int
		B        bool
		ID       uuid.UUID
		TS       time.Time
		NS       *string
		NU       *uint64
		NT       *time.Time
		SS       []string
		US       []uint64
		E        string
		F16, F32 string
	}
	text, num, at := "x\x00'\\\n", uint64(7), time.Date(2026, 3, 1, 12, 0, 0, 5e6, time.UTC)
	huge := new(big.Int).Lsh(big.NewInt(3), 100)
	want := []row{
		{
			"a", "lc", 1, -5, big.NewInt(1), true, uuid.MustParse("01890a5d-ac96-774b-bcce-b302099a8057"), at, &text, &num, &at,
			[]string{"p", ""},
			[]uint64{1, 1 << 63},
			"added", strings.Repeat("h", 16), strings.Repeat("\xff", 32),
		},
		{
			"", "", 1<<64 - 1, 5, huge, false, uuid.Nil, at.Add(time.Hour), nil, nil, nil,
			[]string{},
			[]uint64{},
			"removed", strings.Repeat("\x00", 16), strings.Repeat("k", 32),
		},
	}
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO types")
	if err != nil {
		t.Fatal(err)
	}
	column := func(i int, v any) {
		t.Helper()
		if err := batch.Column(i).Append(v); err != nil {
			t.Fatalf("column %d: %v", i, err)
		}
	}
	w := want
	column(0, []string{w[0].S, w[1].S})
	column(1, []string{w[0].LC, w[1].LC})
	column(2, []uint64{w[0].U, w[1].U})
	column(3, []int64{w[0].I, w[1].I})
	column(4, []*big.Int{w[0].U128, w[1].U128})
	column(5, []bool{w[0].B, w[1].B})
	column(6, []uuid.UUID{w[0].ID, w[1].ID})
	column(7, []int64{w[0].TS.UnixMilli(), w[1].TS.UnixMilli()})
	column(8, []*string{w[0].NS, w[1].NS})
	column(9, []*uint64{w[0].NU, w[1].NU})
	column(10, []*time.Time{w[0].NT, w[1].NT})
	column(11, [][]string{w[0].SS, w[1].SS})
	column(12, [][]uint64{w[0].US, w[1].US})
	column(13, []string{w[0].E, w[1].E})
	column(14, [][]byte{[]byte(w[0].F16), []byte(w[1].F16)})
	column(15, []string{w[0].F32, w[1].F32})
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	rows, err := conn.Query(ctx, "SELECT * FROM types ORDER BY u")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var got []row
	for rows.Next() {
		var r row
		if err := rows.Scan(&r.S, &r.LC, &r.U, &r.I, &r.U128, &r.B, &r.ID, &r.TS, &r.NS, &r.NU, &r.NT, &r.SS, &r.US, &r.E, &r.F16, &r.F32); err != nil {
			t.Fatal(err)
		}
		got = append(got, r)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b *big.Int) bool { return a.Cmp(b) == 0 })); d != "" {
		t.Error(d)
	}
}

// TestDriverServerConverts pins that the types a client declares need not be the table's.
func TestDriverServerConverts(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	if err := conn.Exec(t.Context(), `CREATE TABLE converts (lc LowCardinality(String), e Enum8('a' = 1, 'b' = 2), ts DateTime64(3, 'UTC'),
		n Nullable(String), f FixedString(4), u8 UInt8) ENGINE = MergeTree ORDER BY lc`); err != nil {
		t.Fatal(err)
	}
	ctx := clickhouse.Context(t.Context(), clickhouse.WithColumnNamesAndTypes([]clickhouse.ColumnNameAndType{
		{Name: "lc", Type: "String"},
		{Name: "e", Type: "String"},
		{Name: "ts", Type: "DateTime64(3)"},
		{Name: "n", Type: "String"},
		{Name: "f", Type: "String"},
		{Name: "u8", Type: "UInt64"},
	}))
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO converts (lc, e, ts, n, f, u8)")
	if err != nil {
		t.Fatal(err)
	}
	if err := batch.Append("k", "b", time.UnixMilli(1_772_000_000_123), "v", "wxyz", uint64(200)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Send(); err != nil {
		t.Fatal(err)
	}
	var got string
	if err := conn.QueryRow(t.Context(), "SELECT arrayStringConcat([lc, toString(e), toString(toUnixTimestamp64Milli(ts)), n, toString(f), toString(u8)], ',') FROM converts").Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := "k,b,1772000000123,v,wxyz,200"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestDriverFormats pins the raw streams that the writer and the baseline reader use.
func TestDriverFormats(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	if err := conn.Exec(t.Context(), "CREATE TABLE formats (k FixedString(16), h UInt128, s String) ENGINE = MergeTree ORDER BY k"); err != nil {
		t.Fatal(err)
	}
	var buf chproto.Buffer
	const blocks, perBlock = 5, 1000
	for b := range blocks {
		var k chproto.ColFixedStr16
		var h chproto.ColUInt128
		var s chproto.ColStr
		for i := range perBlock {
			k.Append([16]byte{byte(b), byte(i), byte(i >> 8)})
			h.Append(chproto.UInt128{Low: uint64(i), High: uint64(b)})
			s.Append("row")
		}
		block := chproto.Block{Columns: 3, Rows: perBlock}
		if err := block.EncodeRawBlock(&buf, 0, []chproto.InputColumn{{Name: "k", Data: &k}, {Name: "h", Data: &h}, {Name: "s", Data: &s}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.InsertFormat(t.Context(), "Native", "INSERT INTO formats (k, h, s)", bytes.NewReader(buf.Buf)); err != nil {
		t.Fatal(err)
	}
	// A reader that fails voids the insert.
	broken := io.MultiReader(bytes.NewReader(buf.Buf), failingReader{})
	if err := conn.InsertFormat(t.Context(), "Native", "INSERT INTO formats (k, h, s)", broken); !errors.Is(err, errBroken) {
		t.Errorf("insert from a failing reader: %v, want its error", err)
	}
	stream, err := conn.QueryFormat(t.Context(), "Native", "SELECT k, h FROM formats ORDER BY k")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	r, rows := chproto.NewReader(stream), 0
	var k chproto.ColFixedStr16
	var h chproto.ColUInt128
	for {
		var block chproto.Block
		k.Reset()
		h.Reset()
		if err := block.DecodeRawBlock(r, 0, chproto.Results{{Name: "k", Data: &k}, {Name: "h", Data: &h}}); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		rows += block.Rows
	}
	if rows != blocks*perBlock {
		t.Errorf("read %d rows, want %d", rows, blocks*perBlock)
	}
}

var errBroken = errors.New("broken")

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errBroken }

func TestDriverSettingsAndParameters(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	ctx := clickhouse.Context(t.Context(), clickhouse.WithSettings(clickhouse.Settings{
		"max_block_size": 4242, "enable_shared_storage_snapshot_in_query": 1, "merge_tree_storage_snapshot_sleep_ms": 1,
	}))
	var n uint64
	const ask = "SELECT toUInt64(value) FROM system.settings WHERE name = 'max_block_size'"
	if err := conn.QueryRow(ctx, ask).Scan(&n); err != nil || n != 4242 {
		t.Errorf("with the setting: %d, %v", n, err)
	}
	for range 20 { // whatever connection it takes
		if err := conn.QueryRow(t.Context(), ask).Scan(&n); err != nil || n == 4242 {
			t.Fatalf("the setting leaked into a later statement: %d, %v", n, err)
		}
	}
	var s string
	var l uint64
	hostile := "o'clock\\ \n\t{x:String} ; DROP"
	if err := conn.QueryRow(t.Context(), "SELECT {v:String}, length({list:Array(String)})", clickhouse.Named("v", hostile),
		clickhouse.Named("list", []string{"a", "b'"})).Scan(&s, &l); err != nil || s != hostile || l != 2 {
		t.Errorf("parameters came back as %q, %d, %v", s, l, err)
	}
	if err := conn.Exec(t.Context(), "CREATE VIEW params_at AS SELECT number AS n FROM numbers(100) WHERE number < {below:UInt64}"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"SELECT count() FROM params_at(below = 7)", "SELECT count() FROM params_at(below = {b:UInt64})"} {
		if err := conn.QueryRow(t.Context(), sql, clickhouse.Named("b", 7)).Scan(&n); err != nil || n != 7 {
			t.Errorf("%s: %d, %v", sql, n, err)
		}
	}
}

func TestDriverCancelStopsTheStatement(t *testing.T) {
	e := enginetest.Shared(t)
	conn := enginetest.Open(t, e)
	for _, sql := range []string{
		"SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 0 -- cancel me", // nothing to send until the end
		"SELECT number FROM numbers(1000000000000) -- cancel me",                              // sends all the time
	} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			rows, err := conn.Query(ctx, sql)
			if err == nil {
				for rows.Next() {
				}
				err = rows.Err()
				rows.Close()
			}
			done <- err
		}()
		const running = "SELECT count() FROM system.processes WHERE query LIKE '%cancel me%' AND query NOT LIKE '%system.processes%'"
		waitFor(t, "the statement runs", func() bool { return run(t, e, running) == "1" })
		cancel()
		if err := <-done; err == nil {
			t.Errorf("%s: no error after cancel", sql)
		}
		waitFor(t, "the statement is gone", func() bool { return run(t, e, running) == "0" })
	}
}

// waitFor polls for a state of another process. The deadline only stops a hang.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute until %s", what)
		}
	}
}

func TestDriverCompression(t *testing.T) {
	e := enginetest.Shared(t)
	run(t, e, "CREATE TABLE packed (n UInt64, s String) ENGINE = MergeTree ORDER BY n")
	for _, m := range []clickhouse.CompressionMethod{clickhouse.CompressionLZ4, clickhouse.CompressionZSTD, clickhouse.CompressionGZIP} {
		t.Run(m.String(), func(t *testing.T) {
			o := e.Options()
			o.Compression = &clickhouse.Compression{Method: m, Level: 1}
			conn, err := clickhouse.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			batch, err := conn.PrepareBatch(t.Context(), "INSERT INTO packed")
			if err != nil {
				t.Fatal(err)
			}
			for i := range 3000 {
				if err := batch.Append(uint64(i), strings.Repeat("s", i%50)); err != nil {
					t.Fatal(err)
				}
			}
			if err := batch.Send(); err != nil {
				t.Fatal(err)
			}
			var n, l uint64
			if err := conn.QueryRow(t.Context(), "SELECT count(), sum(length(s)) FROM packed").Scan(&n, &l); err != nil || n != 3000 || l != 3000/50*(49*50/2) {
				t.Errorf("read back %d rows, %d characters, %v", n, l, err)
			}
			_, err = conn.Query(t.Context(), "SELECT * FROM nowhere")
			var ex *clickhouse.Exception
			if !errors.As(err, &ex) || ex.Code != 60 {
				t.Errorf("error %v, want code 60", err)
			}
			if err := conn.Exec(t.Context(), "TRUNCATE TABLE packed"); err != nil {
				t.Fatal(err)
			}
		})
	}
}
