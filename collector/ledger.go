package collector

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// Head is what the ledger knows of one dataset of one tenant: the last decided
// attempt, and what a reader of the warehouse may see.
type Head struct {
	schemas.Head           // the watermark that the warehouse shows
	Fingerprint  string    // hash of what decides visibility: source, principal, scopes
	Version      int       // version of the dataset's declaration that wrote the rows
	ReadStart    time.Time // start of the last run that read the dataset
	Projected    bool      // the warehouse has this watermark
	Mismatches   int       // baseline checks failed in a row; the second one opens a recovered epoch
	Cursor       string    // where an append-only dataset goes on reading; opaque to the ledger
}

// Attempt is one numbered try at a run. Its number only grows per tenant and
// group, whatever becomes of the try.
type Attempt struct {
	Tenant, Group string
	Seq           uint64
	RunID         uuid.UUID
	Owner         string
	StartedAt     time.Time
	Heads         map[string]Head // by dataset asked for, as of the begin (Seq 0: never decided); Void has every undecided number below Seq of the attempt
	Abandoned     []Abandoned     // earlier attempts that never ended; reported until an attempt after them decides or ends
	Quarantined   bool            // the earlier attempts closed the group: this one tells of it, and ends

	// Untouched is set by the run before Decide or End: datasets of which it
	// sent no row to the warehouse, not even in a call that failed. For every
	// other dataset that is not decided the number becomes void, so a dataset
	// that is left out wrongly costs a void entry, one that is put in wrongly
	// makes undecided rows visible.
	Untouched []string
	// Held and Passed are set by the run before Decide, and hold with it: what
	// has to wait, and the datasets of which nothing waits any more.
	Held   []Hold
	Passed []string
}

// Abandoned is an attempt that began and never decided or ended.
type Abandoned struct {
	Seq       uint64
	Left      bool // by its own process, which lived on
	RunID     uuid.UUID
	Trigger   Trigger
	StartedAt time.Time
}

// Begin asks for a new attempt.
type Begin struct {
	Tenant, Group string
	Datasets      []string
	RunID         uuid.UUID
	Owner         string // unique per process and claim
	Fence         int64  // of the claim (Job.Fence) that the attempt runs under; 0: of none
	Trigger       Trigger
	StartedAt     time.Time
}

// Hold is a run whose removals were too many to believe at once.
type Hold struct {
	Tenant, Dataset string
	Fingerprint     string
	RunID           uuid.UUID
	HeldAt          time.Time
	Removed, Rows   uint64   // how many of how many would have gone
	Sample          []string // some of the keys, for people
	Keys            []byte   // first 8 bytes of each removed key hash, sorted
	Approved        bool     // the next run may pass
	Reason          string
}

// Ledger decides which attempt counts. It is the one place of the system with
// compare-and-swap; the warehouse only shows what the ledger decided. Safe for
// concurrent use.
type Ledger interface {
	// Begin numbers a new attempt and fences every earlier one of the tenant
	// and group. Attempts that are above a dataset's committed number and
	// never decided go to its void list. When QuarantineAfter attempts in a row
	// died, this one is marked Quarantined, and its End closes the group: a
	// QuarantineError until Release. One that dies as well closes it, too.
	// ErrFenced when the claim has ended, or was taken over, or there is none and
	// somebody else has one.
	Begin(ctx context.Context, b Begin) (*Attempt, error)
	// Decide commits the given heads in one transaction and ends the attempt. With
	// them the holds in a.Held replace those of their datasets, but for an approval
	// that came meanwhile under the same fingerprint, and those of a.Passed end.
	// A head whose Seq is the attempt's moves the dataset to it; Projected false
	// says that it still has to be shown. A head whose Seq is that of the
	// begin's head says that the dataset was read and nothing of it was sent to
	// the warehouse: only ReadStart, Mismatches and Cursor are stored, and the
	// number does not become void. Void is the ledger's own; what the heads say
	// of it is not read. Repeating a Decide whose answer was lost is no error.
	// ErrFenced when the attempt is not the newest of its tenant and group, or
	// not the owner's.
	Decide(ctx context.Context, a *Attempt, heads []Head) error
	// End closes an attempt that decides nothing (held, failed, stopped), so
	// that it is not reported as abandoned; its number stays void, but for the
	// datasets in a.Untouched. mismatched names the datasets whose baseline
	// check failed. ErrFenced as above.
	End(ctx context.Context, a *Attempt, mismatched []string) error
	// Leave gives an attempt up whose end could not be told: it is reported as
	// abandoned, and is no death. Nothing happens when it is closed already.
	Leave(ctx context.Context, a *Attempt) error
	// Projected marks heads as shown, if they are still the committed ones.
	Projected(ctx context.Context, heads []Head) error
	// Unprojected lists heads that were decided but perhaps not shown.
	Unprojected(ctx context.Context) ([]Head, error)
	// Heads lists all heads of a tenant; of all tenants when it is empty.
	Heads(ctx context.Context, tenant string) ([]Head, error)

	// Holds lists the holds of a tenant; of all tenants when it is empty.
	Holds(ctx context.Context, tenant string) ([]Hold, error)
	// Approve lets the next run of a tenant pass the brake for its held
	// datasets, and returns how many holds that were.
	Approve(ctx context.Context, tenant string) (int, error)

	// Lanes returns the number of the newest attempt of each tenant and group.
	Lanes(ctx context.Context) (map[Lane]uint64, error)
	// Adopt takes over what a warehouse shows that is ahead of the ledger, in
	// one transaction. Holds of the group are dropped: they may be long settled.
	// Repeating it changes nothing.
	Adopt(ctx context.Context, a Adoption, now time.Time) error

	// Deaths counts the attempts of a group in a row that died.
	Deaths(ctx context.Context, tenant, group string) (int, error)
	// RunAlone makes a claim (Job.Claim) the one whose suspect is run, over all
	// replicas. False says that another one is, whose job is still leased.
	RunAlone(ctx context.Context, claim string, now time.Time) (bool, error)
	// Quarantines lists the quarantined groups of a tenant; of all tenants when
	// it is empty.
	Quarantines(ctx context.Context, tenant string) ([]Quarantine, error)
	// Release lets the groups of a tenant be run again, forgives their deaths,
	// and returns how many groups that were.
	Release(ctx context.Context, tenant string) (int, error)
}
