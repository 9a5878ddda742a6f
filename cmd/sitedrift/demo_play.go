package main

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// demoWorkers is how many runs go on at once: the engine takes most of the time,
// and serves several as a server does.
const demoWorkers = 3

// play moves the clock from one due start to the next and runs what is due. The
// clock drives schedules, tokens, sites and runs alike; nothing is written past
// them. Starts are jittered: it looks a little after the first is due, so that
// those of the other tenants are, too, and run beside it. Nothing happens on the
// sites meanwhile.
func (d *demo) play(ctx context.Context, tell func(time.Time)) error {
	for {
		due, err := d.app.store.NextDue(ctx)
		if err != nil {
			return err
		}
		if due.IsZero() || due.After(d.end) {
			break
		}
		if due = due.Add(2 * d.app.cfg.Jitter); due.After(d.end) {
			due = d.end
		}
		for len(d.acts) > 0 && !d.acts[0].at.After(due) {
			d.clock.set(d.acts[0].at)
			d.server.AdvanceTo(d.acts[0].at)
			if err := d.acts[0].do(ctx); err != nil {
				return err
			}
			d.acts = d.acts[1:]
		}
		d.clock.set(due)
		d.server.AdvanceTo(d.clock.now())
		var workers errgroup.Group
		for range demoWorkers {
			workers.Go(func() error {
				_, err := d.app.scheduler.RunDue(ctx)
				return err
			})
		}
		if err := workers.Wait(); err != nil {
			return err
		}
		tell(d.clock.now())
	}
	// One last look at everything, so that the report shows the present.
	d.clock.set(d.end)
	d.server.AdvanceTo(d.end)
	var workers errgroup.Group
	workers.SetLimit(demoWorkers)
	for _, s := range d.stories {
		workers.Go(func() error {
			_, err := opSync(ctx, d.app, syncParams{Tenant: s.tenant}, func(any) {})
			return err
		})
	}
	if err := workers.Wait(); err != nil {
		return err
	}
	tell(d.end)
	if d.failed != nil {
		return fmt.Errorf("the script could not be played: %w", d.failed)
	}
	return d.app.expect(ctx)
}

func (d *demo) close(ctx context.Context) error {
	err := d.app.close(ctx)
	d.server.Close()
	return err
}
