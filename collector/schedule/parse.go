package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// MinEvery is the shortest interval of @every.
const MinEvery = time.Second

// maxExpr bounds an expression; a list of all minutes has 168 bytes.
const maxExpr = 512

// Schedule is a parsed expression. The zero Schedule never ticks.
type Schedule struct {
	expr  string
	every time.Duration // of @every; else 0
	cron  cron.Schedule // else
}

// Parse reads five cron fields (minute, hour, day of month, month, day of
// week), one of @yearly, @annually, @monthly, @weekly, @daily, @midnight,
// @hourly, or "@every" and a duration of whole seconds. All times are UTC.
//
// @every counts from 1970, so its ticks do not depend on when a process was
// started: @every 30m means each full and half hour.
//
// An expression that can never tick, such as 30 February, is an error.
func Parse(expr string) (Schedule, error) {
	s, err := parse(expr)
	if err != nil {
		shown := expr
		if len(shown) > 64 {
			shown = shown[:64] + "..."
		}
		return Schedule{}, fmt.Errorf("schedule %q: %w", shown, err)
	}
	return s, nil
}

const hint = `write minute, hour, day of month, month, day of week, such as "15 * * * *", or one of @hourly, @daily, @weekly, @monthly, @yearly, @every 30m`

func parse(expr string) (_ Schedule, err error) {
	// The library slices what it was given without looking, here and there.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not understood (%v): %s", r, hint)
		}
	}()
	fields := strings.Fields(expr)
	switch {
	case len(expr) > maxExpr:
		return Schedule{}, fmt.Errorf("longer than %d bytes", maxExpr)
	case len(fields) == 0:
		return Schedule{}, fmt.Errorf("empty: %s", hint)
	case strings.HasPrefix(fields[0], "TZ=") || strings.HasPrefix(fields[0], "CRON_TZ="):
		return Schedule{}, errors.New("it names a time zone, and all schedules are UTC, so that no tick is skipped or doubled when clocks change: leave the zone out and convert the hours")
	case fields[0] == "@every":
		return parseEvery(expr, fields[1:])
	case strings.HasPrefix(fields[0], "@"):
		return parseDescriptor(expr, fields)
	case len(fields) != 5:
		return Schedule{}, fmt.Errorf("it has %d fields instead of 5: %s", len(fields), hint)
	}
	if err := checkFields(fields); err != nil {
		return Schedule{}, err
	}
	c, err := cron.ParseStandard(strings.Join(fields, " "))
	if err != nil {
		return Schedule{}, fmt.Errorf("%w: %s", err, hint)
	}
	s := Schedule{expr: expr, cron: c}
	// 2024 is a leap year, so every possible date is found from its start on.
	if s.Next(reference).IsZero() {
		return Schedule{}, errors.New("it names a date that no calendar has, so it would never start")
	}
	return s, nil
}

var reference = time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC)

func parseDescriptor(expr string, fields []string) (Schedule, error) {
	if len(fields) > 1 {
		return Schedule{}, fmt.Errorf("nothing may follow %s: %s", fields[0], hint)
	}
	c, err := cron.ParseStandard(fields[0])
	if err != nil {
		return Schedule{}, fmt.Errorf("unknown word %s: %s", fields[0], hint)
	}
	return Schedule{expr: expr, cron: c}, nil
}

func parseEvery(expr string, rest []string) (Schedule, error) {
	if len(rest) != 1 {
		return Schedule{}, errors.New("@every needs one duration, such as @every 30m or @every 1h30m")
	}
	d, err := time.ParseDuration(rest[0])
	switch {
	case err != nil:
		return Schedule{}, fmt.Errorf("@every: %q is no duration; write for example 30m or 1h30m", rest[0])
	case d < MinEvery:
		return Schedule{}, fmt.Errorf("@every %s is too often: the shortest interval is %s", d, MinEvery)
	case d%time.Second != 0:
		return Schedule{}, fmt.Errorf("@every %s: use whole seconds", d)
	}
	return Schedule{expr: expr, every: d}, nil
}

// columns are the five fields: what each may hold.
var columns = [5]struct{ name, values string }{
	{"minute", "0-59"},
	{"hour", "0-23"},
	{"day of month", "1-31"},
	{"month", "1-12 or jan-dec"},
	{"day of week", "0-6 (Sunday is 0) or sun-sat"},
}

// checkFields says which field is wrong. It also refuses what the library takes
// without a word and makes something else of: an empty list item (a field that
// never matches), and a range from a star (its end would be ignored).
func checkFields(fields []string) error {
	for i, f := range fields {
		c := columns[i]
		for item := range strings.SplitSeq(f, ",") {
			alone := [5]string{"*", "*", "*", "*", "*"}
			alone[i] = item
			_, err := cron.ParseStandard(strings.Join(alone[:], " "))
			if err != nil || item == "" || strings.HasPrefix(item, "*-") || strings.HasPrefix(item, "?-") {
				return fmt.Errorf("field %d (%s): %q is not understood: use %s, ranges such as a-b, steps such as */n or a-b/n, and lists of these with commas", i+1, c.name, item, c.values)
			}
		}
	}
	return nil
}

// String is the expression as it was written.
func (s Schedule) String() string { return s.expr }

// Next returns the first tick after the given time, in UTC; the zero time when
// there is none.
func (s Schedule) Next(after time.Time) time.Time {
	after = after.UTC()
	if s.every > 0 {
		step := int64(s.every / time.Second)
		n := after.Unix() / step
		if after.Unix()%step < 0 { // before 1970
			n--
		}
		return time.Unix((n+1)*step, 0).UTC()
	}
	if s.cron == nil {
		return time.Time{}
	}
	// The library gives up after five years; 29 February is eight years away
	// when the turn of a century between has none.
	for range 3 {
		if t := s.cron.Next(after); !t.IsZero() {
			return t
		}
		after = after.AddDate(4, 0, 0)
	}
	return time.Time{}
}
