package clickhouse

import (
	"context"
	"errors"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
)

// found is what a database holds.
type found struct {
	exists   bool
	tables   map[string]*foundTable // views too
	recorded map[string]recorded
	version  uint32 // of the schema; 0: nobody noted one
	oldest   uint32 // whose releases may use it
}

type foundTable struct {
	engine, engineFull       string
	sortingKey, partitionKey string
	comment, create          string
	columns                  []column
}

// typeOf is the type of a column, empty if there is none of that name.
func (t *foundTable) typeOf(column string) string {
	for _, c := range t.columns {
		if c.name == column {
			return c.typ
		}
	}
	return ""
}

// recorded is how a view was last created: the hash of our statement, and of
// what the server made of it, which it prints in words of its own.
type recorded struct{ statement, stored string }

func (w *Warehouse) inspect(ctx context.Context) (*found, error) {
	f := &found{tables: map[string]*foundTable{}, recorded: map[string]recorded{}}
	db := text(w.layout.database)
	var n uint64
	if err := w.conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = "+db).Scan(&n); err != nil {
		return nil, err
	}
	f.exists = n > 0
	var name string
	var t foundTable
	err := w.each(ctx, "SELECT name, engine, engine_full, sorting_key, partition_key, comment, create_table_query FROM system.tables WHERE database = "+db,
		func() { found := t; f.tables[name] = &found },
		&name, &t.engine, &t.engineFull, &t.sortingKey, &t.partitionKey, &t.comment, &t.create)
	if err != nil {
		return nil, err
	}
	var c column
	err = w.each(ctx, "SELECT table, name, type, comment FROM system.columns WHERE database = "+db+" ORDER BY table, position",
		func() {
			if t := f.tables[name]; t != nil {
				t.columns = append(t.columns, c)
			}
		},
		&name, &c.name, &c.typ, &c.doc)
	if err == nil && f.tables[schemaVersionsName] != nil {
		err = w.each(ctx, fmt.Sprintf("SELECT version, oldest FROM %s ORDER BY version DESC LIMIT 1", w.layout.object(schemaVersionsName)), func() {}, &f.version, &f.oldest)
	}
	if err != nil || f.tables[objectsName] == nil {
		return f, err
	}
	var r recorded
	err = w.each(ctx, fmt.Sprintf("SELECT name, statement, stored FROM %s FINAL", w.layout.object(objectsName)),
		func() { f.recorded[name] = r }, &name, &r.statement, &r.stored)
	return f, err
}

// each scans every row of a query into dest and calls row.
func (w *Warehouse) each(ctx context.Context, sql string, row func(), dest ...any) error {
	rows, err := w.conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return errors.Join(err, rows.Close())
		}
		row()
	}
	return errors.Join(w.trouble(ctx, rows.Err()), rows.Close())
}

// recordViews notes how the views were created, those that are new to it.
func (w *Warehouse) recordViews(ctx context.Context) error {
	f, err := w.inspect(ctx)
	if err != nil {
		return err
	}
	batch, err := w.conn.PrepareBatch(ctx, "INSERT INTO "+w.layout.object(objectsName)+" (name, statement, stored, created_at)")
	if err != nil {
		return err
	}
	defer func() { _ = batch.Close() }()
	for _, v := range views(w.layout, w.datasets) {
		t := f.tables[v.name]
		if t == nil {
			return fmt.Errorf("the view %s was created and is not there: does somebody else change the schema?", v.name)
		}
		r := recorded{hashText(v.create(w.layout)), hashText(t.create)}
		if f.recorded[v.name] == r {
			continue
		}
		if err := batch.Append(v.name, r.statement, r.stored, w.now().UTC()); err != nil {
			return err
		}
	}
	return w.trouble(ctx, batch.Send())
}

// owner is the installation that the database belongs to; nil when to nobody.
func (w *Warehouse) owner(ctx context.Context) (uuid.UUID, error) {
	owner := uuid.Nil
	err := w.each(ctx, fmt.Sprintf("SELECT installation FROM %s ORDER BY created_at, installation LIMIT 1", w.layout.object(installationName)), func() {}, &owner)
	var e *ch.Exception
	if errors.As(err, &e) && (e.Code == codeUnknownTable || e.Code == codeUnknownDatabase) {
		return uuid.Nil, nil
	}
	return owner, err
}
