//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"strings"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// prepare brings the session into the state the request asks for: current database, settings, the mark by which a
// kill finds the statement. The returned function takes a kept session's settings back; a session that lives for
// one request has nothing to take back.
func (rq *request) prepare(ses *chdb.Session, database, mark string) (restore func(), err error) {
	restore = func() {}
	if rq.session == "" {
		if err := ses.Exec("USE " + identifier(rq.database)); err != nil {
			return restore, err
		}
	} else if rq.query.Get("database") != "" && rq.database != database {
		if err := ses.Exec("USE " + identifier(rq.database)); err != nil {
			return restore, err
		}
	}
	if rq.session != "" && len(rq.settings) > 0 {
		if restore, err = rq.remember(ses); err != nil {
			return restore, err
		}
	}
	var set strings.Builder
	set.WriteString("SET log_comment = " + quote(mark+" "+rq.query.Get("log_comment")))
	for _, s := range rq.settings {
		set.WriteString(", " + s.name + " = " + quote(s.value))
	}
	if rq.readOnly != "" { // last: it forbids further changes
		set.WriteString(", readonly = " + quote(rq.readOnly))
	}
	return restore, ses.Exec(set.String())
}

// remember notes the values that the request's settings have in a kept session and returns what sets them back.
func (rq *request) remember(ses *chdb.Session) (func(), error) {
	var names []string
	for _, s := range rq.settings {
		names = append(names, quote(s.name))
	}
	var undo []string
	_, err := ses.Query("SELECT concat(name, ' = ', if(changed, quoteString(value), 'DEFAULT')) FROM system.settings WHERE name IN ("+
		strings.Join(names, ", ")+") FORMAT TSVRaw", "TSVRaw", nil, func(b []byte) error {
		undo = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		return nil
	})
	return func() {
		for _, u := range undo {
			_ = ses.Exec("SET " + u)
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
