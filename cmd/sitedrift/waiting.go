package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/config"
)

// maxWait bounds the pause between tries to reach the state database.
const maxWait = 15 * time.Second

// openWaiting is open for a daemon: a state database that does not answer is waited
// for, and the daemon says meanwhile that it is alive and not ready. Whatever else
// is wrong waiting does not mend.
func openWaiting(ctx context.Context, cfg *config.Config, log *zap.Logger, n needs) (*app, error) {
	a, err := open(ctx, cfg, realWorld(), log, n)
	if !errors.Is(err, state.ErrUnreachable) {
		return a, err
	}
	stop, serr := sayNotReady(cfg)
	if serr != nil {
		return nil, serr
	}
	defer stop()
	for pause := time.Second; errors.Is(err, state.ErrUnreachable); pause = min(2*pause, maxWait) {
		log.Warn("waiting for the state database", zap.Duration("next_try_in", pause), zap.Error(err))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		a, err = open(ctx, cfg, realWorld(), log, n)
	}
	return a, err
}

// sayNotReady answers probes until stop is called.
func sayNotReady(cfg *config.Config) (stop func(), err error) {
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
		_, _ = w.Write([]byte("waiting for the state database\n"))
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
