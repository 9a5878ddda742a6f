package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/schemas"
)

// errBaseline says that the warehouse did not return what the ledger committed.
var errBaseline = errors.New("the warehouse did not return the baseline that the ledger knows")

// Runner runs one group of a tenant's datasets: it reads, compares, and
// publishes. All fields but Sinks, Glances, Trace and Observe must be set. It
// is safe for concurrent use; runs of one tenant and group must not overlap,
// and if they do, the ledger fences the older.
type Runner struct {
	Tables    []*schemas.Dataset // all declared datasets, parents first
	Ledger    Ledger
	Warehouse Warehouse
	Sinks     []Sink // beside the warehouse; a run is published when all of them hold it
	// Open gives the source of one run. A *ReadError says that the tenant's
	// credentials open nothing, which is coverage and no failure of the run.
	Open func(ctx context.Context, t Tenant, scope []*schemas.Dataset) (Source, error)
	// Record stores rows of runs that stand alone; it returns once they are durable.
	Record func(ctx context.Context, r schemas.Run) error

	Brake       func(tenant string) Brake
	Bounds      func(tenant string) Bounds
	Concurrency int           // partitions of one run read at once
	Timeout     time.Duration // of reading; what is not read by then counts as failed
	RangeKeys   uint64        // baseline versions that a run holds at once
	SpoolDir    string
	SpoolMemory int64    // bytes of delta that a run keeps in memory
	Glances     *Glances // nil: every run reads the warehouse
	Suspects    *Suspects
	Now         func() time.Time
	Log         *zap.Logger

	Trace   func(point string)  // named points of the protocol, for crash tests
	Observe func(r schemas.Run) // told of each run that ended
}

// Request asks for a run.
type Request struct {
	Tenant   Tenant
	Group    string
	Datasets []string // empty: all of the group
	Trigger  Trigger
	Owner    string
	Fence    int64 // of the job's claim; 0: there is none
	Listener
}

// Listener is told of a run while it goes on; any of it may be nil.
type Listener struct {
	Progress func(Progress)
	Found    func(Found) // once, at the end of a run without an error
}

// run is one run under way.
type run struct {
	*Runner
	tenant     Tenant
	request    Request
	tables     []*schemas.Dataset
	attempt    *Attempt
	source     Source
	refused    *ReadError // the credentials open nothing
	glances    bool       // small datasets may be recognized by their digest
	readCtx    context.Context
	started    time.Time
	bounds     Bounds
	budget     *spoolBudget
	coverage   []schemas.Coverage // as of the begin
	readings   map[string]*reading
	order      []*reading
	holds      []Hold // what has to wait for a second look
	progressed progressed
}

// Run runs once and returns the row of runs that tells of it. The error is set
// when the run could not do its work (store, ledger, warehouse, a stop); what
// the site refuses is told in the row and in coverage.
func (r *Runner) Run(ctx context.Context, req Request) (schemas.Run, error) {
	tables, err := r.scope(req.Group, req.Datasets)
	if err != nil {
		return schemas.Run{}, err
	}
	free, err := r.Suspects.alone(ctx, r.Ledger, req, r.Now())
	if err != nil {
		return schemas.Run{}, err
	}
	defer free()
	id, err := uuid.NewV7()
	if err != nil {
		return schemas.Run{}, fmt.Errorf("make a run id: %w", err)
	}
	x := &run{Runner: r, tenant: req.Tenant, request: req, tables: tables, started: r.Now().UTC(), readings: map[string]*reading{}, bounds: r.Bounds(req.Tenant.ID), budget: &spoolBudget{}}
	x.budget.memory.Store(r.SpoolMemory)
	x.budget.disk.Store(x.bounds.SpoolBytes)
	if x.attempt, err = r.Ledger.Begin(ctx, Begin{
		Tenant: req.Tenant.ID, Group: req.Group, Datasets: names(tables), RunID: id, Owner: req.Owner, Fence: req.Fence, Trigger: req.Trigger, StartedAt: x.started,
	}); err != nil {
		return schemas.Run{}, fmt.Errorf("begin a run of %s/%s: %w", req.Tenant.ID, req.Group, err)
	}
	x.attempt.Untouched = names(tables) // until something is sent
	r.trace("run.begun")
	result, err := x.run(ctx)
	if err != nil {
		x.leave(ctx)
	} else if req.Found != nil {
		req.Found(x.found(result))
	}
	for _, d := range x.order {
		d.drop()
	}
	x.log(result, err)
	if r.Observe != nil {
		r.Observe(result)
	}
	return result, err
}

// scope is the datasets to read: those asked for and what they lean on.
func (r *Runner) scope(group string, asked []string) ([]*schemas.Dataset, error) {
	want := map[string]bool{}
	for _, t := range slices.Backward(r.Tables) {
		if t.Group != group || len(asked) > 0 && !slices.Contains(asked, t.Name) && !want[t.Name] {
			continue
		}
		want[t.Name] = true
		for _, n := range append(slices.Clone(t.Needs), t.Parent) {
			want[n] = true
		}
	}
	var tables []*schemas.Dataset
	for _, t := range r.Tables {
		if want[t.Name] && t.Group == group {
			tables = append(tables, t)
		}
	}
	if len(tables) == 0 {
		return nil, fmt.Errorf("no dataset of group %q is named %s", group, strings.Join(asked, ", "))
	}
	return tables, nil
}

func names(tables []*schemas.Dataset) (n []string) {
	for _, t := range tables {
		n = append(n, t.Name)
	}
	return n
}

func (r *Runner) trace(point string) {
	if r.Trace != nil {
		r.Trace(point)
	}
}

// run does the work between the begin and the end of an attempt.
func (x *run) run(ctx context.Context) (result schemas.Run, err error) {
	defer recoverAs(&err)
	if err := x.repair(ctx); err != nil {
		return x.fail(ctx, err)
	}
	if x.attempt.Quarantined {
		return x.closed(ctx)
	}
	var heads []schemas.Head
	for _, h := range x.attempt.Heads {
		heads = append(heads, h.Head)
	}
	if x.coverage, err = x.Warehouse.Coverage(ctx, heads); err != nil {
		return x.fail(ctx, fmt.Errorf("read the coverage so far: %w", err))
	}
	var cancel context.CancelFunc
	x.readCtx, cancel = context.WithTimeoutCause(ctx, x.Timeout, fmt.Errorf("the run reached its time limit of %s", x.Timeout))
	defer cancel()
	if x.source, err = x.Open(x.readCtx, x.tenant, x.tables); err != nil {
		if x.refused, err = asRefusal(err); err != nil {
			return x.fail(ctx, err)
		}
	}
	x.glances = x.Glances.next(x.tenant.ID, x.request.Group)
	for _, t := range x.tables {
		d, err := x.readDataset(ctx, t)
		x.readings[t.Name], x.order = d, append(x.order, d)
		if errors.Is(err, errBaseline) {
			row := x.row(schemas.OutcomeMismatch)
			row.Error = err.Error()
			return row, x.end(ctx, row, []string{t.Name})
		}
		if err != nil {
			return x.fail(ctx, err)
		}
	}
	x.trace("run.read")
	return x.publish(ctx)
}

// repair shows what an earlier attempt decided and perhaps did not show, and
// tells of attempts that never ended.
func (x *run) repair(ctx context.Context) error {
	var heads []Head
	for _, h := range x.attempt.Heads {
		if h.Seq > 0 && !h.Projected {
			heads = append(heads, h)
		}
	}
	if err := x.show(ctx, heads); err != nil {
		return err
	}
	return x.tellAbandoned(ctx, x.attempt)
}

// tellAbandoned tells of attempts before this one that never ended.
func (r *Runner) tellAbandoned(ctx context.Context, now *Attempt) error {
	for _, a := range now.Abandoned {
		cause := "the process stopped before the run ended"
		if a.Left {
			cause = "the end of the run could not be recorded"
		}
		row := schemas.Run{
			RunID: a.RunID, Tenant: now.Tenant, Group: now.Group, Seq: a.Seq, Outcome: schemas.OutcomeAbandoned,
			Trigger: string(a.Trigger), StartedAt: a.StartedAt, EndedAt: now.StartedAt, Error: cause,
		}
		if err := r.Record(ctx, row); err != nil {
			return fmt.Errorf("record an abandoned run: %w", err)
		}
	}
	return nil
}

// fail ends an attempt that publishes nothing.
func (x *run) fail(ctx context.Context, cause error) (schemas.Run, error) {
	row := x.row(schemas.OutcomeAbandoned) // without numbers of what it would have written: readers see nothing of it
	row.Error = cause.Error()
	if ctx.Err() == nil {
		row.Outcome = schemas.OutcomeFailed
	}
	return row, errors.Join(cause, x.end(ctx, row, nil))
}

// end records a run that decides nothing and closes its attempt. The row comes
// first: a crash in between tells of the run twice, and the view keeps this row.
func (x *run) end(ctx context.Context, row schemas.Run, mismatched []string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := x.Record(ctx, row); err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	if err := x.Ledger.End(ctx, x.attempt, mismatched); err != nil && !errors.Is(err, ErrFenced) {
		return fmt.Errorf("end the attempt: %w", err)
	}
	return nil
}

// leave gives the attempt up if it could not be closed: this process lives, so
// that no death is counted (Invariant 7).
func (x *run) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := x.Ledger.Leave(ctx, x.attempt); err != nil {
		x.Log.Error("leave the attempt", zap.String("tenant", x.tenant.ID), zap.String("group", x.request.Group), zap.Error(err))
	}
}

// row is the runs row as of now.
func (x *run) row(outcome schemas.Outcome) schemas.Run {
	r := schemas.Run{
		RunID: x.attempt.RunID, Tenant: x.tenant.ID, Group: x.request.Group, Seq: x.attempt.Seq, Outcome: outcome,
		Trigger: string(x.request.Trigger), StartedAt: x.started, EndedAt: x.Now().UTC(), Datasets: names(x.tables),
	}
	if x.source != nil {
		s := x.source.Stats()
		r.Calls, r.Retries, r.Throttled, r.Points, r.Bytes = s.Calls, s.Retries, s.Throttled, s.Points, s.Bytes
	}
	var evidence []string
	for _, d := range x.order {
		if d.touchedSite() && d.state == nil {
			r.Complete = append(r.Complete, d.table.Name)
		}
		for _, e := range d.coverage {
			if e != nil && !e.State.OutOfReach() {
				r.Incomplete++
			}
		}
		if d.state != nil && !d.state.State.OutOfReach() {
			evidence = append(evidence, d.table.Name+": "+d.state.Error())
		}
		r.RowsRead += d.read
		if outcome == schemas.OutcomeChanged && d.readAny() {
			r.Written += d.rows.rows
			r.Added += d.counts.Added
			r.Changed += d.counts.Changed
			r.Removed += d.counts.Removed
			r.Vanished += d.counts.Vanished
		}
	}
	r.Error = strings.Join(evidence, "; ")
	return r
}

// log writes the one line of a run.
func (x *run) log(row schemas.Run, err error) {
	fields := []zap.Field{
		zap.String("tenant", x.tenant.ID), zap.String("group", x.request.Group), zap.Stringer("run", x.attempt.RunID), zap.Uint64("seq", row.Seq),
		zap.String("trigger", row.Trigger), zap.String("outcome", string(row.Outcome)), zap.Duration("took", row.EndedAt.Sub(row.StartedAt)),
		zap.Int64("api_calls", row.Calls), zap.Int64("rows_read", row.RowsRead), zap.Int64("rows_written", row.Written),
		zap.Int64("added", row.Added), zap.Int64("changed", row.Changed), zap.Int64("removed", row.Removed), zap.Int64("vanished", row.Vanished),
		zap.Int64("incomplete", row.Incomplete),
	}
	switch {
	case err != nil:
		x.Log.Error("run failed", append(fields, zap.Error(err))...)
	case row.Outcome == schemas.OutcomeQuarantined:
		x.Log.Error("run ended", append(fields, zap.String("reason", row.Error))...)
	case row.Outcome == schemas.OutcomeHeld, row.Outcome == schemas.OutcomeMismatch, row.Error != "":
		x.Log.Warn("run ended", append(fields, zap.String("reason", row.Error))...)
	default:
		x.Log.Info("run ended", fields...)
	}
}
