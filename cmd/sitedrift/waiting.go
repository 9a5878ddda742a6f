package main

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// maxWait bounds the pause between tries to open what is waited for.
const maxWait = 15 * time.Second

// awaited is a part that a daemon waits for: what somebody can mend elsewhere.
type awaited struct{ name, what string }

// awaits is what a daemon waits for after an error of open, while commands have the
// locks. The zero value: what is wrong is the configuration, or this release.
func awaits(err error) awaited {
	switch {
	case errors.Is(err, state.ErrUnreachable), errors.Is(err, state.ErrUnfit):
		return awaited{partState, "the state database"}
	case errors.Is(err, clickhouse.ErrUnavailable):
		return awaited{partWarehouse, "the warehouse"}
	case errors.Is(err, vault.ErrUnknownKey):
		return awaited{"key", "the right key file"}
	}
	return awaited{}
}

// openWaiting is open for a daemon: a database that does not answer, or refuses,
// is waited for with growing pauses, and the daemon says meanwhile that it is alive
// and not ready.
func openWaiting(ctx context.Context, cfg *config.Config, log *zap.Logger, n needs, p *probes) (*app, error) {
	for pause := time.Second; ; pause = min(2*pause, maxWait) {
		a, err := open(ctx, cfg, realWorld(), log, n)
		part := awaits(err)
		if pause > time.Second && errors.Is(err, state.ErrInUse) {
			part = awaited{partState, "a command that has the data directory"} // it took its turn between two tries
		}
		if part == (awaited{}) {
			return a, err
		}
		log.Warn("waiting for "+part.what, zap.Duration("next_try_in", pause), zap.Error(err))
		p.show(notReady("waiting for "+part.what, part.name))
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
