package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// Coverage returns the present coverage of a dataset at the head, a row per
// partition that was ever told of.
func (w *Warehouse) Coverage(ctx context.Context, table *schemas.Dataset, head schemas.Head) ([]schemas.Coverage, error) {
	if head.Seq == 0 {
		return nil, nil
	}
	b := schemas.NewBlock(schemas.CoverageTable.Dataset)
	columns := make([]readColumn, len(b.Cols))
	for i, c := range schemas.CoverageTable.Columns {
		columns[i] = vectorColumn(c, &b.Cols[i])
	}
	rest := fmt.Sprintf("FROM (SELECT * FROM %s WHERE %s AND dataset = %s ORDER BY partition_id, seq DESC LIMIT 1 BY partition_id)",
		w.layout.object(coverageName), below(head), text(table.Name))
	err := w.read(ctx, columns, rest, nil, func(rows int) error { b.N += rows; return nil })
	if err != nil {
		return nil, fmt.Errorf("read the coverage of %s of tenant %s: %w", table.Name, head.Tenant, err)
	}
	list := make([]schemas.Coverage, b.N)
	for i := range list {
		if list[i], err = coverageRow(b, i); err != nil {
			return nil, fmt.Errorf("read the coverage of %s of tenant %s: %w", table.Name, head.Tenant, err)
		}
	}
	return list, nil
}

// coverageRow is the inverse of the declaration's getters.
func coverageRow(b *schemas.Block, i int) (schemas.Coverage, error) {
	col := func(n string) *schemas.Vector { return &b.Cols[b.Table.Column(n)] }
	id, err := uuid.Parse(col("run_id").Text(i))
	if err != nil {
		return schemas.Coverage{}, fmt.Errorf("run id: %w", err)
	}
	c := schemas.Coverage{
		Tenant: col("tenant_id").Text(i), Dataset: col("dataset").Text(i), Partition: col("partition_id").Text(i),
		State: schemas.CoverageState(col("state").Text(i)), Evidence: col("evidence").Text(i), Unlock: col("unlock").Text(i),
		ObservedAt: col("observed_at").Time(i), RunID: id, Seq: uint64(col("seq").Ints[i]),
	}
	if at := col("last_complete_at"); !at.Null(i) {
		c.LastCompleteAt = at.Time(i)
	}
	return c, nil
}

// Expect records what tenants are meant to deliver; the latest word on a tenant
// and dataset counts.
func (w *Warehouse) Expect(ctx context.Context, expected []schemas.Expected) error {
	if len(expected) == 0 {
		return nil
	}
	batch, err := w.conn.PrepareBatch(ctx, "INSERT INTO "+w.layout.object(expectedName)+
		" (tenant_id, dataset, dataset_group, cadence_seconds, paused, removed, updated_at)")
	if err != nil {
		return fmt.Errorf("record what %d tiles expect: %w", len(expected), err)
	}
	defer func() { _ = batch.Close() }()
	now := w.now().UTC()
	for _, e := range expected {
		if err := batch.Append(e.Tenant, e.Dataset, e.Group, uint64(e.Cadence/time.Second), e.Paused, e.Removed, now); err != nil {
			return fmt.Errorf("record that tenant %s delivers %s: %w", e.Tenant, e.Dataset, err)
		}
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("record what %d tiles expect: %w", len(expected), err)
	}
	return nil
}
