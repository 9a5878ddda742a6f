package collector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/sitedrift/sitedrift/schemas"
)

// blockRows is how many rows a worker gathers before it hands a block over.
const blockRows = 8192

// blockBytes is how long these rows may become before it does so all the same.
const blockBytes = 8 << 20

// spoolBudget is what the spools of one run may still take together, in bytes.
type spoolBudget struct{ memory, disk atomic.Int64 }

// spool keeps the delta of one table until the run knows how it ends. The
// first blocks stay in memory; once the run's budget is used up the rest goes
// to a file that has no name, so that nothing is left behind by a crash.
//
// Keeping the whole delta back is what lets all rows of a run carry the time
// at which reading ended, and one insert per table write them.
type spool struct {
	table  *schemas.Dataset
	dir    string
	budget *spoolBudget

	mu    sync.Mutex
	rows  int64
	held  []*schemas.Block
	taken int64 // bytes of the budget
	file  *os.File
	size  int64
}

func newSpool(table *schemas.Dataset, dir string, budget *spoolBudget) *spool {
	return &spool{table: table, dir: dir, budget: budget}
}

// add takes the block over. The caller must not touch it again unless add
// returns it emptied for reuse.
func (s *spool) add(b *schemas.Block) (reuse *schemas.Block, err error) {
	if b.N == 0 {
		return b, nil
	}
	if held, err := s.hold(b); held || err != nil {
		return b.Next(), err
	}
	data, err := b.MarshalBinary() // not under the lock: other workers encode as well
	if err != nil {
		return nil, fmt.Errorf("spool rows of %s: %w", s.table.Name, err)
	}
	if s.budget.disk.Add(-int64(8+len(data))) < 0 { // Invariant 7: one site does not fill the disk of all
		return nil, fmt.Errorf("the changes of this run fill more disk than limits.spool_bytes allows, at %s: nothing of it is published; if the site is honest and that large, raise limits.spool_bytes", s.table.Name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	frame := binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(len(data)))
	for _, part := range [][]byte{frame, data} {
		if _, err := s.file.WriteAt(part, s.size); err != nil {
			return nil, fmt.Errorf("spool rows of %s in %s (is the disk full?): %w", s.table.Name, s.dir, err)
		}
		s.size += int64(len(part))
	}
	b.Reset()
	return b, nil
}

// hold keeps the block in memory if there is room. If not, there is a file for it.
func (s *spool) hold(b *schemas.Block) (held bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rows += int64(b.N)
	if s.file != nil {
		return false, nil
	}
	size := int64(b.Size())
	if s.budget.memory.Add(-size) >= 0 {
		s.taken += size
		s.held = append(s.held, b)
		return true, nil
	}
	s.budget.memory.Add(size)
	if s.file, err = unnamedFile(s.dir); err != nil {
		return false, fmt.Errorf("spool rows of %s: %w", s.table.Name, err)
	}
	return false, nil
}

// unnamedFile creates a file and takes its name away at once.
func unnamedFile(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, "spool-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// blocks streams what was added, as often as it is asked; edit, if not nil, may
// change each block first.
func (s *spool) blocks(edit func(*schemas.Block)) schemas.Blocks {
	if s.rows == 0 {
		return nil
	}
	return func(yield func(*schemas.Block, error) bool) {
		for _, b := range s.held {
			if edit != nil {
				edit(b)
			}
			if !yield(b, nil) {
				return
			}
		}
		for at := int64(0); at < s.size; {
			b, n, err := s.read(at)
			if err == nil && edit != nil {
				edit(b)
			}
			if !yield(b, err) || err != nil {
				return
			}
			at += n
		}
	}
}

func (s *spool) read(at int64) (*schemas.Block, int64, error) {
	var frame [8]byte
	if _, err := s.file.ReadAt(frame[:], at); err != nil {
		return nil, 0, fmt.Errorf("read spooled rows of %s: %w", s.table.Name, err)
	}
	data := make([]byte, binary.BigEndian.Uint64(frame[:]))
	if _, err := s.file.ReadAt(data, at+8); err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, fmt.Errorf("read spooled rows of %s: %w", s.table.Name, err)
	}
	b := schemas.NewBlock(s.table)
	return b, 8 + int64(len(data)), b.UnmarshalBinary(data)
}

// drop forgets the rows and gives memory and disk back.
func (s *spool) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.budget.memory.Add(s.taken)
	s.rows, s.held, s.taken, s.size = 0, nil, 0, 0
	if s.file != nil {
		_ = s.file.Close() // it has no name: nothing can be lost
		s.file = nil
	}
}
