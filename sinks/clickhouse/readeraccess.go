package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// holder is a user or a role; a user may have the name of a role.
type holder struct {
	name string
	role bool
}

func (h holder) String() string {
	if h.role {
		return "the role " + h.name
	}
	return "the user " + h.name
}

// right is a row of system.grants without its holder. Empty names stand for all.
type right struct {
	access, database, table, column string
	beginning                       bool // the last name is the beginning of names
}

func (r right) String() string {
	star := ""
	if r.beginning {
		star = "*"
	}
	on := "*.*"
	switch {
	case r.table != "":
		on = r.database + "." + r.table + star
	case r.database != "":
		on = r.database + star + ".*"
	}
	if r.column != "" {
		return fmt.Sprintf("%s(%s) on %s", r.access, r.column, on)
	}
	return r.access + " on " + on
}

// accessRights is what users and roles may do on a server.
type accessRights struct {
	rights map[holder][]right
	roles  map[holder][]string // granted to them
}

// readAccess reads the rights of everybody, from system.grants and
// system.role_grants or tables like these. An error says what the daemon has to be
// granted for that.
func (w *Warehouse) readAccess(ctx context.Context, grants, roleGrants string) (accessRights, error) {
	a := accessRights{map[holder][]right{}, map[holder][]string{}}
	var user, role, granted string
	var r right
	who := func() holder { return holder{cmp.Or(user, role), user == ""} }
	err := w.each(ctx, "SELECT ifNull(user_name, ''), ifNull(role_name, ''), toString(access_type), ifNull(database, ''), ifNull(table, ''), ifNull(column, ''), is_wildcard = 1 FROM "+grants+" WHERE NOT is_partial_revoke",
		func() { a.rights[who()] = append(a.rights[who()], r) }, &user, &role, &r.access, &r.database, &r.table, &r.column, &r.beginning)
	if err == nil {
		err = w.each(ctx, "SELECT ifNull(user_name, ''), ifNull(role_name, ''), granted_role_name FROM "+roleGrants, func() { a.roles[who()] = append(a.roles[who()], granted) }, &user, &role, &granted)
	}
	if e := (*ch.Exception)(nil); errors.As(err, &e) && e.Code == codeAccessDenied {
		return a, fmt.Errorf("the daemon may not see whether readers have more rights than they should: GRANT SHOW USERS, SHOW ROLES ON *.* and SELECT ON system.grants and system.role_grants to it: %w", err)
	}
	return a, err
}

// accessGaps compares the rights on a server with those that [ReaderGrants] gives.
// Those of a tenant's role and of its views' user are to be just these. Whoever
// holds a tenant's role, a reader, may have others, but none that reaches the
// tables, whose row policies do not hold back all, or another tenant's views
// (Invariant 7).
func accessGaps(declared []table, views, tenants []string, a accessRights) (gaps []string) {
	for _, tenant := range tenants {
		role, owner := holder{rolePrefix + tenant, true}, holder{ownerPrefix + tenant, false}
		gaps = append(gaps, a.exactly(role, tenant, []right{{access: "SELECT", database: readerPrefix + tenant}})...)
		var want []right
		for _, t := range declared {
			if t.column("tenant_id") >= 0 {
				want = append(want, right{access: "SELECT", database: Database, table: t.name})
			}
		}
		for _, v := range views {
			want = append(want, right{access: "SELECT", database: Database, table: v})
		}
		gaps = append(gaps, a.exactly(owner, tenant, want)...)
	}
	var readers []string
	for h := range a.roles {
		if len(a.readerOf(h)) > 0 && !strings.HasPrefix(h.name, rolePrefix) {
			readers = append(readers, a.beyond(h)...)
		}
	}
	slices.Sort(readers)
	return append(gaps, readers...)
}

// exactly tells what a holder lacks, and has too much.
func (a accessRights) exactly(h holder, tenant string, want []right) (gaps []string) {
	lacks := 0
	for _, r := range want {
		if !slices.Contains(a.rights[h], r) {
			lacks++
		}
	}
	if lacks > 0 {
		gaps = append(gaps, fmt.Sprintf("readers of %s: %s lacks %d rights: run what `sitedrift schema readers --tenant %s` prints", tenant, h, lacks, tenant))
	}
	for _, r := range a.rights[h] {
		if !slices.Contains(want, r) {
			gaps = append(gaps, fmt.Sprintf("readers of %s: %s has %s, which is none of ours: revoke it", tenant, h, r))
		}
	}
	for _, role := range a.roles[h] {
		gaps = append(gaps, fmt.Sprintf("readers of %s: %s has the role %s, which is none of ours: revoke it", tenant, h, role))
	}
	return gaps
}

// all are the holder itself and the roles that it has, also by way of others.
func (a accessRights) all(h holder) []holder {
	list := []holder{h}
	for i := 0; i < len(list); i++ {
		for _, role := range a.roles[list[i]] {
			if r := (holder{role, true}); !slices.Contains(list, r) {
				list = append(list, r)
			}
		}
	}
	return list
}

// readerOf lists the tenants whose views a holder is let in to.
func (a accessRights) readerOf(h holder) (tenants []string) {
	for _, r := range a.all(h) {
		if tenant, ok := strings.CutPrefix(r.name, rolePrefix); ok && r.role {
			tenants = append(tenants, tenant)
		}
	}
	return tenants
}

// beyond tells what else a reader has that reaches rows of others.
func (a accessRights) beyond(h holder) (gaps []string) {
	tenants := a.readerOf(h)
	for _, by := range a.all(h) {
		if by.role && strings.HasPrefix(by.name, rolePrefix) {
			continue // judged by itself
		}
		for _, r := range a.rights[by] {
			if !r.reaches(tenants) {
				continue
			}
			way := ""
			if by != h {
				way = " by " + by.String()
			}
			gaps = append(gaps, fmt.Sprintf("%s, a reader of %s, has %s%s, which reaches rows of others: revoke that, or the reader's role", h, strings.Join(tenants, " and "), r, way))
		}
	}
	return gaps
}

// harmless are the rights on everything that reach no row.
var harmless = []string{"SHOW", "SHOW DATABASES", "SHOW TABLES", "SHOW COLUMNS", "SHOW DICTIONARIES", "CREATE TEMPORARY TABLE"}

// reaches reports whether a right touches the tables, or views of tenants that are
// not among those given. A part of it that was revoked again does not count.
func (r right) reaches(tenants []string) bool {
	ours := func(beginning string) bool {
		return strings.HasPrefix(Database, beginning) || strings.HasPrefix(readerPrefix, beginning) || strings.HasPrefix(beginning, readerPrefix)
	}
	switch tenant, views := strings.CutPrefix(r.database, readerPrefix); {
	case slices.Contains(harmless, r.access):
		return false
	case r.database == "" || r.database == Database:
		return true
	case r.beginning && r.table == "":
		return ours(r.database)
	default:
		return views && !slices.Contains(tenants, tenant)
	}
}
