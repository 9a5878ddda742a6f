package collector

import "time"

// Exposure is what a probe found out about a source that the vendor keeps closed
// to a kind of credential: whether it has opened for the tenant.
type Exposure struct {
	Tenant, Dataset, Section, Credential string

	Open     bool
	Evidence string // what was asked and answered
	ProbedAt time.Time
}

// Erasure is the erasure of a person from a tenant.
type Erasure struct {
	ID, Tenant string
	Account    string // empty once it is done
	AskedAt    time.Time
	DoneAt     time.Time // zero: not yet
	Rows       int64     // how many rows there were
}

// Tombstone is what stays of a removed tenant.
type Tombstone struct {
	Tenant, Name, SiteURL string

	RemovedAt time.Time
	Erased    int64 // rows erased from the warehouse; -1: they were kept
}
