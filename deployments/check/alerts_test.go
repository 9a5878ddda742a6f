package check

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// alertRules reads the rules as Prometheus does: expressions, durations, labels and
// the templates of what is said.
func alertRules(t *testing.T) []rulefmt.Rule {
	t.Helper()
	groups, errs := rulefmt.ParseFile("../prometheus/alerts.yml", false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 || len(groups.Groups[0].Rules) < 10 {
		t.Fatalf("rules: %+v", groups)
	}
	return groups.Groups[0].Rules
}

// conditions are what is scraped, every ten minutes, and which alerts there are at a
// time after the first scrape; each rule has a condition that brings it about.
var conditions = []struct {
	name, scraped string
	firing        map[string][]string // by time
}{
	{
		"all is well", `
up{job="sitedrift", instance="a"} 1x300
up{job="sitedrift", instance="b"} 1x300
sitedrift_ready{job="sitedrift", instance="a", part="state"} 1x300
sitedrift_ready{job="sitedrift", instance="a", part="warehouse"} 1x300
sitedrift_dataset_last_complete_timestamp_seconds{instance="a", tenant="acme", dataset="spaces"} 0+600x300
sitedrift_dataset_last_incomplete_timestamp_seconds{instance="a", tenant="acme", dataset="spaces"} 0x300
sitedrift_credential_ok{instance="a", tenant="acme", kind="3lo"} 1x300
sitedrift_credential_consent_days_left{instance="a", tenant="acme", kind="3lo"} 200x300
sitedrift_held{instance="a", tenant="acme", dataset="spaces"} 0x300
sitedrift_runs_total{instance="a", tenant="acme", group="posture", outcome="changed"} 0+1x300
sitedrift_runs_total{instance="a", tenant="acme", group="posture", outcome="failed"} 7x100 9x200
sitedrift_api_calls_total{instance="a", tenant="acme", group="posture"} 0+100x300
sitedrift_api_throttled_total{instance="a", tenant="acme", group="posture"} 0+4x300
sitedrift_engine_restarts_total{instance="a"} 5x100 6x200`,
		map[string][]string{"30m": nil, "17h": nil, "24h": nil, "48h": nil},
	},
	{ // its state cannot be read: nothing is known of credentials, holds and quarantines
		"nothing is known", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_api_calls_total{instance="a", tenant="acme", group="posture"} 0x300`,
		map[string][]string{"30m": nil, "48h": nil},
	},
	{"nobody is there", `up{job="another", instance="a"} 1x300`, map[string][]string{"4m": nil, "10m": {"SitedriftDown"}}},
	{
		"one replica of three ends", `
up{job="sitedrift", instance="a"} 1x300
up{job="sitedrift", instance="b"} 1x5 0x300
up{job="sitedrift", instance="c"} 1x300`,
		map[string][]string{"50m": nil, "65m": nil, "75m": {"SitedriftReplicaDown b"}},
	},
	{
		"the warehouse goes away and comes back", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_ready{job="sitedrift", instance="a", part="state"} 1x300
sitedrift_ready{job="sitedrift", instance="a", part="warehouse"} 1x5 0x5 1x300`,
		map[string][]string{"50m": nil, "70m": {"SitedriftNotReady a warehouse"}, "130m": nil},
	},
	{
		"a dataset grows old", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_dataset_last_complete_timestamp_seconds{instance="a", tenant="acme", dataset="spaces"} 0x300
sitedrift_dataset_last_complete_timestamp_seconds{instance="a", tenant="globex", dataset="spaces"} 0x300
sitedrift_dataset_last_complete_timestamp_seconds{instance="b", tenant="globex", dataset="spaces"} 0+600x300`,
		map[string][]string{"12h": nil, "14h": {"SitedriftDatasetStale acme spaces"}},
	},
	{
		"coverage is lost and comes back", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_dataset_last_complete_timestamp_seconds{instance="a", tenant="acme", dataset="spaces"} 600x60 36600x300
sitedrift_dataset_last_incomplete_timestamp_seconds{instance="a", tenant="acme", dataset="spaces"} 0x6 3600+600x47 32400x300
sitedrift_dataset_last_incomplete_timestamp_seconds{instance="a", tenant="acme", dataset="site_permissions"} 600+600x300`,
		map[string][]string{"3h": nil, "5h": {"SitedriftCoverageLost acme spaces"}, "11h": nil},
	},
	{
		"a grant dies", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_credential_ok{instance="a", tenant="acme", kind="3lo"} 1x5 0x300
sitedrift_credential_ok{instance="b", tenant="acme", kind="3lo"} 1x5 0x300`,
		map[string][]string{"50m": nil, "70m": {"SitedriftGrantDead acme 3lo"}},
	},
	{
		"consents end", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_credential_consent_days_left{instance="a", tenant="acme", kind="3lo"} 30x5 29x300
sitedrift_credential_consent_days_left{instance="a", tenant="globex", kind="3lo"} 6x300`,
		map[string][]string{
			"0m": {"SitedriftConsentEndsSoon globex 3lo"},
			"3h": {"SitedriftConsentEnds acme 3lo", "SitedriftConsentEnds globex 3lo", "SitedriftConsentEndsSoon globex 3lo"},
		},
	},
	{
		"removals are held, then approved", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_held{instance="a", tenant="acme", dataset="spaces"} 1x5 0x300`,
		map[string][]string{"10m": {"SitedriftRemovalsHeld acme spaces"}, "60m": nil},
	},
	{
		"a group is quarantined, then released", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_quarantined{instance="a", tenant="acme", group="posture"} 1x5 _x300`,
		map[string][]string{"10m": {"SitedriftQuarantined acme posture"}, "2h": nil},
	},
	{
		"runs fail again and again, on two replicas", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_runs_total{instance="a", tenant="acme", group="posture", outcome="failed"} 1 2 3x300
sitedrift_runs_total{instance="b", tenant="acme", group="posture", outcome="failed"} 1 1 2x300
sitedrift_runs_total{instance="a", tenant="acme", group="audit", outcome="baseline_mismatch"} 1 2x300`,
		map[string][]string{"10m": nil, "40m": {"SitedriftRunsFail acme posture failed"}, "12h": nil},
	},
	{
		"a site throttles", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_api_calls_total{instance="a", tenant="acme", group="posture"} 0+100x300
sitedrift_api_throttled_total{instance="a", tenant="acme", group="posture"} 0+10x300`,
		map[string][]string{"30m": nil, "3h": {"SitedriftThrottled acme"}},
	},
	{
		"the engine ends again and again", `
up{job="sitedrift", instance="a"} 1x300
sitedrift_engine_restarts_total{instance="a"} 0 1 2 3 3x300`,
		map[string][]string{"50m": {"SitedriftEngineRestarts a"}, "3h": nil},
	},
}

// TestAlertsFire lets Prometheus' own engine ask each rule under each condition:
// what is to fire does, once it has lasted, and nothing else.
func TestAlertsFire(t *testing.T) {
	rules := alertRules(t)
	engine := newEngine()
	fired := map[string]bool{}
	for _, c := range conditions {
		t.Run(c.name, func(t *testing.T) {
			series := parseScrapes(t, c.scraped)
			for after, want := range c.firing {
				at, err := time.ParseDuration(after)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, r := range rules {
					for _, alert := range firing(t, engine, series, r, time.Unix(0, 0).Add(at)) {
						got = append(got, strings.TrimSpace(r.Alert+" "+alert))
						fired[r.Alert] = true
					}
				}
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("after %s (-want +got):\n%s", after, diff)
				}
			}
		})
	}
	for _, r := range rules {
		if !fired[r.Alert] {
			t.Errorf("no condition brings %s about", r.Alert)
		}
	}
}

// firing are the alerts of a rule at a time, by their labels: what the expression has
// found at each evaluation, once a minute, for as long as the rule says.
func firing(t *testing.T, engine *promql.Engine, series scrapes, r rulefmt.Rule, at time.Time) (identities []string) {
	t.Helper()
	var lasting map[string]bool
	for back := time.Duration(0); back <= time.Duration(r.For); back += time.Minute {
		found := map[string]bool{}
		if then := at.Add(-back); !then.Before(time.Unix(0, 0)) {
			for _, s := range ask(t, engine, series, r.Expr, then) {
				found[identity(s)] = back == 0 || lasting[identity(s)]
			}
		}
		lasting = found
	}
	for l, holds := range lasting {
		if holds {
			identities = append(identities, l)
		}
	}
	return identities
}

// scrapeEvery is the time between two samples of a condition.
const scrapeEvery = 10 * time.Minute

// scrapes are series in memory, from which the engine of Prometheus reads.
type scrapes []*storage.SeriesEntry

// parseScrapes reads series in the notation of Prometheus' own tests, a line each.
func parseScrapes(t *testing.T, text string) (all scrapes) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(text)) {
		name, values, err := parser.NewParser(parser.Options{}).ParseSeriesDesc(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var samples []chunks.Sample
		for i, v := range values {
			if !v.Omitted {
				samples = append(samples, sample{time.Duration(i) * scrapeEvery, v.Value})
			}
		}
		all = append(all, storage.NewListSeries(name, samples))
	}
	return all
}

// Querier implements storage.Queryable.
func (s scrapes) Querier(int64, int64) (storage.Querier, error) { return s, nil }

// Select implements storage.Querier.
func (s scrapes) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	found := &scrapeSet{at: -1}
	for _, entry := range s {
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(entry.Lset.Get(m.Name)) }) {
			found.all = append(found.all, entry)
		}
	}
	return found
}

// LabelValues implements storage.Querier; nothing asks for them.
func (scrapes) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// LabelNames implements storage.Querier; nothing asks for them.
func (scrapes) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

// Close implements storage.Querier.
func (scrapes) Close() error { return nil }

// scrapeSet is a storage.SeriesSet.
type scrapeSet struct {
	all scrapes
	at  int
}

func (s *scrapeSet) Next() bool                      { s.at++; return s.at < len(s.all) }
func (s *scrapeSet) At() storage.Series              { return s.all[s.at] }
func (*scrapeSet) Err() error                        { return nil }
func (*scrapeSet) Warnings() annotations.Annotations { return nil }

// sample is a number at a time after the first scrape.
type sample struct {
	after time.Duration
	value float64
}

func (s sample) T() int64                    { return s.after.Milliseconds() }
func (sample) ST() int64                     { return 0 }
func (s sample) F() float64                  { return s.value }
func (sample) H() *histogram.Histogram       { return nil }
func (sample) FH() *histogram.FloatHistogram { return nil }
func (sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample         { return s }

func newEngine() *promql.Engine {
	return promql.NewEngine(promql.EngineOpts{MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: scrapeEvery, Parser: parser.NewParser(parser.Options{})})
}

// ask is what Prometheus answers to a question at a time.
func ask(t *testing.T, engine *promql.Engine, series scrapes, expr string, at time.Time) promql.Vector {
	t.Helper()
	q, err := engine.NewInstantQuery(t.Context(), series, nil, expr, at)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	defer q.Close()
	v, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return slices.Clone(v)
}

// identity is what tells an alert from others of its rule, beside the job.
func identity(s promql.Sample) string {
	var parts []string
	for _, name := range []string{"tenant", "group", "dataset", "kind", "outcome", "instance", "part"} {
		if v := s.Metric.Get(name); v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, " ")
}

// TestDashboardExpressions parses what dashboards ask Prometheus, and looks at their
// numbers: 0 where all is well, and none where nothing is known. Their SQL runs on
// the engine, in sinks/clickhouse.
func TestDashboardExpressions(t *testing.T) {
	files, err := filepath.Glob("../grafana/*.json")
	if err != nil {
		t.Fatal(err)
	}
	unknown := parseScrapes(t, `
up{job="sitedrift", instance="a"} 0x10
sitedrift_ready{job="sitedrift", instance="b", part="state"} 0x10`)
	well := parseScrapes(t, `
sitedrift_ready{job="sitedrift", instance="a", part="state"} 1x10
sitedrift_credential_ok{instance="a", tenant="acme", kind="3lo"} 1x10`)
	n, engine, now := 0, newEngine(), time.Unix(0, 0).Add(time.Hour)
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title, Type string
				Targets     []struct{ Expr string }
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
				if p.Type != "stat" {
					continue
				}
				if v := ask(t, engine, unknown, target.Expr, now); len(v) > 0 {
					t.Errorf("%s: %s says %v where nothing is known", file, p.Title, v)
				}
				if v := ask(t, engine, well, target.Expr, now); len(v) != 1 || v[0].F != 0 {
					t.Errorf("%s: %s says %v where all is well", file, p.Title, v)
				}
			}
		}
	}
	if n < 3 {
		t.Errorf("found %d expressions only", n)
	}
}
