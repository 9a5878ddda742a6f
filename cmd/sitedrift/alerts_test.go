package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.yaml.in/yaml/v3"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
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
	if one, other, either := strings.Cut(expr, " or "); either {
		checkExpr(t, where, metrics, one, texts...)
		checkExpr(t, where, metrics, other, texts...)
		return
	}
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
			if !strings.Contains(string(deployed(t, "../docs/operations/README.md")), "`"+r.Alert+"`") {
				t.Errorf("docs/operations does not say what to do about %s", r.Alert)
			}
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

// scraped are the daemon's own samples, as Prometheus gets them.
func scraped(t *testing.T, h http.Handler) map[string]string {
	t.Helper()
	got, samples := httptest.NewRecorder(), map[string]string{}
	h.ServeHTTP(got, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	for line := range strings.Lines(got.Body.String()) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "} "); ok && strings.HasPrefix(name, "sitedrift_") {
			samples[name+"}"] = value
		}
	}
	return samples
}

// TestConditionsShowInMetrics: what alerts ask for is there when it is so, gone when
// it is not, and nothing is said where nothing is known.
func TestConditionsShowInMetrics(t *testing.T) {
	a, _, connect := connectedApp(t)
	connect("Somebody")
	ctx, h := t.Context(), a.handler()
	for _, tenant := range []string{"acme", "removed"} {
		for _, all := range []bool{true, false} {
			a.metrics.fresh.read(reading{tenant, "spaces", all}, 1000)
		}
	}
	const (
		stateReady, ok = `sitedrift_ready{part="state"}`, `sitedrift_credential_ok{kind="3lo",tenant="acme"}`
		held           = `sitedrift_held{dataset="spaces",tenant="acme"}`
		quarantined    = `sitedrift_quarantined{group="posture",tenant="acme"}`
		complete       = `sitedrift_dataset_last_complete_timestamp_seconds{dataset="spaces",tenant="acme"}`
		incomplete     = `sitedrift_dataset_last_incomplete_timestamp_seconds{dataset="spaces",tenant="acme"}`
		removed        = `sitedrift_dataset_last_complete_timestamp_seconds{dataset="spaces",tenant="removed"}`
	)
	shows := func(when string, want map[string]string) {
		t.Helper()
		got := scraped(t, h)
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s: %s is %q, want %q", when, name, got[name], value)
			}
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shows("when all is well", map[string]string{stateReady: "1", `sitedrift_ready{part="heartbeat"}`: "1", ok: "1", held: "", quarantined: "", complete: "1000", incomplete: "1000", removed: ""})

	begin := func() *collector.Attempt {
		attempt, err := a.store.Begin(ctx, collector.Begin{Tenant: "acme", Group: schemas.GroupPosture, Datasets: []string{"spaces"}, RunID: uuid.New(), Owner: "dies", StartedAt: time.Now()})
		must(err)
		return attempt
	}
	holds := begin()
	holds.Held = []collector.Hold{{Tenant: "acme", Dataset: "spaces", HeldAt: time.Now()}}
	must(a.store.Decide(ctx, holds, nil))
	shows("while removals are held", map[string]string{held: "1"})
	_, err := a.store.Approve(ctx, "acme")
	must(err)
	shows("when they are approved", map[string]string{held: "0"})

	for n := range collector.QuarantineAfter + 1 { // each begins, and all but the last are never heard of again
		attempt := begin()
		if attempt.Quarantined != (n == collector.QuarantineAfter) {
			t.Fatalf("attempt %d: %+v", n, attempt)
		}
		if attempt.Quarantined {
			must(a.store.End(ctx, attempt, nil))
		}
	}
	shows("in quarantine", map[string]string{quarantined: "1"})
	_, err = a.store.Release(ctx, "acme")
	must(err)
	shows("when it is released", map[string]string{quarantined: ""})

	c, err := a.store.Credential(ctx, "acme", collector.CredentialKind3LO)
	must(err)
	_, err = a.store.MarkNeedsReconsent(ctx, "acme", c.Kind, c.Generation, "refused")
	must(err)
	shows("when the grant is dead", map[string]string{ok: "0"})

	must(a.store.SetPaused(ctx, "acme", true))
	shows("while it is paused", map[string]string{complete: "", incomplete: "", ok: "0"})
	must(a.store.SetPaused(ctx, "acme", false))
	shows("when it is resumed", map[string]string{complete: "1000", incomplete: "1000"})
	must(a.store.RemoveSchedule(ctx, "acme", schemas.GroupPosture))
	shows("without a schedule", map[string]string{complete: "", incomplete: ""})

	// The state database is away: what is old stays so, the rest is not known.
	closed, err := state.OpenSQLite(ctx, t.TempDir())
	must(err)
	must(closed.Close())
	away := &app{store: closed, log: zap.NewNop(), out: a.out, metrics: newMetrics()}
	away.metrics.fresh.read(reading{"acme", "spaces", true}, 1000)
	h = away.handler()
	shows("without its state", map[string]string{stateReady: "0", ok: "", held: "", quarantined: "", complete: "1000"})
}

// TestStopsAreWaitedFor: each way of deploying lets a daemon end by itself.
func TestStopsAreWaitedFor(t *testing.T) {
	const needed = stopGrace + afterCut + closeFor
	for name, form := range map[string]string{
		"helm/sitedrift/values.yaml": `(?m)^terminationGracePeriodSeconds: (\d+)()$`,
		"sitedrift.service":          `(?m)^TimeoutStopSec=(\d+s)$`,
		"compose.yml":                `(?s)\n  sitedrift:.*\n    stop_grace_period: (\d+m)\n`,
	} {
		m := regexp.MustCompile(form).FindSubmatch(deployed(t, name))
		if m == nil {
			t.Errorf("%s says nothing", name)
			continue
		}
		text := string(m[1])
		if len(m) > 2 {
			text += "s"
		}
		if got, err := time.ParseDuration(text); err != nil || got < needed {
			t.Errorf("%s waits for %s, %v; a stop takes up to %s", name, got, err, needed)
		}
	}
}
