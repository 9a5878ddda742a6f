package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sitedrift/sitedrift/config"
)

// probes tell whoever asks how a daemon is, from its first moment to its last: while
// it opens its databases, or finishes what an earlier process left, it is alive and
// not ready, however long that takes. nil: nobody may ask.
type probes struct {
	srv    *http.Server
	answer atomic.Pointer[http.Handler]
	ended  chan error // why they ended
}

// startProbes listens where metrics and probes are served.
func startProbes(cfg *config.Config) (*probes, error) {
	if cfg.Server.Metrics == config.Off {
		return nil, nil //nolint:nilnil // nobody may ask
	}
	l, err := listenMetrics(cfg)
	if err != nil {
		return nil, err
	}
	p := &probes{ended: make(chan error, 1)}
	p.show(notReady("starting", ""))
	p.srv = &http.Server{
		Handler:           underOwnName(l.Addr(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*p.answer.Load()).ServeHTTP(w, r) })),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { p.ended <- p.srv.Serve(l) }()
	return p, nil
}

// underOwnName lets requests to a loopback address through that name one: a page in a
// browser on this machine does not read it under a name of its own that leads here.
func underOwnName(at net.Addr, h http.Handler) http.Handler {
	if tcp, ok := at.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this port serves this machine only: ask for localhost, or set server.metrics to an address of the network", http.StatusMisdirectedRequest)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// show lets h answer from now on.
func (p *probes) show(h http.Handler) {
	if p != nil {
		p.answer.Store(&h)
	}
}

// close ends them. It may be called again.
func (p *probes) close() {
	if p != nil {
		_ = p.srv.Close()
	}
}

// listenMetrics listens where metrics and probes are served.
func listenMetrics(cfg *config.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", cfg.Server.Metrics)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("cannot serve metrics on %s (server.metrics): another program, perhaps another daemon, has this port; choose another, or off", cfg.Server.Metrics)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot serve metrics on %s (server.metrics): %w", cfg.Server.Metrics, err)
	}
	return l, nil
}

func healthy(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

// readyDesc is of the metric by which alerts see what a daemon cannot use.
var readyDesc = prometheus.NewDesc("sitedrift_ready", "1 for a part that can be used now (state, warehouse, heartbeat), 0 for one that cannot, also key while a daemon waits for the right key file.", []string{"part"}, nil)

// lacking is the metric of a daemon that cannot begin for want of a part.
type lacking string

// Describe implements prometheus.Collector.
func (lacking) Describe(ch chan<- *prometheus.Desc) { ch <- readyDesc }

// Collect implements prometheus.Collector.
func (part lacking) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, 0, string(part))
}

// notReady answers for a daemon that works and cannot begin yet: why, and for want of
// which part, if of a certain one.
func notReady(why, part string) http.Handler {
	registry := prometheus.NewRegistry()
	if part != "" {
		registry.MustRegister(lacking(part))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthy)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintln(w, why)
	})
	return mux
}
