package clickhouse

import (
	"context"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// Erase deletes every row of a tenant from every table, from disk too and not
// only from sight, and returns how many there were. It waits until the data is
// rewritten, which for a large tenant takes a while. Nothing of the tenant may be
// running. Repeating it after a failure is safe.
func (w *Warehouse) Erase(ctx context.Context, tenant string) (int64, error) {
	if err := w.knowsAll(ctx); err != nil {
		return 0, fmt.Errorf("erase tenant %s: %w", tenant, err)
	}
	tables := []string{headsName, changesName, coverageName, runsName, expectedName} // without heads no reader sees the rest
	for _, d := range w.datasets {
		tables = append(tables, versionsName(d))
	}
	var erased int64
	for _, table := range tables {
		n, err := w.rowsOf(ctx, table, tenant)
		if err != nil {
			return erased, fmt.Errorf("erase tenant %s: count its rows in %s: %w", tenant, table, err)
		}
		if n == 0 {
			continue
		}
		// Without ON CLUSTER: replicas take a mutation over from each other, and 2 waits for all of them.
		sql := fmt.Sprintf("ALTER TABLE %s DELETE WHERE tenant_id = %s", w.layout.object(table), text(tenant))
		if err := w.conn.Exec(ch.Context(ctx, ch.WithSettings(ch.Settings{"mutations_sync": 2})), sql); err != nil {
			return erased, fmt.Errorf("erase tenant %s from %s: %w", tenant, table, err)
		}
		left, err := w.rowsOf(ctx, table, tenant)
		if err != nil {
			return erased, fmt.Errorf("erase tenant %s: count what is left in %s: %w", tenant, table, err)
		}
		if left > 0 {
			return erased, fmt.Errorf("erase tenant %s: %d of its rows came into %s meanwhile: is another sitedrift writing there? stop it and try again", tenant, left, table)
		}
		erased += int64(n)
	}
	return erased, nil
}

func (w *Warehouse) rowsOf(ctx context.Context, table, tenant string) (n uint64, err error) {
	err = w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE tenant_id = %s", w.layout.object(table), text(tenant))).Scan(&n)
	return n, err
}
