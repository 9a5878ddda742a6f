package schemas

import (
	"fmt"
	"slices"
	"strings"
)

// Level is how grave a change is.
type Level string

// The levels, from the least grave.
const (
	LevelInfo   Level = "info"
	LevelLow    Level = "low"
	LevelMedium Level = "medium"
	LevelHigh   Level = "high"
)

// Levels lists the levels from the least grave.
var Levels = []Level{LevelInfo, LevelLow, LevelMedium, LevelHigh}

// Severity is one rule: a change of one of the given kinds, whose row meets all
// conditions, is at least of that level. The row is the new one, or the last
// known one when the entity is gone.
type Severity struct {
	Level   Level
	Changes []ChangeKind
	Where   []Condition
	Fields  []string // if set, one of these must have changed (changes of kind changed only)
	Why     string   // one line for people
}

// Condition asks that a column has one of the values, or contains one of the
// texts. Comparison ignores case.
type Condition struct {
	Column   string
	In       []string
	Contains []string
}

func (s Severity) check(d *Dataset) error {
	if !slices.Contains(Levels, s.Level) || s.Why == "" || len(s.Changes) == 0 {
		return fmt.Errorf("it needs a known level, a reason and kinds of changes")
	}
	for _, c := range s.Where {
		if d.Column(c.Column) < 0 {
			return fmt.Errorf("no column %q", c.Column)
		}
		if len(c.In)+len(c.Contains) == 0 {
			return fmt.Errorf("the condition on %s asks nothing", c.Column)
		}
	}
	for _, f := range s.Fields {
		if d.Column(f) < 0 {
			return fmt.Errorf("no column %q", f)
		}
	}
	return nil
}

// Grade is the level of a change: the highest of the dataset's rules that
// match, else low for additions and removals of rows and info for the rest.
// Row i of b is the new row, or the last known one; fields are the names of
// the columns that changed.
func (d *Dataset) Grade(kind ChangeKind, b *Block, i int, fields []string) Level {
	level := LevelInfo
	switch kind {
	case ChangeVanished:
		return LevelHigh // Invariant 12: nobody knows whether it is deleted or hidden
	case ChangeAdded, ChangeRemoved, ChangeChanged:
		level = LevelLow
	case ChangeBaseline, ChangeCoverage: // info
	}
	for _, s := range d.Severities {
		if slices.Index(Levels, s.Level) > slices.Index(Levels, level) && s.matches(d, kind, b, i, fields) {
			level = s.Level
		}
	}
	return level
}

func (s Severity) matches(d *Dataset, kind ChangeKind, b *Block, i int, fields []string) bool {
	if !slices.Contains(s.Changes, kind) {
		return false
	}
	if kind == ChangeChanged && len(s.Fields) > 0 && !slices.ContainsFunc(s.Fields, func(f string) bool { return slices.Contains(fields, f) }) {
		return false
	}
	for _, c := range s.Where {
		v := strings.ToLower(b.cell(d.Column(c.Column), i))
		in := slices.ContainsFunc(c.In, func(x string) bool { return strings.ToLower(x) == v })
		if !in && !slices.ContainsFunc(c.Contains, func(x string) bool { return strings.Contains(v, strings.ToLower(x)) }) {
			return false
		}
	}
	return true
}
