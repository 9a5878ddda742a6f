package clickhouse

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/sitedrift/sitedrift/schemas"
)

// rowsPerBlock bounds the rows of a Native block, and with it the memory of an
// insert on this side: one encoded block at a time.
const rowsPerBlock = 65_536

// source is a stream of blocks and how to encode them.
type source struct {
	columns []nativeColumn
	blocks  schemas.Blocks
}

// insertReader turns streams of blocks into the body of one insert. The HTTP
// transport may still be reading when the request has already failed, hence the
// lock. An error of a source aborts the request: the server gets a cut body and
// inserts nothing of it.
type insertReader struct {
	mu      sync.Mutex
	sources []source
	next    func() (*schemas.Block, error, bool)
	stop    func()
	block   *schemas.Block
	done    int // rows of block that are encoded
	buf     proto.Buffer
	unread  []byte
	ended   bool  // all rows are encoded
	err     error // why there is no more; never io.EOF
}

// newInsertReader reads up to the first row. It returns nil when there is none:
// an empty insert is no insert.
func newInsertReader(sources []source) (*insertReader, error) {
	r := &insertReader{sources: sources}
	r.fill()
	if r.ended {
		return nil, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	return r, nil
}

func (r *insertReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unread) == 0 {
		r.fill()
	}
	switch {
	case r.err != nil:
		return 0, r.err
	case r.ended:
		return 0, io.EOF
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// Close ends the sources. No source is read afterwards.
func (r *insertReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
	r.stop, r.next, r.sources = nil, nil, nil
	if r.err == nil {
		r.err = errors.New("the insert is over")
	}
	return nil
}

// fill encodes the next rows. Every way out leaves rows, the end, or an error.
func (r *insertReader) fill() {
	for r.err == nil && !r.ended {
		if r.block != nil && r.done < r.block.N {
			to := min(r.block.N, r.done+rowsPerBlock)
			r.buf.Reset()
			encode(&r.buf, r.sources[0].columns, r.block, r.done, to)
			r.done, r.unread = to, r.buf.Buf
			return
		}
		r.advance()
	}
}

// advance takes the next block of the current source, or the next source.
func (r *insertReader) advance() {
	r.block, r.done = nil, 0
	if len(r.sources) == 0 {
		r.ended = true
		return
	}
	if r.next == nil {
		r.next, r.stop = iter.Pull2(r.sources[0].blocks)
	}
	block, err, ok := r.next()
	switch {
	case errors.Is(err, io.EOF):
		// Passed on as it is, it would end the body as if all were there.
		r.err = fmt.Errorf("the rows end early: %v", err) //nolint:errorlint // it must not be io.EOF
	case err != nil:
		r.err = err
	case !ok:
		r.stop()
		r.next, r.stop, r.sources = nil, nil, r.sources[1:]
	default:
		// Encoding runs in a goroutine of the HTTP transport, where a column
		// of the wrong length would end the process.
		if r.err = checkBlock(block); r.err == nil {
			r.block = block
		}
	}
}

// checkBlock asks that all columns of a block are as long as the block says.
func checkBlock(b *schemas.Block) error {
	for i := range b.Cols {
		if n := b.Cols[i].Len(); n != b.N {
			return fmt.Errorf("block of %s: column %s has %d values, the block %d rows", b.Table.Name, b.Table.Columns[i].Name, n, b.N)
		}
	}
	if b.Table.Group == "" { // a record table
		return nil
	}
	if b.Partition.Len() != b.N || len(b.Keys) != 16*b.N || len(b.Hashes) != 32*b.N || len(b.Ops) != b.N || len(b.FirstSeen) != b.N {
		return fmt.Errorf("block of %s: it says %d rows and has %d partitions, %d keys, %d hashes, %d operations, %d first times",
			b.Table.Name, b.N, b.Partition.Len(), len(b.Keys)/16, len(b.Hashes)/32, len(b.Ops), len(b.FirstSeen))
	}
	return nil
}
