package collector

import (
	"context"
	"fmt"

	"github.com/sitedrift/sitedrift/schemas"
)

// Source reads the datasets of one tenant during one run. It remembers what
// the run has read so far: listing groups tells it whose members to read, and
// the members are the users to look up. A run reads parents before children
// and what a dataset needs before it.
//
// Read and Witness are called by several goroutines at once, for different
// partitions of one dataset.
type Source interface {
	// Fingerprint identifies what decides which rows of the dataset can be
	// seen: the way in, the principal, and those granted scopes that the
	// dataset declares. Two readings under different fingerprints are not
	// compared as if they were one.
	Fingerprint(table *schemas.Dataset) string
	// Via names the source that the run takes for the dataset or for a section of
	// it, such as "rest with 3lo"; empty when none is open.
	Via(table *schemas.Dataset, section string) string
	// Reach is nil when at least a part of the dataset can be asked for with what
	// the run knows by now; else a *ReadError, and no part of it is read.
	Reach(table *schemas.Dataset) error
	// Partitions lists the partitions of a dataset that has a parent, from the
	// parent's reading in this run, which are complete if that was; or the
	// sections of a dataset that has such.
	Partitions(table *schemas.Dataset) []string
	// Read reads one partition and hands its rows to yield page by page; yield's
	// error ends it and is returned. It returns nil only when it is sure that
	// every row has been handed over; a *ReadError says what is missing
	// otherwise. Rows handed over before an error are true all the same.
	Read(ctx context.Context, table *schemas.Dataset, partition string, yield func(Page) error) error
	// Resume tells where the last complete reading of an append-only dataset
	// ended, as Cursor said then; empty: it was never read. It is called before
	// Partitions, which lists the days to read from there.
	Resume(table *schemas.Dataset, cursor string)
	// Cursor is where the next reading goes on, if this one was complete.
	Cursor(table *schemas.Dataset) string
	// Witness asks for the partition's parent by id (for the whole site when
	// the dataset is one whole). nil means that it answers, so that an empty
	// reading is believable (Invariant 1).
	Witness(ctx context.Context, table *schemas.Dataset, partition string) error
	// Stats is what the source has cost so far.
	Stats() SourceStats
}

// Page is a part of a partition's rows.
type Page struct {
	Rows schemas.Rows
	// Unknown are rows of which the site did not say whether they belong to the
	// dataset: they are neither added nor, if they are in the baseline,
	// compared or removed. May be nil.
	Unknown schemas.Rows
	// Partly are rows of which the site kept a value to itself this time: a new
	// one is added, one in the baseline stays as it was known last. May be nil.
	Partly schemas.Rows
}

// len is the number of rows.
func (p Page) len() (n int) {
	for _, rows := range []schemas.Rows{p.Rows, p.Unknown, p.Partly} {
		if rows != nil {
			n += rows.Len()
		}
	}
	return n
}

// SourceStats counts requests to the site's API; token requests are not among them.
type SourceStats struct {
	Calls, Retries, Throttled, Points, Bytes int64
}

// ReadError says why a partition was not read completely.
type ReadError struct {
	State    schemas.CoverageState // partial, forbidden, not_exposed, gone, failed, ...
	Evidence string                // what was answered, for people: method, path, status, message
	Unlock   string                // what would make it readable; empty when waiting may help
	Err      error
}

// Error is the evidence.
func (e *ReadError) Error() string { return fmt.Sprintf("%s: %s", e.State, e.Evidence) }

// Unwrap gives the cause.
func (e *ReadError) Unwrap() error { return e.Err }
