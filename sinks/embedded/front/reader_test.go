//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestReadersAreBounded: a reader cannot raise its limits, nor run more statements at once.
func TestReadersAreBounded(t *testing.T) {
	for asked, want := range map[string]string{"5": "5", "5.5": "5", "600": "60", "0": "60", "-1": "60", "NaN": "60", "x": "60"} {
		rq := &request{settings: []setting{{"max_execution_time", asked}, {"output_format_json_quote_denormals", "1"}}}
		got := rq.limits(123)
		if !slices.Contains(got, setting{"max_execution_time", want}) || !slices.Contains(got, setting{"max_memory_usage", "123"}) ||
			!slices.Contains(got, setting{"output_format_json_quote_denormals", "1"}) {
			t.Errorf("max_execution_time=%s: %v", asked, got)
		}
		times := slices.IndexFunc(got, func(s setting) bool { return s.name == "max_execution_time" })
		if slices.ContainsFunc(got[times+1:], func(s setting) bool { return s.name == "max_execution_time" }) {
			t.Errorf("max_execution_time=%s: it is set twice: %v", asked, got)
		}
	}
	for _, name := range []string{"max_memory_usage", "readonly", "additional_table_filters", "output_format_schema", "query_plan_enable_optimizations", "output_format_json_"} {
		if readerMaySet(name) != strings.HasSuffix(name, "_") {
			t.Errorf("%s: may be set: %t", name, readerMaySet(name))
		}
	}
	r := &reading{slots: make(chan struct{}, 2)}
	first, err1 := r.enter()
	_, err2 := r.enter()
	if _, err := r.enter(); err1 != nil || err2 != nil || err == nil {
		t.Errorf("of three statements at once, with room for two: %v, %v, %v", err1, err2, err)
	}
	first()
	if _, err := r.enter(); err != nil {
		t.Errorf("when one ended: %v", err)
	}
}

// TestReadersLeaveRoom: whatever all readers do together, the daemon's statements find a place and half of the
// engine's memory.
func TestReadersLeaveRoom(t *testing.T) {
	for _, engine := range []int{600 << 20, 2 << 30, 100 << 30} {
		if m := readerMemory(engine); m < 1<<20 || m > readerMostMemory || m*readersStatements > engine/2 {
			t.Errorf("of %d bytes a reader's statement gets %d", engine, m)
		}
	}
	s := &Server{slots: make(chan struct{}, 64), places: make(chan struct{}, readersStatements)}
	var leave []func()
	for range readersStatements {
		free, err := s.place(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, free)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.place(gone, true); !errors.Is(err, context.Canceled) {
		t.Errorf("one more of a reader: %v", err)
	}
	free, err := s.place(t.Context(), false)
	if err != nil {
		t.Errorf("the daemon's: %v", err)
	}
	free()
	for _, free := range leave {
		free()
	}
	if n, m := len(s.slots), len(s.places); n+m != 0 {
		t.Errorf("when all have ended, %d and %d places are taken", n, m)
	}
}

// TestFrameAsksForMemory: the window that a frame names is not believed.
func TestFrameAsksForMemory(t *testing.T) {
	s := &Server{Settings: Settings{Database: "sitedrift", Limits: Limits{}.withDefaults()}}
	for exponent, want := range map[byte]bool{13: true, 19: false} { // 8 MiB, 512 MiB
		frame := append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, exponent << 3, 8<<3 | 1, 0, 0}, "SELECT 1"...)
		r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1/", bytes.NewReader(frame))
		r.Header.Set("Content-Encoding", "zstd")
		rq, err := s.parse(httptest.NewRecorder(), r, caller{reader: &reading{}})
		if (err == nil) != want || want && rq.sql != "SELECT 1" {
			t.Errorf("a window of 2^%d bytes: %v", 10+exponent, err)
		}
	}
}
