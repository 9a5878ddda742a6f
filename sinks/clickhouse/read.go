package clickhouse

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// readColumn is a column of a result: the expression, the type that it must
// have, and what takes its values. At most 127 of them per query.
type readColumn struct {
	name, expr, typ string
	read            func(r *proto.Reader, rows int) error
}

// read runs "SELECT <columns> <rest>" and calls each after every block that the
// columns have read. A stream that ends early, or with an exception in its
// middle, is an error: a short baseline would read as removals (Invariant 1).
func (w *Warehouse) read(ctx context.Context, columns []readColumn, rest string, settings ch.Settings, each func(rows int) error) (err error) {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.expr + " AS " + name(c.name)
	}
	sql := "SELECT " + strings.Join(list, ", ") + " " + rest
	set := ch.Settings{
		"client_protocol_version": 0, // plain Native blocks from every server
		"max_query_size":          16 << 20,
	}
	maps.Copy(set, settings)
	// Abandoning a stream must not drain it: cancel first.
	ctx, cancel := context.WithCancel(ctx)
	body, err := w.conn.QueryFormat(ch.Context(ctx, ch.WithSettings(set)), "Native", sql)
	if err != nil {
		cancel()
		return err
	}
	defer func() {
		cancel()
		err = errors.Join(err, body.Close())
	}()
	r := proto.NewReader(body)
	for {
		rows, err := readBlock(r, columns)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return w.trouble(ctx, exceptionBehind(r, err))
		}
		if rows > 0 {
			if err := each(rows); err != nil {
				return err
			}
		}
	}
}

// exceptionBehind looks for the reason of a broken stream: the line end before an
// exception reaches us as data and does not look like a block, and the driver
// tells the exception with the next bytes.
func exceptionBehind(r io.Reader, err error) error {
	var e *ch.Exception
	if _, behind := io.CopyN(io.Discard, r, 64<<10); errors.As(behind, &e) {
		return behind
	}
	return err
}

// readBlock reads one Native block; io.EOF is the clean end of the stream, and
// no other error is.
func readBlock(r *proto.Reader, columns []readColumn) (int, error) {
	n, err := r.ReadByte()
	if errors.Is(err, io.EOF) {
		return 0, io.EOF
	}
	if err != nil {
		return 0, err
	}
	rows, err := readColumns(r, int(n), columns)
	if errors.Is(err, io.EOF) {
		return 0, io.ErrUnexpectedEOF
	}
	return rows, err
}

func readColumns(r *proto.Reader, n int, columns []readColumn) (int, error) {
	rows, err := r.Int()
	if err != nil {
		return 0, err
	}
	if n == 0 && rows == 0 {
		return 0, nil
	}
	if n != len(columns) {
		return 0, fmt.Errorf("the answer has %d columns, asked were %d", n, len(columns))
	}
	for _, c := range columns {
		got, err := r.Str()
		if err != nil {
			return 0, err
		}
		typ, err := r.Str()
		if err != nil {
			return 0, err
		}
		if got != c.name || typ != c.typ {
			return 0, fmt.Errorf("the answer has column %s %s, asked was %s %s", got, typ, c.name, c.typ)
		}
		if rows == 0 {
			continue
		}
		if err := c.read(r, rows); err != nil {
			return 0, fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return rows, nil
}

// readBytes reads values of a fixed size, replacing what buf held.
func readBytes(buf *[]byte, size int) func(r *proto.Reader, rows int) error {
	return func(r *proto.Reader, rows int) error {
		*buf = grow((*buf)[:0], rows*size)
		return r.ReadFull(*buf)
	}
}

// grow lengthens b by n bytes.
func grow(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b[:len(b)+n]
	}
	return append(b, make([]byte, n)...)
}

// readTexts appends texts to a vector's Bytes and Ends.
func readTexts(r *proto.Reader, v *schemas.Vector, n int) error {
	for range n {
		size, err := r.StrLen()
		if err != nil {
			return err
		}
		at := len(v.Bytes)
		v.Bytes = grow(v.Bytes, size)
		if err := r.ReadFull(v.Bytes[at:]); err != nil {
			return err
		}
		v.Ends = append(v.Ends, uint32(len(v.Bytes)))
	}
	return nil
}

// vectorType is how a declared column is asked for: texts without their
// dictionary, times as milliseconds, truth values as bytes.
func vectorType(c schemas.ColumnInfo) (expr, typ string) {
	n := name(c.Name)
	switch c.Kind {
	case schemas.KindStrings:
		return n, "Array(String)"
	case schemas.KindString:
		typ = "String"
	case schemas.KindBool:
		typ = "UInt8"
	default:
		typ = "Int64"
		if c.Kind == schemas.KindTime {
			n = "toUnixTimestamp64Milli(" + n + ")"
		}
	}
	if c.Nullable {
		typ = "Nullable(" + typ + ")"
	}
	return fmt.Sprintf("CAST(%s, '%s')", n, typ), typ
}

// vectorColumn reads a declared column, appending to a vector.
func vectorColumn(c schemas.ColumnInfo, v *schemas.Vector) readColumn {
	expr, typ := vectorType(c)
	return readColumn{c.Name, expr, typ, func(r *proto.Reader, rows int) error { return readVector(r, v, c.Nullable, rows) }}
}

func readVector(r *proto.Reader, v *schemas.Vector, nullable bool, rows int) error {
	if nullable {
		nulls := make([]byte, rows)
		if err := r.ReadFull(nulls); err != nil {
			return err
		}
		for len(v.Nulls) < v.Len() {
			v.Nulls = append(v.Nulls, false)
		}
		for _, b := range nulls {
			v.Nulls = append(v.Nulls, b != 0)
		}
	}
	switch v.Kind {
	case schemas.KindString:
		return readTexts(r, v, rows)
	case schemas.KindStrings:
		base, ends := len(v.Ends), make([]byte, 8*rows)
		if err := r.ReadFull(ends); err != nil {
			return err
		}
		last := 0
		for i := range rows {
			last = int(binary.LittleEndian.Uint64(ends[8*i:]))
			v.Sets = append(v.Sets, uint32(base+last))
		}
		return readTexts(r, v, last)
	case schemas.KindBool:
		flags := make([]byte, rows)
		if err := r.ReadFull(flags); err != nil {
			return err
		}
		for _, b := range flags {
			v.Ints = append(v.Ints, int64(b))
		}
		return nil
	default:
		return readInts(r, &v.Ints, rows)
	}
}

func readInts(r *proto.Reader, ints *[]int64, rows int) error {
	raw := make([]byte, 8*rows)
	if err := r.ReadFull(raw); err != nil {
		return err
	}
	for i := range rows {
		*ints = append(*ints, int64(binary.LittleEndian.Uint64(raw[8*i:])))
	}
	return nil
}
