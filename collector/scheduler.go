package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector/schedule"
	"github.com/sitedrift/sitedrift/schemas"
)

// Scheduler claims due rows of the work table and runs them. The table is the
// only truth about schedules, so changes to it need no restart, and several
// schedulers on one table share the work. All fields but Dormant, Heartbeat and
// Usable must be set.
type Scheduler struct {
	Work   Work
	Tenant func(ctx context.Context, id string) (Tenant, error)
	Run    func(ctx context.Context, req Request) (schemas.Run, error)
	// Dormant reports whether a tenant's runs can do nothing until a person
	// helps; its schedules then wake once a day.
	Dormant func(ctx context.Context, tenant string) bool
	// Heartbeat keeps this process known to others on the same table; nil when
	// there can be none.
	Heartbeat *Heartbeat
	// Usable reports whether runs could be stored now. While it says no, nothing is
	// claimed: the rows stay due, and no site is read in vain (Invariant 11). nil
	// stands for yes.
	Usable func(ctx context.Context) bool

	Owner   string        // unique per process
	Workers int           // runs at once
	Lease   time.Duration // of a job; renewed at a third of it
	Jitter  time.Duration // window over which starts are spread
	Grace   time.Duration // how long runs may go on after a stop
	Now     func() time.Time
	Log     *zap.Logger
}

// dormant is how often a dormant tenant's schedules start.
const dormant = 24 * time.Hour

// errStopped is the cause of runs cut off by a stop.
var errStopped = errors.New("sitedrift is stopping")

// Serve claims and runs jobs until the context ends, waits for the runs under
// way for at most Grace, then cuts them off. poll says how long to wait at most
// before looking for due rows again.
func (s *Scheduler) Serve(ctx context.Context, poll time.Duration) error {
	// Runs outlive ctx by Grace: they get a context of their own.
	running, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	free := make(chan struct{}, s.Workers)
	var jobs sync.WaitGroup
	pause := poll
	for ctx.Err() == nil {
		claimed, err := s.claim(ctx, s.Workers-len(free))
		if err != nil {
			s.Log.Error("claim due work", zap.Error(err))
			wait(ctx, pause)
			pause = min(2*pause, maxClaimPause)
			continue
		}
		pause = poll
		for _, job := range claimed {
			if ctx.Err() != nil {
				s.giveBack(ctx, job)
				continue
			}
			free <- struct{}{}
			jobs.Go(func() {
				defer func() { <-free }()
				_, _ = s.work(running, job, Listener{}) // logged, and its failure is in the table
			})
		}
		if len(claimed) == 0 {
			wait(ctx, poll)
		}
	}
	stop := time.AfterFunc(s.Grace, func() { cut(errStopped) })
	defer stop.Stop()
	jobs.Wait()
	return nil
}

// maxClaimPause bounds the time between claims while the table cannot be read.
const maxClaimPause = 5 * time.Second

// claim claims up to n due jobs. It is not cut off by a stop: a claim whose
// outcome is unknown would keep others from the work. A replica of which the
// others do not know that it lives claims nothing.
func (s *Scheduler) claim(ctx context.Context, n int) ([]Job, error) {
	if n <= 0 || !s.Heartbeat.Beats() || s.Usable != nil && !s.Usable(ctx) {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return s.Work.Claim(ctx, s.Owner, s.Now(), s.Lease, n)
}

// giveBack leaves a job to whoever claims next. When that fails, it is free when
// its lease ends.
func (s *Scheduler) giveBack(ctx context.Context, job Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Work.GiveBack(ctx, job); err != nil && !errors.Is(err, ErrFenced) {
		s.Log.Warn("give work back", zap.String("tenant", job.Tenant), zap.String("group", job.Group), zap.Error(err))
	}
}

// ended lets go of a group whose row is gone. When that fails, it is free when its
// lease ends.
func (s *Scheduler) ended(ctx context.Context, job Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := s.Work.Ended(ctx, job); err != nil {
		s.Log.Warn("free a group whose work was taken away", zap.String("tenant", job.Tenant), zap.String("group", job.Group), zap.Error(err))
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// RunDue claims what is due now and runs it to its end, one job after the
// other, until nothing is due; it returns the number of jobs. It is how a clock
// that is moved by hand drives the same path as Serve.
func (s *Scheduler) RunDue(ctx context.Context) (int, error) {
	for n := 0; ; n++ {
		claimed, err := s.Work.Claim(ctx, s.Owner, s.Now(), s.Lease, 1)
		if err != nil || len(claimed) == 0 {
			return n, err
		}
		_, _ = s.work(ctx, claimed[0], Listener{}) // logged, and its failure is in the table
		if ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
	}
}

// RunNow runs a job that the caller has taken, and returns its row.
func (s *Scheduler) RunNow(ctx context.Context, job Job, tell Listener) (schemas.Run, error) {
	return s.work(ctx, job, tell)
}

// work runs one job under its lease and sets its next start.
func (s *Scheduler) work(ctx context.Context, job Job, tell Listener) (run schemas.Run, err error) {
	log := s.Log.With(zap.String("tenant", job.Tenant), zap.String("group", job.Group), zap.Int64("fence", job.Fence))
	next, trigger, err := s.plan(job)
	if err != nil {
		log.Error("the schedule cannot be computed; its row stays due in a day", zap.Error(err))
		next = s.Now().Add(dormant)
	} else if run, err = s.guarded(ctx, job, trigger, tell); errors.Is(err, ErrFenced) {
		log.Warn("another process has taken over the work, or may have, or it was taken away", zap.Error(err))
		s.ended(ctx, job)
		return run, err
	} else if err != nil && errors.Is(context.Cause(ctx), errStopped) {
		s.giveBack(ctx, job) // Invariant 11: another replica, or the next process, runs it at once
		return run, err
	}
	failures, closed := 0, (*QuarantineError)(nil)
	switch {
	case errors.Is(err, ErrSuspect):
		next = s.Now().Add(SuspectPause)
	case errors.As(err, &closed):
		log.Warn("the run was not begun", zap.Error(err))
	case err != nil:
		failures = job.Failures + 1
		if run.RunID == uuid.Nil {
			log.Error("the run was not begun", zap.Error(err))
		}
	}
	finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	switch {
	case s.Dormant != nil && s.Dormant(finish, job.Tenant):
		if later := s.Now().Add(dormant); next.Before(later) {
			next = later
		}
	case failures > 0:
		next = schedule.RetryAt(failures, s.Now(), next)
	}
	s.finish(finish, log, job, next, failures)
	return run, err
}

// finish sets the job's next start. A table that cannot be written for a moment,
// since its disk is full or its server restarts, is tried again until the context
// ends: the group would stand still for as long as its lease lives.
func (s *Scheduler) finish(ctx context.Context, log *zap.Logger, job Job, next time.Time, failures int) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, maxClaimPause) {
		err := s.Work.Finish(ctx, job, next, failures)
		if err == nil {
			return
		}
		log.Error("finish the work", zap.Error(err))
		if errors.Is(err, ErrFenced) {
			s.ended(ctx, job)
			return
		}
		if wait(ctx, pause); ctx.Err() != nil {
			return
		}
	}
}

// plan computes, as of the claim, when the job starts next and why it runs now
// (Invariant 11: one run stands for all ticks that were missed).
func (s *Scheduler) plan(job Job) (time.Time, Trigger, error) {
	if job.Cron == "" {
		return time.Time{}, TriggerManual, nil
	}
	plan, err := schedule.NewPlan(job.Tenant, job.Group, job.Cron, s.Jitter)
	if err != nil {
		return time.Time{}, job.Trigger, err
	}
	next, missed := plan.Due(job.Tick, s.Now())
	trigger := job.Trigger
	switch {
	case missed > 0:
		trigger = TriggerCatchUp
	case trigger == TriggerRetry && plan.Planned(job.Tick):
		trigger = TriggerSchedule
	}
	return next, trigger, nil
}

// guarded runs the job while its lease is renewed; a lease that cannot be
// renewed in time ends the run before somebody else may start one.
func (s *Scheduler) guarded(ctx context.Context, job Job, trigger Trigger, tell Listener) (run schemas.Run, err error) {
	defer recoverAs(&err) // Invariant 7
	ctx, cancel := context.WithCancelCause(ctx)
	defer s.Heartbeat.Guard(cancel)()
	var renewing sync.WaitGroup
	defer renewing.Wait()
	defer cancel(nil)
	renewing.Go(func() { s.renew(ctx, cancel, job) })
	tenant, err := s.Tenant(ctx, job.Tenant)
	if err != nil {
		err = fmt.Errorf("look up tenant %s: %w", job.Tenant, err)
	} else {
		run, err = s.Run(ctx, Request{Tenant: tenant, Group: job.Group, Datasets: job.Datasets, Trigger: trigger, Owner: job.Claim(), Fence: job.Fence, Listener: tell})
	}
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrFenced) && !errors.Is(err, ErrFenced) {
		err = errors.Join(err, cause)
	}
	return run, err
}

func (s *Scheduler) renew(ctx context.Context, cancel context.CancelCauseFunc, job Job) {
	until := s.Now().Add(s.Lease)
	for {
		wait(ctx, s.Lease/3)
		if ctx.Err() != nil {
			return
		}
		now := s.Now()
		err := s.Work.Renew(ctx, job, now, s.Lease)
		switch {
		case err == nil:
			until = now.Add(s.Lease)
		case errors.Is(err, ErrFenced), now.After(until.Add(-s.Lease / 3)):
			cancel(fmt.Errorf("the lease of the run could not be renewed: %w", errors.Join(err, ErrFenced)))
			return
		}
	}
}

// Claim names one claim of the job, so that a process that claims the same row
// twice is not taken for one owner.
func (j Job) Claim() string { return fmt.Sprintf("%s/%d", j.Owner, j.Fence) }
