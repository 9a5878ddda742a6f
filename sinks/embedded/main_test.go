//go:build unix && !noengine

package embedded_test

import (
	"testing"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

func TestPing(t *testing.T) {
	conn := enginetest.Open(t, enginetest.Shared(t))
	if err := conn.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"SELECT currentDatabase(), currentUser()", "SELECT arrayStringConcat(groupArray(concat(access_type::String,' ',ifNull(database,'*'))),', ') FROM system.grants",
		"SELECT toString(value) FROM system.server_settings WHERE name='max_server_memory_usage'",
		"SELECT count()::String FROM system.tables", "SELECT * FROM file('/etc/passwd', 'LineAsString')", "SELECT * FROM `default`.`/etc/passwd`",
		"SELECT 1 INTO OUTFILE '/tmp/eng/out.txt'", "CREATE TABLE lines (s String) ENGINE=MergeTree ORDER BY s", "INSERT INTO lines FROM INFILE '/etc/passwd' FORMAT LineAsString", "SELECT count()::String FROM lines",
		"CREATE TABLE ff (s String) ENGINE=File(LineAsString, '/etc/passwd')", "SELECT s FROM ff",
		"SELECT * FROM url('http://127.0.0.1:1/', LineAsString)", "CREATE DATABASE x", "CREATE DATABASE x ENGINE=Filesystem('/')", "CREATE TABLE x.t (a Int8) ENGINE=Memory",
		"SYSTEM STOP MERGES sitedrift.lines", "SYSTEM SHUTDOWN", "KILL QUERY WHERE query_id='x'",
		"CREATE FUNCTION f1 AS x -> x", "BACKUP DATABASE sitedrift TO File('/tmp/eng/b1')", "CREATE USER u", "SET allow_introspection_functions=1", "SELECT demangle('x')",
		"SELECT * FROM executable('ls', LineAsString, 's String')", "SELECT toString(count()) FROM python('x')", "SELECT * FROM mysql('a:1','b','c','d','e')", "SELECT s FROM fileCluster('default','/etc/passwd','LineAsString','s String')",
		"CREATE DICTIONARY sitedrift.dd (k UInt64, s String) PRIMARY KEY k SOURCE(FILE(path '/etc/passwd' format 'CSV')) LAYOUT(FLAT()) LIFETIME(0)",
		"SELECT file('/etc/passwd')", "DROP DATABASE system", "CREATE NAMED COLLECTION nc AS a=1", "ATTACH TABLE sitedrift.at UUID '123e4567-e89b-12d3-a456-426614174000' (a Int8) ENGINE=MergeTree ORDER BY a SETTINGS disk=disk(type=local, path='/tmp/eng/dd/')",
		"CREATE TABLE sitedrift.cd (a Int8) ENGINE=MergeTree ORDER BY a SETTINGS disk=disk(type=local, path='/tmp/eng/dd/')",
		"CREATE TEMPORARY TABLE tt (a Int8)", "SELECT name FROM system.settings WHERE name='enable_shared_storage_snapshot_in_query'",
		"CREATE TABLE ev (a Int8) ENGINE=EmbeddedRocksDB('/tmp/eng/rocks') PRIMARY KEY a", "CREATE TABLE sl (a Int8) ENGINE=SQLite('/tmp/eng/x.db','t')",
		"SELECT * FROM sqlite('/tmp/eng/x.db','t')",
		"CREATE MATERIALIZED VIEW sitedrift.mv ENGINE=File(CSV) AS SELECT 1", "ALTER TABLE lines FETCH PARTITION tuple() FROM '/x'",
		"SHOW DATABASES", "SELECT getServerPort('x')", "SELECT s FROM loop(file('/etc/passwd', 'LineAsString'))",
	} {
		rows, err := conn.Query(t.Context(), q)
		if err != nil {
			s := err.Error()
			t.Logf("%s: ERR %.150s", q, s)
			continue
		}
		for rows.Next() {
			vals := make([]any, 0)
			for range rows.Columns() {
				vals = append(vals, new(string))
			}
			if err := rows.Scan(vals...); err != nil {
				t.Log(q, err)
				break
			}
			for _, v := range vals {
				t.Logf("%s: %.300s", q, *v.(*string))
			}
		}
		rows.Close()
		if rows.Err() != nil {
			t.Logf("%s: late ERR %.150s", q, rows.Err().Error())
		} else {
			t.Logf("%s: ok", q)
		}
	}
}
