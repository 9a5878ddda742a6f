package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// erasePasses bounds how often Erase looks for rows that came in meanwhile.
const erasePasses = 4

// Erase deletes every row of a tenant from every table, from disk too and not
// only from sight, and returns how many there were. It waits until the data is
// rewritten, which for a large tenant takes a while. Nothing of the tenant may be
// running. Repeating it after a failure is safe.
func (w *Warehouse) Erase(ctx context.Context, tenant string) (erased int64, err error) {
	if err := w.knowsAll(ctx); err != nil {
		return 0, fmt.Errorf("erase tenant %s: %w", tenant, err)
	}
	for range erasePasses {
		n, err := w.eraseOnce(ctx, tenant)
		erased += n
		if err != nil {
			return erased, fmt.Errorf("erase tenant %s: %w", tenant, err)
		}
		if n == 0 {
			return erased, nil
		}
	}
	return erased, fmt.Errorf("erase tenant %s: its rows came in again, %d times: is another sitedrift writing there? stop it and try again", tenant, erasePasses)
}

// eraseOnce deletes the rows that are there.
func (w *Warehouse) eraseOnce(ctx context.Context, tenant string) (erased int64, err error) {
	for _, table := range w.ofTenants() {
		var n uint64
		if err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE tenant_id = %s", w.layout.object(table), text(tenant))).Scan(&n); err != nil {
			return erased, fmt.Errorf("count its rows in %s: %w", table, err)
		}
		if n == 0 {
			continue
		}
		// Without ON CLUSTER: replicas take a mutation over from each other, and 2 waits for all of them.
		sql := fmt.Sprintf("ALTER TABLE %s DELETE WHERE tenant_id = %s", w.layout.object(table), text(tenant))
		if err := w.conn.Exec(ch.Context(ctx, ch.WithSettings(ch.Settings{"mutations_sync": 2})), sql); err != nil {
			return erased, fmt.Errorf("delete from %s: %w", table, err)
		}
		erased += int64(n)
	}
	return erased, nil
}

// ofTenants are the tables that hold rows of tenants, the heads first: without them
// no reader sees the rest.
func (w *Warehouse) ofTenants() []string {
	list := []string{headsName, changesName, coverageName, runsName, expectedName}
	for _, d := range w.datasets {
		list = append(list, versionsName(d))
	}
	return list
}

// tenantsPerQuery bounds the list of tenants in one statement of Holding, which has it
// once for each table.
const tenantsPerQuery = 100

// Holding lists, sorted, those of the tenants of which any table has a row.
func (w *Warehouse) Holding(ctx context.Context, tenants []string) (found []string, err error) {
	for some := range slices.Chunk(tenants, tenantsPerQuery) {
		ids := make([]string, len(some))
		for i, id := range some {
			ids[i] = text(id)
		}
		var parts []string
		for _, table := range w.ofTenants() {
			parts = append(parts, fmt.Sprintf("SELECT DISTINCT toString(tenant_id) AS id FROM %s WHERE tenant_id IN (%s)", w.layout.object(table), strings.Join(ids, ", ")))
		}
		var id string
		err = w.each(ctx, "SELECT DISTINCT id FROM ("+strings.Join(parts, "\nUNION ALL ")+")", func() { found = append(found, id) }, &id)
		if err != nil {
			return nil, fmt.Errorf("look for rows of tenants that were erased: %w", err)
		}
	}
	slices.Sort(found)
	return found, nil
}
