package clickhouse

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// Two customers. Every text of the other one's rows holds its mark, which no statement of the tests spells out.
const (
	ourTenant, theirTenant = "acme", "quagga-inc"
	ourMark, theirMark     = "ours", "zebrafish"
	oracle                 = "position(%s, 'zebra' || 'fish') > 0" // true for the other tenant's rows only
)

// port is a running engine's loopback port.
type port struct {
	address string
	client  *http.Client
}

// ask posts a statement and returns status and body.
func (p port) ask(t testing.TB, token, sql string, params url.Values) (int, string) {
	t.Helper()
	rq, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/?"+params.Encode(), strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		rq.SetBasicAuth("reader", token)
	}
	res, err := p.client.Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// populate puts a row of ours and three of theirs into every table, the tenant's mark in each text. They lie in one
// part, so that reading ours means to read past theirs.
func populate(t *testing.T, w *Warehouse) {
	t.Helper()
	tenant := fmt.Sprintf("if(number = 0, %s, %s)", text(ourTenant), text(theirTenant))
	mark := fmt.Sprintf("if(number = 0, %s, %s)", text(ourMark), text(theirMark))
	for _, tab := range tables(w.datasets) {
		if tab.column("tenant_id") < 0 || tab.name == headsName {
			continue
		}
		var columns, values []string
		for _, c := range tab.columns {
			value := ""
			switch {
			case c.name == "tenant_id":
				value = tenant
			case c.name == "dataset":
				value = "'spaces'"
			case c.name == "gate":
				value = "''"
			case c.name == "seq":
				value = "1"
			case c.name == "key_hash", c.name == "run_id", c.name == "event_id":
				value = "reinterpretAsFixedString(sipHash128(number))"
				if c.typ == "UUID" {
					value = "generateUUIDv4()"
				}
			case strings.Contains(c.typ, "Array(String)"):
				value = fmt.Sprintf("[%s]", mark)
			case strings.Contains(c.typ, "String") && !strings.Contains(c.typ, "Fixed"):
				value = mark + " || toString(number)"
			default:
				continue
			}
			columns, values = append(columns, c.name), append(values, value)
		}
		exec(t, w, fmt.Sprintf("INSERT INTO sitedrift.%s (%s) SELECT %s FROM numbers(4)", tab.name, strings.Join(columns, ", "), strings.Join(values, ", ")))
	}
	var heads []string
	for _, d := range w.datasets {
		heads = append(heads, fmt.Sprintf("(%s, %[3]s, 1), (%[2]s, %[3]s, 1)", text(ourTenant), text(theirTenant), text(d.Name)))
	}
	exec(t, w, "INSERT INTO sitedrift.heads (tenant_id, dataset, committed_seq) VALUES "+strings.Join(heads, ", "))
}

// battery is every statement that we can think of against the rows of others.
func battery(t *testing.T, w *Warehouse) []string {
	t.Helper()
	list := func(sql string) (names []string) {
		for _, row := range ask(t, w, sql) {
			names = append(names, row[0])
		}
		return names
	}
	var all []string
	for _, v := range Views(w.datasets) {
		from := v
		if strings.HasSuffix(v, "_at") {
			from += "(at = '2100-01-01')"
		}
		all = append(all, "SELECT * FROM "+from+" WHERE intDiv(1, tenant_id = 'acme') = 1 OR tenant_id NOT IN ('acme') FORMAT JSON")
	}
	for _, tab := range list("SELECT name FROM system.tables WHERE database = 'sitedrift' AND engine != 'View'") {
		all = append(all, "SELECT * FROM "+tab, "SELECT 'acme' IN sitedrift.`"+tab+"`", "EXISTS "+tab)
	}
	for _, tab := range list("SELECT database || '.' || name FROM system.tables WHERE database != 'sitedrift'") {
		all = append(all, "SELECT * FROM "+tab+" LIMIT 100")
	}
	for _, f := range list("SELECT name FROM system.table_functions") {
		all = append(all, "SELECT * FROM "+f+"('sitedrift', 'changes_log')", "DESCRIBE "+f+"('sitedrift', '.*')")
	}
	for _, f := range list("SELECT name FROM system.functions WHERE categories IN ('Dictionary', 'Embedded Dictionary', 'Other', 'Internal', 'Introspection', 'Machine Learning', 'AI')") {
		all = append(all, "SELECT `"+f+"`('changes_log', 'entity_name', tuple('x'))")
	}
	// Conditions that fail, or answer, on rows of the other tenant: the plan must not come to them.
	for _, v := range []string{"changes", "coverage_history", "runs", "spaces", "spaces_history", "space_permissions_named"} {
		c := map[string]string{"changes": "entity_name", "coverage_history": "reason", "runs": "error"}[v]
		if c == "" {
			c = map[bool]string{true: "name", false: "operation"}[v != "space_permissions_named"]
		}
		is := fmt.Sprintf(oracle, c)
		all = append(all, "SELECT count() FROM "+v+" WHERE intDiv(1, NOT "+is+") = 1", "SELECT count() FROM "+v+" WHERE toUInt8("+c+") = 1", "SELECT count() FROM "+v+" WHERE length(toFixedString("+c+"::String, 6)) = 6",
			"SELECT count() FROM "+v+" HAVING sum(intDiv(1, NOT "+is+")) > 0", "SELECT sum(intDiv(1, NOT "+is+")) FROM "+v,
			"SELECT a.tenant_id FROM "+v+" AS a JOIN "+v+" AS b ON a.tenant_id = b.tenant_id AND intDiv(1, NOT position(b."+c+", 'zebra' || 'fish') > 0) = 1",
			"SELECT * FROM "+v+" ORDER BY intDiv(1, NOT "+is+"), toUUID("+c+") LIMIT 1", "SELECT (SELECT any("+c+") FROM "+v+" WHERE "+is+")",
			"SELECT count() FROM "+v+" WHERE "+c+" LIKE 'zebra%' OR intDiv(1, "+c+" NOT LIKE 'zebra%') = 0")
	}
	return append(all,
		"SELECT * FROM changes SETTINGS additional_table_filters = {}", "SELECT * FROM (SELECT * FROM changes SETTINGS additional_table_filters = {})",
		"SET additional_table_filters = {}", "SELECT 1; SELECT * FROM changes_log", "SELECT 1 -- '\n FROM changes_log", "SELECT /* ' */ * FROM changes_log /* ' */",
		"WITH changes AS (SELECT * FROM changes_log) SELECT * FROM changes", "WITH changes_log AS (SELECT 1) SELECT * FROM (SELECT * FROM sitedrift.changes_log)",
		"WITH x AS (SELECT 1) SELECT * FROM changes_log", "SELECT * FROM (WITH changes_log AS (SELECT 1 AS a) SELECT a FROM changes_log) CROSS JOIN changes_log",
		"WITH RECURSIVE x AS (SELECT entity_name FROM changes_log UNION ALL SELECT entity_name FROM x) SELECT * FROM x",
		"SELECT * FROM changes UNION ALL SELECT * FROM changes_log", "SELECT * FROM changes EXCEPT SELECT * FROM changes_log", "SELECT * FROM changes INTERSECT SELECT * FROM changes_log",
		"SELECT (SELECT groupArray(entity_name) FROM changes_log)", "SELECT * FROM numbers(1) WHERE (SELECT count() FROM changes_log) > 1",
		"SELECT * FROM numbers((SELECT count() FROM changes_log))", "SELECT number FROM numbers(1) ARRAY JOIN (SELECT groupArray(entity_name) FROM changes_log) AS e",
		"SELECT 1 IN (SELECT entity_name FROM changes_log)", "SELECT 'x' IN changes_log", "SELECT 'x' NOT IN (changes_log)", "SELECT 'x' GLOBAL IN sitedrift.changes_log", "SELECT in('x', changes_log)",
		"SELECT EXISTS (SELECT 1 FROM changes_log)", "SELECT exists(changes_log)", "SELECT * FROM spaces_at(at = (SELECT max(observed_at) FROM changes_log))",
		"SELECT * FROM view(SELECT * FROM changes_log)", "SELECT * FROM (EXPLAIN SELECT * FROM changes)", "EXPLAIN SELECT * FROM changes", "EXPLAIN AST SELECT 1",
		"EXPLAIN ESTIMATE SELECT * FROM changes", "SHOW TABLES", "SHOW CREATE TABLE changes", "SELECT tenant_id FROM changes GROUP BY ALL WITH TOTALS", "SHOW DATABASES", "SHOW PROCESSLIST", "SHOW SETTINGS LIKE 'additional%'", "SHOW FUNCTIONS", "SHOW INDEXES FROM changes_log",
		"SELECT * FROM changes FORMAT Null FORMAT TSV", "SELECT * FROM changes_log FORMAT Null", "SELECT * FROM changes_log FORMAT Native", "SELECT * FROM changes INTO OUTFILE '/tmp/x'",
		"SELECT * APPLY(hostName) FROM changes", "SELECT * APPLY(x -> getSetting('additional_table_filters')) FROM numbers(1)", "SELECT getSetting('additional_table_filters')",
		"SELECT currentUser(), hostName(), queryID()", "SELECT `hostName`()", "SELECT HOSTNAME()", "SELECT hasColumnInTable('sitedrift', 'changes_log', 'seq')",
		"SELECT _table, _part FROM changes", "SELECT * FROM `changes_log`", "SELECT * FROM \"sitedrift\".\"changes_log\"", "SELECT * FROM sitedrift . changes_log", "FROM changes_log SELECT *",
		"SELECT * FROM ‘changes_log’", "SELECT 1 AS `a\n TableIdentifier changes` FROM changes_log", "SELECT * FROM changes, changes_log", "SELECT * FROM changes AS changes_log JOIN changes_log AS b USING tenant_id",
		"DESCRIBE changes", "DESCRIBE sitedrift.spaces_at(at = '2100-01-01')", "DESCRIBE (SELECT * FROM changes_log)", "DESCRIBE TABLE merge('sitedrift', '.*')", "EXISTS DATABASE sitedrift", "EXISTS DICTIONARY changes_log", "EXISTS TEMPORARY TABLE changes_log",
		"SELECT * FROM changes PARALLEL WITH SELECT * FROM changes_log", "INSERT INTO changes_log (tenant_id) VALUES ('acme')", "DROP VIEW changes", "SYSTEM FLUSH LOGS", "KILL QUERY WHERE 1",
		"CREATE TEMPORARY TABLE x AS SELECT * FROM changes_log", "USE system", "BACKUP TABLE changes_log TO File('x')", "SELECT joinGet('sitedrift.changes_log', 'entity_name', 1)",
		"SELECT dictGet('sitedrift.changes_log', 'entity_name', 1)", "SELECT * FROM loop(changes)", "SELECT * FROM remote('localhost', sitedrift, changes_log)", "SELECT * FROM cluster('default', sitedrift.changes_log)",
		"SELECT sumIf(1, 1), countDistinct(tenant_id), uniqExactIfOrNull(tenant_id, 1) FROM changes", "SELECT arrayReduce('groupArray', [entity_name]) FROM changes",
		"SELECT * FROM generateRandom('a String', 1, 5, 1) LIMIT 1", "SELECT 1 FROM changes WHERE sleep(1)", "SELECT catboostEvaluate('/etc/passwd', 1)", "SELECT encrypt('aes', 'a', 'b')",
	)
}

// leaks runs the statements and lists those whose answer has something of the other tenant in it.
func leaks(t *testing.T, p port, token string, statements []string, params url.Values) (found []string) {
	t.Helper()
	for _, sql := range statements {
		_, answer := p.ask(t, token, sql, params)
		if strings.Contains(answer, theirMark) || strings.Contains(answer, theirTenant) || strings.Contains(answer, "ivision by zero") || strings.Contains(answer, "TOO_LARGE_STRING_SIZE") || strings.Contains(answer, "THROW_IF") {
			found = append(found, sql)
		}
	}
	return found
}

// counts asks in every format, named in every way, and lists what tells how many rows were read.
func counts(t *testing.T, w *Warehouse, p port, token string) (told []string) {
	t.Helper()
	for _, f := range ask(t, w, "SELECT name FROM system.formats WHERE is_output ORDER BY name") {
		for _, sql := range []string{"SELECT 1 FROM changes FORMAT %s", "SELECT 1 FROM changes FORMAT `%s`", "SELECT 1 FROM changes FORMAT %s FORMAT CSV", "(SELECT 1 FROM changes FORMAT %s)", "EXISTS changes FORMAT `%s`"} {
			sql = fmt.Sprintf(sql, f[0])
			if _, answer := p.ask(t, token, sql, nil); strings.Contains(answer, "rows_read") || strings.Contains(answer, "read_rows") {
				told = append(told, sql)
			}
		}
	}
	rq, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.address+"/?wait_end_of_query=1", strings.NewReader("SELECT 1 FROM changes WHERE 0"))
	if err != nil {
		t.Fatal(err)
	}
	rq.SetBasicAuth("reader", token)
	res, err := p.client.Do(rq)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if h := res.Header.Get("X-ClickHouse-Summary"); strings.Contains(h, "read_rows") {
		told = append(told, "the header "+h)
	}
	return told
}

// TestReadersSeeTheirTenant is Invariant 7 for readers: no statement brings anything of another tenant. The same
// statements do when either line of defence is missing, so the test can fail.
func TestReadersSeeTheirTenant(t *testing.T) {
	s := enginetest.Settings(t, t.TempDir())
	s.ListenHTTP, s.ListenReadOnly, s.Views = "127.0.0.1:0", true, Views(confluence.All())
	s.Readers = []front.Reader{
		{Name: "acme's", Tenant: ourTenant, Token: front.HashToken("token of acme")},
		{Name: "analyst", Tenant: front.AllTenants, Token: front.HashToken("token of all")},
		{Name: "quote", Tenant: "x' OR 1 OR '", Token: front.HashToken("token of quote")},
	}
	e := enginetest.StartWith(t, s)
	w := connect(t, func(s *Settings) { s.Options = e.Options() })
	if _, err := w.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	populate(t, w)
	p := port{e.HTTPAddr(), &http.Client{Transport: &http.Transport{}}}
	t.Cleanup(p.client.CloseIdleConnections)

	statements := battery(t, w)
	if len(statements) < 650 {
		t.Fatalf("only %d statements: do the lists of the engine still come?", len(statements))
	}
	for _, sql := range leaks(t, p, "token of acme", statements, nil) {
		t.Errorf("gives something of another tenant away: %s", sql)
	}

	// Counts, and that readers can work at all.
	for _, d := range w.datasets {
		if status, got := p.ask(t, "token of acme", "SELECT count(), any(tenant_id) FROM "+d.Name, nil); status != 200 || got != "1\tacme\n" {
			t.Errorf("%s: acme's reader counts %s, want its one row", d.Name, got)
		}
	}
	for _, from := range []string{"spaces_history", "spaces_at(at = '2100-01-01 00:00:00')", "changes", "tiles"} {
		for token, want := range map[string]string{"acme": "1\n", "quote": "0\n", "all": map[bool]string{true: "2\n", false: "4\n"}[from == "tiles"]} {
			if status, got := p.ask(t, "token of "+token, "SELECT count() FROM "+from, nil); status != 200 || got != want {
				t.Errorf("%s: the reader %s counts %s, want %s", from, token, got, want)
			}
		}
	}
	for sql, want := range map[string]string{
		"SELECT count() FROM changes": "1\n", "SELECT count() FROM runs": "1\n", "SELECT count() FROM coverage": "1\n", "SELECT count() FROM tiles FORMAT CSV": "1\n",
		"WITH x AS (SELECT tenant_id FROM changes) SELECT count() FROM x WHERE tenant_id IN x": "1\n",
		"SELECT 1 FROM numbers(2) ORDER BY number LIMIT 1":                                     "1\n", "EXISTS sitedrift.changes": "1\n",
		"SELECT countIf(entity_name LIKE 'ours%'), max(observed_at) < now() FROM changes": "1\t1\n",
	} {
		if status, got := p.ask(t, "token of acme", sql, nil); status != 200 || got != want {
			t.Errorf("%s: %d %s", sql, status, got)
		}
	}
	if status, got := p.ask(t, "token of acme", "SELECT {x:String} FROM changes", url.Values{"param_x": {"a'b"}, "max_execution_time": {"5"}}); status != 200 || got != "a\\'b\n" {
		t.Errorf("a parameter: %d %s", status, got)
	}

	if err := readersDriver(t, p.address, "token of acme"); err != nil {
		t.Errorf("the driver: %v", err)
	}

	for _, from := range []string{"numbers(1)", "numbers_mt(1)", "generate_series(1, 1)", "generateSeries(1, 1)", "values('a Int8', (1))", "SQLStandardValues(1)", "view(SELECT 1 FROM tiles)", "null('a Int8')"} {
		if status, got := p.ask(t, "token of acme", "SELECT * FROM "+from, nil); status != 200 {
			t.Errorf("%s: %d %s", from, status, got)
		}
	}

	for _, token := range []string{"token of acme", "token of all"} {
		told := counts(t, w, p, token)
		if none := token == "token of acme"; none != (len(told) == 0) {
			t.Errorf("how many rows were read, hidden ones too, is told to the reader with the %s by: %q", token, told)
		}
	}

	// What is refused outside the statement.
	for name, params := range map[string]url.Values{
		"a parameter names a table": {"param_t": {"changes_log"}, "query": {"SELECT * FROM {t:Identifier}"}},
		"the filter is a setting":   {"additional_table_filters": {"{}"}, "query": {"SELECT 1"}},
		"another database":          {"database": {"system"}, "query": {"SELECT * FROM tables"}},
		"a session":                 {"session_id": {"a"}, "query": {"SELECT 1"}},
		"a schema file":             {"output_format_schema": {"/tmp/x"}, "query": {"SELECT 1"}},
		"a format with a file":      {"default_format": {"Template"}, "query": {"SELECT 1"}},
	} {
		if status, got := p.ask(t, "token of acme", "", params); status != 403 {
			t.Errorf("%s: status %d, want 403: %s", name, status, got)
		}
	}
	for _, token := range []string{"", "token of nobody", "*"} { // with readers, nobody is a guest
		if status, _ := p.ask(t, token, "SELECT 1", nil); status != 401 {
			t.Errorf("token %q: status %d, want 401", token, status)
		}
	}
	if _, got := p.ask(t, "token of acme", "SELECT * FROM changes_log", nil); !strings.Contains(got, "changes_log is no view of the contract; these are: ") || !strings.Contains(got, "spaces_history") {
		t.Errorf("the refusal does not say what is allowed: %s", got)
	}

	if _, got := p.ask(t, "token of acme", "SELECT number FROM numbers(20000000) FORMAT Null", nil); !strings.Contains(got, "Code: 396") {
		t.Errorf("an answer of 20 million rows: %s", got)
	}

	if _, got := p.ask(t, "token of acme", "SELECT length(groupArray(number)) FROM numbers(1000000000)", nil); !strings.Contains(got, "Code: 241") || !strings.Contains(got, "Query memory limit exceeded") {
		t.Errorf("more memory than a reader's share: %s", got)
	}

	// The same statements with one of the two lines of defence.
	if found := leaks(t, p, "token of all", statements[:40], nil); len(found) == 0 {
		t.Error("without the filter nothing leaks: this test cannot fail")
	}
	var filters []string
	for _, tab := range tables(w.datasets) {
		if tab.column("tenant_id") >= 0 {
			filters = append(filters, text("sitedrift."+tab.name)+": "+text("tenant_id = 'acme'"))
		}
	}
	mere := url.Values{"additional_table_filters": {"{" + strings.Join(filters, ", ") + "}"}, "readonly": {"1"}}
	tricks := []string{"SELECT * FROM mergeTreeIndex('sitedrift', 'changes_log')", "SELECT count() FROM changes WHERE NOT throwIf(" + fmt.Sprintf(oracle, "entity_name") + ")"}
	for _, sql := range tricks {
		if found := leaks(t, p, e.Token(), []string{sql}, mere); len(found) == 0 {
			t.Errorf("a mere filter holds this back: is the line that refuses it still needed? %s", sql)
		}
	}
}

// readersDriver asks as programs do.
func readersDriver(t *testing.T, address, token string) error {
	t.Helper()
	conn, err := ch.Open(&ch.Options{Protocol: ch.HTTP, Addr: []string{address}, Auth: ch.Auth{Database: Database, Username: "reader", Password: token}})
	if err != nil {
		return err
	}
	defer conn.Close()
	var n uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM changes WHERE tenant_id = ?", ourTenant).Scan(&n); err != nil || n != 1 {
		return fmt.Errorf("counts %d: %w", n, err)
	}
	return nil
}
