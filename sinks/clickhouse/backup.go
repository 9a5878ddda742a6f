package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// The two parts of a backup. Each table is copied as of one moment, but not all as of
// the same one, so the heads come first: rows that are published meanwhile lie above
// them, where nobody sees them. The other way round a head would cover rows that
// the backup lacks (Invariant 2).
const (
	backupHeads = "heads"
	backupRows  = "rows"
)

// Backup copies the tables into dir, which must be below the path that the server
// lets backups go to. It returns when all of it is there; between the parts it
// calls betweenParts, if that is set.
func (w *Warehouse) Backup(ctx context.Context, dir string, betweenParts func()) error {
	if err := w.knowsAll(ctx); err != nil {
		return fmt.Errorf("back the warehouse up: %w", err)
	}
	heads, rows := w.backupTables()
	for _, part := range []struct {
		name   string
		tables string
	}{{backupHeads, heads}, {backupRows, rows}} {
		if err := w.copyTables(ctx, fmt.Sprintf("BACKUP %s TO File(%s)", part.tables, text(filepath.Join(dir, part.name)))); err != nil {
			return fmt.Errorf("back the %s up: %w", part.name, err)
		}
		if part.name == backupHeads && betweenParts != nil {
			betweenParts()
		}
	}
	return nil
}

// Restore makes the tables of a backup in an embedded engine without any.
func Restore(ctx context.Context, options *ch.Options, datasets []*schemas.Dataset, dir string) error {
	w, err := Open(ctx, Settings{Options: options, Embedded: true, Datasets: datasets})
	if err != nil {
		return err
	}
	defer func() { _ = w.Close() }() // nothing is under way
	heads, rows := w.backupTables()
	for part, tables := range map[string]string{backupHeads: heads, backupRows: rows} {
		if err := w.copyTables(ctx, fmt.Sprintf("RESTORE %s FROM File(%s)", tables, text(filepath.Join(dir, part)))); err != nil {
			return fmt.Errorf("restore the %s: %w", part, err)
		}
	}
	return nil
}

// backupTables are the parts as lists of BACKUP. Views are made by Migrate.
func (w *Warehouse) backupTables() (heads, rows string) {
	var rest []string
	for _, t := range tables(w.datasets) {
		if t.name == headsName {
			heads = "TABLE " + w.layout.object(t.name)
			continue
		}
		rest = append(rest, "TABLE "+w.layout.object(t.name))
	}
	return heads, strings.Join(rest, ", ")
}

// copyTables runs a BACKUP or RESTORE, which may take longer than a connection
// waits for an answer, and returns when it ended.
func (w *Warehouse) copyTables(ctx context.Context, statement string) error {
	var id, status, failure string
	if err := w.conn.QueryRow(ctx, statement+" ASYNC").Scan(&id, &status); err != nil {
		return err
	}
	for {
		if err := w.conn.QueryRow(ctx, "SELECT toString(status), error FROM system.backups WHERE id = "+text(id)).Scan(&status, &failure); err != nil {
			return err
		}
		switch status {
		case "BACKUP_CREATED", "RESTORED":
			return nil
		case "CREATING_BACKUP", "RESTORING":
		default:
			return errors.New(failure)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
