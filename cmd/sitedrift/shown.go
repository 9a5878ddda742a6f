package main

import (
	"time"

	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

// What commands show as JSON: the names are those of the warehouse's columns, so
// that a script reads both alike.

// runShown is a run.
type runShown struct {
	RunID      string    `json:"run_id"`
	Tenant     string    `json:"tenant_id"`
	Group      string    `json:"dataset_group"`
	Seq        uint64    `json:"seq"`
	Outcome    string    `json:"outcome"`
	Trigger    string    `json:"trigger"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	Datasets   []string  `json:"datasets"`
	Complete   []string  `json:"complete"`
	Calls      int64     `json:"api_calls"`
	Retries    int64     `json:"retries"`
	Throttled  int64     `json:"throttled"`
	Points     int64     `json:"points"`
	Bytes      int64     `json:"bytes"`
	RowsRead   int64     `json:"rows_read"`
	Written    int64     `json:"rows_written"`
	Added      int64     `json:"added"`
	Changed    int64     `json:"changed"`
	Removed    int64     `json:"removed"`
	Vanished   int64     `json:"vanished"`
	Incomplete int64     `json:"incomplete"`
	Error      string    `json:"error,omitempty"`
}

func showRun(r schemas.Run) runShown {
	return runShown{
		r.RunID.String(), r.Tenant, r.Group, r.Seq, string(r.Outcome), r.Trigger, r.StartedAt.UTC(), r.EndedAt.UTC(), some(r.Datasets), some(r.Complete),
		r.Calls, r.Retries, r.Throttled, r.Points, r.Bytes, r.RowsRead, r.Written, r.Added, r.Changed, r.Removed, r.Vanished, r.Incomplete, r.Error,
	}
}

// coverageShown is what could be seen of a dataset or a partition of it.
type coverageShown struct {
	Dataset        string     `json:"dataset"`
	Partition      string     `json:"partition_id"` // empty: the dataset as a whole
	State          string     `json:"state"`
	Evidence       string     `json:"evidence"`
	Unlock         string     `json:"unlock,omitempty"`
	LastCompleteAt *time.Time `json:"last_complete_at"` // null: never
	ObservedAt     time.Time  `json:"observed_at"`
}

func showCoverage(c schemas.Coverage) coverageShown {
	s := coverageShown{c.Dataset, c.Partition, string(c.State), c.Evidence, c.Unlock, nil, c.ObservedAt.UTC()}
	if at := c.LastCompleteAt.UTC(); !at.IsZero() {
		s.LastCompleteAt = &at
	}
	return s
}

// findingShown is what a check says of a dataset or of a section of it.
type findingShown struct {
	Dataset    string `json:"dataset"`
	Section    string `json:"section,omitempty"`
	Credential string `json:"credential,omitempty"` // empty: no credential of the tenant could read it
	API        string `json:"api,omitempty"`
	Taken      bool   `json:"taken"` // runs read by this source
	State      string `json:"state"`
	Evidence   string `json:"evidence"`
	Unlock     string `json:"unlock,omitempty"`
}

func showFinding(f confluence.Finding) findingShown {
	return findingShown{f.Dataset, f.Section, f.Credential, f.API, f.Taken, string(f.State), f.Evidence, f.Unlock}
}

// stepShown is a statement that a migration runs.
type stepShown struct {
	Object    string `json:"object"`
	Why       string `json:"why"`
	Statement string `json:"statement"`
}

func showStep(s clickhouse.Step) stepShown { return stepShown{s.Object, s.Why, s.Statement} }

// differenceShown is what a migration leaves to people.
type differenceShown struct {
	Object string `json:"object"`
	What   string `json:"what"`
	Do     string `json:"do"`
}

func showDifference(d clickhouse.Difference) differenceShown {
	return differenceShown{d.Object, d.What, d.Do}
}

// each shows all elements; nothing is an empty list.
func each[T, S any](all []T, show func(T) S) []S {
	shown := make([]S, len(all))
	for i, v := range all {
		shown[i] = show(v)
	}
	return shown
}

// some is a list that is never null in JSON.
func some(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
