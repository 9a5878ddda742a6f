package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
)

// emptyWitness is the number of stored rows from which on an empty reading
// needs a second reading and a witness (Invariant 1).
const emptyWitness = 3

// worker compares partitions one after the other. What needs the stored
// version of an entity (what changed, what ended) waits until finish, so that
// one query serves a whole range.
type worker struct {
	d *reading
	h schemas.Hasher

	out     *schemas.Block // versions ready to be stored
	events  *schemas.Block // changes ready to be stored
	local   *schemas.Block // changes of the partition in hand
	pending *schemas.Block // versions that replace a stored one
	silent  []bool         // by row of pending: no event
	ends    []ending
}

// ending is a stored entity that ends with this run.
type ending struct {
	partition string
	key       schemas.KeyHash
	row       schemas.RowHash
	silent    bool // no event of its own
	outOfView bool
}

func newWorker(d *reading) *worker {
	return &worker{
		d: d, out: schemas.NewBlock(d.table), pending: schemas.NewBlock(d.table),
		events: schemas.NewBlock(schemas.ChangesTable.Dataset), local: schemas.NewBlock(schemas.ChangesTable.Dataset),
	}
}

// partitionDelta is what the reading of one partition adds up to.
type partitionDelta struct {
	read   int64
	digest schemas.Digest // to be added to the dataset's
	counts counts
}

// partition reads and compares one partition. The error is one of the run; what
// the site refuses becomes coverage.
func (w *worker) partition(ctx context.Context, p string, base *diff.Baseline) error {
	d := w.d
	newParent := d.parent != nil && d.parent.isNew(p)
	never := !newParent && d.neverComplete(p)
	var t partitionDelta
	refusal, err := w.read(ctx, p, base, d.epochStart || never && base.Len() == 0 || d.table.Append, &t)
	if err != nil {
		return err
	}
	if refusal == nil && t.read == 0 && base.Len() >= emptyWitness && !d.table.Append {
		// Invariant 1: so many rows do not go at once without a second look and a witness.
		if refusal, err = w.read(ctx, p, base, d.epochStart, &t); err != nil {
			return err
		}
		if refusal == nil && t.read == 0 {
			if refusal, err = asRefusal(d.run.source.Witness(d.run.readCtx, d.table, p)); err != nil {
				return err
			}
		}
	}
	if refusal == nil && !d.table.Append { // Invariant 1: only a complete partition yields removals
		for key, row := range base.Missing() {
			w.end(p, key, row, d.table.Hides || d.epochStart, d.epochStart, &t)
		}
	}
	quiet := !d.epochStart && !d.table.Append && never && (refusal == nil || base.Len() == 0)
	if quiet {
		w.local.Reset()
	} else {
		w.keepEvents()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.coverage[p] = refusal
	d.read += t.read
	d.digest = d.digest.Add(t.digest)
	d.counts = d.counts.plus(t.counts)
	if quiet && t.counts != (counts{}) {
		d.quiet[p] = t.counts
	}
	return nil
}

// isNew reports whether an entity of a parent dataset was added by this run.
func (d *reading) isNew(key string) bool {
	_, ok := d.added[key]
	return ok && !d.epochStart
}

// read compares the pages of a partition as they come.
func (w *worker) read(ctx context.Context, p string, base *diff.Baseline, baseline bool, t *partitionDelta) (*ReadError, error) {
	d := w.d
	version := d.table.Version
	err := d.pages(p, func(page Page) error {
		if err := w.compare(p, base, page.Rows, baseline, false, t); err != nil {
			return err
		}
		if err := w.compare(p, base, page.Partly, baseline, true, t); err != nil {
			return err
		}
		for i := 0; page.Unknown != nil && i < page.Unknown.Len(); i++ {
			t.read++
			key, _ := page.Unknown.Hash(&w.h, i, version)
			base.Keep(key)
		}
		if w.out.Size() < blockBytes {
			return nil
		}
		return w.flush() // Invariant 7: a hostile site's rows are long
	})
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if refusal, err := asRefusal(err); err == nil || d.run.readCtx.Err() == nil {
		return refusal, err
	}
	why := context.Cause(d.run.readCtx)
	return &ReadError{State: schemas.CoverageFailed, Evidence: why.Error(), Err: why}, nil
}

// compare compares rows of a page. Those of which the site told a part only are
// added when they are new, and no more: what it left out is not empty now
// (Invariant 1).
func (w *worker) compare(p string, base *diff.Baseline, rows schemas.Rows, baseline, partly bool, t *partitionDelta) error {
	d := w.d
	for i := 0; rows != nil && i < rows.Len(); i++ {
		t.read++
		key, row := rows.Hash(&w.h, i, d.table.Version)
		compared := row
		if d.upgraded() { // Invariant 4: compare by the columns that the older version had
			_, compared = rows.Hash(&w.h, i, d.head.Version)
		}
		verdict, stored := base.See(key, compared)
		switch {
		case verdict == diff.Repeated, verdict == diff.Unchanged && !d.upgraded(), verdict != diff.New && partly:
			continue
		case verdict == diff.New:
			t.digest = t.digest.Add(w.h.RowDigest(p, key, row))
			t.counts.Added++
			if err := w.add(p, key, row, rows, i, baseline); err != nil {
				return err
			}
		default:
			t.digest = t.digest.Add(w.h.RowDigest(p, key, row)).Sub(w.h.RowDigest(p, key, stored))
			op := schemas.OpBaseline
			if verdict == diff.Changed {
				op = schemas.OpChanged
				t.counts.Changed++
			}
			w.pending.Version(p, key, row, op, 0)
			rows.AppendColumns(w.pending, i)
			w.silent = append(w.silent, d.epochStart)
		}
	}
	return nil
}

// asRefusal tells what the site refused from what went wrong in the run itself.
func asRefusal(err error) (*ReadError, error) {
	if refusal := (*ReadError)(nil); errors.As(err, &refusal) {
		return refusal, nil
	}
	return nil, err
}

// add stores an entity that has no stored version.
func (w *worker) add(p string, key schemas.KeyHash, row schemas.RowHash, rows schemas.Rows, i int, baseline bool) error {
	d := w.d
	op := schemas.OpAdded
	if baseline {
		op = schemas.OpBaseline
	}
	w.out.Version(p, key, row, op, 0)
	rows.AppendColumns(w.out, i)
	n := w.out.N - 1
	if d.isParent {
		d.mu.Lock()
		d.added[w.out.EntityKey(n)] = struct{}{}
		d.mu.Unlock()
	}
	if !baseline {
		w.event(w.local, schemas.ChangeAdded, p, key, row, w.out, n, nil, nil, -1)
	}
	if w.out.N < blockRows {
		return nil
	}
	return w.flush()
}

// end notes that a stored entity ends.
func (w *worker) end(p string, key schemas.KeyHash, row schemas.RowHash, outOfView, silent bool, t *partitionDelta) {
	w.ends = append(w.ends, ending{partition: p, key: key, row: row, silent: silent, outOfView: outOfView})
	t.digest = t.digest.Sub(w.h.RowDigest(p, key, row))
	if outOfView {
		t.counts.Vanished++
	} else {
		t.counts.Removed++
	}
}

// leave ends all entities of a partition whose parent left a complete listing
// (Invariant 12): out of view, and told as one event for the partition.
func (w *worker) leave(p string, base *diff.Baseline) {
	d := w.d
	var t partitionDelta
	for key, row := range base.Missing() {
		w.end(p, key, row, true, true, &t)
	}
	if !d.epochStart {
		name := d.parent.ended[p]
		if name == "" {
			name = p
		}
		change := d.change(schemas.ChangeVanished, p)
		change.EntityKey, change.EntityName = p, name
		change.Before, change.Severity = countsJSON(map[string]any{"rows": base.Len()}), schemas.LevelHigh
		change.EventID = schemas.EventID(d.run.tenant.ID, d.table.Name, p, schemas.KeyHash{}, d.head.Seq, change.Kind, schemas.RowHash{})
		w.record(w.events, change)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left[p] = true
	d.digest = d.digest.Add(t.digest)
	d.counts = d.counts.plus(t.counts)
}

// finish completes what needs stored versions, and hands everything over.
func (w *worker) finish(ctx context.Context) error {
	d := w.d
	if n := w.pending.N + len(w.ends); n > 0 {
		entities := make([]schemas.Entity, 0, n)
		for i := range w.pending.N {
			entities = append(entities, schemas.Entity{Partition: w.pending.Partition.Text(i), Key: w.pending.Key(i)})
		}
		for _, e := range w.ends {
			entities = append(entities, schemas.Entity{Partition: e.partition, Key: e.key})
		}
		before, err := d.run.Warehouse.Versions(ctx, d.table, d.head.Head, entities)
		if err != nil {
			return fmt.Errorf("read the earlier versions of %d entities of %s: %w", n, d.table.Name, err)
		}
		at := make(map[schemas.Entity]int, before.N)
		for j := range before.N {
			at[schemas.Entity{Partition: before.Partition.Text(j), Key: before.Key(j)}] = j
		}
		if len(at) != len(entities) {
			return fmt.Errorf("%w: %s has %d of %d versions that its baseline named a moment ago", errBaseline, d.table.Name, len(at), len(entities))
		}
		w.replace(before, at)
		w.close(before, at)
		if w.pending, err = d.rows.add(w.pending); err != nil {
			return err
		}
		w.silent, w.ends = w.silent[:0], w.ends[:0]
	}
	if err := w.flush(); err != nil {
		return err
	}
	var err error
	w.events, err = d.changes.add(w.events)
	return err
}

// replace completes the versions that follow a stored one: when the entity was
// first seen, and what changed.
func (w *worker) replace(before *schemas.Block, at map[schemas.Entity]int) {
	b := w.pending
	for i := range b.N {
		p, key := b.Partition.Text(i), b.Key(i)
		j := at[schemas.Entity{Partition: p, Key: key}]
		b.FirstSeen[i] = before.FirstSeen[j]
		if w.silent[i] || schemas.Op(b.Ops[i]) != schemas.OpChanged {
			continue
		}
		var fields []int
		for c, info := range w.d.table.Columns {
			if info.Role == schemas.RoleTracked && !b.Cols[c].Equal(i, &before.Cols[c], j) {
				fields = append(fields, c)
			}
		}
		w.event(w.events, schemas.ChangeChanged, p, key, b.Hash(i), b, i, fields, before, j)
	}
}

// close writes the last version of entities that end: as they were.
func (w *worker) close(before *schemas.Block, at map[schemas.Entity]int) {
	d := w.d
	for _, e := range w.ends {
		j := at[schemas.Entity{Partition: e.partition, Key: e.key}]
		op, kind := schemas.OpRemoved, schemas.ChangeRemoved
		if e.outOfView {
			op, kind = schemas.OpOutOfView, schemas.ChangeVanished
		}
		w.out.Version(e.partition, e.key, e.row, op, before.FirstSeen[j])
		w.out.CopyColumns(before, j)
		d.mu.Lock()
		if !d.epochStart { // an epoch's start ends what the new credentials cannot see: that is no removal
			d.gone.add(e.key, func() string { return before.EntityName(j) })
		}
		if d.isParent {
			d.ended[before.EntityKey(j)] = before.EntityName(j)
		}
		d.mu.Unlock()
		if !e.silent {
			w.event(w.events, kind, e.partition, e.key, e.row, nil, -1, nil, before, j)
		}
	}
}

// keepEvents moves the partition's events to those that will be stored.
func (w *worker) keepEvents() {
	for i := range w.local.N {
		w.events.CopyColumns(w.local, i)
		w.events.N++
	}
	w.local.Reset()
}

// flush hands over the versions that are ready.
func (w *worker) flush() (err error) {
	w.out, err = w.d.rows.add(w.out)
	return err
}

// event appends a change: now is the new row, before the stored one; either may
// be missing.
func (w *worker) event(to *schemas.Block, kind schemas.ChangeKind, p string, key schemas.KeyHash, row schemas.RowHash, now *schemas.Block, i int, fields []int, before *schemas.Block, j int) {
	d := w.d
	change := d.change(kind, p)
	change.EventID = schemas.EventID(d.run.tenant.ID, d.table.Name, p, key, d.head.Seq, kind, row)
	graded, at := now, i
	if now == nil {
		graded, at = before, j
	}
	change.EntityKey, change.EntityName = graded.EntityKey(at), graded.EntityName(at)
	columns := fields
	if kind != schemas.ChangeChanged {
		columns = make([]int, len(d.table.Columns))
		for c := range columns {
			columns[c] = c
		}
	}
	for _, c := range fields {
		change.Fields = append(change.Fields, d.table.Columns[c].Name)
	}
	if before != nil {
		change.Before = object(before, j, columns)
	}
	if now != nil {
		change.After = object(now, i, columns)
	}
	change.Severity = d.table.Grade(kind, graded, at, change.Fields)
	w.record(to, change)
}

func (w *worker) record(to *schemas.Block, c schemas.Change) {
	schemas.ChangesTable.Page([]schemas.Change{c}).AppendColumns(to, 0)
	to.N++
}

// change is a change of the dataset with all that every change of this run has.
// observed_at is filled in once reading has ended.
func (d *reading) change(kind schemas.ChangeKind, partition string) schemas.Change {
	return schemas.Change{
		Tenant: d.run.tenant.ID, Dataset: d.table.Name, Partition: partition, Kind: kind,
		NotBefore: d.notBefore(partition), RunID: d.run.attempt.RunID, Seq: d.run.attempt.Seq,
		Epoch: d.epoch(), Severity: schemas.LevelInfo, EventID: uuid.Nil, ObservedAt: time.Unix(0, 0),
	}
}

// epoch is the number of the epoch that this run's rows belong to.
func (d *reading) epoch() uint32 {
	if d.epochStart {
		return d.head.Epoch + 1
	}
	return d.head.Epoch
}

// object is a JSON object of some columns of row i.
func object(b *schemas.Block, i int, columns []int) string {
	text := []byte{'{'}
	for n, c := range columns {
		if n > 0 {
			text = append(text, ',')
		}
		text = append(append(append(text, '"'), b.Table.Columns[c].Name...), '"', ':')
		text = b.Cols[c].AppendJSON(text, i)
	}
	return string(append(text, '}'))
}
