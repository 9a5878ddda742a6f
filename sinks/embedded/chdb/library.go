//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package chdb

import (
	"fmt"
	"unsafe"

	"github.com/ebitengine/purego"
)

// handle is an opaque pointer into the library.
type handle = unsafe.Pointer

// startCall starts a statement; query parameters come in parallel arrays of bytes and lengths.
type startCall = func(conn handle, sql *byte, sqlLen uintptr, format *byte, formatLen uintptr,
	names **byte, nameLens *uintptr, values **byte, valueLens *uintptr, count uintptr) handle

// Library is a loaded libchdb. It is safe for concurrent use.
type Library struct {
	connect func(argc int32, argv **byte) handle
	close   func(conn handle)

	query       startCall
	streamQuery startCall
	fetch       func(conn, result handle) handle
	cancel      func(conn, result handle)

	resultFree        func(result handle)
	resultBuffer      func(result handle) handle
	resultLength      func(result handle) uintptr
	resultError       func(result handle) string
	resultReadRows    func(result handle) uint64
	resultReadBytes   func(result handle) uint64
	resultWroteRows   func(result handle) uint64
	resultWroteBytes  func(result handle) uint64
	insert            startCall
	insertAppend      func(stream handle, data *byte, n uintptr) int32
	insertDone        func(stream handle) handle
	insertCancel      func(stream handle)
	insertError       func(stream handle) string
	insertFree        func(stream handle)
	setSignalHandlers func(enabled int32)
	shutdown          func() int32
	version           func() string
}

// Load opens the library file at path and resolves the functions this package calls. It fails when the file is
// no loadable library or lacks one of them (streaming inserts came with 26.7). The engine is told to leave the
// process signals alone: they belong to the Go runtime.
func Load(path string) (*Library, error) {
	h, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load engine library %s: %w", path, err)
	}
	l := &Library{}
	for _, f := range []struct {
		name string
		ptr  any
	}{
		{"chdb_connect", &l.connect},
		{"chdb_close_conn", &l.close},
		{"chdb_query_with_params_n", &l.query},
		{"chdb_stream_query_with_params_n", &l.streamQuery},
		{"chdb_stream_fetch_result", &l.fetch},
		{"chdb_stream_cancel_query", &l.cancel},
		{"chdb_destroy_query_result", &l.resultFree},
		{"chdb_result_buffer", &l.resultBuffer},
		{"chdb_result_length", &l.resultLength},
		{"chdb_result_error", &l.resultError},
		{"chdb_result_storage_rows_read", &l.resultReadRows},
		{"chdb_result_storage_bytes_read", &l.resultReadBytes},
		{"chdb_result_rows_written", &l.resultWroteRows},
		{"chdb_result_bytes_written", &l.resultWroteBytes},
		{"chdb_stream_insert_with_params_n", &l.insert},
		{"chdb_stream_append", &l.insertAppend},
		{"chdb_stream_done", &l.insertDone},
		{"chdb_stream_cancel_insert", &l.insertCancel},
		{"chdb_stream_insert_error", &l.insertError},
		{"chdb_destroy_insert_stream", &l.insertFree},
		{"chdb_set_signal_handlers_enabled", &l.setSignalHandlers},
		{"chdb_shutdown", &l.shutdown},
		{"chdb_version", &l.version},
	} {
		if _, err := purego.Dlsym(h, f.name); err != nil {
			return nil, fmt.Errorf("engine library %s is not usable (libchdb 26.7 or newer is needed): %w", path, err)
		}
		purego.RegisterLibFunc(f.ptr, h, f.name)
	}
	l.setSignalHandlers(0)
	return l, nil
}

// Version is the library's own version, such as "26.7.3".
func (l *Library) Version() string { return l.version() }

// Shutdown stops the engine's background work. Every session must be closed. The process should exit afterwards:
// the engine cannot be started again in it.
func (l *Library) Shutdown() { l.shutdown() }
