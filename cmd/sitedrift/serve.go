package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/oklog/run"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

type serveCmd struct {
	Validate bool `help:"Check the configuration and end."`
}

// How long a stop may take: stopGrace for runs under way, then closeFor for what is
// open. Whoever starts a daemon waits as long before killing it.
const (
	stopGrace = 30 * time.Second
	closeFor  = time.Minute
)

// Help is shown by --help.
func (serveCmd) Help() string {
	return "The first signal (SIGTERM, Ctrl-C) starts no more runs and lets those under way end, for 30 seconds at most; whenever the process dies, what was published stays and nothing is half."
}

func (c *serveCmd) Run(e *env) error {
	cfg, err := e.config()
	if err != nil {
		return err
	}
	if c.Validate {
		fmt.Fprintf(e.out, "%s is valid: %s\n", cmp.Or(cfg.File, "the default configuration"), count(len(cfg.Tenants), "tenant"))
		return nil
	}
	log, err := daemonLog(cfg.Log, e.err)
	if err != nil {
		return err
	}
	p, taken := startProbes(cfg)
	defer p.close()
	a, err := openWaiting(e.ctx, cfg, log, needs{warehouse: true, tokens: true}, p)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), closeFor)
		defer cancel()
		if err := a.close(ctx); err != nil {
			log.Error("close", zap.Error(err))
		}
		log.Info("stopped")
	}()
	if taken != nil { // told last: who has the port may be the daemon that has the data directory, too
		return taken
	}
	if err := a.boot(e.ctx); err != nil {
		return err
	}
	return a.serve(e.ctx, p)
}

// boot finishes what an earlier process left: refreshes whose outcome is
// unknown before anything else, then runs that were decided and not shown.
func (a *app) boot(ctx context.Context) error {
	if err := a.tokens.ServePendingIntents(ctx); err != nil {
		a.log.Error("refreshes left by an earlier process", zap.Error(err))
	}
	heads, err := a.store.Unprojected(ctx)
	if err != nil {
		return err
	}
	if len(heads) > 0 {
		a.log.Info("showing runs that were decided and perhaps not shown", zap.Int("heads", len(heads)))
	}
	if err := collector.Show(ctx, a.store, a.allSinks(), heads, a.out.trace); err != nil {
		return err
	}
	if err := a.resumeErasures(ctx); err != nil {
		a.log.Error("erasures that an earlier process did not complete", zap.Error(err))
	}
	if err := a.recall(ctx); err != nil {
		a.log.Warn("the metrics do not know when datasets were read completely last, until they are read again", zap.Error(err))
	}
	return nil
}

// serve runs the daemon's actors until the context ends or one of them fails.
func (a *app) serve(ctx context.Context, p *probes) error {
	var g run.Group
	actor := func(f func(context.Context) error) {
		ctx, cancel := context.WithCancel(ctx)
		g.Add(func() error { return f(ctx) }, func(error) { cancel() })
	}
	actor(func(ctx context.Context) error { <-ctx.Done(); return nil }) // a signal ends all
	actor(func(ctx context.Context) error { return a.scheduler.Serve(ctx, 500*time.Millisecond) })
	actor(func(ctx context.Context) error { a.tokens.Run(ctx); return nil })
	actor(func(ctx context.Context) error { return a.housekeep(ctx) })
	actor(func(ctx context.Context) error { return a.takeOver(ctx) })
	if a.engine != nil {
		actor(func(ctx context.Context) error { return a.checkParts(ctx) })
	}
	control, err := controlSocket(a.cfg.Server.ControlSocket)
	if err != nil {
		return err
	}
	g.Add(func() error { return serveControl(context.WithoutCancel(ctx), control, a, stopGrace) }, func(error) { _ = control.Close() })
	if p != nil {
		p.show(a.handler())
		g.Add(func() error {
			if err := <-p.ended; !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		}, func(error) { p.close() })
	}
	for _, gap := range a.readerGaps(ctx) {
		a.log.Warn("tenants' readers", zap.String("gap", gap))
	}
	a.log.Info("serving", zap.String("version", version()), zap.String("data_dir", a.cfg.DataDir), zap.Int("pid", os.Getpid()),
		zap.String("metrics", a.cfg.Server.Metrics), zap.String("control_socket", a.cfg.Server.ControlSocket), zap.String("sql", a.sqlAddress()))
	return g.Run()
}

// sqlAddress is where people can ask SQL, if anywhere.
func (a *app) sqlAddress() string {
	if a.engine == nil || a.engine.HTTPAddr() == "" {
		return ""
	}
	return "http://" + a.engine.HTTPAddr()
}

// housekeep deletes rows of attempts that can never become visible, a day after
// they were voided, what is left of erasures, and history that is older than the
// retention.
func (a *app) housekeep(ctx context.Context) error {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		if err := a.sweep(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("sweep rows of void attempts", zap.Error(err))
		}
		if err := a.resumeErasures(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("go on with the erasure of persons", zap.Error(err))
		}
		if err := a.eraseLate(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("erase what came in of erased tenants", zap.Error(err))
		}
		if err := a.retain(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("delete old history", zap.Error(err))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// checkPartsEvery is how often what the engine stored is read, soon enough that it
// still has what a broken part was merged from.
const checkPartsEvery = 30 * time.Second

// checkParts reads what the embedded engine has stored of late. Of a server that is
// its operator's concern.
func (a *app) checkParts(ctx context.Context) error {
	t := time.NewTicker(checkPartsEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return nil
		}
		if err := a.warehouse.CheckParts(ctx); err != nil && ctx.Err() == nil {
			a.log.Error("check what the engine stored", zap.Error(err))
		}
	}
}

// retain deletes history that is older than the configuration asks for, once a
// day, by one replica.
func (a *app) retain(ctx context.Context) error {
	days := func(n int) time.Duration { return time.Duration(n) * 24 * time.Hour }
	r := a.cfg.Retention
	if r == (config.Retention{}) {
		return nil
	}
	mine, err := a.store.Daily(ctx, "retention", a.out.now())
	if err != nil || !mine {
		return err
	}
	versions, months, err := a.warehouse.Retain(ctx, clickhouse.Retention{
		History: days(r.HistoryDays), Changes: days(r.ChangesDays), Runs: days(r.RunsDays), Audit: days(r.AuditDays),
	})
	if versions+months > 0 {
		a.log.Info("deleted history that is older than the retention", zap.Int64("versions", versions), zap.Int64("months", months))
	}
	return err
}

// sweepAfter is how long the rows of void attempts stay, for late inserts of
// frozen processes.
const sweepAfter = 24 * time.Hour

func (a *app) sweep(ctx context.Context) error {
	heads, err := a.store.Sweepable(ctx, a.out.now().Add(-sweepAfter))
	if err != nil || len(heads) == 0 {
		return err
	}
	for _, s := range a.allSinks() {
		if err := s.Sweep(ctx, heads); err != nil {
			return err
		}
	}
	return a.store.Swept(ctx, heads)
}
