package front

import (
	"bytes"
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

// pieceable are the formats of which pieces, one after the other, are the whole: the engine formats each block of a
// stream on its own, so a format with a head or a frame would have it once a block.
var pieceable = map[string]bool{
	"native": true, "rowbinary": true, "tabseparated": true, "tsv": true, "tabseparatedraw": true, "tsvraw": true, "csv": true,
	"jsoneachrow": true, "jsonlines": true, "ndjson": true, "jsoncompacteachrow": true, "jsonstringseachrow": true, "lineasstring": true, "rawblob": true,
}

// headed are the formats whose head is a number of lines, in which no line end can stand: it is taken off all pieces
// but the first.
var headed = map[string]int{
	"tabseparatedwithnames": 1, "tsvwithnames": 1, "tabseparatedwithnamesandtypes": 2, "tsvwithnamesandtypes": 2,
	"jsoncompacteachrowwithnames": 1, "jsoncompacteachrowwithnamesandtypes": 2,
}

// streams tells whether the statement's result can be given while it runs, and how many lines are the head of each
// of its pieces: the engine refuses streaming for all but SELECT, and the format must bear it.
func streams(sql, format string) (head int, ok bool) {
	switch keyword(sql) {
	case "SELECT", "WITH", "FROM", "(":
		format = strings.ToLower(resultFormat(sql, format))
		head = headed[format]
		return head, head > 0 || pieceable[format]
	}
	return 0, false
}

// behindHead is the piece without its first lines.
func behindHead(piece []byte, lines int) []byte {
	for range lines {
		_, piece, _ = bytes.Cut(piece, []byte("\n"))
	}
	return piece
}

// resultFormat is the format that the statement names at its end, or the one that it gets otherwise.
func resultFormat(sql, otherwise string) string {
	depth, behind := 0, false
	for t := range tokens(sql) {
		text := sql[t.start:t.end]
		switch {
		case t.kind == kindMark && text == "(":
			depth++
		case t.kind == kindMark && text == ")":
			depth--
		case t.kind == kindWord && behind:
			otherwise = text
		}
		behind = t.kind == kindWord && depth == 0 && strings.EqualFold(text, "FORMAT")
	}
	return otherwise
}

// keyword is the statement's first word in upper case, or the punctuation it begins with.
func keyword(sql string) string {
	for t := range tokens(sql) {
		return strings.ToUpper(sql[t.start:t.end])
	}
	return ""
}
