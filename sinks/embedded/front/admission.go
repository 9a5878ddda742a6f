//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// reading is one reader at work.
type reading struct {
	Reader
	slots chan struct{}
}

// caller is who sent a request: the holder of the engine's token, unless one of these is set.
type caller struct {
	guest  bool // without a token: reads only
	reader *reading
}

// readReaders makes ready for the readers: what they may call does not change while the engine runs.
func (s *Server) readReaders() error {
	if len(s.Readers) == 0 {
		return nil
	}
	s.readers = map[[32]byte]*reading{}
	for _, r := range s.Readers {
		s.readers[r.Token] = &reading{r, make(chan struct{}, readerStatements)}
	}
	ses, err := s.Library.Open("--path=" + s.Path)
	if err != nil {
		return err
	}
	defer ses.Close()
	err = eachRow(ses, "SELECT '', '', toUInt64(value) FROM system.server_settings WHERE name = 'max_server_memory_usage'",
		func(_, _ string, engine int) { s.memory = readerMemory(engine) })
	if err == nil && s.memory <= 0 { // no limit is what 0 would mean
		err = errors.New("the engine does not tell how much memory it may take")
	}
	if err != nil {
		return err
	}
	s.functions = map[string]bool{"lambda": true, "exists": true}
	return eachRow(ses, "SELECT f.name, if(f.alias_to = '', f.categories, o.categories), f.origin = 'System' "+
		"FROM system.functions AS f LEFT JOIN system.functions AS o ON o.name = f.alias_to AND f.alias_to != ''",
		func(name, category string, system int) {
			// Names may be told apart by case: one that is refused wins.
			known := knownFunction(name, category, system == 1)
			if before, seen := s.functions[strings.ToLower(name)]; seen {
				known = known && before
			}
			s.functions[strings.ToLower(name)] = known
		})
}

// eachRow runs a statement of three columns.
func eachRow(ses *chdb.Session, sql string, row func(string, string, int)) error {
	_, err := ses.Query(sql, "JSONCompactEachRow", nil, func(b []byte) error {
		for rows := json.NewDecoder(bytes.NewReader(b)); rows.More(); {
			var one, two string
			var three int
			if err := rows.Decode(&[]any{&one, &two, &three}); err != nil {
				return err
			}
			row(one, two, three)
		}
		return nil
	})
	return err
}

// reader is the one that the password belongs to, or nil.
func (s *Server) reader(password string) *reading {
	if password == "" {
		return nil
	}
	return s.readers[HashToken(password)] // of a hash, timing tells nothing
}

// confine takes a reader's request apart from what only others may ask.
func (rq *request) confine(database string) error {
	if rq.database != database {
		return refuse("the database is " + database)
	}
	if len(rq.sql) > readerStatement {
		return exception(62, "SYNTAX_ERROR", fmt.Sprintf("the statement is longer than %d bytes", readerStatement))
	}
	for _, s := range rq.settings {
		if !readerMaySet(s.name) {
			return refuse("the setting " + s.name + " is not theirs to change; these are, also as beginnings: " + strings.Join(readerSettings, ", "))
		}
	}
	switch verb := keyword(rq.sql); verb {
	case "SELECT", "WITH", "FROM", "(", "DESCRIBE", "DESC", "EXISTS":
	default:
		return refuse("only SELECT, WITH, DESCRIBE and EXISTS are served, not " + verb)
	}
	rq.sql, rq.format = cutFormat(rq.sql, rq.format)
	if !readerMayUse(rq.format) {
		return refuse("the format " + rq.format + " is not served")
	}
	return nil
}

// limits are the settings that a reader's session has before it becomes read-only; memory in bytes.
func (rq *request) limits(memory int) []setting {
	seconds := readerSeconds
	var list []setting
	for _, s := range rq.settings {
		if s.name == "max_execution_time" {
			if n, err := strconv.ParseFloat(s.value, 64); err == nil && n >= 1 && n < readerSeconds {
				seconds = int(n)
			}
			continue
		}
		list = append(list, s)
	}
	for _, l := range []struct {
		name  string
		value int
	}{
		{"max_execution_time", seconds},
		{"max_memory_usage", memory},
		{"max_threads", readerThreads},
		{"max_result_rows", readerResultRows},
		{"max_result_bytes", readerResultBytes},
		{"max_temporary_data_on_disk_size_for_query", readerSpillBytes},
	} {
		list = append(list, setting{l.name, strconv.Itoa(l.value)})
	}
	return list
}

// acquireReader gives a reader's request a session that sees one tenant's rows. It serves no second request: the
// filters name the tables that there are now.
func (s *Server) acquireReader(rq *request, free func()) (l lent, err error) {
	l.mark = s.mark()
	if l.ses, err = s.Library.Open("--path="+s.Path, "--log_comment="+l.mark); err != nil {
		free()
		return l, exception(1002, "UNKNOWN_EXCEPTION", err.Error())
	}
	l.restore = func() {}
	l.release = func(bool) { l.ses.Close(); free() }
	there, err := s.lookAround(l.ses)
	if err == nil {
		rq.contract = contract{database: s.Database, views: s.views, tables: there.tables, functions: s.functions}
		rq.settings = append(rq.limits(s.memory), s.filters(there, rq.reader.Tenant)...)
		_, err = rq.prepare(l.ses, "", "")
	}
	if err != nil {
		l.release(false)
	}
	return l, err
}

// catalog is what the database holds: every table and view, and of the tables whether rows are of tenants.
type catalog struct {
	read     uint64          // what s.changes was before
	tables   map[string]bool // of the tables and views, all
	filtered map[string]bool // of the tables, whether they have a tenant's id
}

// changing notes that a statement may change what tables there are, before and after it runs.
func (s *Server) changing(sql string) func() {
	switch keyword(sql) {
	case "SELECT", "WITH", "FROM", "(", "INSERT", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN", "SET", "USE", "KILL":
		return func() {}
	}
	s.changes.Add(1)
	return func() { s.changes.Add(1) }
}

// lookAround reads the catalog, if anything may have changed since it was last read.
func (s *Server) lookAround(ses *chdb.Session) (*catalog, error) {
	now := s.changes.Load()
	if c := s.catalog.Load(); c != nil && c.read == now {
		return c, nil
	}
	c := &catalog{now, map[string]bool{}, map[string]bool{}}
	err := eachRow(ses, "SELECT t.name, t.engine, countIf(c.name = 'tenant_id') FROM system.tables AS t LEFT JOIN system.columns AS c "+
		"ON c.database = t.database AND c.table = t.name WHERE t.database = "+quote(s.Database)+" GROUP BY t.name, t.engine",
		func(name, engine string, ofTenants int) {
			c.tables[name] = true
			if engine != "View" {
				c.filtered[name] = ofTenants == 1
			}
		})
	if err == nil {
		s.catalog.Store(c)
	}
	return c, err
}

// confined tells whether rows are hidden from who asks.
func (rq *request) confined() bool { return rq.reader != nil && rq.reader.Tenant != AllTenants }

// filters are the settings that hide the rows of other tenants in every table below the views (Invariant 7).
func (s *Server) filters(c *catalog, tenant string) []setting {
	if tenant == AllTenants {
		return nil
	}
	var list []string
	for name, ofTenants := range c.filtered {
		condition := "0" // nothing in it is a tenant's
		if ofTenants {
			condition = "tenant_id = " + quote(tenant)
		}
		list = append(list, quote(s.Database+"."+name)+": "+quote(condition))
	}
	return []setting{
		{"additional_table_filters", "{" + strings.Join(list, ", ") + "}"},
		// An optimized plan may evaluate a statement's own conditions before the filter, or beside it, and an
		// error (a division by zero) or a value in its text would tell of rows that are hidden.
		{"query_plan_enable_optimizations", "0"},
		{"optimize_move_to_prewhere", "0"},
		{"short_circuit_function_evaluation", "force_enable"},
		{"output_format_write_statistics", "0"}, // they count the hidden rows, too
	}
}

// admit lets a reader's statement through if all that it names belongs to the contract.
func (s *Server) admit(ses *chdb.Session, rq *request) error {
	var tree strings.Builder
	_, err := ses.Query("EXPLAIN AST "+rq.sql, "TabSeparatedRaw", rq.params, func(b []byte) error {
		tree.Write(b)
		return nil
	})
	if err != nil {
		return err
	}
	return rq.contract.check(tree.String())
}

// enter takes one of the reader's places, if one is free.
func (r *reading) enter() (leave func(), err error) {
	select {
	case r.slots <- struct{}{}:
		return func() { <-r.slots }, nil
	default:
		return nil, exception(202, "TOO_MANY_SIMULTANEOUS_QUERIES", fmt.Sprintf("this reader's %d statements are running, which is the limit", readerStatements))
	}
}

// serveReader answers a reader's request.
func (s *Server) serveReader(w http.ResponseWriter, r *http.Request, reader *reading) {
	leave, err := reader.enter()
	if err != nil {
		fail(w, err)
		return
	}
	defer leave()
	s.serve(w, r, caller{reader: reader})
}
