package clickhouse

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/ClickHouse/ch-go/proto"

	"github.com/sitedrift/sitedrift/schemas"
)

// rowsPerBlock bounds the rows of a Native block, and with it the memory of an
// insert on this side: two encoded blocks at a time.
const rowsPerBlock = 65_536

// source is a stream of blocks and how to encode them.
type source struct {
	columns []nativeColumn
	blocks  schemas.Blocks
}

// insertReader turns streams of blocks into the body of one insert. A goroutine
// encodes one block ahead, so that neither side waits for the other's work. An
// error of a source aborts the request: the server gets a cut body and inserts
// nothing of it.
type insertReader struct {
	ready chan encoded       // closed at the end of the sources
	free  chan *proto.Buffer // to encode into
	over  chan struct{}      // closed by Close
	ended chan struct{}      // closed by the goroutine

	mu      sync.Mutex // the transport may still read when the request has already failed
	current *proto.Buffer
	unread  []byte
	done    bool  // all rows are encoded and read
	err     error // why there is no more; never io.EOF
}

// encoded is a Native block, or the error that ends the stream.
type encoded struct {
	buf *proto.Buffer
	err error
}

// newInsertReader encodes up to the first row. It returns nil when there is
// none: an empty insert is no insert.
func newInsertReader(sources []source) (*insertReader, error) {
	r := &insertReader{ready: make(chan encoded), free: make(chan *proto.Buffer, 2), over: make(chan struct{}), ended: make(chan struct{})}
	r.free <- new(proto.Buffer)
	r.free <- new(proto.Buffer)
	go func() {
		defer close(r.ended)
		defer close(r.ready)
		r.encode(sources)
	}()
	r.next()
	if r.err == nil && !r.done {
		return r, nil
	}
	err := r.err
	_ = r.Close()
	return nil, err
}

// encode hands over block after block until the sources or the insert are over.
func (r *insertReader) encode(sources []source) {
	defer func() {
		if p := recover(); p != nil { // Invariant 7: it ends this run, not the process
			r.offer(encoded{err: fmt.Errorf("panic while rows were encoded: %v", p)})
		}
	}()
	for _, s := range sources {
		for block, err := range s.blocks {
			if err == nil {
				// A column of the wrong length would end the process here.
				err = checkBlock(block)
			}
			if errors.Is(err, io.EOF) {
				// Passed on as it is, it would end the body as if all were there.
				err = fmt.Errorf("the rows end early: %v", err) //nolint:errorlint // it must not be io.EOF
			}
			if err != nil {
				r.offer(encoded{err: err})
				return
			}
			for from := 0; from < block.N; from += rowsPerBlock {
				select {
				case buf := <-r.free:
					buf.Reset()
					encode(buf, s.columns, block, from, min(block.N, from+rowsPerBlock))
					if !r.offer(encoded{buf: buf}) {
						return
					}
				case <-r.over:
					return
				}
			}
		}
	}
}

func (r *insertReader) offer(e encoded) bool {
	select {
	case r.ready <- e:
		return true
	case <-r.over:
		return false
	}
}

func (r *insertReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unread) == 0 {
		r.next()
	}
	switch {
	case r.err != nil:
		return 0, r.err
	case r.done:
		return 0, io.EOF
	}
	n := copy(p, r.unread)
	r.unread = r.unread[n:]
	return n, nil
}

// next takes the next block. It leaves bytes, the end, or an error.
func (r *insertReader) next() {
	if r.err != nil || r.done {
		return
	}
	if r.current != nil {
		r.free <- r.current // there is room for both
		r.current = nil
	}
	switch e, ok := <-r.ready; {
	case !ok:
		r.done = true
	case e.err != nil:
		r.err = e.err
	default:
		r.current, r.unread = e.buf, e.buf.Buf
	}
}

// Close ends the sources. No source is read afterwards.
func (r *insertReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.over:
	default:
		close(r.over)
	}
	<-r.ended
	if r.err == nil {
		r.err = errors.New("the insert is over")
	}
	return nil
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
