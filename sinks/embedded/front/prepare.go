//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// prepare brings the session into the state the request asks for: current database, settings, and, in a kept session,
// the mark of this request. The returned function takes a kept session's settings back.
func (rq *request) prepare(ses *chdb.Session, mark, database string) (restore func(), err error) {
	restore = func() {}
	var set []string
	if rq.session != "" { // a fresh session has its mark from the start
		set = append(set, "log_comment = "+quote(mark))
		if len(rq.settings) > 0 {
			if restore, err = rq.remember(ses); err != nil {
				return restore, err
			}
		}
	}
	if rq.session == "" || rq.database != database {
		if err := ses.Exec("USE " + identifier(rq.database)); err != nil {
			return restore, err
		}
	}
	for _, s := range rq.settings {
		set = append(set, s.name+" = "+quote(s.value))
	}
	if rq.readOnly != "" { // last: it forbids further changes
		set = append(set, "readonly = "+quote(rq.readOnly))
	}
	if len(set) == 0 {
		return restore, nil
	}
	return restore, ses.Exec("SET " + strings.Join(set, ", "))
}

// remember notes the values that the request's settings have in a kept session and returns what sets them back.
func (rq *request) remember(ses *chdb.Session) (func(), error) {
	var names, undo []string
	for _, s := range rq.settings {
		names = append(names, quote(s.name))
	}
	ask := "SELECT name, value, changed FROM system.settings WHERE name IN (" + strings.Join(names, ", ") + ")"
	_, err := ses.Query(ask, "JSONCompactEachRow", nil, func(b []byte) error {
		for rows := json.NewDecoder(bytes.NewReader(b)); rows.More(); {
			var name, value string
			var changed int
			if err := rows.Decode(&[]any{&name, &value, &changed}); err != nil {
				return err
			}
			if value = quote(value); changed == 0 {
				value = "DEFAULT"
			}
			undo = append(undo, "SET "+name+" = "+value)
		}
		return nil
	})
	return func() {
		for _, sql := range undo {
			_ = ses.Exec(sql) // it was valid before
		}
	}, err
}

// quote writes a value as an SQL string.
func quote(v string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`, "\t", `\t`, "\x00", `\0`).Replace(v) + "'"
}

// identifier writes a name as an SQL identifier.
func identifier(v string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(v) + "`"
}
