package check

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// TestAlertRules reads the rules as Prometheus does: expressions, durations,
// labels and the templates of what is said.
func TestAlertRules(t *testing.T) {
	groups, errs := rulefmt.ParseFile("../prometheus/alerts.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 || len(groups.Groups[0].Rules) < 10 {
		t.Fatalf("rules: %+v", groups)
	}
}

// TestDashboardExpressions parses what dashboards ask Prometheus. Their SQL runs
// on the engine, in sinks/clickhouse.
func TestDashboardExpressions(t *testing.T) {
	files, err := filepath.Glob("../grafana/*.json")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr string }
			}
		}
		if err := json.Unmarshal(b, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				if target.Expr == "" {
					continue
				}
				n++
				if _, err := parser.NewParser(parser.Options{}).ParseExpr(target.Expr); err != nil {
					t.Errorf("%s: %s: %v", file, p.Title, err)
				}
			}
		}
	}
	if n < 3 {
		t.Errorf("found %d expressions only", n)
	}
}
