package front

import (
	"strings"
)

// insertData describes an INSERT statement that takes encoded rows from the request body.
type insertData struct {
	statement string // up to, not including, the FORMAT clause
	format    string // the format's name
	offset    int    // where inline data starts in the text that was split
}

// splitInsert recognizes INSERT ... FORMAT name and cuts it there: the engine takes the data apart from the
// statement. It answers false for every other statement, also for INSERT ... SELECT and INSERT ... VALUES, which
// carry all they need in their text. It never fails: what is no valid SQL is left to the engine to refuse.
func splitInsert(sql string) (insertData, bool) {
	if keyword(sql) != "INSERT" {
		return insertData{}, false
	}
	depth, previous := 0, ""
	for i := skipSpace(sql, 0); i < len(sql); i = skipSpace(sql, i) {
		switch c := sql[i]; {
		case c == '\'' || c == '"' || c == '`':
			i = skipQuoted(sql, i)
		case c == '(':
			depth++
			i++
		case c == ')':
			depth--
			i++
		case isWordByte(c):
			end := wordEnd(sql, i)
			word := strings.ToUpper(sql[i:end])
			if depth == 0 && !names(previous, sql, i) {
				switch word {
				case "SELECT", "WITH", "VALUES", "INFILE", "WATCH", "EXPLAIN":
					return insertData{}, false
				case "FORMAT":
					if d, ok := formatClause(sql, i, end); ok {
						return d, !strings.EqualFold(d.format, "Values")
					}
				}
			}
			i, previous = end, word
		default:
			i++
		}
	}
	return insertData{}, false
}

// formatClause reads the name behind FORMAT and finds the data behind it: spaces, one semicolon and one line end
// belong to the clause, everything further to the data.
func formatClause(sql string, start, end int) (insertData, bool) {
	name := skipSpace(sql, end)
	stop := wordEnd(sql, name)
	if stop == name {
		return insertData{}, false
	}
	at := stop
	for at < len(sql) && (sql[at] == ' ' || sql[at] == '\t') {
		at++
	}
	for _, c := range []byte{';', '\r', '\n'} {
		if at < len(sql) && sql[at] == c {
			at++
		}
	}
	return insertData{statement: sql[:start], format: sql[name:stop], offset: at}, true
}

// streams tells whether the engine can give the statement's result while it runs: it refuses that for all but
// SELECT.
func streams(sql string) bool {
	switch keyword(sql) {
	case "SELECT", "WITH", "FROM", "(":
		return true
	}
	return false
}

// keyword is the statement's first word in upper case, or "(".
func keyword(sql string) string {
	i := skipSpace(sql, 0)
	if i < len(sql) && sql[i] == '(' {
		return "("
	}
	return strings.ToUpper(sql[i:wordEnd(sql, i)])
}

// skipSpace jumps over white space and comments from i on.
func skipSpace(sql string, i int) int {
	for i < len(sql) {
		rest := sql[i:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			i++
		case strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "#!"), strings.HasPrefix(rest, "# "):
			end := strings.IndexByte(rest, '\n')
			if end < 0 {
				return len(sql)
			}
			i += end + 1
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return len(sql)
			}
			i += end + 4
		default:
			return i
		}
	}
	return i
}

// skipQuoted jumps from an opening quote to behind its closing one. A doubled quote is two quoted pieces in a row,
// which comes to the same.
func skipQuoted(sql string, i int) int {
	quote := sql[i]
	for i++; i < len(sql); i++ {
		switch sql[i] {
		case '\\':
			i++
		case quote:
			return i + 1
		}
	}
	return len(sql)
}

func wordEnd(sql string, i int) int {
	for i < len(sql) && isWordByte(sql[i]) {
		i++
	}
	return i
}

// names tells whether the word at i names a table (INTO format, db.values) and so is no keyword.
func names(previous, sql string, i int) bool {
	return previous == "INTO" || previous == "TABLE" || i > 0 && sql[i-1] == '.'
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}
