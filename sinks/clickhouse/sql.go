package clickhouse

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// text is a SQL literal of s. Whatever is not printable ASCII is written as
// hexadecimal escapes, so that no content can end the literal (Invariant 10).
func text(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 2)
	b.WriteByte('\'')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c > '~':
			fmt.Fprintf(&b, `\x%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}

// hexText is a SQL literal of arbitrary bytes.
func hexText(p []byte) string {
	b := make([]byte, 0, 4*len(p)+2)
	b = append(b, '\'')
	for _, c := range p {
		b = append(b, '\\', 'x', "0123456789ABCDEF"[c>>4], "0123456789ABCDEF"[c&15])
	}
	return string(append(b, '\''))
}

// name quotes an identifier. Declared names match [a-z0-9_]+ (schemas.Check).
func name(s string) string { return "`" + s + "`" }

// names quotes identifiers and joins them, each with a prefix.
func names(prefix string, list []string) string {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = prefix + name(s)
	}
	return strings.Join(quoted, ", ")
}

// numbers is a SQL literal of type Array(UInt64).
func numbers(list []uint64) string {
	if len(list) == 0 {
		return "emptyArrayUInt64()"
	}
	b := []byte{'['}
	for i, n := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, n, 10)
	}
	return string(append(b, ']'))
}

// below is the condition that a row counts at the head: decided, and not void.
// The head comes from the ledger, which may be ahead of the table heads.
func below(h schemas.Head) string {
	cond := fmt.Sprintf("tenant_id = %s AND seq <= %d", text(h.Tenant), h.Seq)
	if len(h.Void) > 0 {
		cond += fmt.Sprintf(" AND NOT has(%s, seq)", numbers(h.Void))
	}
	return cond
}

func uuidText(id uuid.UUID) string { return "'" + id.String() + "'" }
