package collector

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/sitedrift/sitedrift/schemas"
)

// Most datasets are small, and most of the time nothing in them changed. The
// ledger knows the digest of the rows that are published, so the rows that were
// read can tell by themselves that they are the same: what the warehouse holds
// need not be read then. Otherwise the comparison takes the same pages again.

// glanceRows is the number of published rows up to which a dataset is worth a
// glance; twice as many are kept in memory.
const glanceRows = 2000

// glanceBytes is how long the answers may be from which all of its rows are kept.
const glanceBytes = 64 << 20

// glanceRounds: one in so many runs of a tenant's group reads the warehouse all
// the same, and the first one of a process does, so that a loss or an old backup
// there does not stay unnoticed while nothing changes on the site.
const glanceRounds = 16

// Glances counts the runs of each tenant and group in this process. It is safe
// for concurrent use.
type Glances struct {
	mu   sync.Mutex
	runs map[[2]string]int
}

// next reports whether the next run of a group may do with a glance.
func (g *Glances) next(tenant, group string) bool {
	if g == nil {
		return false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.runs == nil {
		g.runs = map[[2]string]int{}
	}
	n := g.runs[[2]string{tenant, group}]
	g.runs[[2]string{tenant, group}] = (n + 1) % glanceRounds
	return n > 0
}

// glanced is what the reading of one partition gave.
type glanced struct {
	pages  []Page
	err    error
	read   int64
	rows   uint64         // different entities
	digest schemas.Digest // of them
	doubt  bool           // some rows could not be told, or there were too many
}

var errGlanceTooLong = errors.New("too many rows for a glance")

// glances reports whether the dataset may be recognized by its digest.
func (d *reading) glances() bool {
	return d.run.glances && !d.table.Append && !d.epochStart && !d.upgraded() && d.head.Mismatches == 0 &&
		d.head.Rows > 0 && d.head.Rows <= glanceRows
}

// glance reads the partitions and reports whether all rows are as published. If
// so the dataset is read; if not the pages wait for the comparison.
func (d *reading) glance(ctx context.Context, listed []string) (same bool, err error) {
	if !d.glances() {
		return false, nil
	}
	queue := make(chan string, len(listed))
	for _, p := range listed {
		queue <- p
	}
	close(queue)
	seen := make(map[string]*glanced, len(listed))
	var left atomic.Int64 // rows that all glances of the dataset may remember
	left.Store(2 * glanceRows)
	most := d.run.source.Stats().Bytes + glanceBytes
	group, gctx := errgroup.WithContext(ctx)
	for range min(d.run.Concurrency, len(listed)) {
		group.Go(func() (err error) {
			defer recoverAs(&err) // Invariant 7: a panic ends this run, not the process
			for p := range queue {
				g := d.look(gctx, p, &left, most)
				if gctx.Err() != nil {
					return context.Cause(gctx)
				}
				d.mu.Lock()
				seen[p] = g
				d.mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	var rows uint64
	var digest schemas.Digest
	doubt := false
	for _, g := range seen {
		rows += g.rows
		digest = digest.Add(g.digest)
		if refusal, err := asRefusal(g.err); err != nil || g.doubt || refusal != nil && g.rows > 0 {
			doubt = true
		}
	}
	if doubt || rows != d.head.Rows || digest != d.head.Digest {
		d.glanced = seen
		return false, nil
	}
	d.baseRows, d.baseDigest = rows, digest
	for p, g := range seen {
		d.coverage[p], _ = asRefusal(g.err)
		d.read += g.read
	}
	d.run.progress(d.table.Name, len(listed), 0)
	return true, nil
}

// look reads one partition and remembers its pages, while rows are left and the
// run's answers have no more than most bytes.
func (d *reading) look(ctx context.Context, p string, left *atomic.Int64, most int64) *glanced {
	g := &glanced{}
	var h schemas.Hasher
	keys := map[schemas.KeyHash]struct{}{}
	if left.Load() < 0 {
		g.err, g.doubt = errGlanceTooLong, true
		return g
	}
	g.err = d.ask(p, func(page Page) error {
		for _, rows := range []schemas.Rows{page.Unknown, page.Partly} {
			if rows != nil && rows.Len() > 0 {
				g.doubt = true
				g.read += int64(rows.Len())
			}
		}
		for i := 0; page.Rows != nil && i < page.Rows.Len(); i++ {
			key, row := page.Rows.Hash(&h, i, d.table.Version)
			g.read++
			if _, again := keys[key]; again {
				continue
			}
			keys[key] = struct{}{}
			g.rows++
			g.digest = g.digest.Add(h.RowDigest(p, key, row))
		}
		if left.Add(-int64(page.len())) < 0 || d.run.source.Stats().Bytes > most { // Invariant 7: memory is bounded
			return errGlanceTooLong
		}
		g.pages = append(g.pages, page)
		return ctx.Err()
	})
	if errors.Is(g.err, errGlanceTooLong) {
		g.pages, g.doubt = nil, true
	}
	return g
}

// pages reads a partition: what a glance remembers of it, or the site.
func (d *reading) pages(p string, yield func(Page) error) error {
	d.mu.Lock()
	g := d.glanced[p]
	delete(d.glanced, p)
	d.mu.Unlock()
	if g == nil || errors.Is(g.err, errGlanceTooLong) {
		return d.ask(p, yield)
	}
	for _, page := range g.pages {
		if err := yield(page); err != nil {
			return err
		}
	}
	return g.err
}
