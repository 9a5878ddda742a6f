package collector

import (
	"fmt"

	"github.com/sitedrift/sitedrift/schemas"
)

// Bounds are what one run may take, so that a hostile site fills neither memory nor
// disk (Invariant 7). They are far beyond real sites; time is bounded by
// Runner.Timeout, and a single answer by its client.
type Bounds struct {
	PartitionRows int64 // rows that one partition may hand over
	RunBytes      int64 // bytes of answers that a run may read
	SpoolBytes    int64 // bytes of delta that a run may keep on disk
}

// ask reads a partition from the site, within the run's bounds. What lies beyond is
// not read, so that the partition counts as failed and nothing of it ends.
func (d *reading) ask(p string, yield func(Page) error) error {
	if err := d.run.tooManyBytes(); err != nil { // also between partitions that hand nothing over
		return err
	}
	rows, most := int64(0), d.run.bounds.PartitionRows
	return d.run.source.Read(d.run.readCtx, d.table, p, func(page Page) error {
		if rows += int64(page.len()); rows > most {
			return beyond(fmt.Sprintf("the site lists more than %d rows in one partition of %s", most, d.table.Name), "limits.partition_rows")
		}
		if err := d.run.tooManyBytes(); err != nil {
			return err
		}
		return yield(page)
	})
}

func (x *run) tooManyBytes() error {
	if x.source.Stats().Bytes <= x.bounds.RunBytes {
		return nil
	}
	return beyond(fmt.Sprintf("the site's answers in this run are longer than %d bytes", x.bounds.RunBytes), "limits.run_bytes")
}

func beyond(what, key string) error {
	return &ReadError{State: schemas.CoverageFailed, Evidence: what + ", which is " + key, Unlock: "if the site is honest and that large, raise " + key}
}
