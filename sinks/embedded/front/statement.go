package front

import "strings"

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
	for t := range tokens(sql) {
		text := sql[t.start:t.end]
		switch {
		case t.kind == kindMark && text == "(":
			depth++
		case t.kind == kindMark && text == ")":
			depth--
		case t.kind == kindWord:
			word := strings.ToUpper(text)
			if depth == 0 && !namesTable(previous) {
				switch word {
				case "SELECT", "WITH", "VALUES", "INFILE", "WATCH", "EXPLAIN":
					return insertData{}, false
				case "FORMAT":
					d, ok := formatClause(sql, t)
					return d, ok && !strings.EqualFold(d.format, "Values")
				}
			}
			text = word
		}
		previous = text
	}
	return insertData{}, false
}

// namesTable tells whether a word behind this one names a table (INTO format, db.values) and is no keyword.
func namesTable(previous string) bool {
	return previous == "INTO" || previous == "TABLE" || previous == "."
}

// formatClause reads the name behind FORMAT and finds the data behind it: spaces, one semicolon and one line end
// belong to the clause, everything further to the data.
func formatClause(sql string, format token) (insertData, bool) {
	name := skipSpace(sql, format.end)
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
	return insertData{statement: sql[:format.start], format: sql[name:stop], offset: at}, true
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

// keyword is the statement's first word in upper case, or the punctuation it begins with.
func keyword(sql string) string {
	for t := range tokens(sql) {
		return strings.ToUpper(sql[t.start:t.end])
	}
	return ""
}
