package clickhouse

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
)

// TestInsertEndsEarly: whatever a source stops with, the body of the insert is
// cut off and does not end as if all rows were there. A source that panics ends
// its insert and not the process.
func TestInsertEndsEarly(t *testing.T) {
	spaces := dataset("spaces")
	columns := versionNative(spaces, schemas.Head{Tenant: "acme", Dataset: "spaces", Seq: 1})
	rows := schemas.NewBlock(spaces)
	for i := range 3 {
		rows.Version("", schemas.KeyHash{byte(i)}, schemas.RowHash{}, schemas.OpAdded, 0)
		for c := range rows.Cols {
			rows.Cols[c].AppendNull()
		}
	}
	crooked := schemas.NewBlock(spaces)
	crooked.N = 1
	boom := errors.New("boom")
	for name, stop := range map[string]func(yield func(*schemas.Block, error) bool){
		"an error":     func(yield func(*schemas.Block, error) bool) { yield(nil, boom) },
		"io.EOF":       func(yield func(*schemas.Block, error) bool) { yield(nil, io.EOF) },
		"wrapped":      func(yield func(*schemas.Block, error) bool) { yield(nil, fmt.Errorf("spool: %w", io.EOF)) },
		"a panic":      func(func(*schemas.Block, error) bool) { panic("boom") },
		"columns miss": func(yield func(*schemas.Block, error) bool) { yield(crooked, nil) },
	} {
		for _, before := range []int{0, 1, 3} {
			t.Run(fmt.Sprintf("%s after %d blocks", name, before), func(t *testing.T) {
				r, err := newInsertReader([]source{{columns, func(yield func(*schemas.Block, error) bool) {
					for range before {
						if !yield(rows, nil) {
							return
						}
					}
					stop(yield)
				}}})
				if before == 0 {
					if r != nil || err == nil {
						t.Fatalf("a reader came out, or no error: %v", err)
					}
				} else if err == nil {
					_, err = io.Copy(io.Discard, struct{ io.Reader }{r})
					if cerr := r.Close(); cerr != nil {
						t.Error(cerr)
					}
				}
				if err == nil || errors.Is(err, io.EOF) || name == "an error" && !errors.Is(err, boom) {
					t.Errorf("the stream ended with %v", err)
				}
			})
		}
	}
}

// TestInsertIsClosed: after Close no source is read, and nothing more comes out.
func TestInsertIsClosed(t *testing.T) {
	rows := schemas.NewBlock(schemas.RunsTable.Dataset)
	schemas.RunsTable.Page([]schemas.Run{{Tenant: "acme"}}).AppendColumns(rows, 0)
	rows.N = 1
	yielded := 0
	r, err := newInsertReader([]source{{recordNative(schemas.RunsTable.Dataset), func(yield func(*schemas.Block, error) bool) {
		for yield(rows, nil) {
			yielded++
		}
	}}})
	if err != nil {
		t.Fatal(err)
	}
	some := make([]byte, 10)
	if n, err := r.Read(some); n != len(some) || err != nil {
		t.Fatal(n, err)
	}
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if yielded > 3 {
		t.Errorf("%d blocks were taken for a reader of 10 bytes", yielded)
	}
	if n, err := r.Read(some); n != 0 || err == nil || !strings.Contains(err.Error(), "over") {
		t.Errorf("after Close %d bytes came out, and %v", n, err)
	}
}
