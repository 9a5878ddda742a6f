//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/compress"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// output writes one result in the compression the client asked for.
type output struct {
	w        http.ResponseWriter
	ctl      *http.ResponseController
	idle     time.Duration
	format   string
	tag      string           // 16 random characters: marks a late error as ours and not as data
	blocks   *compress.Writer // ClickHouse blocks (compress=1)
	encoding string           // HTTP encoding
	encoder  interface {
		io.WriteCloser
		Flush() error
	}
	started bool
	secret  bool // what the statement read is not told
}

func newOutput(w http.ResponseWriter, rq *request, idle time.Duration) *output {
	o := &output{w: w, ctl: http.NewResponseController(w), idle: idle, format: rq.format, tag: strings.ToLower(rand.Text()[:16]), secret: rq.confined()}
	if truth(rq.query.Get("compress")) {
		method := compress.LZ4
		switch strings.ToUpper(rq.query.Get("network_compression_method")) {
		case "ZSTD":
			method = compress.ZSTD
		case "NONE":
			method = compress.None
		}
		level, _ := strconv.Atoi(rq.query.Get("network_zstd_compression_level")) // 0: the default
		o.blocks = compress.NewWriter(compress.Level(level), method)
		return o
	}
	// A server wants enable_http_compression as well; the driver sends it, some clients only send the header.
	for e := range strings.SplitSeq(rq.header.Get("Accept-Encoding"), ",") {
		e, _, _ = strings.Cut(strings.TrimSpace(e), ";")
		if (e == "gzip" || e == "zstd") && (truth(rq.query.Get("enable_http_compression")) || rq.query.Has("client_protocol_version")) {
			o.encoding = e
			break
		}
	}
	return o
}

var contentTypes = []struct{ prefix, contentType string }{
	{"TabSeparated", "text/tab-separated-values; charset=UTF-8"},
	{"TSV", "text/tab-separated-values; charset=UTF-8"},
	{"CSV", "text/csv; charset=UTF-8"},
	{"JSONEachRow", "application/x-ndjson; charset=UTF-8"},
	{"JSON", "application/json; charset=UTF-8"},
	{"Pretty", "text/plain; charset=UTF-8"},
}

// begin sends the headers. From here on an error can only be told inside the body.
func (o *output) begin() error {
	if o.started {
		return nil
	}
	o.started = true
	h := o.w.Header()
	h.Set("X-ClickHouse-Format", o.format)
	h.Set("X-ClickHouse-Exception-Tag", o.tag)
	h.Set("Content-Type", "application/octet-stream")
	for _, t := range contentTypes {
		if strings.HasPrefix(o.format, t.prefix) {
			h.Set("Content-Type", t.contentType)
			break
		}
	}
	h.Set("X-Content-Type-Options", "nosniff") // Invariant 10: the rows may hold markup
	var err error
	switch o.encoding {
	case "gzip":
		o.encoder, err = gzip.NewWriterLevel(o.w, 3)
	case "zstd":
		o.encoder, err = zstd.NewWriter(o.w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	default:
		return nil
	}
	h.Set("Content-Encoding", o.encoding)
	return err
}

// write sends a piece of the result and flushes it: the pieces come as the engine finishes them.
func (o *output) write(b []byte) error {
	if err := o.begin(); err != nil {
		return err
	}
	for len(b) > 0 {
		_ = o.ctl.SetWriteDeadline(time.Now().Add(o.idle)) // a client that stopped reading gives its slot back
		k := min(len(b), 1<<20)
		if err := o.piece(b[:k]); err != nil {
			return err
		}
		b = b[k:]
	}
	if o.encoder != nil {
		if err := o.encoder.Flush(); err != nil {
			return err
		}
	}
	return o.ctl.Flush()
}

func (o *output) piece(b []byte) error {
	switch {
	case o.blocks != nil:
		if err := o.blocks.Compress(b); err != nil {
			return err
		}
		_, err := o.w.Write(o.blocks.Data)
		return err
	case o.encoder != nil:
		_, err := o.encoder.Write(b)
		return err
	}
	_, err := o.w.Write(b)
	return err
}

// fail tells an error: as a status while nothing was sent, else as the tagged block which clients look for at a
// result's end (ClickHouse documentation, "HTTP Interface", response codes caveats).
func (o *output) fail(err error) {
	if !o.started {
		fail(o.w, err)
		return
	}
	msg := err.Error()
	_ = o.write(fmt.Appendf(nil, "\r\n__exception__\r\n%s\r\n%s\n%d %s\r\n__exception__\r\n", o.tag, msg, len(msg), o.tag))
	o.close()
}

// summary counts what the statement did, in a header, as long as headers can be sent.
func (o *output) summary(st chdb.Stats, start time.Time) {
	if !o.started && !o.secret {
		o.w.Header().Set("X-ClickHouse-Summary", fmt.Sprintf(`{%s,"elapsed_ns":"%d"}`, st, time.Since(start).Nanoseconds()))
	}
}

// close ends the result. One without any output gets a length of 0, which drivers take for "no columns".
func (o *output) close() {
	if !o.started {
		o.w.Header().Set("Content-Length", "0")
		return
	}
	if o.encoder != nil {
		_ = o.encoder.Close()
	}
}
