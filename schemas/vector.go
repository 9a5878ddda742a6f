package schemas

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// Vector holds the values of one column. Texts lie end to end in one byte
// slice, so that a million rows cost a handful of allocations.
type Vector struct {
	Kind  Kind
	Nulls []bool   // empty when the column is not nullable
	Ints  []int64  // int, bool (0, 1), time (Unix milliseconds)
	Bytes []byte   // text of strings and of sets of strings
	Ends  []uint32 // end of each text in Bytes
	Sets  []uint32 // for sets: number of texts up to and including the row
}

// Len is the number of values.
func (v *Vector) Len() int {
	switch v.Kind {
	case KindString:
		return len(v.Ends)
	case KindStrings:
		return len(v.Sets)
	default:
		return len(v.Ints)
	}
}

// Size is roughly the memory that the values take, in bytes.
func (v *Vector) Size() int {
	return len(v.Nulls) + 8*len(v.Ints) + len(v.Bytes) + 4*len(v.Ends) + 4*len(v.Sets)
}

// next is an empty vector with room for about as many values. Texts differ in
// length, so theirs is a little more.
func (v *Vector) next() Vector {
	return Vector{
		Kind: v.Kind, Ints: make([]int64, 0, len(v.Ints)), Bytes: make([]byte, 0, len(v.Bytes)+len(v.Bytes)/32),
		Ends: make([]uint32, 0, len(v.Ends)), Sets: make([]uint32, 0, len(v.Sets)),
	}
}

// Reset drops the values and keeps the memory.
func (v *Vector) Reset() {
	v.Nulls, v.Ints, v.Bytes, v.Ends, v.Sets = v.Nulls[:0], v.Ints[:0], v.Bytes[:0], v.Ends[:0], v.Sets[:0]
}

// AppendNull appends an unknown value. The null flags are filled up to it, so a
// column that never sees a null never pays for them.
func (v *Vector) AppendNull() {
	n := v.Len()
	for len(v.Nulls) < n {
		v.Nulls = append(v.Nulls, false)
	}
	v.Nulls = append(v.Nulls, true)
	switch v.Kind {
	case KindString:
		v.Ends = append(v.Ends, uint32(len(v.Bytes)))
	case KindStrings:
		v.Sets = append(v.Sets, uint32(len(v.Ends)))
	default:
		v.Ints = append(v.Ints, 0)
	}
}

// AppendString appends a text.
func (v *Vector) AppendString(s string) {
	v.Bytes = append(v.Bytes, s...)
	v.Ends = append(v.Ends, uint32(len(v.Bytes)))
}

// AppendInt appends an integer.
func (v *Vector) AppendInt(n int64) { v.Ints = append(v.Ints, n) }

// AppendBool appends a truth value.
func (v *Vector) AppendBool(b bool) {
	var n int64
	if b {
		n = 1
	}
	v.Ints = append(v.Ints, n)
}

// AppendTime appends a time, cut to milliseconds.
func (v *Vector) AppendTime(t time.Time) { v.Ints = append(v.Ints, t.UnixMilli()) }

// AppendStrings appends a set.
func (v *Vector) AppendStrings(set []string) {
	for _, s := range set {
		v.AppendString(s)
	}
	v.Sets = append(v.Sets, uint32(len(v.Ends)))
}

// Null reports whether value i is unknown.
func (v *Vector) Null(i int) bool { return i < len(v.Nulls) && v.Nulls[i] }

// text returns text number i of Bytes.
func (v *Vector) text(i int) []byte {
	var from uint32
	if i > 0 {
		from = v.Ends[i-1]
	}
	return v.Bytes[from:v.Ends[i]]
}

// Text returns value i of a string column; empty for null.
func (v *Vector) Text(i int) string { return string(v.text(i)) }

// Set returns value i of a set column.
func (v *Vector) Set(i int) []string {
	var from uint32
	if i > 0 {
		from = v.Sets[i-1]
	}
	set := make([]string, 0, v.Sets[i]-from)
	for j := from; j < v.Sets[i]; j++ {
		set = append(set, string(v.text(int(j))))
	}
	return set
}

// Time returns value i of a time column.
func (v *Vector) Time(i int) time.Time { return time.UnixMilli(v.Ints[i]).UTC() }

// Equal reports whether value i of v is value j of o; both are of one kind.
func (v *Vector) Equal(i int, o *Vector, j int) bool {
	if v.Null(i) || o.Null(j) {
		return v.Null(i) == o.Null(j)
	}
	switch v.Kind {
	case KindString:
		return string(v.text(i)) == string(o.text(j))
	case KindStrings:
		return slices.Equal(v.Set(i), o.Set(j))
	default:
		return v.Ints[i] == o.Ints[j]
	}
}

// Copy appends value j of o, which is of the same kind.
func (v *Vector) Copy(o *Vector, j int) {
	switch {
	case o.Null(j):
		v.AppendNull()
	case v.Kind == KindString:
		v.Bytes = append(v.Bytes, o.text(j)...)
		v.Ends = append(v.Ends, uint32(len(v.Bytes)))
	case v.Kind == KindStrings:
		v.AppendStrings(o.Set(j))
	default:
		v.Ints = append(v.Ints, o.Ints[j])
	}
}

// Display is value i as people read it; "null" for unknown.
func (v *Vector) Display(i int) string {
	if v.Null(i) {
		return "null"
	}
	if v.Kind == KindString {
		return v.Text(i)
	}
	return string(v.AppendJSON(nil, i))
}

// AppendJSON appends value i as JSON: texts and sets as such, times as RFC 3339
// with milliseconds.
func (v *Vector) AppendJSON(b []byte, i int) []byte {
	if v.Null(i) {
		return append(b, "null"...)
	}
	switch v.Kind {
	case KindString:
		return appendJSONText(b, v.Text(i))
	case KindStrings:
		b = append(b, '[')
		for n, s := range v.Set(i) {
			if n > 0 {
				b = append(b, ',')
			}
			b = appendJSONText(b, s)
		}
		return append(b, ']')
	case KindBool:
		return strconv.AppendBool(b, v.Ints[i] != 0)
	case KindTime:
		b = append(b, '"')
		b = v.Time(i).AppendFormat(b, "2006-01-02T15:04:05.000Z")
		return append(b, '"')
	default:
		return strconv.AppendInt(b, v.Ints[i], 10)
	}
}

// appendJSONText leaves <, > and & as they are: before and after are read by
// people, and whoever puts them into a page has to escape them there.
func appendJSONText(b []byte, s string) []byte {
	w := bytes.NewBuffer(b)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // a string always encodes
		panic(err)
	}
	return bytes.TrimSuffix(w.Bytes(), []byte{'\n'})
}
