package sinktest

import (
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// Attempt is a small run over spaces and their permissions. Dataset parts that
// have no rows are left out of its delta.
type Attempt struct {
	Tenant string
	Seq    uint64
	Void   []uint64
	Spaces []string // names of new spaces
	Grants []string // operations of new grants
}

func (a Attempt) at() time.Time {
	return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(a.Seq) * time.Hour)
}

func (a Attempt) runID() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, fmt.Appendf(nil, "%s %d", a.Tenant, a.Seq))
}

// Head is the head of a dataset once the attempt is decided.
func (a Attempt) Head(d *schemas.Dataset) schemas.Head {
	return schemas.Head{
		Tenant: a.Tenant, Dataset: d.Name, Group: d.Group, Seq: a.Seq, Void: a.Void, Epoch: 1,
		Rows: uint64(len(a.Spaces)), ObservedAt: a.at(), RunID: a.runID(),
	}
}

// Delta is what the attempt wants to store.
func (a Attempt) Delta() *schemas.Delta {
	d := &schemas.Delta{Tenant: a.Tenant, Group: schemas.GroupPosture, Seq: a.Seq, RunID: a.runID(), Run: a.Alone()}
	d.Run.Outcome = schemas.OutcomeChanged
	if len(a.Spaces) > 0 {
		var rows []confluence.Space
		for i, name := range a.Spaces {
			rows = append(rows, confluence.Space{SpaceID: fmt.Sprintf("%d-%d", a.Seq, i), Name: name, CreatedAt: a.at()})
		}
		d.Parts = append(d.Parts, part(a, confluence.Spaces, "", rows))
	}
	if len(a.Grants) > 0 {
		var rows []confluence.SpacePermission
		for i, operation := range a.Grants {
			rows = append(rows, confluence.SpacePermission{PermissionID: fmt.Sprintf("%d-%d", a.Seq, i), Operation: operation})
		}
		d.Parts = append(d.Parts, part(a, confluence.SpacePermissions, "space 1", rows))
	}
	for _, p := range d.Parts {
		d.Run.Gate = p.Table.Name
		d.Run.Datasets = append(d.Run.Datasets, p.Table.Name)
	}
	d.Run.Complete = d.Run.Datasets
	return d
}

// Alone is the attempt's run as one that changed nothing.
func (a Attempt) Alone() schemas.Run {
	return schemas.Run{
		RunID: a.runID(), Tenant: a.Tenant, Group: schemas.GroupPosture, Seq: a.Seq, Outcome: schemas.OutcomeNoChange, Trigger: "schedule",
		StartedAt: a.at().Add(-time.Minute), EndedAt: a.at(),
	}
}

// Records is what readers see of the attempt once it is shown.
func (a Attempt) Records() []Record {
	list := []Record{{"run", a.Tenant, "", a.Seq, string(schemas.OutcomeChanged)}}
	for dataset, names := range map[string][]string{spaces.Name: a.Spaces, grants.Name: a.Grants} {
		if len(names) == 0 {
			continue
		}
		list = append(list, Record{"coverage", a.Tenant, dataset, a.Seq, string(schemas.CoverageComplete)})
		for _, n := range names {
			list = append(list, Record{"row", a.Tenant, dataset, a.Seq, n}, Record{"change", a.Tenant, dataset, a.Seq, n})
		}
	}
	return list
}

// part makes rows, a change for each named like the row, and a coverage row.
func part[R any](a Attempt, table *schemas.Typed[R], partition string, rows []R) schemas.Part {
	h := a.Head(table.Dataset)
	b := schemas.NewBlock(table.Dataset)
	named := table.Column("name")
	if table.Name == grants.Name {
		named = table.Column("operation")
	}
	page := table.Page(rows)
	var hasher schemas.Hasher
	var changes []schemas.Change
	for i := range rows {
		key, row := page.Hash(&hasher, i, table.Version)
		page.AppendColumns(b, i)
		b.Version(partition, key, row, schemas.OpAdded, 0)
		changes = append(changes, schemas.Change{
			EventID: schemas.EventID(a.Tenant, table.Name, partition, key, a.Seq-1, schemas.ChangeAdded, row), Tenant: a.Tenant, Dataset: table.Name, Partition: partition,
			EntityKey: b.EntityKey(i), EntityName: b.Cols[named].Text(i), Kind: schemas.ChangeAdded, After: `{"x": "line\nend"}`, Severity: schemas.LevelLow,
			ObservedAt: h.ObservedAt, RunID: h.RunID, Epoch: 1, Seq: a.Seq,
		})
	}
	coverage := []schemas.Coverage{{Tenant: a.Tenant, Dataset: table.Name, Partition: partition, State: schemas.CoverageComplete, ObservedAt: h.ObservedAt, RunID: h.RunID, Seq: a.Seq}}
	return schemas.Part{Table: table.Dataset, Head: h, Rows: one(b), Changes: one(records(schemas.ChangesTable, changes)), Coverage: one(records(schemas.CoverageTable, coverage))}
}

func records[R any](table *schemas.Typed[R], rows []R) *schemas.Block {
	b := schemas.NewBlock(table.Dataset)
	page := table.Page(rows)
	for i := range rows {
		page.AppendColumns(b, i)
		b.N++
	}
	return b
}

// one is a stream of one block that can be read again.
func one(b *schemas.Block) schemas.Blocks {
	return func(yield func(*schemas.Block, error) bool) { yield(b, nil) }
}
