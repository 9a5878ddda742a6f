package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestReadFailsInTheMiddle: an exception behind the first rows is an error and
// not a short answer; a short baseline would read as removals (Invariant 1).
func TestReadFailsInTheMiddle(t *testing.T) {
	w := open(t, nil)
	var numbers []byte
	rows := 0
	columns := []readColumn{{"number", "number", "UInt64", readBytes(&numbers, 8)}}
	err := w.read(t.Context(), columns, "FROM system.numbers WHERE NOT throwIf(number = 5000000, 'in the middle')", ch.Settings{"max_threads": 1}, func(n int) error {
		rows += n
		return nil
	})
	var e *ch.Exception
	if !errors.As(err, &e) || rows == 0 {
		t.Errorf("after %d rows: %v", rows, err)
	}
	stop := errors.New("enough")
	err = w.read(t.Context(), columns, "FROM system.numbers", nil, func(int) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("an error of the callback: %v", err)
	}
	err = w.read(t.Context(), []readColumn{{"number", "number", "Int64", nil}}, "FROM numbers(1)", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "asked was number Int64") {
		t.Errorf("another type than asked for: %v", err)
	}
}

// cutConn ends the connection after so many bytes read.
type cutConn struct {
	net.Conn
	left *atomic.Int64
}

func (c cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.left.Add(-int64(n)) < 0 {
		_ = c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

// TestBaselineCut: a connection that breaks at any place is an error.
func TestBaselineCut(t *testing.T) {
	w := open(t, nil)
	const total = 4000
	h := fill(t, w, total, 7)
	left := &atomic.Int64{}
	cut := connect(t, func(s *Settings) {
		left.Store(1 << 40)
		dial := s.Options.DialContext
		s.Options.DialContext = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := dial(ctx, addr)
			return cutConn{conn, left}, err
		}
	})
	whole := 0
	for bytes := int64(0); bytes < 300_000; bytes += 9_973 {
		left.Store(bytes)
		rows := 0
		err := cut.Baseline(t.Context(), confluence.Spaces.Dataset, h, "", "\xff", func(_ string, keys []schemas.BaselineKey) error {
			rows += len(keys)
			return nil
		})
		if err == nil && rows != total {
			t.Errorf("cut after %d bytes: %d of %d rows and no error", bytes, rows, total)
		}
		if err == nil {
			whole++
		}
	}
	if whole == 0 {
		t.Error("no cut was late enough: the test proves nothing")
	}
}

// fill stores n spaces in so many partitions at attempt 1 of tenant t.
func fill(t testing.TB, w *Warehouse, n, partitions int) schemas.Head {
	t.Helper()
	h := head("t", confluence.Spaces.Dataset, 1)
	rows := func(yield func(*schemas.Block, error) bool) {
		for p := range partitions {
			var list []confluence.Space
			for i := p; i < n; i += partitions {
				list = append(list, confluence.Space{SpaceID: strconv.Itoa(1_000_000 + i), Key: fmt.Sprintf("KEY%d", i), Name: fmt.Sprintf("Name of space %d", i), Type: "global", Status: "current", CreatedAt: epoch})
			}
			if !yield(block(confluence.Spaces, fmt.Sprintf("partition %d", p), schemas.OpBaseline, list...), nil) {
				return
			}
		}
	}
	d := delta(h, rows)
	if err := w.Stage(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	show(t, w, h)
	return h
}

// TestReadBlockCut: every prefix of a block is an error.
func TestReadBlockCut(t *testing.T) {
	b := block(everythings, "p", schemas.OpAdded, everyRow()...)
	var buf proto.Buffer
	columns := make([]nativeColumn, len(everythings.Columns))
	for i := range columns {
		columns[i] = valueColumn(everythings.Dataset, i)
	}
	encode(&buf, columns, b, 0, b.N)
	for n := 1; n < len(buf.Buf); n += 7 {
		r := proto.NewReader(strings.NewReader(string(buf.Buf[:n])))
		got := schemas.NewBlock(everythings.Dataset)
		var into []readColumn
		for i, c := range everythings.Columns {
			into = append(into, vectorColumn(c, &got.Cols[i]))
		}
		if _, err := readBlock(r, into); err == nil || errors.Is(err, io.EOF) {
			t.Fatalf("%d of %d bytes: %v", n, len(buf.Buf), err)
		}
	}
}

// TestRaggedBlock: a block whose columns do not agree is refused before a byte
// of it is sent.
func TestRaggedBlock(t *testing.T) {
	w := open(t, nil)
	b := spacesBlock(schemas.OpAdded, space("1", "one"), space("2", "two"))
	b.Cols[2].AppendString("one too many")
	h := head("t", confluence.Spaces.Dataset, 1)
	if err := w.Stage(t.Context(), delta(h, stream(b))); err == nil || !strings.Contains(err.Error(), "column name has 3 values") {
		t.Errorf("Stage: %v", err)
	}
	b = spacesBlock(schemas.OpAdded, space("1", "one"))
	b.Keys = b.Keys[:8]
	if err := w.Stage(t.Context(), delta(h, stream(spacesBlock(schemas.OpAdded, space("3", "three")), b))); err == nil || !strings.Contains(err.Error(), "it says 1 rows") {
		t.Errorf("Stage: %v", err)
	}
	if got := ask(t, w, "SELECT count() FROM spaces_versions"); got[0][0] != "0" {
		t.Errorf("%s rows were written", got[0][0])
	}
	wrong := delta(h, nil)
	wrong.Parts[0].Head.Tenant = "somebody else"
	if err := w.Stage(t.Context(), wrong); err == nil {
		t.Error("a head of another tenant was taken")
	}
}
