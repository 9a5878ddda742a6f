package clickhouse

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// keysPerDelete bounds the list of entities in one statement of ErasePerson.
const keysPerDelete = 1_000

// person is an account of a tenant, as the warehouse may name it.
type person struct{ tenant, account string }

// pattern finds the account as a word of its own in a text, such as a summary,
// a composed key or JSON: user keys of Data Center may be short.
func (p person) pattern() string {
	const edge = "[^A-Za-z0-9:_-]"
	return text("(^|" + edge + ")" + regexp.QuoteMeta(p.account) + "(" + edge + "|$)")
}

// within is the condition that a text has the account in it.
func (p person) within(column string) string {
	return fmt.Sprintf("match(%s, %s)", name(column), p.pattern())
}

// of is the condition that a row is of the tenant and meets another one.
func (p person) of(cond string) string {
	return fmt.Sprintf("tenant_id = %s AND ifNull(%s, false)", text(p.tenant), cond)
}

// names is the condition that a version is about the person, and the columns in
// which others only mention an account, such as the author of a space. A record
// that only grows is about everybody whom it mentions.
func (p person) names(d *schemas.Dataset) (about string, mentions []schemas.ColumnInfo) {
	var conds []string
	for _, c := range d.Columns {
		switch {
		case c.Kind != schemas.KindString && c.Kind != schemas.KindStrings:
		case d.Append && c.Kind == schemas.KindString:
			conds = append(conds, p.within(c.Name))
		case c.Role == schemas.RoleKey || slices.Contains(d.EntityName, c.Name):
			conds = append(conds, p.in(c))
		default:
			mentions = append(mentions, c)
		}
	}
	return "(" + strings.Join(conds, " OR ") + ")", mentions
}

// in is the condition that a column holds the account.
func (p person) in(c schemas.ColumnInfo) string {
	if c.Kind == schemas.KindStrings {
		return fmt.Sprintf("has(%s, %s)", name(c.Name), text(p.account))
	}
	return fmt.Sprintf("%s = %s", name(c.Name), text(p.account))
}

// without is the column's value with the account taken out.
func (p person) without(c schemas.ColumnInfo) string {
	switch {
	case c.Kind == schemas.KindStrings:
		return fmt.Sprintf("arrayFilter(x -> x != %s, %s)", text(p.account), name(c.Name))
	case c.Nullable:
		return "NULL"
	default:
		return "''"
	}
}

// events are the conditions that a change of a dataset is about the person, and
// that its values mention the account.
func (p person) events(d *schemas.Dataset) (about, mention string) {
	of := "dataset = " + text(d.Name) + " AND "
	return of + "(" + p.within("entity_key") + " OR " + p.within("entity_name") + ")", of + "(" + p.within("before") + " OR " + p.within("after") + ")"
}

// PersonRows counts, by table, the rows of datasets and their changes that are
// about an account or mention it, whether readers see them or not.
func (w *Warehouse) PersonRows(ctx context.Context, list []*schemas.Dataset, tenant, account string) (map[string]int64, error) {
	p := person{tenant, account}
	counts := map[string]int64{}
	count := func(table, cond string) error {
		var n uint64
		err := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE %s", w.layout.object(table), p.of(cond))).Scan(&n)
		if err != nil {
			return fmt.Errorf("count rows about an account in %s: %w", table, err)
		}
		if n > 0 {
			counts[table] += int64(n)
		}
		return nil
	}
	for _, d := range list {
		about, mentions := p.names(d)
		anywhere := []string{about}
		for _, c := range mentions {
			anywhere = append(anywhere, p.in(c))
		}
		event, mention := p.events(d)
		if err := count(versionsName(d), "("+strings.Join(anywhere, " OR ")+")"); err != nil {
			return nil, err
		}
		if err := count(changesName, "("+event+" OR "+mention+")"); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// ErasePerson deletes what the warehouse holds about an account in datasets of a
// tenant, from disk too: all versions of every entity that a version names the
// account of, and their changes. Where an account is only mentioned, such as the
// author of a space, it is taken out, and the row stays. It returns how many
// rows that were. No run of these datasets may be under way. Repeating it after
// a failure is safe.
func (w *Warehouse) ErasePerson(ctx context.Context, list []*schemas.Dataset, tenant, account string) (int64, error) {
	if err := w.knowsAll(ctx); err != nil {
		return 0, fmt.Errorf("erase an account: %w", err)
	}
	p := person{tenant, account}
	before, err := w.PersonRows(ctx, list, tenant, account)
	if err != nil {
		return 0, err
	}
	alter := func(table, what, cond string) error {
		sql := fmt.Sprintf("ALTER TABLE %s%s %s WHERE %s", w.layout.object(table), w.layout.onCluster(), what, p.of(cond))
		if err := w.conn.Exec(ch.Context(ctx, ch.WithSettings(ch.Settings{"mutations_sync": 2})), sql); err != nil {
			return fmt.Errorf("erase an account from %s: %w", table, err)
		}
		return nil
	}
	for _, d := range list {
		if before[versionsName(d)] > 0 {
			about, mentions := p.names(d)
			if err := w.eraseEntities(ctx, p, d, about, alter); err != nil {
				return 0, err
			}
			for _, c := range mentions {
				if err := alter(versionsName(d), fmt.Sprintf("UPDATE %s = %s", name(c.Name), p.without(c)), p.in(c)); err != nil {
					return 0, err
				}
			}
		}
		if before[changesName] > 0 {
			about, mention := p.events(d)
			if err := alter(changesName, "DELETE", "("+about+")"); err != nil {
				return 0, err
			}
			if err := alter(changesName, fmt.Sprintf(`UPDATE before = replaceRegexpAll(before, %[1]s, '\\1\\2'), after = replaceRegexpAll(after, %[1]s, '\\1\\2')`, p.pattern()), "("+mention+")"); err != nil {
				return 0, err
			}
		}
	}
	var n int64
	for _, rows := range before {
		n += rows
	}
	left, err := w.PersonRows(ctx, list, tenant, account)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("rows about the account came meanwhile: %v: is another sitedrift writing there? stop it and try again", left)
	}
	return n, err
}

// eraseEntities deletes all versions of the entities of which one is about the
// person: a version that is left would look like the present one. They are
// listed first, because a mutation looks for them part by part.
func (w *Warehouse) eraseEntities(ctx context.Context, p person, d *schemas.Dataset, about string, alter func(table, what, cond string) error) error {
	var partition, key string
	var all []string
	err := w.each(ctx, fmt.Sprintf("SELECT DISTINCT partition_id, toString(key_hash) FROM %s WHERE %s", w.layout.object(versionsName(d)), p.of(about)),
		func() { all = append(all, fmt.Sprintf("(%s, %s)", text(partition), hexText([]byte(key)))) }, &partition, &key)
	if err != nil {
		return fmt.Errorf("list entities about an account in %s: %w", versionsName(d), err)
	}
	for keys := range slices.Chunk(all, keysPerDelete) {
		if err := alter(versionsName(d), "DELETE", "(partition_id, key_hash) IN ("+strings.Join(keys, ", ")+")"); err != nil {
			return err
		}
	}
	return nil
}
