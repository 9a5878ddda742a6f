package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

// Claim implements collector.Work. One-offs go before schedules: somebody
// waits for them; schedules of tenants of which nothing is run go before those of
// others, which leave one of limit free. The Trigger of a job is what the table
// knows: manual for a one-off, retry after a failure, schedule otherwise. Whether a
// schedule's Tick was missed for long (catch_up), or a retry has reached the regular
// tick, is read from the cron expression by package schedule (Plan.Due, Plan.Planned).
//
// A crashed run leaves next_at as it was, so its Tick is claimed again when
// the lease ends: no tick is lost (Invariant 11).
func (s *Store) Claim(ctx context.Context, owner string, now time.Time, lease time.Duration, limit int) ([]collector.Job, error) {
	if owner == "" || lease <= 0 {
		return nil, fmt.Errorf("claim work: owner %q and lease %s must be given", owner, lease)
	}
	var jobs []collector.Job
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, choose := range []func(context.Context, *sql.Tx, time.Time, int) ([]collector.Job, error){s.dueOneOffs, s.dueSchedules} {
			if len(jobs) >= limit {
				return nil
			}
			due, err := choose(ctx, tx, now, limit-len(jobs))
			if err != nil {
				return err
			}
			if err := s.takeLanes(ctx, tx, owner, now, lease, due); err != nil {
				return err
			}
			jobs = append(jobs, due...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim work: %w", err)
	}
	return jobs, nil
}

// lane is a tenant and group: what is run by one process at a time.
type lane struct{ tenant, group string }

// due is a row that can be claimed.
type due struct {
	collector.Job
	busy bool // something of its tenant is run already
}

// dueOneOffs chooses among one-offs, one per lane.
func (s *Store) dueOneOffs(ctx context.Context, tx *sql.Tx, now time.Time, limit int) (jobs []collector.Job, err error) {
	rows, err := s.due(ctx, tx, `w.one_off = TRUE`, now, limit)
	taken := map[lane]bool{}
	for _, r := range rows {
		if l := (lane{r.Tenant, r.Group}); !taken[l] {
			taken[l] = true
			jobs = append(jobs, r.Job)
		}
	}
	return jobs, err
}

// dueSchedules chooses among schedules, of which each has its lane. Invariant 7:
// while other tenants wait, one of a tenant runs at a time, however slowly its site
// answers, and a further one leaves the last free worker to who comes later.
func (s *Store) dueSchedules(ctx context.Context, tx *sql.Tx, now time.Time, limit int) ([]collector.Job, error) {
	rows, err := s.due(ctx, tx, `w.one_off = FALSE`, now, limit)
	first, more := turns(rows)
	if err == nil && len(more) > 0 && len(rows) == limit { // others may wait behind these
		// (Only schedules have a cron; SQLite would look through all of them if it were
		// asked for one_off once more.)
		rows, err = s.due(ctx, tx, `w.one_off = FALSE AND NOT `+s.busy()+`
AND NOT EXISTS (SELECT 1 FROM work e WHERE e.tenant = w.tenant AND e.cron <> '' AND NOT e.paused AND (e.next_at, e.kind) < (w.next_at, w.kind))`, now, limit)
		first, _ = turns(rows)
	}
	for _, j := range more {
		// What waited behind another process's row at the first look may come first by now.
		known := slices.ContainsFunc(first, func(f collector.Job) bool { return f.Tenant == j.Tenant && f.Kind == j.Kind })
		if len(first) < limit-1 && !known {
			first = append(first, j)
		}
	}
	return first, err
}

// turns parts the rows of tenants of which nothing is run, one of each, from more.
func turns(rows []due) (first, more []collector.Job) {
	taken := map[string]bool{}
	for _, r := range rows {
		if r.busy || taken[r.Tenant] {
			more = append(more, r.Job)
			continue
		}
		taken[r.Tenant] = true
		first = append(first, r.Job)
	}
	return first, more
}

// busy is the condition that something of a tenant is run; $1 is the time.
func (s *Store) busy() string {
	return `EXISTS (SELECT 1 FROM lanes o WHERE o.tenant = w.tenant AND o.lease_until > ` + s.db.clock("$1") + `)`
}

// due reads and locks rows that can be claimed. On PostgreSQL the rows of work and
// lanes are locked both: a process that waited for nobody (SKIP LOCKED) but read an
// older state has its conditions checked again on the newest version of the locked
// rows (PostgreSQL manual, "Read Committed Isolation Level"), so a tick that was
// finished meanwhile is not run twice.
func (s *Store) due(ctx context.Context, tx *sql.Tx, condition string, now time.Time, limit int) ([]due, error) {
	return collect(ctx, tx, scanDue, `
SELECT w.tenant, w.grp, w.cron, w.datasets, w.next_at, w.failures, w.kind, w.one_off, `+s.busy()+`
FROM work w
JOIN tenants t ON t.id = w.tenant
JOIN lanes l ON l.tenant = w.tenant AND l.grp = w.grp
WHERE `+condition+` AND w.next_at <= $1 AND NOT w.paused AND NOT t.paused AND l.lease_until <= `+s.db.clock("$1")+`
ORDER BY w.next_at, w.tenant, w.kind
LIMIT $2`+s.db.skipLocked, millis(now), limit)
}

func scanDue(r scanner) (j due, err error) {
	var oneOff bool
	err = r.Scan(&j.Tenant, &j.Group, &j.Cron, list{&j.Datasets}, instant{&j.Tick}, &j.Failures, &j.Kind, &oneOff, &j.busy)
	switch {
	case oneOff:
		j.Trigger = collector.TriggerManual
	case j.Failures > 0:
		j.Trigger = collector.TriggerRetry
	default:
		j.Trigger = collector.TriggerSchedule
	}
	return j, err
}

// takeLanes leases the lanes of jobs to owner, and fills Owner and Fence in.
// The transaction holds their locks.
func (s *Store) takeLanes(ctx context.Context, tx *sql.Tx, owner string, now time.Time, lease time.Duration, jobs []collector.Job) error {
	if len(jobs) == 0 {
		return nil
	}
	args := []any{owner, millis(now), lease.Milliseconds()}
	for _, j := range jobs {
		args = append(args, j.Tenant, j.Group, j.Kind)
	}
	const kind = `(SELECT c.kind FROM chosen c WHERE c.tenant = lanes.tenant AND c.grp = lanes.grp)`
	type taken struct {
		lane
		fence int64
	}
	rows, err := collect(ctx, tx, func(r scanner) (t taken, err error) {
		err = r.Scan(&t.tenant, &t.group, &t.fence)
		return t, err
	}, `WITH chosen (tenant, grp, kind) AS (VALUES `+rowValues(4, len(jobs), 3)+`)
UPDATE lanes SET lease_owner = $1, lease_until = `+s.db.clock("$2")+` + $3, lease_kind = `+kind+`, fence = fence + 1, `+fenceAttempt+`
WHERE (tenant, grp) IN (SELECT tenant, grp FROM chosen)
RETURNING tenant, grp, fence`, args...)
	if err != nil {
		return err
	}
	fences := make(map[lane]int64, len(rows))
	for _, r := range rows {
		fences[r.lane] = r.fence
	}
	for i := range jobs {
		jobs[i].Owner = owner
		jobs[i].Fence = fences[lane{jobs[i].Tenant, jobs[i].Group}]
	}
	return nil
}

// fenceAttempt takes the attempt number from whoever had the lane and did not
// finish: thought dead, he publishes nothing any more, also before the next
// attempt begins (Invariant 3).
const fenceAttempt = `seq = seq + CASE WHEN lease_owner <> '' THEN 1 ELSE 0 END`

// held is the condition under which a job still is its owner's; the arguments
// are those of heldArgs. An ended lease that nobody took over still is.
const held = `tenant = $1 AND grp = $2 AND lease_kind = $3 AND lease_owner = $4 AND fence = $5`

func heldArgs(j collector.Job, more ...any) []any {
	return append([]any{j.Tenant, j.Group, j.Kind, j.Owner, j.Fence}, more...)
}

// Renew implements collector.Work.
func (s *Store) Renew(ctx context.Context, job collector.Job, now time.Time, lease time.Duration) error {
	n, err := affected(ctx, s.db, `UPDATE lanes SET lease_until = `+s.db.clock("$6")+` + $7 WHERE `+held+`
AND EXISTS (SELECT 1 FROM work w WHERE w.tenant = $1 AND w.kind = $3)`, heldArgs(job, millis(now), lease.Milliseconds())...)
	if err != nil {
		return fmt.Errorf("renew lease of %s/%s: %w", job.Tenant, job.Kind, err)
	}
	if n == 0 {
		return fenced(job)
	}
	return nil
}

func fenced(j collector.Job) error {
	return fmt.Errorf("job %s/%s, claim %d: %w", j.Tenant, j.Kind, j.Fence, collector.ErrFenced)
}

// Finish implements collector.Work. next must be given for a schedule; it is
// ignored when the schedule's cron was changed during the run.
func (s *Store) Finish(ctx context.Context, job collector.Job, next time.Time, failures int) error {
	oneOff := job.Cron == ""
	if !oneOff && next.IsZero() {
		return fmt.Errorf("finish job %s/%s: no next start given", job.Tenant, job.Kind)
	}
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		n, err := affected(ctx, tx, `UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0 WHERE `+held, heldArgs(job)...)
		if err != nil {
			return err
		}
		if n == 0 {
			return fenced(job)
		}
		if oneOff {
			_, err = tx.ExecContext(ctx, `DELETE FROM work WHERE tenant = $1 AND kind = $2`, job.Tenant, job.Kind)
			return err
		}
		_, err = tx.ExecContext(ctx, `
UPDATE work SET next_at = CASE WHEN cron = $3 THEN $4 ELSE next_at END, failures = $5 WHERE tenant = $1 AND kind = $2`,
			job.Tenant, job.Kind, job.Cron, millis(next), failures)
		return err
	})
	if err != nil {
		return fmt.Errorf("finish job: %w", err)
	}
	return nil
}

// GiveBack implements collector.Work.
func (s *Store) GiveBack(ctx context.Context, job collector.Job) error {
	n, err := affected(ctx, s.db, `UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0 WHERE `+held, heldArgs(job)...)
	if err != nil {
		return fmt.Errorf("give back %s/%s: %w", job.Tenant, job.Kind, err)
	}
	if n == 0 {
		return fenced(job)
	}
	return nil
}

// Ended implements collector.Work.
func (s *Store) Ended(ctx context.Context, job collector.Job) error {
	_, err := s.db.ExecContext(ctx, `
UPDATE lanes SET lease_kind = '', lease_owner = '', lease_until = 0 WHERE tenant = $1 AND grp = $2 AND lease_owner = $3 AND fence = $4
AND NOT EXISTS (SELECT 1 FROM work w WHERE w.tenant = $1 AND w.kind = $5)`, job.Tenant, job.Group, job.Owner, job.Fence, job.Kind)
	if err != nil {
		return fmt.Errorf("free %s/%s: %w", job.Tenant, job.Group, err)
	}
	return nil
}

// NextDue implements collector.Work. A row whose lane is leased counts from the
// end of the lease.
func (s *Store) NextDue(ctx context.Context) (time.Time, error) {
	// Two looks, each along an index: rows in the order of time without the few
	// that cannot go, and the few lanes that are leased.
	const unpaused = `NOT w.paused AND NOT EXISTS (SELECT 1 FROM tenants t WHERE t.id = w.tenant AND t.paused)`
	var free, leased int64
	err := s.db.QueryRowContext(ctx, `
SELECT COALESCE((SELECT w.next_at FROM work w WHERE `+unpaused+`
                 AND NOT EXISTS (SELECT 1 FROM lanes l WHERE l.tenant = w.tenant AND l.grp = w.grp AND l.lease_until > 0)
                 ORDER BY w.next_at LIMIT 1), 0),
       COALESCE((SELECT MIN(CASE WHEN l.lease_until > w.next_at THEN l.lease_until ELSE w.next_at END)
                 FROM lanes l JOIN work w ON w.tenant = l.tenant AND w.grp = l.grp
                 WHERE l.lease_until > 0 AND `+unpaused+`), 0)`).Scan(&free, &leased)
	if err != nil {
		return time.Time{}, fmt.Errorf("look for the next start: %w", err)
	}
	if free == 0 || leased > 0 && leased < free {
		free = leased
	}
	return fromMillis(free), nil
}
