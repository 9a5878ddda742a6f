package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// Coverage returns the present coverage of the datasets at their heads, a row
// per partition that was ever told of, in one statement.
func (w *Warehouse) Coverage(ctx context.Context, heads []schemas.Head) ([]schemas.Coverage, error) {
	var at []string
	for _, h := range heads {
		if h.Seq > 0 {
			at = append(at, fmt.Sprintf("(dataset = %s AND %s)", text(h.Dataset), below(h)))
		}
	}
	if len(at) == 0 {
		return nil, nil
	}
	b := schemas.NewBlock(schemas.CoverageTable.Dataset)
	columns := make([]readColumn, len(b.Cols))
	for i, c := range schemas.CoverageTable.Columns {
		columns[i] = vectorColumn(c, &b.Cols[i])
	}
	rest := fmt.Sprintf("FROM (SELECT * FROM %s WHERE %s ORDER BY tenant_id, dataset, partition_id, seq DESC LIMIT 1 BY tenant_id, dataset, partition_id)",
		w.layout.object(coverageName), strings.Join(at, " OR "))
	err := w.read(ctx, columns, rest, nil, func(rows int) error { b.N += rows; return nil })
	if err != nil {
		return nil, fmt.Errorf("read the coverage of tenant %s: %w", heads[0].Tenant, err)
	}
	list := make([]schemas.Coverage, b.N)
	for i := range list {
		if list[i], err = coverageRow(b, i); err != nil {
			return nil, fmt.Errorf("read the coverage of tenant %s: %w", heads[0].Tenant, err)
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

// Expect records what tenants are meant to deliver, as it was decided at the time
// asOf; the latest decision on a tenant and dataset counts, in whichever order they
// are told of.
func (w *Warehouse) Expect(ctx context.Context, asOf time.Time, expected []schemas.Expected) error {
	if len(expected) == 0 {
		return nil
	}
	if err := w.inTurn(ctx, func() error { return w.insertExpected(ctx, asOf, expected) }); err != nil {
		return err
	}
	return w.room(ctx)
}

func (w *Warehouse) insertExpected(ctx context.Context, asOf time.Time, expected []schemas.Expected) error {
	batch, err := w.conn.PrepareBatch(ctx, "INSERT INTO "+w.layout.object(expectedName)+
		" (tenant_id, dataset, dataset_group, cadence_seconds, paused, removed, updated_at)")
	if err != nil {
		return fmt.Errorf("record what %d tiles expect: %w", len(expected), err)
	}
	defer func() { _ = batch.Close() }()
	for _, e := range expected {
		if err := batch.Append(e.Tenant, e.Dataset, e.Group, uint64(e.Cadence/time.Second), e.Paused, e.Removed, asOf.UTC()); err != nil {
			return fmt.Errorf("record that tenant %s delivers %s: %w", e.Tenant, e.Dataset, err)
		}
	}
	if err := w.trouble(ctx, batch.Send()); err != nil {
		return fmt.Errorf("record what %d tiles expect: %w", len(expected), err)
	}
	return nil
}
