package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// maxWait bounds the pause between tries to open what is waited for.
const maxWait = 15 * time.Second

// awaited names what a daemon waits for after an error of open: what somebody can
// mend elsewhere while it waits, while commands have the locks.
// Empty: what is wrong is the configuration, or this release.
func awaited(err error) string {
	switch {
	case errors.Is(err, state.ErrUnreachable), errors.Is(err, state.ErrUnfit):
		return "the state database"
	case errors.Is(err, clickhouse.ErrUnavailable):
		return "the warehouse"
	case errors.Is(err, vault.ErrUnknownKey):
		return "the right key file"
	}
	return ""
}

// openWaiting is open for a daemon: a database that does not answer, or refuses,
// is waited for with growing pauses, and the daemon says meanwhile that it is alive
// and not ready.
func openWaiting(ctx context.Context, cfg *config.Config, log *zap.Logger, n needs) (*app, error) {
	a, err := open(ctx, cfg, realWorld(), log, n)
	what := awaited(err)
	if what == "" {
		return a, err
	}
	var told atomic.Value
	told.Store(what)
	stop, serr := sayNotReady(cfg, &told)
	if serr != nil {
		return nil, serr
	}
	defer stop()
	for pause := time.Second; what != ""; pause = min(2*pause, maxWait) {
		log.Warn("waiting for "+what, zap.Duration("next_try_in", pause), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		a, err = open(ctx, cfg, realWorld(), log, n)
		if what = awaited(err); errors.Is(err, state.ErrInUse) {
			what = "a command that has the data directory" // it took its turn between two tries
		}
		told.Store(what)
	}
	return a, err
}

// sayNotReady answers probes with what is waited for until stop is called.
func sayNotReady(cfg *config.Config, what *atomic.Value) (stop func(), err error) {
	if cfg.Server.Metrics == config.Off {
		return func() {}, nil
	}
	l, err := listenMetrics(cfg)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", healthy)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = fmt.Fprintf(w, "waiting for %s\n", what.Load())
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(l) }()
	return func() { _ = srv.Close(); <-done }, nil
}

func healthy(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) }

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
