package httpx

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// TestHostileAnswersAreBounded: what a site sends beyond the bounds is not read, of
// successes and refusals, of headers, and of what is short only as long as it is
// compressed (Invariant 7).
func TestHostileAnswersAreBounded(t *testing.T) {
	const long = 64 << 20
	piece := make([]byte, 1<<20)
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	for range long / len(piece) {
		if _, err := z.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil || bomb.Len() > 1<<20 {
		t.Fatalf("a bomb of %d bytes, %v", bomb.Len(), err)
	}
	var sent atomic.Int64
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   Class
	}{
		"bomb": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		}, ClassTooLarge},
		"length": {func(w http.ResponseWriter) { w.Header().Set("Content-Length", strconv.Itoa(long)) }, ClassTooLarge},
		"body":   {func(w http.ResponseWriter) { pour(w, piece, &sent) }, ClassTooLarge},
		"refusal": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusForbidden)
			pour(w, piece, &sent)
		}, ClassForbidden},
		"headers": {func(w http.ResponseWriter) {
			for i := range 1000 {
				w.Header().Set("X-"+strconv.Itoa(i), strings.Repeat("x", 500))
			}
			_, _ = io.WriteString(w, good)
		}, ClassNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			sent.Store(0)
			srv := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { c.answer(w) })
			site := client(t, srv.URL, newClock(), func(o *Options) { o.MaxBody, o.MaxTries = 1<<20, 1 })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := site.Do(t.Context(), Request{Op: "list spaces", Ref: "/wiki"})
			runtime.ReadMemStats(&after)
			if ClassOf(err) != c.want {
				t.Errorf("%v, want %s", err, c.want)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > long/4 || sent.Load() > long/2 {
				t.Errorf("%d bytes of memory, %d bytes sent", took, sent.Load())
			}
		})
	}
}

// pour writes 64 MiB, or until nobody reads, and counts what went out.
func pour(w io.Writer, piece []byte, sent *atomic.Int64) {
	for range 64 {
		n, err := w.Write(piece)
		sent.Add(int64(n))
		if err != nil {
			return
		}
	}
}
