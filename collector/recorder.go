package collector

import (
	"context"
	"errors"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Recorder writes the rows of runs that stand alone. Runs of all tenants that
// end at about the same time share one insert, so that ten thousand quiet
// tenants do not cost the warehouse ten thousand parts.
type Recorder struct {
	sinks []Sink
	every time.Duration
	last  time.Time // when the insert before began; only Serve uses it
	queue chan recorded
}

// burst is for how long rows are gathered when there was no insert for a while:
// groups of one tenant, and tenants on one schedule, end together.
const burst = 20 * time.Millisecond

type recorded struct {
	run  schemas.Run
	done chan<- error
}

// NewRecorder returns a Recorder that makes at most one insert in the given
// time, and gathers rows meanwhile; zero writes as soon as the insert before has
// ended. A row that comes after a quiet time is written almost at once, since
// somebody may be waiting for the run. Serve must be running.
func NewRecorder(every time.Duration, sinks ...Sink) *Recorder {
	return &Recorder{sinks: sinks, every: every, queue: make(chan recorded)}
}

// Record stores the row in every sink and returns once it is durable there.
func (r *Recorder) Record(ctx context.Context, run schemas.Run) error {
	done := make(chan error, 1)
	select {
	case r.queue <- recorded{run, done}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Serve writes what Record is given until the context ends.
func (r *Recorder) Serve(ctx context.Context) {
	for {
		select {
		case first := <-r.queue:
			batch := r.gather(ctx, first)
			r.last = time.Now() //nolint:forbidigo // a pause between writes to the warehouse, whatever the clock of the runs says
			r.write(ctx, batch)
		case <-ctx.Done():
			return
		}
	}
}

func (r *Recorder) gather(ctx context.Context, first recorded) []recorded {
	batch := []recorded{first}
	timer := time.NewTimer(max(min(r.every, burst), r.every-time.Since(r.last)))
	defer timer.Stop()
	for {
		select {
		case next := <-r.queue:
			batch = append(batch, next)
		case <-timer.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
}

func (r *Recorder) write(ctx context.Context, batch []recorded) {
	// The rows are there: a stop must not lose them.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	rows := make([]schemas.Run, len(batch))
	for i, b := range batch {
		rows[i] = b.run
	}
	var errs []error
	for _, s := range r.sinks {
		errs = append(errs, s.Runs(ctx, rows))
	}
	err := errors.Join(errs...)
	for _, b := range batch {
		b.done <- err
	}
}
