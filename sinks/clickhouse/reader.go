package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// Names on a server that belong to one tenant's readers, and the roles of
// deployments/clickhouse-grants.sql that row policies leave alone.
const (
	readerPrefix  = "sitedrift_tenant_" // of the database with the tenant's views
	ownerPrefix   = "sitedrift_views_"  // of the user whose rights those views have
	rolePrefix    = "sitedrift_reader_" // of the role that readers get
	denyPolicy    = "sitedrift_deny"
	exemptedRoles = "sitedrift_daemon, sitedrift_analyst"
)

// ReaderGrants lists the statements that let readers of one tenant in on a
// server, for an administrator to run. They can be run again, and have to be
// after an upgrade that brings datasets.
//
// Readers get a database of views of their own and nothing else: no table, since
// mergeTreeIndex() shows keys of a table past its row policies. The views run
// with the rights of a user whom nobody can log in as, and to whom row policies
// show the tenant's rows. A table that is made later is granted to neither, so it
// shows nothing until the statements are run again (Invariant 7).
func ReaderGrants(datasets []*schemas.Dataset, cluster, tenant string) ([]string, error) {
	if tenant == "" || strings.ContainsAny(tenant, "`\\") {
		return nil, fmt.Errorf("%q is no tenant id", tenant)
	}
	l := layout{database: Database, cluster: cluster}
	own := layout{database: readerPrefix + tenant, cluster: cluster}
	owner, role, on := name(ownerPrefix+tenant), name(rolePrefix+tenant), l.onCluster()
	statements := []string{
		own.createDatabase(),
		fmt.Sprintf("CREATE USER IF NOT EXISTS %s%s IDENTIFIED WITH no_password HOST NONE", owner, on),
	}
	for _, t := range tables(datasets) {
		statements = append(statements, fmt.Sprintf("CREATE ROW POLICY OR REPLACE %s%s ON %s FOR SELECT USING 0 AS PERMISSIVE TO ALL EXCEPT %s", denyPolicy, on, l.object(t.name), exemptedRoles))
		if t.column("tenant_id") < 0 {
			continue // the views read none of these
		}
		statements = append(statements,
			fmt.Sprintf("CREATE ROW POLICY OR REPLACE %s%s ON %s FOR SELECT USING %s AS PERMISSIVE TO %s", owner, on, l.object(t.name), tenantFilter(tenant), owner),
			fmt.Sprintf("GRANT%s SELECT ON %s TO %s", on, l.object(t.name), owner))
	}
	for _, v := range views(l, datasets) {
		from := l.object(v.name)
		if strings.HasSuffix(v.name, "_at") {
			from += "(at = {at:DateTime64(3, 'UTC')})"
		}
		statements = append(statements,
			fmt.Sprintf("GRANT%s SELECT ON %s TO %s", on, l.object(v.name), owner),
			fmt.Sprintf("CREATE OR REPLACE VIEW %s%s DEFINER = %s SQL SECURITY DEFINER AS SELECT * FROM %s", own.object(v.name), on, owner, from))
	}
	settings := "readonly = 1, max_execution_time = 60 MAX 60 CHANGEABLE_IN_READONLY, max_memory_usage = 1000000000"
	if cluster != "" {
		settings += ", select_sequential_consistency = 1"
	}
	return append(statements,
		fmt.Sprintf("CREATE ROLE IF NOT EXISTS %s%s", role, on),
		fmt.Sprintf("ALTER ROLE %s%s SETTINGS %s", role, on, settings),
		fmt.Sprintf("GRANT%s SELECT ON %s.* TO %s", on, name(own.database), role),
	), nil
}

func tenantFilter(tenant string) string { return "tenant_id = " + text(tenant) }

// policy is a row of system.row_policies.
type policy struct{ table, name, filter string }

// ReaderGaps looks for what [ReaderGrants] makes, for every tenant that has a
// database of views on the server, and tells what is missing or not as it was
// made, and which rights readers have beyond. An error says why that cannot be seen.
func (w *Warehouse) ReaderGaps(ctx context.Context) ([]string, error) {
	var tenants []string
	var database, table string
	there := map[string]bool{} // database.view
	err := w.each(ctx, fmt.Sprintf("SELECT d.name, t.name FROM system.databases AS d LEFT JOIN system.tables AS t ON t.database = d.name WHERE startsWith(d.name, %s)", text(readerPrefix)),
		func() {
			if tenant := strings.TrimPrefix(database, readerPrefix); !slices.Contains(tenants, tenant) {
				tenants = append(tenants, tenant)
			}
			there[database+"."+table] = true
		}, &database, &table)
	if err != nil || len(tenants) == 0 {
		return nil, err
	}
	have := map[policy]bool{}
	var p policy
	err = w.each(ctx, "SELECT table, short_name, ifNull(select_filter, '') FROM system.row_policies WHERE NOT is_restrictive AND database = "+text(w.layout.database),
		func() { have[p] = true }, &p.table, &p.name, &p.filter)
	if e := (*ch.Exception)(nil); errors.As(err, &e) && e.Code == codeAccessDenied {
		return nil, fmt.Errorf("the daemon may not see the row policies of readers: GRANT SHOW ROW POLICIES ON *.* and SELECT ON system.row_policies to it: %w", err)
	}
	if err != nil {
		return nil, err
	}
	gaps := readerGaps(tables(w.datasets), Views(w.datasets), tenants, there, have)
	rights, err := w.readAccess(ctx, "system.grants", "system.role_grants")
	if err != nil {
		return append(gaps, err.Error()), nil // what cannot be seen is a gap
	}
	return append(gaps, accessGaps(tables(w.datasets), Views(w.datasets), tenants, rights)...), nil
}

// readerGaps compares the server's views and policies with the declared schema.
// A policy that is not known may show more than was meant, and is told as well.
func readerGaps(declared []table, views, tenants []string, there map[string]bool, have map[policy]bool) []string {
	var gaps []string
	known := map[policy]bool{}
	for _, tenant := range tenants {
		lacks := 0
		for _, v := range views {
			if !there[readerPrefix+tenant+"."+v] {
				lacks++
			}
		}
		for _, t := range declared {
			want := []policy{{t.name, denyPolicy, "0"}}
			if t.column("tenant_id") >= 0 {
				want = append(want, policy{t.name, ownerPrefix + tenant, tenantFilter(tenant)})
			}
			for _, p := range want {
				known[p] = true
				if !have[p] {
					lacks++
				}
			}
		}
		if lacks > 0 {
			gaps = append(gaps, fmt.Sprintf("readers of %s lack %d views and row policies: run what `sitedrift schema readers --tenant %s` prints", tenant, lacks, tenant))
		}
	}
	names := slices.SortedFunc(maps.Keys(have), func(a, b policy) int {
		return strings.Compare(a.table+"."+a.name+a.filter, b.table+"."+b.name+b.filter)
	})
	for _, p := range names {
		if !known[p] {
			gaps = append(gaps, fmt.Sprintf("the row policy %s on %s (USING %s) is none of ours: see whether it shows a reader more than it should", p.name, p.table, p.filter))
		}
	}
	return gaps
}
