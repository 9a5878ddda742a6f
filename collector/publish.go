package collector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// stageTries is how many attempts a run makes to store its delta.
const stageTries = 3

// publish ends the run: it checks the baseline and the brake, stores the
// delta, lets the ledger decide, and shows. docs/adr/0001-publishing.md says why in
// this order.
func (x *run) publish(ctx context.Context) (schemas.Run, error) {
	if mismatched := x.mismatched(); len(mismatched) > 0 {
		row := x.row(schemas.OutcomeMismatch)
		row.Error = fmt.Sprintf("%v: %v; nothing was published; the next run that finds the same starts a recovered epoch", errBaseline, mismatched)
		return row, x.end(ctx, row, mismatched)
	}
	held, err := x.brake(ctx)
	if err != nil {
		return x.fail(ctx, err)
	}
	outcome := schemas.OutcomeChanged
	if held {
		outcome = schemas.OutcomeHeld
	} else if !slices.ContainsFunc(x.order, (*reading).readAny) {
		outcome = schemas.OutcomeFailed
	}
	observed := x.observed()
	delta := x.delta(held, observed)
	if len(delta.Parts) == 0 && outcome == schemas.OutcomeChanged {
		outcome = schemas.OutcomeNoChange
	}
	row := x.row(outcome)
	if len(delta.Parts) == 0 {
		if err := x.Record(ctx, row); err != nil {
			return x.fail(ctx, fmt.Errorf("record the run: %w", err))
		}
		return row, x.decide(ctx, held, observed)
	}
	row.Gate = delta.Parts[0].Table.Name
	if err := x.stage(ctx, held, observed, &row); err != nil {
		return x.fail(ctx, err)
	}
	if err := x.decide(ctx, held, observed); err != nil {
		return row, err
	}
	return row, nil
}

// mismatched names the datasets whose baseline is not what the ledger
// committed. The second time in a row is no accident: the warehouse is taken as
// it is, in a new epoch.
func (x *run) mismatched() (all []string) {
	for _, d := range x.order {
		if !d.mismatch() {
			continue
		}
		if d.head.Mismatches == 0 {
			all = append(all, d.table.Name)
			continue
		}
		d.epochStart, d.reason = true, "recovered: the warehouse holds another baseline than was published"
		d.digest = d.baseDigest.Add(d.digest.Sub(d.head.Digest))
		d.head.Rows = d.baseRows
		d.changes.drop()
		d.gone = goneSet{}
	}
	return all
}

// brake holds the run when too many rows would end (Invariant 8). What it finds is
// stored with the decision: a run that decides nothing leaves no hold, and an
// approval serves one run, wherever its process dies.
func (x *run) brake(ctx context.Context) (bool, error) {
	holds, err := x.Ledger.Holds(ctx, x.tenant.ID)
	if err != nil {
		return false, fmt.Errorf("read the holds: %w", err)
	}
	now, brake := x.Now().UTC(), x.Brake(x.tenant.ID)
	for _, d := range x.order {
		var earlier *Hold
		if i := slices.IndexFunc(holds, func(h Hold) bool { return h.Dataset == d.table.Name }); i >= 0 {
			earlier = &holds[i]
		}
		if !brake.holds(&d.gone, d.head.Rows, d.fingerprint, earlier, now) {
			continue
		}
		d.held = true
		x.holds = append(x.holds, brake.hold(x.tenant.ID, d.table.Name, d.fingerprint, x.attempt, &d.gone, d.head.Rows, earlier, now))
	}
	return len(x.holds) > 0, nil
}

// observed is the one time that all rows of this run carry: the end of
// reading, after that of every earlier run.
func (x *run) observed() time.Time {
	t := x.Now().UTC().Truncate(time.Millisecond)
	for _, d := range x.order {
		if !t.After(d.head.ObservedAt) {
			t = d.head.ObservedAt.Add(time.Millisecond)
		}
	}
	return t
}

// delta is what the run stores: of a held run only that it is held.
func (x *run) delta(held bool, observed time.Time) *schemas.Delta {
	delta := &schemas.Delta{Tenant: x.tenant.ID, Group: x.request.Group, Seq: x.attempt.Seq, RunID: x.attempt.RunID}
	for _, d := range x.order {
		if held && !d.held {
			continue
		}
		if part := d.part(held, observed); part.Rows != nil || part.Changes != nil || part.Coverage != nil {
			delta.Parts = append(delta.Parts, part)
		}
	}
	return delta
}

// part is the dataset's part of the delta.
func (d *reading) part(held bool, observed time.Time) schemas.Part {
	head := d.next(held, observed).Head
	coverage, events := d.report(held)
	for i := range coverage {
		coverage[i].ObservedAt = observed
	}
	part := schemas.Part{Table: d.table, Head: head, Coverage: blocksOf(schemas.CoverageTable, coverage)}
	counts := !held && d.readAny()
	if counts {
		events = append(d.baselineChanges(head.Rows), events...)
		part.Rows = d.rows.blocks(nil)
	}
	for i := range events {
		events[i].ObservedAt = observed
	}
	at, seq := schemas.ChangesTable.Column("observed_at"), schemas.ChangesTable.Column("seq")
	var stream schemas.Blocks
	if counts {
		stream = d.changes.blocks(func(b *schemas.Block) {
			for i := range b.N {
				b.Cols[at].Ints[i], b.Cols[seq].Ints[i] = observed.UnixMilli(), int64(head.Seq)
			}
		})
	}
	part.Changes = chain(blocksOf(schemas.ChangesTable, events), stream)
	return part
}

// next is the dataset's head once this attempt is decided.
func (d *reading) next(held bool, observed time.Time) Head {
	h := d.head
	h.Tenant, h.Dataset, h.Group = d.run.tenant.ID, d.table.Name, d.table.Group
	h.Seq, h.Void, h.RunID, h.ObservedAt = d.run.attempt.Seq, d.run.attempt.Heads[d.table.Name].Void, d.run.attempt.RunID, observed
	h.Projected, h.Mismatches = false, 0
	if held || !d.readAny() {
		return h
	}
	h.Epoch, h.Fingerprint, h.Version, h.ReadStart = d.epoch(), d.fingerprint, d.table.Version, d.run.started
	h.Rows = uint64(int64(h.Rows) + d.counts.Added - d.counts.Removed - d.counts.Vanished)
	h.Digest = d.digest
	h.Cursor = d.cursor()
	return h
}

// cursor is where an append-only dataset goes on: after a gap, where it stopped
// before.
func (d *reading) cursor() string {
	if !d.table.Append || d.state != nil {
		return d.head.Cursor
	}
	return d.run.source.Cursor(d.table)
}

// stays is the head of a dataset of which there is nothing to store, or, in a
// held run, nothing may be. A reading whose differences are not told does not
// count as the last one: the next must still say that they happened before it.
func (d *reading) stays(held bool) Head {
	h := d.head
	h.Mismatches = 0
	if !held && d.readAny() && !d.epochStart {
		h.ReadStart = d.run.started
		h.Cursor = d.cursor()
	}
	return h
}

// stage stores the delta in all sinks. An insert whose outcome is unknown voids
// its attempt (Invariant 3): the same delta is stored again under a new number.
func (x *run) stage(ctx context.Context, held bool, observed time.Time, row *schemas.Run) error {
	for try := 1; ; try++ {
		delta := x.delta(held, observed)
		row.Seq, row.EndedAt = x.attempt.Seq, x.Now().UTC()
		delta.Run = *row
		x.attempt.Untouched = x.untouched(delta)
		x.trace("stage.begin")
		err := x.stageAll(ctx, delta)
		if err == nil {
			x.trace("stage.end")
			return nil
		}
		if ctx.Err() != nil || try == stageTries {
			return fmt.Errorf("store the delta: %w", err)
		}
		if err := x.again(ctx); err != nil {
			return err
		}
	}
}

// untouched names the datasets of which a delta sends nothing to the sinks. The
// runs row goes under the gate's head, so the gate is touched in any case.
func (x *run) untouched(delta *schemas.Delta) []string {
	rest := names(x.tables)
	for _, p := range delta.Parts {
		rest = slices.DeleteFunc(rest, func(n string) bool { return n == p.Table.Name })
	}
	return rest
}

func (x *run) stageAll(ctx context.Context, delta *schemas.Delta) error {
	for _, s := range x.sinks() {
		if err := s.Stage(ctx, delta); err != nil {
			return err
		}
	}
	return nil
}

func (x *run) sinks() []Sink { return append([]Sink{x.Warehouse}, x.Sinks...) }

// again voids the attempt and begins another for the same run.
func (x *run) again(ctx context.Context) error {
	if err := x.Ledger.End(ctx, x.attempt, nil); err != nil {
		return fmt.Errorf("void the attempt: %w", err)
	}
	next, err := x.Ledger.Begin(ctx, Begin{
		Tenant: x.tenant.ID, Group: x.request.Group, Datasets: names(x.tables), RunID: x.attempt.RunID,
		Owner: x.attempt.Owner, Fence: x.request.Fence, Trigger: x.request.Trigger, StartedAt: x.started,
	})
	if err != nil {
		return fmt.Errorf("begin another attempt: %w", err)
	}
	for name, h := range next.Heads {
		if h.Seq != x.attempt.Heads[name].Seq {
			return fmt.Errorf("%w: %s was published meanwhile", ErrFenced, name)
		}
	}
	next.Untouched = names(x.tables)
	x.attempt = next
	return nil
}

// decide commits the heads in the ledger and shows them. From here on the run
// counts, whatever happens to this process.
func (x *run) decide(ctx context.Context, held bool, observed time.Time) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var heads, shown []Head
	for _, d := range x.order {
		h := d.next(held, observed)
		part := schemas.Part{}
		if !held || d.held {
			part = d.part(held, observed)
		}
		if part.Rows == nil && part.Changes == nil && part.Coverage == nil {
			heads = append(heads, d.stays(held))
			continue
		}
		heads, shown = append(heads, h), append(shown, h)
	}
	x.attempt.Held = x.holds
	for _, d := range x.order {
		if !held && d.readAny() {
			x.attempt.Passed = append(x.attempt.Passed, d.table.Name)
		}
	}
	x.trace("decide.before")
	if err := x.Ledger.Decide(ctx, x.attempt, heads); err != nil {
		return fmt.Errorf("decide the run: %w", err)
	}
	x.trace("decide.after")
	if err := x.show(ctx, shown); err != nil {
		return fmt.Errorf("the run is decided and will be shown by the next one: %w", err)
	}
	return nil
}

// show makes heads visible in every sink and notes it in the ledger.
func (x *run) show(ctx context.Context, heads []Head) error {
	return Show(ctx, x.Ledger, x.sinks(), heads, x.trace)
}

// Show makes decided heads visible in every sink and notes it in the ledger.
// It is idempotent; the boot of a process uses it for all unprojected heads.
func Show(ctx context.Context, ledger Ledger, sinks []Sink, heads []Head, trace func(string)) error {
	if len(heads) == 0 {
		return nil
	}
	marks := make([]schemas.Head, len(heads))
	for i, h := range heads {
		marks[i] = h.Head
	}
	trace("show.before")
	for _, s := range sinks {
		if err := s.Show(ctx, marks); err != nil {
			return fmt.Errorf("show the run: %w", err)
		}
	}
	trace("show.after")
	if err := ledger.Projected(ctx, heads); err != nil {
		return fmt.Errorf("note that the run is shown: %w", err)
	}
	return nil
}
