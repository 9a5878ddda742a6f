//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package chdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"unsafe"
)

// Session is one engine connection. It runs one statement at a time and is not safe for concurrent use.
type Session struct {
	lib  *Library
	conn handle // what chdb_connect returned
	c    handle // what the query functions take: *conn
}

// Stats counts what statements read from and wrote to tables.
type Stats struct{ ReadRows, ReadBytes, WrittenRows, WrittenBytes uint64 }

// Param is a query parameter, {name:Type} in the statement. Value is escaped text as in the TabSeparated format.
type Param struct{ Name, Value string }

// ErrNoEngine is returned when the engine does not open its data directory: it is locked by another process, not
// writable, or written by a newer version. The engine's own words go to the process's standard error.
var ErrNoEngine = errors.New("the engine did not open its data directory")

// Open opens a session. The first one of a process starts the engine with args (such as --path=DIR); later ones
// must name the same path. The engine stops when the last session is closed, so keep one open.
func (l *Library) Open(args ...string) (*Session, error) {
	argv := make([]*byte, 0, len(args)+2)
	for _, a := range append([]string{"clickhouse"}, args...) {
		argv = append(argv, cString(a))
	}
	conn := l.connect(int32(len(argv)), unsafe.SliceData(append(argv, nil)))
	runtime.KeepAlive(argv)
	if conn == nil {
		return nil, ErrNoEngine
	}
	return &Session{lib: l, conn: conn, c: *(*handle)(conn)}, nil
}

// Close ends the session. It must not run beside another call on the session.
func (s *Session) Close() {
	if s.conn != nil {
		s.lib.close(s.conn)
		s.conn, s.c = nil, nil
	}
}

// Exec runs a statement and drops its result.
func (s *Session) Exec(sql string) error {
	_, err := s.Query(sql, "Null", nil, func([]byte) error { return nil })
	return err
}

// Query runs any statement to its end and then gives its whole result, encoded in format unless the statement
// names one itself, to emit at most once. The bytes are valid only during the call. An engine error carries the
// engine's text, which begins with "Code: N.".
func (s *Session) Query(sql, format string, params []Param, emit func([]byte) error) (Stats, error) {
	r := s.start(s.lib.query, sql, format, params)
	defer s.lib.resultFree(r)
	if err := s.errorOf(r); err != nil {
		return Stats{}, err
	}
	st := s.statsOf(r)
	if b := s.bytesOf(r); len(b) > 0 {
		return st, emit(b)
	}
	return st, nil
}

// Stream runs a SELECT and gives its result to emit in pieces while it runs. When emit fails the statement is
// cancelled and emit's error returned.
func (s *Session) Stream(sql, format string, params []Param, emit func([]byte) error) (Stats, error) {
	r := s.start(s.lib.streamQuery, sql, format, params)
	defer s.lib.resultFree(r)
	var st Stats
	if err := s.errorOf(r); err != nil {
		return st, err
	}
	for {
		n, err := s.piece(r, &st, emit)
		if err != nil || n == 0 {
			return st, err
		}
	}
}

// piece hands one chunk of a stream to emit and tells its size; 0 is the end.
func (s *Session) piece(stream handle, st *Stats, emit func([]byte) error) (int, error) {
	r := s.lib.fetch(s.c, stream)
	defer s.lib.resultFree(r)
	if err := s.errorOf(r); err != nil {
		return 0, err
	}
	st.add(s.statsOf(r))
	b := s.bytesOf(r)
	if len(b) == 0 {
		return 0, nil
	}
	if err := emit(b); err != nil {
		s.lib.cancel(s.c, stream)
		return 0, err
	}
	return len(b), nil
}

// Insert streams data, encoded in format, into the INSERT statement sql, which has no FORMAT clause. When data
// fails with anything but [io.EOF], or ctx ends, the insert is cancelled and nothing that is not yet in a whole
// engine block gets in.
func (s *Session) Insert(ctx context.Context, sql, format string, params []Param, data io.Reader) (Stats, error) {
	stream := s.start(s.lib.insert, sql, format, params)
	if stream == nil {
		return Stats{}, errNull
	}
	defer s.lib.insertFree(stream)
	if msg := s.lib.insertError(stream); msg != "" {
		return Stats{}, errors.New(msg)
	}
	buf := make([]byte, 1<<20)
	for {
		n, err := fill(data, buf)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			s.lib.insertCancel(stream)
			return Stats{}, err
		}
		if n > 0 && s.lib.insertAppend(stream, unsafe.SliceData(buf), uintptr(n)) != 0 {
			if msg := s.lib.insertError(stream); msg != "" {
				return Stats{}, errors.New(msg)
			}
			return Stats{}, errNull
		}
		if end {
			break
		}
	}
	r := s.lib.insertDone(stream)
	defer s.lib.resultFree(r)
	if err := s.errorOf(r); err != nil {
		return Stats{}, err
	}
	return s.statsOf(r), nil
}

// fill reads until b is full or the reader ends. io.ReadFull would not do: its ErrUnexpectedEOF stands both for a
// last short piece and for a body that broke off, and the second must not be taken for an end.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}

var errNull = errors.New("Code: 1002. DB::Exception: the engine gave no result and no reason (UNKNOWN_EXCEPTION)")

func (s *Session) start(call startCall, sql, format string, params []Param) handle {
	n := len(params)
	names, values := make([]*byte, n), make([]*byte, n)
	nameLens, valueLens := make([]uintptr, n), make([]uintptr, n)
	for i, p := range params {
		names[i], nameLens[i] = cString(p.Name), uintptr(len(p.Name))
		values[i], valueLens[i] = cString(p.Value), uintptr(len(p.Value))
	}
	r := call(s.c, unsafe.StringData(sql), uintptr(len(sql)), unsafe.StringData(format), uintptr(len(format)),
		first(names), first(nameLens), first(values), first(valueLens), uintptr(n))
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	runtime.KeepAlive(names)
	runtime.KeepAlive(values)
	return r
}

func (s *Session) errorOf(r handle) error {
	if r == nil {
		return errNull
	}
	if msg := s.lib.resultError(r); msg != "" {
		return errors.New(msg)
	}
	return nil
}

func (s *Session) bytesOf(r handle) []byte {
	n := s.lib.resultLength(r)
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(s.lib.resultBuffer(r)), n)
}

func (s *Session) statsOf(r handle) Stats {
	return Stats{
		ReadRows: s.lib.resultReadRows(r), ReadBytes: s.lib.resultReadBytes(r),
		WrittenRows: s.lib.resultWroteRows(r), WrittenBytes: s.lib.resultWroteBytes(r),
	}
}

func (st *Stats) add(o Stats) {
	st.ReadRows += o.ReadRows
	st.ReadBytes += o.ReadBytes
	st.WrittenRows += o.WrittenRows
	st.WrittenBytes += o.WrittenBytes
}

// String is the count as the ClickHouse HTTP interface writes it into its summary header, without the time.
func (st Stats) String() string {
	return fmt.Sprintf(`"read_rows":"%d","read_bytes":"%d","written_rows":"%d","written_bytes":"%d"`,
		st.ReadRows, st.ReadBytes, st.WrittenRows, st.WrittenBytes)
}

func cString(s string) *byte { return unsafe.SliceData(append([]byte(s), 0)) }

func first[T any](s []T) *T {
	if len(s) == 0 {
		return nil
	}
	return &s[0]
}
