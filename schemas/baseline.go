package schemas

import "time"

// BaselineKey is one stored version, as the comparison needs it. A baseline is
// the versions at most Head.Seq and not in Head.Void; of an entity's versions
// the one with the greatest Seq counts.
type BaselineKey struct {
	Key KeyHash
	Row RowHash
	Seq uint64
	Op  Op
}

// BaselineKeySize is the size of a BaselineKey in a packed stream: key, row
// hash, seq (big endian), op.
const BaselineKeySize = 16 + 32 + 8 + 1

// PartitionSize is a partition that has versions at or below a head.
type PartitionSize struct {
	Partition string
	Versions  uint64
}

// Expected is what a tenant is meant to deliver: one row per tenant and
// declared dataset, so that dashboards know of data that was never read.
type Expected struct {
	Tenant  string
	Dataset string
	Group   string
	Cadence time.Duration // expected time between two runs; 0: not scheduled
	Paused  bool
	Removed bool // the tenant is gone
}

// Entity names a stored entity.
type Entity struct {
	Partition string
	Key       KeyHash
}
