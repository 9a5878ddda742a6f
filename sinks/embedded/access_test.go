//go:build unix && !noengine

package embedded_test

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

// TestReachIsRefused tries every way found out of the data directory: grants hold some back, the front the rest.
// Without either the engine would run these.
func TestReachIsRefused(t *testing.T) {
	e := enginetest.Shared(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("launch code\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, e, "CREATE TABLE reach (s String) ENGINE = MergeTree ORDER BY s")
	for _, sql := range []string{
		// files
		"SELECT * FROM file('SECRET', 'LineAsString')",
		"SELECT file('SECRET')",
		"SELECT `file`('SECRET')",
		`SELECT "file" /* x */ ('SECRET')`,
		"SELECT `fi\\x6ce`('SECRET')",
		"SELECT arrayMap(x -> file(x), ['SECRET'])",
		"SELECT * APPLY(file) FROM (SELECT 'SECRET')",
		"SELECT * APPLY file FROM (SELECT 'SECRET')",
		"SELECT $$'$$, file('SECRET'), $$'$$",
		"SELECT $a$'$a$, file('SECRET'), '$a$'",
		"SELECT ‘'’, file('SECRET'), ‘'’",
		"SELECT /* ' */ file('SECRET') /* ' */",
		"SELECT 1 -- '\n, file('SECRET') --'",
		"SELECT 'it''s', file('SECRET')",
		"SELECT '\\'', file('SECRET'), '\\''",
		"SELECT * FROM eval('SELECT file(\\'SECRET\\')')",
		"SELECT * FROM `default`.`SECRET`",
		"INSERT INTO reach FROM INFILE 'SECRET' FORMAT LineAsString",
		"INSERT INTO reach VALUES (file('SECRET'))",
		"SELECT 1 INTO OUTFILE 'SECRET.out'",
		"CREATE TABLE r1 (s String) ENGINE = File(LineAsString, 'SECRET')",
		"CREATE TABLE r1 (k String) ENGINE EmbeddedRocksDB(0, 'SECRET.db') PRIMARY KEY k",
		"CREATE TABLE r1 AS file('SECRET', 'LineAsString')",
		"CREATE VIEW r1 AS SELECT file('SECRET')",
		"SELECT 'x' FORMAT Template SETTINGS format_template_resultset = 'SECRET'",
		"SELECT 'x' FORMAT Protobuf SETTINGS format_schema = 'SECRET:M'",
		"BACKUP TABLE reach TO File('SECRET.backup')",
		"SELECT * FROM icebergLocal('SECRET')",
		"SELECT * FROM sqlite('SECRET', 't')",
		"SELECT * FROM filesystem('/')",
		// programs
		"SELECT * FROM executable('ls', LineAsString, 's String')",
		"CREATE TABLE r1 (s String) ENGINE = Executable('ls', LineAsString)",
		"CREATE TABLE r1 (s String) ENGINE = `Executable`('ls', LineAsString)",
		"CREATE DICTIONARY r1 (k UInt64) PRIMARY KEY k SOURCE(EXECUTABLE(command 'ls' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
		"CREATE FUNCTION r1 AS x -> x",
		// hosts
		"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)",
		"SELECT * FROM s3('http://127.0.0.1:1/bucket/a', 'CSV')",
		"SELECT * FROM remote('127.0.0.1:1', system.one)",
		"SELECT * FROM mysql('127.0.0.1:1', 'b', 'c', 'd', 'e')",
		"BACKUP TABLE reach TO S3('http://127.0.0.1:1/bucket/a', 'k', 's')",
		"RESTORE TABLE reach FROM S3('http://127.0.0.1:1/bucket/a', 'k', 's')",
		"CREATE TABLE r1 (s String) ENGINE = MergeTree ORDER BY s SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:1/x/')",
		// other databases, other users, the server
		"CREATE DATABASE r1",
		"CREATE DATABASE r1 ENGINE = Filesystem('/')",
		"CREATE TABLE `default`.r1 (a Int8) ENGINE = Memory",
		"CREATE TABLE system.r1 (a Int8) ENGINE = Memory",
		"DROP DATABASE sitedrift",
		"DROP DATABASE system",
		"CREATE USER r1",
		"SYSTEM SHUTDOWN",
		"CREATE NAMED COLLECTION r1 AS a = 1",
	} {
		sql = strings.ReplaceAll(sql, "SECRET", secret)
		status, h, text := post(t, e, nil, strings.NewReader(sql))
		switch c := h.Get("X-ClickHouse-Exception-Code"); c {
		case "497": // ACCESS_DENIED
		case "452", "36": // a setting that must not change; a backup outside its directory
		default:
			t.Errorf("%s: status %d, code %q, want it refused:\n%s", sql, status, c, text)
		}
		if strings.Contains(text, "launch code") {
			t.Errorf("%s: gives the file away", sql)
		}
	}
	if files, _ := filepath.Glob(secret + ".*"); len(files) > 0 {
		t.Errorf("files were written: %v", files)
	}
	// A function's name cannot come out of a parameter.
	_, _, text := post(t, e, url.Values{"param_f": {"file"}, "param_p": {secret}}, strings.NewReader("SELECT {f:Identifier}({p:String})"))
	if strings.Contains(text, "launch code") {
		t.Error("a parameter names the function file")
	}
	if got := run(t, e, "SELECT count() FROM reach"); got != "0" {
		t.Errorf("reach holds %s rows, want 0", got)
	}
}

// TestWorkIsAllowed runs what the sinks and analysts need.
func TestWorkIsAllowed(t *testing.T) {
	e := enginetest.Shared(t)
	for _, sql := range []string{
		"CREATE TABLE IF NOT EXISTS work (a UInt64, s String COMMENT 'a file (of rows)') ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1 COMMENT 'engine = none'",
		"ALTER TABLE work ADD COLUMN b LowCardinality(String), ADD INDEX i b TYPE bloom_filter",
		"INSERT INTO work (a, s) SELECT number, 'file(' || toString(number) || ')' FROM numbers(10)",
		"INSERT INTO work (a, s) VALUES (11, 'executable(x)'), (12, 'INTO OUTFILE')",
		"CREATE OR REPLACE VIEW work_v AS SELECT a, s FROM work",
		"CREATE VIEW work_at AS SELECT a FROM work WHERE a <= {at:UInt64}",
		"SELECT count() FROM work_at(at = 5)",
		"CREATE TABLE work_mem (a UInt64) ENGINE = Memory",
		"CREATE MATERIALIZED VIEW work_mv TO work_mem AS SELECT a FROM work",
		"CREATE TABLE work_r (a UInt64, v UInt64) ENGINE = ReplacingMergeTree(v) ORDER BY a",
		"SELECT a FROM work_r FINAL",
		"RENAME TABLE work_r TO work_r2",
		"CREATE TABLE work_r AS work_r2",
		"EXCHANGE TABLES work_r AND work_r2",
		"OPTIMIZE TABLE work FINAL",
		"ALTER TABLE work UPDATE s = 'x' WHERE a = 1",
		"DELETE FROM work WHERE a = 2",
		"ALTER TABLE work MODIFY COMMENT 'changed'",
		"ALTER TABLE work DROP PARTITION tuple()",
		"TRUNCATE TABLE work",
		"SYSTEM STOP MERGES work",
		"SYSTEM START MERGES work",
		"SELECT name, engine FROM system.tables WHERE database = 'sitedrift' AND engine = 'MergeTree'",
		"SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active GROUP BY table",
		"SELECT name, type, comment FROM system.columns WHERE database = currentDatabase()",
		"SELECT query, elapsed FROM system.processes",
		"SELECT * FROM system.merges", "SELECT * FROM system.mutations", "SELECT * FROM system.databases",
		"SELECT * FROM system.metrics", "SELECT * FROM system.events", "SELECT * FROM system.errors",
		"SELECT * FROM information_schema.tables",
		"SHOW TABLES", "SHOW DATABASES", "SHOW CREATE TABLE work", "DESCRIBE TABLE work", "EXISTS TABLE work", "EXPLAIN SELECT * FROM work",
		"CHECK TABLE work", "KILL QUERY WHERE query_id = 'none'",
		"SELECT 'a' FROM numbers(2) UNION ALL SELECT 'b'", "SELECT 'Größe – “quoted”'",
		"DROP VIEW work_mv", "DROP TABLE work_mem SYNC",
	} {
		if status, _, text := post(t, e, nil, strings.NewReader(sql)); status != 200 {
			t.Errorf("%s: %d %s", sql, status, text)
		}
	}
}

func TestTokenIsRequired(t *testing.T) {
	e := enginetest.Shared(t)
	for _, password := range []string{"", "wrong", e.Token() + "x", e.Token()[1:]} {
		status, h := request(t, socketClient(t, e), "http://engine/", password, "SELECT 1")
		if status != 401 || h.Get("X-ClickHouse-Exception-Code") != "516" {
			t.Errorf("password %q: status %d, code %s; want 401, 516", password, status, h.Get("X-ClickHouse-Exception-Code"))
		}
	}
	if status, _ := request(t, socketClient(t, e), "http://engine/?password="+url.QueryEscape(e.Token()), "", "SELECT 1"); status != 401 {
		t.Errorf("a token in the URL was accepted (status %d)", status)
	}
	if status, _ := request(t, socketClient(t, e), "http://engine/ping", "", ""); status != 200 {
		t.Errorf("ping without token: status %d, want 200", status)
	}
}
