package main

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// TestMain lets the test binary be the process that decodes, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == decodeCommand {
		os.Exit(execute(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// contract are the names that scripts look for.
var contract = []string{
	"first_snapshot_vs_decode", "noop_vs_decode", "first_snapshot_vs_native", "first_snapshot_peak_mib", "noop_peak_mib", "calls_vs_minimum",
}

// TestMeasure takes all figures on small sites. How fast this machine is, is
// nothing that it asks.
func TestMeasure(t *testing.T) {
	if _, err := embedded.Find("", ""); err != nil {
		if _, err := embedded.Install(t.Context(), embedded.InstallSettings{}); err != nil {
			t.Fatal(err)
		}
	}
	var out, log strings.Builder
	code := execute(t.Context(), []string{"--json", "--rounds", "1", "--spaces", "20", "--rows", "20", "--fleet", "30"}, &out, &log)
	got := map[string]figure{}
	for lines := bufio.NewScanner(strings.NewReader(out.String())); lines.Scan(); {
		var f struct {
			Name, Unit   string
			Value        *float64
			Limit, Ratio *float64
		}
		dec := json.NewDecoder(strings.NewReader(lines.Text()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&f); err != nil || f.Value == nil || f.Unit == "" || (f.Limit == nil) != (f.Ratio == nil) {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		if *f.Value <= 0 && !strings.HasPrefix(f.Name, "diff_") {
			t.Errorf("%s is %v: it was not measured", f.Name, *f.Value)
		}
		got[f.Name] = figure{value: *f.Value}
	}
	for _, name := range contract {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if t.Failed() || code > 1 {
		t.Fatalf("exit code %d\n%s%s", code, &log, &out)
	}
	// A first run also tries the six sources that are closed to 3LO today, once a
	// week; the audit log of 31 days is one page.
	if beyond := got["snapshot_calls_beyond"].value; beyond < 0 || beyond > 7 {
		t.Errorf("%v calls more than needed, %v in all", beyond, got["snapshot_calls"].value)
	}
	if queries := got["small_noop_queries"].value; queries > 200 {
		t.Errorf("a run without a change asks the engine %v statements on a site of 40 spaces: some are asked per partition", queries)
	}
}

// TestTenants takes the figures of two small tenants: what is read and stored of
// them is known.
func TestTenants(t *testing.T) {
	var out, log strings.Builder
	if code := execute(t.Context(), []string{"--json", "--tenants", "2", "--small", "10"}, &out, &log); code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, &log, &out)
	}
	got := map[string]float64{}
	for lines := bufio.NewScanner(strings.NewReader(out.String())); lines.Scan(); {
		var f struct {
			Name  string
			Value float64
		}
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		got[f.Name] = f.Value
	}
	for name, want := range map[string]float64{
		"rows_spaces_versions": 10, "rows_users_versions": 30, "rows_runs_log": 7, "quiet_audit_calls": 1,
		"quiet_posture_calls": 17, // one for each space, and seven lists and settings
	} {
		if got[name] != want {
			t.Errorf("%s is %v, expected %v", name, got[name], want)
		}
	}
	for _, name := range []string{"daemon_peak_mib", "engine_peak_mib", "state_file", "warehouse_parts", "bytes_space_permissions_versions", "changed_posture_points"} {
		if got[name] <= 0 {
			t.Errorf("%s was not measured", name)
		}
	}
}

// TestMinimum counts by hand.
func TestMinimum(t *testing.T) {
	rows := func(n int) []confluencetest.Permission { return make([]confluencetest.Permission, n) }
	truth := confluencetest.Truth{
		Spaces:      make([]confluencetest.Space, 251),                                                    // 2
		Permissions: map[string][]confluencetest.Permission{"1": rows(0), "2": rows(250), "3": rows(251)}, // 1 + 1 + 2
		Groups:      make([]confluencetest.Group, 2),                                                      // 1
		Members:     map[string][]string{"a": nil, "b": make([]string, 401)},                              // 1 + 3
		Users:       make([]confluencetest.User, 500),                                                     // 2
	}
	if got, want := minimum(truth), 2+4+1+4+2+2+1+1+3; got != want {
		t.Errorf("%d calls, want %d", got, want)
	}
}

func TestFigures(t *testing.T) {
	figures := []figure{
		{name: "within", unit: "x", value: 2, limit: 4},
		{name: "above", unit: "x", value: 5, limit: 4},
		{name: "below", unit: "x", value: 0.1, limit: 0.2, least: true},
		{name: "memory", unit: "MiB", value: 64, limit: 256, absolute: true},
		{name: "free", unit: "s", value: 1234.5},
	}
	for _, asJSON := range []bool{false, true} {
		var out strings.Builder
		if err := show(&out, figures, asJSON); err != nil {
			t.Fatal(err)
		}
		want := `NAME    VALUE  UNIT  LIMIT         
within  2      x     at most 4     ok
above   5      x     at most 4     MISS
below   0.1    x     at least 0.2  MISS
memory  64     MiB   at most 256   ok
free    1234   s                   
`
		if asJSON {
			want = `{"name":"within","value":2,"unit":"x","limit":4,"ratio":2}
{"name":"above","value":5,"unit":"x","limit":4,"ratio":5}
{"name":"below","value":0.1,"unit":"x","limit":0.2,"ratio":0.1}
{"name":"memory","value":64,"unit":"MiB","limit":256,"ratio":0.25}
{"name":"free","value":1234.5,"unit":"s","limit":null,"ratio":null}
`
		}
		if d := cmp.Diff(want, out.String()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	if err := missed(figures); err == nil || err.Error() != "beyond the limit: above, below" {
		t.Errorf("missed: %v", err)
	}
	for want, values := range map[float64][]float64{0: nil, 2: {3, 1, 2}, 2.5: {4, 1, 2, 3}} {
		if got := median(values); got != want {
			t.Errorf("the median of %v is %v", values, got)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"--rounds", "0"}, {"--rows", strconv.Itoa(pageSize + 1)}, {"--nonsense"}} {
		var out, log strings.Builder
		if code := execute(t.Context(), args, &out, &log); code != 2 || log.Len() == 0 {
			t.Errorf("%v: exit code %d\n%s", args, code, &log)
		}
	}
}
