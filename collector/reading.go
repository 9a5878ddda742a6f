package collector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
)

// reading is what one run finds out about one dataset: the delta against the
// baseline, and how completely it could look.
type reading struct {
	run   *run
	table *schemas.Dataset
	head  Head // as of the begin

	fingerprint string
	epochStart  bool   // the difference is kept, and told as one baseline change (Invariant 4)
	reason      string // why the epoch starts
	prior       map[string]schemas.Coverage
	parent      *reading
	isParent    bool // some dataset has its partitions from this one

	rows, changes *spool

	glanced map[string]*glanced // partitions that were read, and are not compared yet

	// What the warehouse returned of the baseline, to be checked against the ledger.
	baseRows   uint64
	baseDigest schemas.Digest

	mu       sync.Mutex
	digest   schemas.Digest // of the rows after this run
	counts   counts
	read     int64                 // rows read from the site
	coverage map[string]*ReadError // by partition that was read; nil is complete
	gone     goneSet               // entities that would end
	added    map[string]struct{}   // keys of new entities, if the dataset is a parent
	ended    map[string]string     // keys and names of entities that ended, if the dataset is a parent
	quiet    map[string]counts     // partitions first read now, told as one baseline change each
	held     bool                  // its removals must wait
	state    *ReadError            // of the dataset as a whole; nil: all was read that the credentials open
	beyond   *ReadError            // what of it they do not open; nil: nothing
	left     map[string]bool       // partitions whose parent left the listing
}

type counts struct{ Added, Changed, Removed, Vanished int64 }

func (c counts) plus(o counts) counts {
	return counts{c.Added + o.Added, c.Changed + o.Changed, c.Removed + o.Removed, c.Vanished + o.Vanished}
}

// readDataset reads one dataset completely, or as far as it goes. An error is
// one of the warehouse or of the run itself; what the site refuses is coverage.
func (r *run) readDataset(ctx context.Context, table *schemas.Dataset) (*reading, error) {
	d := &reading{
		run: r, table: table, head: r.attempt.Heads[table.Name],
		rows: newSpool(table, r.SpoolDir, r.budget), changes: newSpool(schemas.ChangesTable.Dataset, r.SpoolDir, r.budget),
		coverage: map[string]*ReadError{}, added: map[string]struct{}{}, ended: map[string]string{}, quiet: map[string]counts{},
		left: map[string]bool{}, prior: map[string]schemas.Coverage{},
	}
	if table.Parent != "" {
		d.parent = r.readings[table.Parent]
	}
	d.isParent = slices.ContainsFunc(r.Tables, func(o *schemas.Dataset) bool { return o.Parent == table.Name })
	d.digest = d.head.Digest
	for _, c := range r.coverage {
		if c.Dataset == table.Name {
			d.prior[c.Partition] = c
		}
	}
	switch {
	case r.refused != nil:
		d.state = r.refused
		return d, d.loseSections(ctx)
	case d.head.Version > table.Version:
		d.state = &ReadError{State: schemas.CoverageFailed, Evidence: fmt.Sprintf("the stored rows were written by version %d of the dataset; this program knows version %d", d.head.Version, table.Version), Unlock: "upgrade every replica of sitedrift"}
		return d, nil
	case d.parent != nil && d.parent.state != nil && len(r.source.Partitions(table)) == 0:
		d.state = &ReadError{State: d.parent.state.State, Evidence: "the list of " + table.Parent + " could not be read: " + d.parent.state.Evidence, Unlock: d.parent.state.Unlock}
		return d, nil
	}
	if refusal, err := asRefusal(r.source.Reach(table)); err != nil || refusal != nil {
		if d.state = refusal; err == nil {
			err = d.loseSections(ctx)
		}
		return d, err
	}
	if table.Append {
		r.source.Resume(table, d.head.Cursor)
	}
	d.fingerprint = r.source.Fingerprint(table)
	switch {
	case d.head.Epoch == 0:
		d.epochStart, d.reason = true, "first run"
	case d.head.Fingerprint == "":
		d.epochStart, d.reason = true, "recovered: a person was erased, or the state database was restored"
	case d.head.Fingerprint != d.fingerprint:
		d.epochStart, d.reason = true, "credentials changed"
	case d.head.Version < table.Version:
		d.epochStart, d.reason = true, fmt.Sprintf("dataset version %d replaces %d", table.Version, d.head.Version)
	}
	if err := d.readRanges(ctx); err != nil {
		return d, err
	}
	d.conclude()
	return d, nil
}

// loseSections tells of sections that were read before why they are not now: of a
// dataset that no credential opens any more, none can stay what it was. What fails
// for now leaves them be.
func (d *reading) loseSections(ctx context.Context) error {
	if !d.state.State.OutOfReach() && d.state.State != schemas.CoverageForbidden {
		return nil
	}
	for _, p := range d.table.Sections {
		if _, known := d.prior[p]; !known {
			continue
		}
		why := d.state
		if d.run.refused == nil { // the source knows it of each, without a call
			said, err := asRefusal(d.run.source.Read(ctx, d.table, p, func(Page) error { return nil }))
			if err != nil {
				return err
			}
			why = cmp.Or(said, why)
		}
		d.coverage[p] = why
	}
	return nil
}

// upgraded reports whether the stored rows were hashed by an older declaration.
func (d *reading) upgraded() bool { return d.head.Epoch > 0 && d.head.Version < d.table.Version }

// partitions are the parts of the dataset to read now, and whether that is all
// of them.
func (d *reading) partitions() (listed []string, all bool) {
	switch {
	case d.parent != nil:
		return d.run.source.Partitions(d.table), d.parent.state == nil
	case d.table.Append:
		return d.run.source.Partitions(d.table), false
	case len(d.table.Sections) > 0:
		return d.run.source.Partitions(d.table), true
	default:
		return []string{schemas.Whole}, true
	}
}

// partitionRange is a stretch of partitions, in order, handled together.
type partitionRange struct {
	known  []schemas.PartitionSize
	listed []string
}

// rangePartitions is how many partitions a range holds at most.
const rangePartitions = 2000

// ranges cuts the partitions, stored and listed (each in order), into stretches of at least
// rangeKeys stored versions, so that the baseline costs few queries and the
// memory of one stretch.
func ranges(known []schemas.PartitionSize, listed []string, rangeKeys uint64) []partitionRange {
	var all []partitionRange
	var cur partitionRange
	var versions uint64
	for len(known) > 0 || len(listed) > 0 {
		takeKnown := len(known) > 0 && (len(listed) == 0 || known[0].Partition <= listed[0])
		takeListed := len(listed) > 0 && (len(known) == 0 || listed[0] <= known[0].Partition)
		if takeKnown {
			versions += known[0].Versions
			cur.known, known = append(cur.known, known[0]), known[1:]
		}
		if takeListed {
			cur.listed, listed = append(cur.listed, listed[0]), listed[1:]
		}
		if versions >= rangeKeys || len(cur.known)+len(cur.listed) >= rangePartitions {
			all, cur, versions = append(all, cur), partitionRange{}, 0
		}
	}
	if len(cur.known)+len(cur.listed) > 0 {
		all = append(all, cur)
	}
	return all
}

func (d *reading) readRanges(ctx context.Context) error {
	listed, all := d.partitions()
	listed = slices.Compact(slices.Sorted(slices.Values(listed)))
	d.run.progress(d.table.Name, 0, len(listed))
	if all && d.parent != nil {
		for p := range d.prior {
			if _, here := slices.BinarySearch(listed, p); !here && p != schemas.Whole {
				d.left[p] = true
			}
		}
	}
	if same, err := d.glance(ctx, listed); same || err != nil {
		return err
	}
	known, err := d.known(ctx, listed)
	if err != nil {
		return err
	}
	slices.SortFunc(known, func(a, b schemas.PartitionSize) int { return cmp.Compare(a.Partition, b.Partition) })
	for _, r := range ranges(known, listed, d.run.RangeKeys) {
		if err := d.readRange(ctx, r, all); err != nil {
			return err
		}
	}
	return nil
}

// known are the partitions that have a baseline. Only a big one is worth asking
// how its rows are spread; a small one is read in one stretch, and coverage
// names its partitions already. Of an append-only dataset only the days that are
// read now are looked at again.
func (d *reading) known(ctx context.Context, listed []string) ([]schemas.PartitionSize, error) {
	if d.table.Append {
		known := make([]schemas.PartitionSize, len(listed))
		for i, day := range listed {
			known[i].Partition = day
		}
		return known, nil
	}
	if d.head.Rows == 0 {
		return nil, nil
	}
	if d.head.Rows <= d.run.RangeKeys {
		known := make([]schemas.PartitionSize, 0, len(d.prior))
		for p := range d.prior {
			known = append(known, schemas.PartitionSize{Partition: p})
		}
		return known, nil
	}
	known, err := d.run.Warehouse.Partitions(ctx, d.table, d.head.Head)
	if err != nil {
		return nil, fmt.Errorf("list the stored partitions of %s: %w", d.table.Name, err)
	}
	return known, nil
}

func (d *reading) readRange(ctx context.Context, r partitionRange, all bool) error {
	bases, err := d.baselines(ctx, r.known)
	if err != nil {
		return err
	}
	queue := make(chan string, len(r.listed))
	for _, p := range r.listed {
		queue <- p
	}
	close(queue)
	workers := make([]*worker, min(d.run.Concurrency, max(1, len(r.listed))))
	group, gctx := errgroup.WithContext(ctx)
	for i := range workers {
		w := newWorker(d)
		workers[i] = w
		group.Go(func() (err error) {
			defer recoverAs(&err) // Invariant 7: a panic ends this run, not the process
			for p := range queue {
				base := bases[p]
				if base == nil {
					base = diff.NewBaseline(0)
				}
				if err := w.partition(gctx, p, base); err != nil {
					return err
				}
				d.run.progress(d.table.Name, 1, 0)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if all {
		// Invariant 12: children of a parent that left a complete listing are out of view.
		w := newWorker(d)
		workers = append(workers, w)
		for _, k := range r.known {
			_, listed := slices.BinarySearch(r.listed, k.Partition)
			if base := bases[k.Partition]; !listed && base.Len() > 0 {
				w.leave(k.Partition, base)
			}
		}
	}
	for _, w := range workers {
		if err := w.finish(ctx); err != nil {
			return err
		}
	}
	return nil
}

// baselines reads what is stored of the partitions, and adds it up for the
// check against the ledger.
func (d *reading) baselines(ctx context.Context, known []schemas.PartitionSize) (map[string]*diff.Baseline, error) {
	bases := make(map[string]*diff.Baseline, len(known))
	if len(known) == 0 {
		return bases, nil
	}
	for _, k := range known {
		bases[k.Partition] = diff.NewBaseline(int(k.Versions))
	}
	first, last := known[0].Partition, known[len(known)-1].Partition
	err := d.run.Warehouse.Baseline(ctx, d.table, d.head.Head, first, last, func(partition string, keys []schemas.BaselineKey) error {
		base, ok := bases[partition]
		if !ok {
			return fmt.Errorf("partition %q was not there a moment ago", partition)
		}
		base.Add(keys)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the baseline of %s: %w", d.table.Name, err)
	}
	h := &schemas.Hasher{}
	for p, base := range bases {
		rows, digest := base.Seal(h, p)
		d.baseRows += rows
		d.baseDigest = d.baseDigest.Add(digest)
	}
	return bases, nil
}

// mismatch reports whether the warehouse returned another baseline than the
// ledger committed: a stale or half-written read, or a restored backup.
func (d *reading) mismatch() bool {
	return d.touchedSite() && !d.table.Append && (d.baseRows != d.head.Rows || d.baseDigest != d.head.Digest)
}

// touchedSite reports whether the dataset was read at all.
func (d *reading) touchedSite() bool { return d.fingerprint != "" }

// readAny reports whether what the reading gave counts: at least one partition was
// read, or left with its parent. Otherwise nothing of it is stored, also not what
// came before the reading broke off: the head stays, and the next run finds it.
func (d *reading) readAny() bool {
	for _, e := range d.coverage {
		if e == nil || e.State == schemas.CoveragePartial {
			return true
		}
	}
	return d.counts.Vanished > 0 || d.touchedSite() && len(d.coverage) == 0 // complete, and there is nothing to read
}

// conclude derives the state of the dataset as a whole from its partitions.
func (d *reading) conclude() {
	var worst *ReadError
	bad, good := 0, 0
	for _, p := range slices.Sorted(maps.Keys(d.coverage)) {
		e := d.coverage[p]
		switch {
		case e == nil:
			good++
		case worst == nil || worst.State.OutOfReach() && !e.State.OutOfReach():
			worst = e
			fallthrough
		default:
			bad++
		}
	}
	if worst != nil && worst.State.OutOfReach() && good > 0 {
		// All was read that the credentials open, and a run can do no more. Of the whole
		// that is a part.
		if len(d.table.Sections) > 0 {
			d.beyond = &ReadError{State: schemas.CoveragePartial, Evidence: fmt.Sprintf("%d of %d partitions are out of reach; the first: %s", bad, len(d.coverage), worst.Evidence), Unlock: worst.Unlock}
		}
		bad = 0
	}
	listing := d.parent != nil && d.parent.state != nil
	switch {
	case bad == 0 && !listing: // complete
		d.state = nil
	case bad == 0:
		d.state = &ReadError{State: schemas.CoveragePartial, Evidence: "the list of " + d.table.Parent + " is incomplete: " + d.parent.state.Evidence, Unlock: d.parent.state.Unlock}
	case d.parent == nil && len(d.table.Sections) == 0:
		d.state = worst
	case bad == len(d.coverage):
		d.state = &ReadError{State: worst.State, Evidence: fmt.Sprintf("none of %d partitions could be read; the first: %s", bad, worst.Evidence), Unlock: worst.Unlock}
	default:
		d.state = &ReadError{State: schemas.CoveragePartial, Evidence: fmt.Sprintf("%d of %d partitions could not be read completely; the first: %s", bad, len(d.coverage), worst.Evidence), Unlock: worst.Unlock}
	}
}

// notBefore is the time after which a change in the partition must have
// happened: the start of the last read that saw the partition completely.
func (d *reading) notBefore(partition string) time.Time {
	c, ok := d.prior[partition]
	switch {
	case !ok:
		return time.Time{}
	case c.State == schemas.CoverageComplete || c.State == schemas.CoverageHeld:
		return d.head.ReadStart
	default:
		return c.LastCompleteAt
	}
}

// neverComplete reports whether the partition has never been read completely.
func (d *reading) neverComplete(partition string) bool {
	c, ok := d.prior[partition]
	return !ok || c.State != schemas.CoverageComplete && c.LastCompleteAt.IsZero()
}

func recoverAs(err *error) {
	if p := recover(); p != nil {
		*err = errors.Join(*err, fmt.Errorf("panic: %v", p))
	}
}

func (d *reading) drop() {
	d.rows.drop()
	d.changes.drop()
}
