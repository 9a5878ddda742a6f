package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

type demoCmd struct {
	Exit  bool   `help:"End after the report."`
	Dir   string `placeholder:"DIR" help:"Keep the data in this directory. Default: a temporary one that is deleted at the end."`
	Weeks int    `default:"4" hidden:"" help:"Length of the history."`
}

// Help is shown by --help.
func (demoCmd) Help() string {
	return "Everything is real but the sites and the clock: rotating tokens, schedules, runs, comparison, the ClickHouse engine. Uses no network beyond this machine."
}

func (c *demoCmd) Run(e *env) (err error) {
	dir := c.Dir
	if dir == "" {
		sweepDemos(e.ctx, cmp.Or(scratch(), os.TempDir()))
		if dir, err = os.MkdirTemp(scratch(), demoPrefix); err != nil {
			return fmt.Errorf("make a directory for the demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	began := time.Now()
	d, err := newDemo(e.ctx, dir, began, c.Weeks, zap.NewNop(), nil)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, d.close(ctx))
	}()
	fmt.Fprintf(e.err, "Playing %d weeks of %d simulated Confluence sites through connectors, schedules, runs and ClickHouse.\n", c.Weeks, len(d.stories))
	tell := d.progress(e, c.Weeks)
	if err := d.play(e.ctx, tell); err != nil {
		return err
	}
	fmt.Fprintf(e.err, "Done in %s.\n\n", time.Since(began).Round(100*time.Millisecond))
	if err := d.report(e.ctx, e.out, e.cli.JSON); err != nil {
		return err
	}
	if c.Exit {
		return nil
	}
	fmt.Fprintf(e.out, "\nAsk more until you press Ctrl-C:\n\n  curl -s http://%s/?database=sitedrift --data-binary \"SELECT * FROM changes ORDER BY observed_at DESC LIMIT 5 FORMAT Vertical\"\n", d.app.engine.HTTPAddr())
	<-e.ctx.Done()
	return nil
}

const demoPrefix = "sitedrift-demo-"

// sweepDemos deletes what demos that were killed left behind: directories whose
// lock nobody holds. They lie in memory where there is enough of it, so a
// forgotten one costs more than disk. A demo that begins at this moment has no
// lock yet; it is young.
func sweepDemos(ctx context.Context, parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, demoPrefix+"*"))
	for _, dir := range found {
		info, err := os.Stat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		store, err := state.OpenSQLite(ctx, dir)
		if err != nil {
			continue // in use, or somebody else's
		}
		if store.Close() == nil {
			_ = os.RemoveAll(dir)
		}
	}
}

// progress shows how far the history is: a bar on a terminal, a line a week
// elsewhere.
func (d *demo) progress(e *env, weeks int) func(time.Time) {
	total := d.end.Sub(d.start)
	if watched := terminal(e.err); watched != nil {
		bar := progressbar.NewOptions(int(total/time.Hour), progressbar.OptionSetWriter(watched), progressbar.OptionSetDescription("history"),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true))
		return func(t time.Time) { _ = bar.Set(int(t.Sub(d.start) / time.Hour)) }
	}
	week := 0
	return func(t time.Time) {
		for n := int(t.Sub(d.start) / (7 * 24 * time.Hour)); week < n; {
			week++
			fmt.Fprintf(e.err, "week %d of %d\n", week, weeks)
		}
	}
}

// clock is moved by hand. Whoever sleeps on it moves it.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.t) {
		c.t = t
	}
}

func (c *clock) sleep(ctx context.Context, d time.Duration) error {
	c.set(c.now().Add(d))
	return ctx.Err()
}

// demoConfig is the configuration of the demo, as a file would give it.
func demoConfig(dir, authURL, apiURL, clientID string, tenants []config.Tenant) *config.Config {
	cfg := config.Default()
	cfg.DataDir = dir
	cfg.Endpoints = config.Endpoints{Auth: authURL, API: apiURL}
	cfg.Network.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} // where the sites are
	cfg.OAuth.ClientID = clientID
	cfg.Tenants = tenants
	// Inventory and audit start close to each other, so that both go in one sweep.
	cfg.Schedules = map[string]string{"posture": "17 */12 * * *", "inventory": "37 2 * * *", "audit": "41 2 * * *"}
	cfg.Limits.RequestsPerSecond = 10_000 // the sites are on this machine
	cfg.Limits.PointsPerHour = 0
	cfg.Warehouse.Listen = "127.0.0.1:8123"
	return cfg
}

// newDemoApp joins the same parts as serve, over the simulated world.
func newDemoApp(ctx context.Context, cfg *config.Config, c *clock, log *zap.Logger, engine []string) (*app, error) {
	v, err := vault.Ephemeral()
	if err != nil {
		return nil, err
	}
	out := outside{now: c.now, sleep: c.sleep, trace: func(string) {}, vault: v, engine: engine}
	a, err := open(ctx, cfg, out, log, needs{warehouse: true, tokens: true})
	if taken := (*embedded.ListenError)(nil); errors.As(err, &taken) {
		cfg.Warehouse.Listen = "127.0.0.1:0"
		a, err = open(ctx, cfg, out, log, needs{warehouse: true, tokens: true})
	}
	return a, err
}
