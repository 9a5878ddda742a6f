package main

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// metrics are the daemon's, in a registry of their own.
type metrics struct {
	registry  *prometheus.Registry
	runs      *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	rows      *prometheus.CounterVec
	changes   *prometheus.CounterVec
	calls     *prometheus.CounterVec
	throttled *prometheus.CounterVec
	fresh     *freshness
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sitedrift_runs_total", Help: "Runs that ended, by outcome."},
			[]string{"tenant", "group", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "sitedrift_run_duration_seconds", Help: "Time that runs took.", Buckets: prometheus.ExponentialBuckets(0.1, 4, 9)},
			[]string{"group"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sitedrift_rows_total", Help: "Rows read from sites and versions written to the warehouse."},
			[]string{"tenant", "group", "direction"}),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sitedrift_changes_total", Help: "Entities that were added, changed, removed or vanished."},
			[]string{"tenant", "group", "change"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sitedrift_api_calls_total", Help: "Requests to the sites' API, retries included."},
			[]string{"tenant", "group"}),
		throttled: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sitedrift_api_throttled_total", Help: "Answers with status 429."},
			[]string{"tenant", "group"}),
		fresh: &freshness{at: map[reading]int64{}},
	}
	m.registry.MustRegister(m.runs, m.duration, m.rows, m.changes, m.calls, m.throttled, m.fresh)
	return m
}

// observe counts a run that ended.
func (m *metrics) observe(r schemas.Run) {
	m.runs.WithLabelValues(r.Tenant, r.Group, string(r.Outcome)).Inc()
	m.duration.WithLabelValues(r.Group).Observe(r.EndedAt.Sub(r.StartedAt).Seconds())
	m.rows.WithLabelValues(r.Tenant, r.Group, "read").Add(float64(r.RowsRead))
	m.rows.WithLabelValues(r.Tenant, r.Group, "written").Add(float64(r.Written))
	for kind, n := range map[string]int64{"added": r.Added, "changed": r.Changed, "removed": r.Removed, "vanished": r.Vanished} {
		m.changes.WithLabelValues(r.Tenant, r.Group, kind).Add(float64(n))
	}
	m.calls.WithLabelValues(r.Tenant, r.Group).Add(float64(r.Calls))
	m.throttled.WithLabelValues(r.Tenant, r.Group).Add(float64(r.Throttled))
	for _, d := range r.Complete {
		m.fresh.read(reading{r.Tenant, d, true}, r.EndedAt.Unix())
	}
	for _, d := range r.Datasets {
		if !slices.Contains(r.Complete, d) {
			m.fresh.read(reading{r.Tenant, d, false}, r.EndedAt.Unix())
		}
	}
}

// sqlFreshness says when each dataset was read last, completely and not. Older
// than this is stale by any schedule.
const sqlFreshness = `SELECT tenant_id, dataset, toUInt8(has(complete, dataset)) AS all, toUnixTimestamp(max(ended_at)) FROM sitedrift.runs
ARRAY JOIN arrayDistinct(arrayConcat(datasets, complete)) AS dataset
WHERE started_at > now() - INTERVAL 40 DAY GROUP BY tenant_id, dataset, all`

// recall tells the metrics what earlier processes read, so that an alert on age
// does not fall silent at a restart.
func (a *app) recall(ctx context.Context) error {
	res, err := a.warehouse.Query(ctx, sqlFreshness)
	if err != nil {
		return err
	}
	defer func() { _ = res.Close() }() // what went wrong is told by the rows
	for row, err := range res.Rows() {
		if err != nil {
			return err
		}
		at, err := strconv.ParseInt(row[3].Text(), 10, 64)
		if err != nil {
			return err
		}
		a.metrics.fresh.read(reading{row[0].Text(), row[1].Text(), row[2].Text() == "1"}, at)
	}
	return nil
}

// stateCollector reads the state database when it is scraped.
type stateCollector struct {
	a           *app
	age, left   *prometheus.Desc
	ok, engines *prometheus.Desc
	quarantined *prometheus.Desc
	held        *prometheus.Desc
}

func newStateCollector(a *app) *stateCollector {
	return &stateCollector{
		a:    a,
		age:  prometheus.NewDesc("sitedrift_credential_age_seconds", "Time since the grant was last refreshed.", []string{"tenant", "kind"}, nil),
		left: prometheus.NewDesc("sitedrift_credential_consent_days_left", "Days until a person must consent again, or make a new token; none when its end is not known.", []string{"tenant", "kind"}, nil),
		ok:   prometheus.NewDesc("sitedrift_credential_ok", "1 if the credential can be used as far as is known, 0 if a grant needs consent again, or the site refuses a token, key or secret.", []string{"tenant", "kind"}, nil),
		quarantined: prometheus.NewDesc("sitedrift_quarantined", "1 for a group that is run no more, since its runs took the process down.",
			[]string{"tenant", "group"}, nil),
		held: prometheus.NewDesc("sitedrift_held", "1 for a dataset whose mass removals wait for a second look, 0 when the next run may pass.",
			[]string{"tenant", "dataset"}, nil),
		engines: prometheus.NewDesc("sitedrift_engine_restarts_total", "Times that the embedded engine was started again.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- readyDesc
	ch <- c.age
	ch <- c.left
	ch <- c.ok
	ch <- c.engines
	ch <- c.quarantined
	ch <- c.held
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	if c.a.engine != nil {
		ch <- prometheus.MustNewConstMetric(c.engines, prometheus.CounterValue, float64(c.a.engine.Restarts()))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for part, err := range c.a.parts(ctx) {
		ready := 1.0
		if err != nil {
			ready = 0
		}
		ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, ready, part)
	}
	closed, err := c.a.store.Quarantines(ctx, "")
	if err != nil {
		c.a.log.Error("read quarantines for metrics", zap.Error(err))
	}
	for _, q := range closed {
		ch <- prometheus.MustNewConstMetric(c.quarantined, prometheus.GaugeValue, 1, q.Tenant, q.Group)
	}
	holds, err := c.a.store.Holds(ctx, "")
	if err != nil {
		c.a.log.Error("read holds for metrics", zap.Error(err))
	}
	for _, h := range holds {
		waits := 1.0
		if h.Approved {
			waits = 0
		}
		ch <- prometheus.MustNewConstMetric(c.held, prometheus.GaugeValue, waits, h.Tenant, h.Dataset)
	}
	all, err := c.a.store.Credentials(ctx)
	if err != nil {
		c.a.log.Error("read credentials for metrics", zap.Error(err))
		return
	}
	now := c.a.out.now()
	for _, k := range all {
		ok := 0.0
		if k.State == collector.CredentialOK && !k.Refusal.Stands() {
			ok = 1
		}
		if isConsent(k.Kind) { // of the others no use is noted
			ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, now.Sub(k.LastOKAt).Seconds(), k.Tenant, k.Kind)
		}
		if _, known := oauth.EndsAt(k); known && k.State == collector.CredentialOK {
			left, _ := oauth.Countdown(k, now)
			ch <- prometheus.MustNewConstMetric(c.left, prometheus.GaugeValue, float64(left), k.Tenant, k.Kind)
		}
		ch <- prometheus.MustNewConstMetric(c.ok, prometheus.GaugeValue, ok, k.Tenant, k.Kind)
	}
}

// The parts that runs need.
const (
	partState     = "state"
	partWarehouse = "warehouse"
	partHeartbeat = "heartbeat"
)

// errSilentReplica says that the other replicas may take this one for dead.
var errSilentReplica = errors.New("the heartbeat of this replica does not reach the state database")

// parts are what runs need, each with what is wrong with it; nil: nothing, as far as
// is known.
func (a *app) parts(ctx context.Context) map[string]error {
	wrong := map[string]error{partState: a.store.Ping(ctx), partHeartbeat: nil}
	if a.warehouse != nil {
		wrong[partWarehouse] = a.warehouse.Ready(ctx)
	}
	if !a.heartbeat.Beats() {
		wrong[partHeartbeat] = errSilentReplica
	}
	return wrong
}

// wrong says what is wrong with a part, for whoever may ask the probe: no names
// and addresses.
func wrong(err error) string {
	if trouble := (*clickhouse.Trouble)(nil); errors.As(err, &trouble) {
		return trouble.What
	}
	if what := state.What(err); what != "" {
		return what
	}
	return "does not answer"
}

// handler serves /metrics, /healthz (the process works) and /readyz (its stores
// answer, and the warehouse takes rows).
func (a *app) handler() http.Handler {
	a.metrics.fresh.watched = a.watched
	a.metrics.registry.MustRegister(newStateCollector(a))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", healthy)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		problems := []string{}
		for part, err := range a.parts(ctx) {
			if err != nil {
				a.log.Warn("not ready", zap.String("part", part), zap.Error(err))
				problems = append(problems, part+" "+wrong(err))
			}
		}
		if len(problems) > 0 {
			slices.Sort(problems)
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(strings.Join(problems, "\n") + "\n"))
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	})
	return mux
}
