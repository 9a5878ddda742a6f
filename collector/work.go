package collector

import (
	"context"
	"errors"
	"time"
)

// Trigger says why a run was started.
type Trigger string

// The triggers of a run.
const (
	TriggerSchedule Trigger = "schedule" // a cron tick
	TriggerCatchUp  Trigger = "catch_up" // the one run that stands for the ticks missed while nothing ran
	TriggerRetry    Trigger = "retry"    // a failed run tried again before its next tick
	TriggerManual   Trigger = "manual"   // somebody asked for it
)

// ErrFenced says that somebody else has taken over the work or the attempt:
// whoever gets it must stop and publish nothing.
var ErrFenced = errors.New("fenced: another process has taken over")

// Schedule is one row of the work table as people set it: what to run, when.
// The schedule row is the job: claiming it starts a run, finishing it sets the
// next time.
type Schedule struct {
	Tenant string
	Group  string // dataset group: posture, inventory, audit
	Cron   string // five fields, UTC, or a descriptor such as @hourly or @every 30m
	Paused bool
	NextAt time.Time // when it starts next, jitter included; zero: to be computed from Cron
}

// Job is a claimed row of the work table: the right to run one group of one
// tenant until the lease ends.
type Job struct {
	Tenant   string
	Group    string
	Cron     string    // empty for a one-off
	Datasets []string  // only these of the group; empty means all
	Tick     time.Time // the time the row was due
	Trigger  Trigger
	Failures int    // failed runs in a row before this one
	Kind     string // key of the row: the group for a schedule, "once/<id>" for a one-off
	Owner    string // who claimed it
	Fence    int64  // grows with each claim of the row; finishing checks it
}

// Work is the table of schedules and one-off runs. Its implementations are safe
// for concurrent use by many goroutines and, on PostgreSQL, many processes.
type Work interface {
	// Claim takes up to limit due rows (next_at <= now, tenant and row not
	// paused, lease free, no other row of the same tenant and group leased)
	// in one transaction, and leases them to owner for the given time: by the
	// clock of the database if processes share it, else from now on. Of a tenant
	// that has a row leased, schedules are taken only if no other tenant has one
	// that could be, and only up to one less than limit.
	Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, limit int) ([]Job, error)
	// Renew leases the job for the given time from now on; ErrFenced when it was
	// taken over.
	Renew(ctx context.Context, job Job, now time.Time, lease time.Duration) error
	// GiveBack ends the lease of a job that was not done: its row is due as
	// before, for whoever claims next. ErrFenced when it was taken over.
	GiveBack(ctx context.Context, job Job) error
	// Ended frees the group of a job whose row is gone, as when its tenant was
	// removed, after its run has ended. It does nothing if the row is there.
	Ended(ctx context.Context, job Job) error
	// Finish ends a job: a schedule gets its next start and failure count, a
	// one-off is deleted. ErrFenced when it was taken over.
	Finish(ctx context.Context, job Job, next time.Time, failures int) error
	// NextDue is the earliest start of any row that could be claimed; zero time when there is none.
	NextDue(ctx context.Context) (time.Time, error)
}
