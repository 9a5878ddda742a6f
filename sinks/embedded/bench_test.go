//go:build unix && !noengine

package embedded_test

import (
	"bytes"
	"testing"

	chproto "github.com/ClickHouse/ch-go/proto"

	"github.com/sitedrift/sitedrift/sinks/embedded"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// BenchmarkSelectOne is the floor of every statement: driver, socket, front, a session of its own, engine.
func BenchmarkSelectOne(b *testing.B) {
	conn := enginetest.Open(b, enginetest.Shared(b))
	var n uint8
	for b.Loop() {
		if err := conn.QueryRow(b.Context(), "SELECT 1").Scan(&n); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInsertNative streams blocks of 65,536 rows of about 300 bytes, as a first snapshot does.
func BenchmarkInsertNative(b *testing.B) {
	conn := enginetest.Open(b, enginetest.Shared(b))
	if err := conn.Exec(b.Context(), "CREATE TABLE IF NOT EXISTS bench (k UInt64, a String, b String, c String) ENGINE = MergeTree ORDER BY k"); err != nil {
		b.Fatal(err)
	}
	const rows, blocks = 65_536, 4
	var buf chproto.Buffer
	var k chproto.ColUInt64
	var s chproto.ColStr
	for i := range rows {
		k.Append(uint64(i))
		s.AppendBytes(bytes.Repeat([]byte{'a' + byte(i%26)}, 98))
	}
	block := chproto.Block{Columns: 4, Rows: rows}
	for range blocks {
		if err := block.EncodeRawBlock(&buf, 0, []chproto.InputColumn{{Name: "k", Data: &k}, {Name: "a", Data: &s}, {Name: "b", Data: &s}, {Name: "c", Data: &s}}); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf.Buf)))
	for b.Loop() {
		if err := conn.InsertFormat(b.Context(), "Native", "INSERT INTO bench (k, a, b, c)", bytes.NewReader(buf.Buf)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows*blocks*b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkStart is an engine's start on an empty directory and its stop.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		e, err := embedded.Start(b.Context(), enginetest.Settings(b, b.TempDir()))
		if err != nil {
			b.Fatal(err)
		}
		if err := e.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
