package front

import (
	"strings"
	"testing"
)

func TestSplitInsert(t *testing.T) {
	for _, tc := range []struct {
		sql             string
		format, rest    string // "" format: not an INSERT with rows apart
		statementSuffix string
	}{
		{sql: "INSERT INTO t FORMAT Native", format: "Native", statementSuffix: "INTO t "},
		{sql: "insert into db.t (a, b) format TSV\n1\t2\n", format: "TSV", rest: "1\t2\n", statementSuffix: "(a, b) "},
		{sql: "INSERT INTO t FORMAT TSV ;\r\n1", format: "TSV", rest: "1"},
		{sql: "INSERT INTO t FORMAT TSV\n\nx", format: "TSV", rest: "\nx"},
		{sql: "INSERT INTO t FORMAT LineAsString  two spaces", format: "LineAsString", rest: "two spaces"},
		{sql: "INSERT INTO t SETTINGS a = 'FORMAT x' FORMAT CSV 1", format: "CSV", rest: "1"},
		{sql: "/* INSERT INTO x FORMAT y */ INSERT INTO t -- FORMAT z\nFORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO format FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO TABLE format FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO db.values FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO `a``FORMAT b` FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: `INSERT INTO "select" ("format") FORMAT CSV` + "\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO FUNCTION null('a String') FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO t SETTINGS a = $$FORMAT ' $$ FORMAT CSV\n1", format: "CSV", rest: "1"},
		{sql: "INSERT INTO t VALUES (1) FORMAT CSV"},
		{sql: "INSERT INTO t FORMAT Values (1)"},
		{sql: "INSERT INTO t SELECT 1 FORMAT CSV"},
		{sql: "INSERT INTO t WITH 1 AS x SELECT x"},
		{sql: "INSERT INTO t FROM INFILE 'x' FORMAT CSV"},
		{sql: "INSERT INTO t"},
		{sql: "INSERT INTO t FORMAT"},
		{sql: "INSERT INTO t FORMAT 'CSV'"},
		{sql: "SELECT 1 FORMAT CSV"},
		{sql: ""},
		{sql: "INSERT INTO t 'open FORMAT CSV"},
		{sql: "INSERT /* open FORMAT CSV"},
	} {
		d, ok := splitInsert(tc.sql)
		if ok != (tc.format != "") || ok && (d.format != tc.format || tc.sql[d.offset:] != tc.rest || !strings.HasSuffix(d.statement, tc.statementSuffix)) {
			t.Errorf("%q: got %v %+v (rest %q), want format %q, rest %q", tc.sql, ok, d, tc.sql[min(d.offset, len(tc.sql)):], tc.format, tc.rest)
		}
	}
}

// FuzzSplitInsert: whatever comes, the cut lies inside the text, the clause is where it says, and cutting the
// statement that was put together again gives the same.
func FuzzSplitInsert(f *testing.F) {
	for _, s := range []string{
		"INSERT INTO t FORMAT Native", "INSERT INTO t (a, `b)`) SETTINGS x='FORMAT' FORMAT TSV\n1\t2", "INSERT INTO t VALUES ('FORMAT x')",
		"/* c */ INSERT -- x\n INTO t FORMAT CSV;\r\nrest", "INSERT INTO t $a$ FORMAT $a$ FORMAT JSONEachRow {}", "INSERT INTO ‘t’ FORMAT CSV",
		"INSERT INTO t ((( FORMAT x", "INSERT INTO t \\' FORMAT x", "INSERT INTO t FORMAT x\x00y", "INSERT INTO a.format FORMAT CSV 1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		end := 0
		for tok := range tokens(sql) {
			if tok.start < end || tok.end <= tok.start || tok.end > len(sql) {
				t.Fatalf("token %+v after %d in %d bytes", tok, end, len(sql))
			}
			end = tok.end
		}
		d, ok := splitInsert(sql)
		if !ok {
			return
		}
		if d.offset > len(sql) || !strings.HasPrefix(sql, d.statement) || !strings.EqualFold(sql[len(d.statement):][:len("FORMAT")], "FORMAT") {
			t.Fatalf("cut %+v of %q", d, sql)
		}
		again, ok := splitInsert(d.statement + "FORMAT " + d.format)
		if !ok || again.statement != d.statement || again.format != d.format {
			t.Fatalf("%+v put together and cut again: %v %+v", d, ok, again)
		}
		if keyword(sql) != "INSERT" {
			t.Fatalf("cut %q, which is no INSERT", sql)
		}
	})
}

func TestCheckReach(t *testing.T) {
	for sql, refused := range map[string]bool{
		"SELECT file('/x')":                               true,
		"SELECT file -- c\n ('/x')":                       true,
		"SELECT `file`('/x')":                             true,
		"SELECT \"fi\\x6ce\"('/x')":                       true,
		"SELECT * APPLY file FROM t":                      true,
		"SELECT * APPLY(`fi\\x6ce`) FROM t":               true,
		"SELECT $x$ ' $x$, file('/x'), $x$ ' $x$":         true,
		"SELECT ‘ ' ’, file('/x'), ' '":                   true,
		"SELECT 1\x00, file('x')":                         true,
		"SELECT 1 INTO OUTFILE 'x'":                       true,
		"INSERT INTO t FROM infile 'x'":                   true,
		"CREATE TABLE t (a Int8) ENGINE = S3('x')":        true,
		"CREATE TABLE t (a Int8) ENGINE Executable('ls')": true,
		"ATTACH TABLE t (a Int8) ENGINE=/* */URL('x')":    true,
		"BACKUP TABLE t TO S3('x')":                       true,
		"RESTORE TABLE t FROM Disk('x', 'y')":             true,
		"CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = s3)": true,
		"BACKUP TABLE t TO File('x')":                                                    false,
		"SELECT 'file(''x'')', \"file\", file FROM t":                                    false,
		"SELECT profile('x'), file_('x')":                                                false,
		"SELECT engine FROM system.tables WHERE engine = 'S3'":                           false,
		"SELECT 1 -- file(x)":                                                            false,
		"SELECT /* file(x) */ 1":                                                         false,
		"SELECT $$file(x)$$":                                                             false,
		"SELECT 'INTO OUTFILE', `OUTFILE`":                                               false,
		"CREATE TABLE t (a Int8) ENGINE = ReplacingMergeTree(a) ORDER BY a":              false,
		"CREATE TABLE t (engine String, file String) ENGINE = MergeTree ORDER BY engine": false,
		"CREATE VIEW v AS SELECT engine FROM t":                                          false,
		"SELECT 'Größe “x”'":                                                             false,
		"INSERT INTO t (a, file) VALUES ('x')":                                           false,
		"SELECT replace(engine, 'a', 'b') FROM t":                                        false,
	} {
		if err := checkReach(sql); (err != nil) != refused {
			t.Errorf("%s: %v, want refused: %v", sql, err, refused)
		}
	}
}
