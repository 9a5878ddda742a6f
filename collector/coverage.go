package collector

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// Found is what a run found out for itself, whatever of it is news: coverage rows
// are written on a change of state only, and one of a week ago need not say why
// something cannot be read today.
type Found struct {
	Coverage []schemas.Coverage // of each dataset of the run and its partitions, at the run's end
	Epochs   []Epoch
}

// Epoch is a dataset that the run began to compare anew: its numbers tell how the
// present view differs from the former, and not what happened on the site.
type Epoch struct {
	Dataset string `json:"dataset"`
	Reason  string `json:"reason"`
}

// found gathers what the readings of a run found.
func (x *run) found(result schemas.Run) Found {
	var f Found
	for _, d := range x.order {
		for _, c := range d.seen(d.held) {
			c.ObservedAt = result.EndedAt
			f.Coverage = append(f.Coverage, c)
		}
		if d.epochStart && d.head.Epoch > 0 && d.readAny() && !d.table.Append && !d.held {
			f.Epochs = append(f.Epochs, Epoch{d.table.Name, d.reason})
		}
	}
	return f
}

// report compares what could be seen with what could be seen before, and
// returns the coverage rows to write: those whose state changed, and at an epoch's
// start those that are read in another way. Each change of a state after the first
// is an event too.
func (d *reading) report(held bool) (rows []schemas.Coverage, events []schemas.Change) {
	for _, c := range d.seen(held) {
		before, known := d.prior[c.Partition]
		if known && before.State == c.State && (!d.epochStart || before.Evidence == c.Evidence) {
			continue
		}
		rows = append(rows, c)
		if known && before.State != c.State {
			events = append(events, d.coverageChange(before, c))
		}
	}
	return rows, events
}

// seen is what this reading could see of the dataset and its partitions, without
// the time at which it counts.
func (d *reading) seen(held bool) (all []schemas.Coverage) {
	now := map[string]*ReadError{}
	if !d.table.Append { // its partitions are days, and too many to tell of each
		maps.Copy(now, d.coverage)
	}
	for p := range d.left {
		now[p] = &ReadError{State: schemas.CoverageGone, Evidence: "its entry left the complete list of " + d.table.Parent}
	}
	now[schemas.Whole] = cmp.Or(d.state, d.beyond)
	if held {
		now = map[string]*ReadError{schemas.Whole: {State: schemas.CoverageHeld, Evidence: "too many rows would end at once", Unlock: "wait for the next run, or: sitedrift approve --tenant " + d.run.tenant.ID}}
	}
	for _, p := range slices.Sorted(maps.Keys(now)) {
		c := schemas.Coverage{
			Tenant: d.run.tenant.ID, Dataset: d.table.Name, Partition: p, State: schemas.CoverageComplete,
			LastCompleteAt: d.run.started, RunID: d.run.attempt.RunID, Seq: d.run.attempt.Seq,
		}
		if e := now[p]; e == nil {
			c.Evidence = d.via(p)
		} else {
			c.State, c.Evidence, c.Unlock, c.LastCompleteAt = e.State, e.Evidence, e.Unlock, d.notBefore(p)
		}
		all = append(all, c)
	}
	return all
}

// via tells how a dataset, or a section of it, was read.
func (d *reading) via(partition string) string {
	if (partition == schemas.Whole) == (len(d.table.Sections) > 0) {
		return "" // the parts of one that has sections say so, the partitions of others do not
	}
	if way := d.run.source.Via(d.table, partition); way != "" {
		return "read by " + way
	}
	return ""
}

func (d *reading) coverageChange(before, now schemas.Coverage) schemas.Change {
	e := d.change(schemas.ChangeCoverage, now.Partition)
	e.EntityKey, e.EntityName = now.Partition, now.Partition
	if now.Partition == schemas.Whole {
		e.EntityKey, e.EntityName = d.table.Name, d.table.Name
	}
	e.Fields = []string{"state"}
	e.Before = countsJSON(map[string]any{"state": before.State})
	e.After = countsJSON(map[string]any{"state": now.State, "evidence": now.Evidence, "unlock": now.Unlock})
	if before.State.Watched() && now.State != schemas.CoverageComplete && now.State != schemas.CoverageGone {
		e.Severity = schemas.LevelMedium // something that was watched no longer is
	}
	e.EventID = schemas.EventID(d.run.tenant.ID, d.table.Name, now.Partition, schemas.KeyHash{}, d.head.Seq, e.Kind, schemas.RowHash([]byte(pad32(string(now.State)))))
	return e
}

// baselineChanges are the events that stand for rows told of without a flood:
// one for an epoch's start (Invariant 4), and one for each partition that was
// read completely for the first time.
func (d *reading) baselineChanges(rows uint64) []schemas.Change {
	var all []schemas.Change
	if d.epochStart && d.readAny() && !d.table.Append {
		c := d.change(schemas.ChangeBaseline, schemas.Whole)
		c.EntityKey, c.EntityName = d.table.Name, d.table.Name
		c.After = countsJSON(map[string]any{
			"reason": d.reason, "rows": rows, "added": d.counts.Added, "changed": d.counts.Changed,
			"removed": d.counts.Removed, "out_of_view": d.counts.Vanished,
		})
		c.EventID = schemas.EventID(d.run.tenant.ID, d.table.Name, schemas.Whole, schemas.KeyHash{}, d.head.Seq, c.Kind, schemas.RowHash{})
		all = append(all, c)
	}
	for _, p := range slices.Sorted(maps.Keys(d.quiet)) {
		n := d.quiet[p]
		c := d.change(schemas.ChangeBaseline, p)
		c.EntityKey, c.EntityName = p, p
		c.After = countsJSON(map[string]any{"reason": "first complete reading of the partition", "added": n.Added, "changed": n.Changed, "removed": n.Removed, "out_of_view": n.Vanished})
		c.EventID = schemas.EventID(d.run.tenant.ID, d.table.Name, p, schemas.KeyHash{}, d.head.Seq, c.Kind, schemas.RowHash{})
		all = append(all, c)
	}
	return all
}

// countsJSON is a JSON object with its keys in order.
func countsJSON(m map[string]any) string {
	text, err := json.Marshal(m)
	if err != nil { // texts and numbers always marshal
		panic(err)
	}
	return string(text)
}

// pad32 makes a short text as long as a row hash.
func pad32(s string) string {
	var b [32]byte
	copy(b[:], s)
	return string(b[:])
}

// blocksOf makes a stream of one block from records.
func blocksOf[R any](table *schemas.Typed[R], rows []R) schemas.Blocks {
	if len(rows) == 0 {
		return nil
	}
	page := table.Page(rows)
	b := schemas.NewBlock(table.Dataset)
	for i := range rows {
		page.AppendColumns(b, i)
		b.N++
	}
	return func(yield func(*schemas.Block, error) bool) { yield(b, nil) }
}

// chain is one stream after the other.
func chain(streams ...schemas.Blocks) schemas.Blocks {
	streams = slices.DeleteFunc(streams, func(s schemas.Blocks) bool { return s == nil })
	if len(streams) == 0 {
		return nil
	}
	return func(yield func(*schemas.Block, error) bool) {
		for _, s := range streams {
			for b, err := range s {
				if !yield(b, err) {
					return
				}
			}
		}
	}
}
