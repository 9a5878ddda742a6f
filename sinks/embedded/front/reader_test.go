//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"slices"
	"strings"
	"testing"
)

// TestReadersAreBounded: a reader cannot raise its limits, nor run more statements at once.
func TestReadersAreBounded(t *testing.T) {
	for asked, want := range map[string]string{"5": "5", "5.5": "5", "600": "60", "0": "60", "-1": "60", "NaN": "60", "x": "60"} {
		rq := &request{settings: []setting{{"max_execution_time", asked}, {"output_format_json_quote_denormals", "1"}}}
		got := rq.limits()
		if !slices.Contains(got, setting{"max_execution_time", want}) || !slices.Contains(got, setting{"max_memory_usage", "1073741824"}) ||
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
