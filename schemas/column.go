package schemas

import (
	"encoding/binary"
	"slices"
	"time"
)

// Kind is the type of a column's values.
type Kind uint8

// The kinds of columns.
const (
	KindString  Kind = iota + 1
	KindInt          // signed 64-bit
	KindBool         //
	KindTime         // UTC, millisecond precision
	KindStrings      // a set of strings; order does not count
)

// String is the kind's name in docs and JSON.
func (k Kind) String() string {
	return [...]string{"invalid", "string", "int", "bool", "time", "strings"}[min(int(k), 5)]
}

// Role says what a column means to the comparison of two snapshots.
type Role uint8

// The roles of columns.
const (
	RoleTracked  Role = iota + 1 // compared: a change of it is an event
	RoleKey                      // part of the entity's identity inside its partition
	RoleContext                  // stored as of the time the row was written, never compared
	RoleVolatile                 // stored, never compared: counters, signed URLs, fetch times
)

// String is the role's name in docs and JSON.
func (r Role) String() string {
	return [...]string{"invalid", "tracked", "key", "context", "volatile"}[min(int(r), 4)]
}

// ColumnInfo is what is known of a column without its row type.
type ColumnInfo struct {
	Name     string
	Kind     Kind
	Role     Role
	Nullable bool   // null means unknown; it is neither false nor empty
	Few      bool   // few distinct values: stored as a dictionary
	Personal bool   // says something about a person
	Since    int    // dataset version that brought it; 1 for the first
	Doc      string // one sentence, ends with a full stop
}

// Column is a declared column of rows of type R: its description and one typed
// getter.
type Column[R any] struct {
	info ColumnInfo
	// exactly one of these is set
	str   func(*R) string
	nstr  func(*R) *string
	num   func(*R) int64
	nnum  func(*R) *int64
	flag  func(*R) bool
	nflag func(*R) *bool
	at    func(*R) time.Time // zero time is null when nullable
	set   func(*R) []string
}

func column[R any](name, doc string, kind Kind, nullable bool) Column[R] {
	return Column[R]{info: ColumnInfo{Name: name, Kind: kind, Role: RoleTracked, Nullable: nullable, Since: 1, Doc: doc}}
}

// String declares a text column.
func String[R any](name, doc string, get func(*R) string) Column[R] {
	c := column[R](name, doc, KindString, false)
	c.str = get
	return c
}

// Enum declares a text column with few distinct values. Values that the API's
// documentation does not name pass through unchanged.
func Enum[R any](name, doc string, get func(*R) string) Column[R] {
	c := String(name, doc, get)
	c.info.Few = true
	return c
}

// NullString declares a text column in which nil means unknown.
func NullString[R any](name, doc string, get func(*R) *string) Column[R] {
	c := column[R](name, doc, KindString, true)
	c.nstr = get
	return c
}

// Int declares an integer column.
func Int[R any](name, doc string, get func(*R) int64) Column[R] {
	c := column[R](name, doc, KindInt, false)
	c.num = get
	return c
}

// NullInt declares an integer column in which nil means unknown.
func NullInt[R any](name, doc string, get func(*R) *int64) Column[R] {
	c := column[R](name, doc, KindInt, true)
	c.nnum = get
	return c
}

// Bool declares a truth column.
func Bool[R any](name, doc string, get func(*R) bool) Column[R] {
	c := column[R](name, doc, KindBool, false)
	c.flag = get
	return c
}

// NullBool declares a truth column in which nil means unknown.
func NullBool[R any](name, doc string, get func(*R) *bool) Column[R] {
	c := column[R](name, doc, KindBool, true)
	c.nflag = get
	return c
}

// Time declares a time column.
func Time[R any](name, doc string, get func(*R) time.Time) Column[R] {
	c := column[R](name, doc, KindTime, false)
	c.at = get
	return c
}

// NullTime declares a time column in which the zero time means unknown.
func NullTime[R any](name, doc string, get func(*R) time.Time) Column[R] {
	c := column[R](name, doc, KindTime, true)
	c.at = get
	return c
}

// Strings declares a column that holds a set of strings.
func Strings[R any](name, doc string, get func(*R) []string) Column[R] {
	c := column[R](name, doc, KindStrings, false)
	c.set = get
	return c
}

// Key marks the column as part of the identity.
func (c Column[R]) Key() Column[R] { c.info.Role = RoleKey; return c }

// Context marks the column as stored and not compared.
func (c Column[R]) Context() Column[R] { c.info.Role = RoleContext; return c }

// Volatile marks the column as changing by itself: stored, not compared.
func (c Column[R]) Volatile() Column[R] { c.info.Role = RoleVolatile; return c }

// Personal marks the column as data about a person.
func (c Column[R]) Personal() Column[R] { c.info.Personal = true; return c }

// Since names the dataset version that added the column.
func (c Column[R]) Since(version int) Column[R] { c.info.Since = version; return c }

// appendTo appends the row's value to a vector.
func (c *Column[R]) appendTo(r *R, v *Vector) {
	switch {
	case c.str != nil:
		v.AppendString(c.str(r))
	case c.nstr != nil:
		if s := c.nstr(r); s != nil {
			v.AppendString(*s)
		} else {
			v.AppendNull()
		}
	case c.num != nil:
		v.AppendInt(c.num(r))
	case c.nnum != nil:
		if n := c.nnum(r); n != nil {
			v.AppendInt(*n)
		} else {
			v.AppendNull()
		}
	case c.flag != nil:
		v.AppendBool(c.flag(r))
	case c.nflag != nil:
		if b := c.nflag(r); b != nil {
			v.AppendBool(*b)
		} else {
			v.AppendNull()
		}
	case c.at != nil:
		if t := c.at(r); t.IsZero() && c.info.Nullable {
			v.AppendNull()
		} else {
			v.AppendTime(t)
		}
	default:
		v.AppendStrings(sorted(c.set(r)))
	}
}

// canonical appends the value in an encoding that no other value shares:
// a null flag, then a fixed-width number or a length-prefixed text
// (Invariant 10: whoever writes a name cannot make two rows look alike).
func (c *Column[R]) canonical(r *R, b []byte) []byte {
	switch {
	case c.str != nil:
		return appendText(append(b, 1), c.str(r))
	case c.nstr != nil:
		if s := c.nstr(r); s != nil {
			return appendText(append(b, 1), *s)
		}
		return append(b, 0)
	case c.num != nil:
		return binary.BigEndian.AppendUint64(append(b, 1), uint64(c.num(r)))
	case c.nnum != nil:
		if n := c.nnum(r); n != nil {
			return binary.BigEndian.AppendUint64(append(b, 1), uint64(*n))
		}
		return append(b, 0)
	case c.flag != nil:
		return appendBool(append(b, 1), c.flag(r))
	case c.nflag != nil:
		if f := c.nflag(r); f != nil {
			return appendBool(append(b, 1), *f)
		}
		return append(b, 0)
	case c.at != nil:
		t := c.at(r)
		if t.IsZero() && c.info.Nullable {
			return append(b, 0)
		}
		return binary.BigEndian.AppendUint64(append(b, 1), uint64(t.UnixMilli()))
	default:
		set := sorted(c.set(r))
		b = binary.AppendUvarint(append(b, 1), uint64(len(set)))
		for _, s := range set {
			b = appendText(b, s)
		}
		return b
	}
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

// sorted returns the set in order and without doubles, leaving the input alone.
func sorted(set []string) []string {
	if slices.IsSorted(set) {
		return slices.Compact(slices.Clone(set))
	}
	s := slices.Clone(set)
	slices.Sort(s)
	return slices.Compact(s)
}
