package sitedrift_test

import (
	"os"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/sinks/embedded/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// The statements that an administrator is told to run are ones that ClickHouse
// understands. The embedded engine has no users to grant to, so it only parses.
func TestGrantsParse(t *testing.T) {
	b, err := os.ReadFile("deployments/clickhouse-grants.sql")
	if err != nil {
		t.Fatal(err)
	}
	conn := enginetest.Open(t, enginetest.Shared(t))
	parse := func(statement string) (formatted string, err error) {
		err = conn.QueryRow(t.Context(), "SELECT formatQuery(?)", statement).Scan(&formatted)
		return formatted, err
	}
	var statements []string
	for part := range strings.SplitSeq(string(b), ";\n") {
		var lines []string
		for line := range strings.Lines(part) {
			if line, optional := strings.CutPrefix(line, "-- GRANT "); optional {
				statements = append(statements, "GRANT "+strings.TrimSuffix(strings.TrimSpace(line), ";"))
			} else if !strings.HasPrefix(line, "--") {
				lines = append(lines, line)
			}
		}
		if s := strings.TrimSpace(strings.Join(lines, "")); s != "" {
			statements = append(statements, s)
		}
	}
	if len(statements) < 10 {
		t.Fatalf("found %d statements only", len(statements))
	}
	for _, s := range statements {
		if _, err := parse(s); err != nil {
			t.Errorf("%v\nin: %s", err, s)
		}
	}
	if !strings.Contains(strings.Join(statements, "\n"), "GRANT CLUSTER ON *.* TO sitedrift_daemon") {
		t.Error("no grant lets the daemon make tables ON CLUSTER")
	}
	if got, err := parse("GRANT SELEKT ON a.* TO b"); err == nil {
		t.Errorf("the parser takes anything: %s", got)
	}
}
