package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/config"
)

// joinReplicas makes this process one of those that share the state in
// PostgreSQL: known to be alive before it leases anything, and gone from their
// table after everything else is closed. With SQLite there are no others.
func (a *app) joinReplicas(ctx context.Context) error {
	if a.cfg.State.Driver != config.DriverPostgres {
		return nil
	}
	a.heartbeat = &collector.Heartbeat{
		Replicas: a.store, Owner: a.owner, Now: a.out.now, Log: a.log.Named("replicas"),
		Buried: func() {
			select {
			case a.buried <- struct{}{}:
			default: // it is being looked after already
			}
		},
	}
	if err := a.heartbeat.Start(ctx); err != nil {
		return err
	}
	beating, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); a.heartbeat.Serve(beating) }()
	a.onClose(func(context.Context) error { stop(); <-done; return nil })
	return nil
}

// showEvery is how often a daemon looks for runs that are decided and not shown;
// what it sees twice it shows. With the time in which a death is noticed that is
// within ten seconds of it.
const showEvery = 2 * time.Second

// takeOver does for dead replicas what they left undone, beside their jobs, which
// the scheduler claims: it shows what they decided, and finishes their token
// refreshes.
func (a *app) takeOver(ctx context.Context) error {
	projector := &collector.Projector{Ledger: a.store, Sinks: a.allSinks(), Trace: a.out.trace}
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			n, err := projector.Look(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				a.log.Error("show runs that were decided and not shown", zap.Error(err))
			case n > 0:
				a.log.Info("showed runs that were decided and not shown", zap.Int("heads", n))
			}
		case <-a.buried:
			if err := a.tokens.ServePendingIntents(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("token refreshes of dead replicas stay unfinished and are tried again", zap.Error(err))
			}
		case <-ctx.Done():
			return nil
		}
	}
}
