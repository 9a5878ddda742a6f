package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/sitedrift/sitedrift/schemas"
)

// metricLabels are the daemon's metrics and their labels, as it registers them.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	descs := make(chan *prometheus.Desc, 100)
	newMetrics().registry.Describe(descs)
	newStateCollector(nil).Describe(descs)
	close(descs)
	found := map[string][]string{}
	form := regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	for d := range descs {
		m := form.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description of another form: %s", d)
		}
		found[m[1]] = strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
	}
	if len(found) < 10 {
		t.Fatalf("found %d metrics only", len(found))
	}
	return found
}

var (
	metricUse = regexp.MustCompile(`\b(sitedrift_\w+)(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
	shown     = regexp.MustCompile(`\$labels\.(\w+)|\{\{(\w+)\}\}`)
)

// checkExpr reports what an expression, and the texts shown with it, ask of the
// daemon's metrics that these do not have.
func checkExpr(t *testing.T, where string, metrics map[string][]string, expr string, texts ...string) {
	t.Helper()
	var asked []string
	for _, m := range grouping.FindAllStringSubmatch(expr, -1) {
		asked = append(asked, strings.FieldsFunc(m[1], func(r rune) bool { return r == ',' || r == ' ' })...)
	}
	for _, text := range texts {
		for _, m := range shown.FindAllStringSubmatch(text, -1) {
			if label := m[1] + m[2]; label != "instance" { // which the scrape adds
				asked = append(asked, label)
			}
		}
	}
	uses := metricUse.FindAllStringSubmatch(expr, -1)
	if len(uses) == 0 && !strings.Contains(expr, "up{") {
		t.Errorf("%s uses no metric of the daemon: %s", where, expr)
	}
	for _, use := range uses {
		labels, ok := metrics[use[1]]
		if !ok {
			t.Errorf("%s: there is no metric %s", where, use[1])
			continue
		}
		own := slices.Clone(asked)
		for _, m := range matcher.FindAllStringSubmatch(use[2], -1) {
			own = append(own, m[1])
		}
		for _, label := range own {
			if !slices.Contains(labels, label) {
				t.Errorf("%s: %s has no label %s", where, use[1], label)
			}
		}
	}
}

// Alert rules, dashboards and the operations guide name metrics that exist, with
// labels that they have: a rule over others never fires, and nobody notices.
func TestAlertsNameRealMetrics(t *testing.T) {
	metrics := metricLabels(t)
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr         string
				For                 string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(deployed(t, "prometheus/alerts.yml"), &rules); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			n++
			checkExpr(t, r.Alert, metrics, r.Expr, r.Annotations["summary"], r.Annotations["description"])
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("%s lacks a summary, a description that says what to do, or a severity", r.Alert)
			}
			for _, m := range regexp.MustCompile(`outcome=~?"([^"]*)"`).FindAllStringSubmatch(r.Expr, -1) {
				for outcome := range strings.SplitSeq(m[1], "|") {
					if !strings.Contains(outcomes(t), outcome) {
						t.Errorf("%s: no run ends as %s", r.Alert, outcome)
					}
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("%d alert rules only", n)
	}
	for _, name := range []string{"fleet", "tenant"} {
		var board struct {
			Panels []struct {
				Title   string
				Targets []struct{ Expr, LegendFormat string }
			}
		}
		if err := json.Unmarshal(deployed(t, "grafana/"+name+".json"), &board); err != nil {
			t.Fatal(err)
		}
		for _, p := range board.Panels {
			for _, target := range p.Targets {
				if target.Expr != "" {
					checkExpr(t, name+": "+p.Title, metrics, target.Expr, target.LegendFormat)
				}
			}
		}
	}
	guide, behind, _ := strings.Cut(string(deployed(t, "../docs/operations/README.md")), "\n## Readers\n") // whose roles have such names, too
	if at := strings.Index(behind, "\n## "); at >= 0 {
		guide += behind[at:]
	}
	for _, m := range regexp.MustCompile("`(sitedrift_\\w+)(?:\\{([\\w,]*)\\})?`").FindAllStringSubmatch(guide, -1) {
		if labels, ok := metrics[m[1]]; !ok || m[2] != "" && m[2] != strings.Join(labels, ",") {
			t.Errorf("docs/operations names %s, the daemon has %v", m[0], labels)
		}
	}
}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../deployments", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// outcomes is the documentation of the column, which lists all of them.
func outcomes(t *testing.T) string {
	t.Helper()
	d := schemas.RunsTable.Dataset
	return d.Columns[d.Column("outcome")].Doc
}

// What was read in part is older or newer than what was read completely, which
// is how an alert sees that coverage was lost.
func TestMetricsOfCoverage(t *testing.T) {
	m := newMetrics()
	end := time.Unix(1000, 0)
	run := func(complete ...string) {
		m.observe(schemas.Run{Tenant: "acme", Group: "posture", Outcome: schemas.OutcomeChanged, Datasets: []string{"spaces", "space_permissions"}, Complete: complete, StartedAt: end, EndedAt: end})
		end = end.Add(time.Hour)
	}
	run("spaces", "space_permissions")
	run("spaces")
	got := map[string]float64{}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "sitedrift_dataset_") {
			for _, s := range f.GetMetric() {
				got[f.GetName()+" "+s.GetLabel()[0].GetValue()] = s.GetGauge().GetValue()
			}
		}
	}
	complete, partly := "sitedrift_dataset_last_complete_timestamp_seconds ", "sitedrift_dataset_last_incomplete_timestamp_seconds "
	if got[complete+"spaces"] != 4600 || got[complete+"space_permissions"] != 1000 || got[partly+"space_permissions"] != 4600 || len(got) != 3 {
		t.Errorf("after a whole and a partial read: %v", got)
	}
}
