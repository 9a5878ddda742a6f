package schemas

import (
	"iter"
	"time"

	"github.com/google/uuid"
)

// ChangeKind says what happened to an entity between two snapshots.
type ChangeKind string

// The kinds of changes.
const (
	ChangeAdded    ChangeKind = "added"
	ChangeChanged  ChangeKind = "changed"
	ChangeRemoved  ChangeKind = "removed"  // its complete listing no longer has it
	ChangeVanished ChangeKind = "vanished" // deleted, or hidden from the reader: nobody knows
	ChangeBaseline ChangeKind = "baseline" // an epoch began; carries counts instead of a flood
	ChangeCoverage ChangeKind = "coverage" // what can be seen of the dataset changed
)

// Change is one event of the changes table.
type Change struct {
	EventID    uuid.UUID
	Tenant     string
	Dataset    string
	Partition  string
	EntityKey  string
	EntityName string
	Kind       ChangeKind
	Fields     []string // names of the columns that changed
	Before     string   // JSON object of the changed columns as they were; empty when there was nothing
	After      string   // the same as they are now
	Severity   Level
	ObservedAt time.Time
	NotBefore  time.Time // start of the previous complete read: it happened after this; zero: unknown
	RunID      uuid.UUID
	Epoch      uint32
	Seq        uint64
}

// CoverageState says how much of a partition, or of a dataset, was seen.
type CoverageState string

// The states of coverage.
const (
	CoverageComplete    CoverageState = "complete"
	CoveragePartial     CoverageState = "partial"
	CoverageForbidden   CoverageState = "forbidden"
	CoverageNotExposed  CoverageState = "not_exposed"
	CoverageNotLicensed CoverageState = "not_licensed"
	CoverageBlocked     CoverageState = "blocked_by_policy"
	CoverageGone        CoverageState = "gone"
	CoverageFailed      CoverageState = "failed"
	CoverageHeld        CoverageState = "held"
	CoverageNeverRun    CoverageState = "never_run"
)

// OutOfReach reports whether the state says that none of the tenant's
// credentials opens the data, or that the site has none: nothing went wrong, and
// another reading would not help.
func (s CoverageState) OutOfReach() bool {
	return s == CoverageNotExposed || s == CoverageNotLicensed
}

// Watched reports whether the state says that the data is read, as a whole, in
// part, or with rows that are held back for now.
func (s CoverageState) Watched() bool {
	return s == CoverageComplete || s == CoveragePartial || s == CoverageHeld
}

// CoverageStates lists the states of coverage.
var CoverageStates = []CoverageState{
	CoverageComplete, CoveragePartial, CoverageForbidden, CoverageNotExposed, CoverageNotLicensed,
	CoverageBlocked, CoverageGone, CoverageFailed, CoverageHeld, CoverageNeverRun,
}

// Coverage is one row of coverage_history: the state of a partition from a run
// on. Partition Whole stands for the dataset as a whole.
type Coverage struct {
	Tenant         string
	Dataset        string
	Partition      string
	State          CoverageState
	Evidence       string // what was answered: status, error class, message
	Unlock         string // what would make it readable; empty when nothing is missing
	LastCompleteAt time.Time
	ObservedAt     time.Time
	RunID          uuid.UUID
	Seq            uint64
}

// Outcome is how a run ended.
type Outcome string

// The outcomes of runs.
const (
	OutcomeNoChange    Outcome = "no_change" // all read that could be, nothing new: only this row is written
	OutcomeChanged     Outcome = "changed"
	OutcomeHeld        Outcome = "held"              // too many removals to believe at once
	OutcomeMismatch    Outcome = "baseline_mismatch" // the warehouse did not return what the ledger knows
	OutcomeFailed      Outcome = "failed"            // nothing could be read or stored
	OutcomeAbandoned   Outcome = "abandoned"         // the process died, or another took over
	OutcomeQuarantined Outcome = "quarantined"       // nothing was read: the runs before took the process down
	OutcomeErased      Outcome = "erased"            // no run: what was stored about a person was erased
	OutcomeRestored    Outcome = "restored"          // no run: the ledger was behind the warehouse, and took over what that shows
)

// Run is one row of the runs table.
type Run struct {
	RunID      uuid.UUID
	Tenant     string
	Group      string
	Seq        uint64
	Outcome    Outcome
	Trigger    string
	StartedAt  time.Time
	EndedAt    time.Time
	Datasets   []string // those that the run was to read
	Complete   []string // those of them that it read completely
	Gate       string   // dataset whose head must have reached Seq before the row is shown; empty: always shown
	Calls      int64    // API requests, retries included
	Retries    int64
	Throttled  int64 // answers with status 429
	Points     int64 // rate-limit points, estimated
	Bytes      int64 // bytes of answers
	RowsRead   int64
	Written    int64 // versions written
	Added      int64
	Changed    int64
	Removed    int64
	Vanished   int64
	Incomplete int64 // partitions that could not be read completely
	Error      string
}

// Blocks is a stream of rows that can be read more than once.
type Blocks = iter.Seq2[*Block, error]

// Delta is all that one attempt wants to store, not yet visible to readers.
type Delta struct {
	Tenant, Group string
	Seq           uint64
	RunID         uuid.UUID
	Parts         []Part
	Run           Run
}

// Part is the delta of one dataset. Any of the streams may be nil.
type Part struct {
	Table    *Dataset
	Head     Head   // as it will be once the attempt is decided
	Rows     Blocks // versions
	Changes  Blocks // of ChangesTable
	Coverage Blocks // of CoverageTable
}

// Tables of records, declared like datasets so that everything that works on
// columns works on them. The warehouse adds nothing to them.
var (
	ChangesTable = Declare(Table[Change]{
		Name: "changes", Version: 1, Doc: "What changed between two snapshots of a site, one event a row.", Grain: "event",
		Columns: []Column[Change]{
			String("event_id", "Identity of the event; the same however often it is delivered.", func(c *Change) string { return c.EventID.String() }),
			Enum("tenant_id", "Customer.", func(c *Change) string { return c.Tenant }),
			Enum("dataset", "Dataset that the entity belongs to.", func(c *Change) string { return c.Dataset }),
			String("partition_id", "Part of the dataset that the entity belongs to: a space, a group; empty for the whole.", func(c *Change) string { return c.Partition }),
			String("entity_key", "Key of the entity inside its partition.", func(c *Change) string { return c.EntityKey }),
			String("entity_name", "The entity's name for people, as of the change.", func(c *Change) string { return c.EntityName }),
			Enum("change", "added, changed, removed, vanished, baseline or coverage.", func(c *Change) string { return string(c.Kind) }),
			Strings("fields", "Names of the columns that changed.", func(c *Change) []string { return c.Fields }),
			String("before", "JSON object of the changed columns as they were.", func(c *Change) string { return c.Before }),
			String("after", "JSON object of the changed columns as they are now.", func(c *Change) string { return c.After }),
			Enum("severity", "info, low, medium or high, by the dataset's rules.", func(c *Change) string { return string(c.Severity) }),
			Time("observed_at", "End of the reading that showed the change.", func(c *Change) time.Time { return c.ObservedAt }),
			NullTime("not_before", "Start of the previous complete read: the change happened after it.", func(c *Change) time.Time { return c.NotBefore }),
			String("run_id", "Run that found it.", func(c *Change) string { return c.RunID.String() }),
			Int("epoch", "Epoch of the dataset.", func(c *Change) int64 { return int64(c.Epoch) }),
			Int("seq", "Attempt number of the run.", func(c *Change) int64 { return int64(c.Seq) }),
		},
	})
	CoverageTable = Declare(Table[Coverage]{
		Name: "coverage_history", Version: 1, Doc: "What could be seen of each dataset and partition, from a run on.", Grain: "tenant, dataset, partition, change of state",
		Columns: []Column[Coverage]{
			Enum("tenant_id", "Customer.", func(c *Coverage) string { return c.Tenant }),
			Enum("dataset", "Dataset.", func(c *Coverage) string { return c.Dataset }),
			String("partition_id", "Part of the dataset; empty stands for the dataset as a whole, whose state comes first: the parts of what cannot be read as a whole keep what was seen of them last.", func(c *Coverage) string { return c.Partition }),
			Enum("state", "complete, partial, forbidden, not_exposed, not_licensed, blocked_by_policy, gone, failed or held.", func(c *Coverage) string { return string(c.State) }),
			String("evidence", "What the site answered; of what was read completely, by which interface and kind of credential.", func(c *Coverage) string { return c.Evidence }),
			String("unlock", "What would make it readable.", func(c *Coverage) string { return c.Unlock }),
			NullTime("last_complete_at", "Start of the last complete read before this state.", func(c *Coverage) time.Time { return c.LastCompleteAt }),
			Time("observed_at", "When the state was seen first.", func(c *Coverage) time.Time { return c.ObservedAt }),
			String("run_id", "Run that saw it.", func(c *Coverage) string { return c.RunID.String() }),
			Int("seq", "Attempt number of the run.", func(c *Coverage) int64 { return int64(c.Seq) }),
		},
	})
	RunsTable = Declare(Table[Run]{
		Name: "runs", Version: 1, Doc: "Every run with its outcome, cost and counts.", Grain: "run",
		Columns: []Column[Run]{
			String("run_id", "The run.", func(r *Run) string { return r.RunID.String() }),
			Enum("tenant_id", "Customer.", func(r *Run) string { return r.Tenant }),
			Enum("dataset_group", "Group of datasets that the run read.", func(r *Run) string { return r.Group }),
			Int("seq", "Attempt number; grows per tenant and group.", func(r *Run) int64 { return int64(r.Seq) }),
			Enum("outcome", "no_change, changed, held, baseline_mismatch, failed, abandoned, quarantined, erased or restored.", func(r *Run) string { return string(r.Outcome) }),
			Enum("trigger", "schedule, catch_up, retry or manual.", func(r *Run) string { return r.Trigger }),
			Time("started_at", "Start of the run.", func(r *Run) time.Time { return r.StartedAt }),
			Time("ended_at", "End of the run.", func(r *Run) time.Time { return r.EndedAt }),
			Strings("datasets", "Datasets that the run was to read.", func(r *Run) []string { return r.Datasets }),
			Strings("complete", "Datasets that it read completely.", func(r *Run) []string { return r.Complete }),
			Enum("gate", "Dataset whose published state shows this row; empty when the row stands alone.", func(r *Run) string { return r.Gate }),
			Int("api_calls", "Requests to the site's API, retries included.", func(r *Run) int64 { return r.Calls }),
			Int("retries", "Requests that were repeats.", func(r *Run) int64 { return r.Retries }),
			Int("throttled", "Answers with status 429.", func(r *Run) int64 { return r.Throttled }),
			Int("points", "Rate-limit points, estimated.", func(r *Run) int64 { return r.Points }),
			Int("bytes", "Bytes of answers.", func(r *Run) int64 { return r.Bytes }),
			Int("rows_read", "Rows read from the site.", func(r *Run) int64 { return r.RowsRead }),
			Int("rows_written", "Versions written to the warehouse.", func(r *Run) int64 { return r.Written }),
			Int("added", "Entities that are new.", func(r *Run) int64 { return r.Added }),
			Int("changed", "Entities that changed.", func(r *Run) int64 { return r.Changed }),
			Int("removed", "Entities that are gone.", func(r *Run) int64 { return r.Removed }),
			Int("vanished", "Entities that are out of view.", func(r *Run) int64 { return r.Vanished }),
			Int("incomplete", "Partitions that could not be read completely.", func(r *Run) int64 { return r.Incomplete }),
			String("error", "Why the run failed or is incomplete.", func(r *Run) string { return r.Error }),
		},
	})
)
