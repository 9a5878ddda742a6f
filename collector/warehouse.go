package collector

import (
	"context"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Sink takes what runs find. The order of calls per attempt is Stage, the
// decision of the ledger, Show. Its methods use types of schemas only, so that
// a sink need not know the core. Implementations are safe for concurrent use by
// runs of different tenants.
type Sink interface {
	// Stage stores a delta durably and keeps it from readers. It may be called
	// again with a later attempt when the outcome of one is unknown; the
	// earlier one's rows never become visible.
	Stage(ctx context.Context, d *schemas.Delta) error
	// Show makes readers see all rows at or below each head, in one step for
	// all heads given. Repeating it, or showing an older head after a newer
	// one, changes nothing.
	Show(ctx context.Context, heads []schemas.Head) error
	// Runs appends rows of runs that stand alone (no change, failed, held).
	Runs(ctx context.Context, runs []schemas.Run) error
	// Sweep deletes rows of attempts that can never become visible.
	Sweep(ctx context.Context, heads []schemas.Head) error
}

// Warehouse is the sink that also remembers: the comparison reads from it what
// was there before.
type Warehouse interface {
	Sink
	// Partitions lists the partitions of a dataset with stored versions at
	// head, ordered by the bytes of their names.
	Partitions(ctx context.Context, table *schemas.Dataset, head schemas.Head) ([]schemas.PartitionSize, error)
	// Baseline streams the versions of the partitions from first to last
	// (inclusive, by the bytes of their names), in no particular order. keys is
	// valid during the call of yield only. An error of yield stops it.
	Baseline(ctx context.Context, table *schemas.Dataset, head schemas.Head, first, last string, yield func(partition string, keys []schemas.BaselineKey) error) error
	// Versions returns the current version of each of the entities as a block
	// (FirstSeen filled), in no particular order; entities without one are left out.
	Versions(ctx context.Context, table *schemas.Dataset, head schemas.Head, entities []schemas.Entity) (*schemas.Block, error)
	// Coverage returns the present coverage rows of the datasets of the heads.
	Coverage(ctx context.Context, heads []schemas.Head) ([]schemas.Coverage, error)
	// ErasePerson deletes what datasets of a tenant hold about an account, and
	// returns how many rows that were.
	ErasePerson(ctx context.Context, tables []*schemas.Dataset, tenant, account string) (int64, error)
	// Seen tells of each tenant and group which attempts the warehouse has seen.
	Seen(ctx context.Context) ([]schemas.Seen, error)
	// Expect records what tenants are meant to deliver, as it was decided at the time
	// asOf: what was decided later stays.
	Expect(ctx context.Context, asOf time.Time, expected []schemas.Expected) error
}
