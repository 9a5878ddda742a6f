package schedule

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata anew")

// bad are expressions that must be refused; what is said about them is kept in
// testdata/messages.txt.
var bad = []string{
	"", "   ", "\t",
	"* * * *", "* * * * * *", "0 0 * * * *", "15 * * * * extra words here",
	"TZ=Europe/Berlin 0 6 * * *", "CRON_TZ=UTC 0 6 * * *", " TZ=UTC", "TZ=", "CRON_TZ=America/New_York",
	"0 0 30 2 *", "0 0 31 4 *", "0 0 30,31 2 *", "0 0 31 2,4,6,9,11 *",
	"@reboot", "@", "@hourly @daily", "@Hourly", "@every", "@every 0s", "@every -5m", "@every 500ms", "@every 1500ms", "@every 1 h", "@every often", "@every 1d",
	"60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8", "* * * * 7", "-1 * * * *",
	"*/0 * * * *", "5-1 * * * *", "a b c d e", "1-2-3 * * * *", "1/2/3 * * * *",
	", * * * *", "1,,2 * * * *", "1, * * * *", "*-5 * * * *", "* ?-5 * * *",
	"99999999999999999999 * * * *",
	strings.Repeat("1,", 300) + "1 * * * *",
}

func TestParseRefuses(t *testing.T) {
	var b strings.Builder
	for _, expr := range bad {
		s, err := Parse(expr)
		if err == nil {
			t.Errorf("%q was accepted, next is %s", expr, s.Next(reference))
			continue
		}
		fmt.Fprintf(&b, "%s\n", err)
	}
	golden := filepath.Join("testdata", "messages.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

func TestNext(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04:05", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ expr, after, want string }{
		{"0 * * * *", "2026-11-22 10:00:00", "2026-11-22 11:00:00"},
		{"0 * * * *", "2026-11-22 10:59:59", "2026-11-22 11:00:00"},
		{"*/15 * * * *", "2026-11-22 10:01:00", "2026-11-22 10:15:00"},
		{"30 3 * * 1-5", "2026-11-21 12:00:00", "2026-11-23 03:30:00"}, // a Saturday
		{"0 0 1 * *", "2026-11-22 10:00:00", "2026-12-01 00:00:00"},
		{"0 0 29 2 *", "2026-11-22 10:00:00", "2028-02-29 00:00:00"},
		{"0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"}, // 2100 is no leap year
		{"0 2 * * *", "2026-03-29 00:30:00", "2026-03-29 02:00:00"},  // skipped by Central European clocks
		{"@hourly", "2026-11-22 10:00:01", "2026-11-22 11:00:00"},
		{"@daily", "2026-11-22 10:00:00", "2026-11-23 00:00:00"},
		{"@every 30m", "2026-11-22 10:07:11", "2026-11-22 10:30:00"},
		{"@every 30m", "2026-11-22 10:30:00", "2026-11-22 11:00:00"},
		{"  @every   1h30m ", "2026-11-22 00:00:00", "2026-11-22 01:30:00"},
		{"@every 1s", "1969-12-31 23:59:57", "1969-12-31 23:59:58"},
		{"@every 7s", "1969-12-31 23:59:57", "1970-01-01 00:00:00"},
	} {
		s, err := Parse(c.expr)
		if err != nil {
			t.Errorf("%q: %v", c.expr, err)
			continue
		}
		if got := s.Next(at(c.after)); !got.Equal(at(c.want)) {
			t.Errorf("%q after %s: %s, want %s", c.expr, c.after, got, c.want)
		}
		// The zone of the question must not matter.
		local := at(c.after).In(time.FixedZone("somewhere", 5*3600+1800))
		if got := s.Next(local); !got.Equal(at(c.want)) || got.Location() != time.UTC {
			t.Errorf("%q after %s: %s, want %s", c.expr, local, got, c.want)
		}
	}
}

func TestZeroScheduleNeverTicks(t *testing.T) {
	if got := (Schedule{}).Next(reference); !got.IsZero() {
		t.Errorf("zero schedule ticks at %s", got)
	}
	if next, missed := (Plan{}).Due(reference, reference); !next.IsZero() || missed != 0 {
		t.Errorf("zero plan starts at %s, missed %d", next, missed)
	}
}

func FuzzParse(f *testing.F) {
	for _, expr := range bad {
		f.Add(expr, int64(0))
	}
	for _, expr := range []string{"0 * * * *", "*/7 1-5,9 ? jan-mar,DEC mon", "@every 90s", "@yearly", "0 0 29 2 *"} {
		f.Add(expr, int64(1_795_000_000))
	}
	f.Fuzz(func(t *testing.T, expr string, sec int64) {
		s, err := Parse(expr)
		if err != nil {
			return
		}
		after := time.Unix(sec%(1<<34), 0) // until the year 2514
		next := s.Next(after)
		if !next.After(after) {
			t.Fatalf("%q: next after %s is %s", expr, after.UTC(), next)
		}
		if next.Nanosecond() != 0 || next.Location() != time.UTC {
			t.Fatalf("%q: next is %s, not a whole second in UTC", expr, next)
		}
		if s.every == 0 && next.Second() != 0 {
			t.Fatalf("%q: next is %s, not a whole minute", expr, next)
		}
		if again := s.Next(next.Add(-time.Nanosecond)); !again.Equal(next) {
			t.Fatalf("%q: %s is no tick of its own, but %s", expr, next, again)
		}
	})
}
