package state

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrationFiles embed.FS

// migrations is a directory of migrations, the table that remembers which ran, and
// the one that says which releases may run on the result.
type migrations struct{ dir, table, oldest string }

var (
	stateMigrations = migrations{"migrations/state", "sitedrift_state_version", "sitedrift_state_oldest"}
	vaultMigrations = migrations{"migrations/vault", "sitedrift_vault_version", "sitedrift_vault_oldest"}
)

// migrate brings a database to the newest version. One that a newer release has
// written is left as it is: it is used if that release says that this one may run
// on it, as while replicas are replaced one by one, and refused otherwise.
func migrate(ctx context.Context, d *pool, m migrations) error {
	provider, err := m.provider(d)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	current, target, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current <= target {
		return nil
	}
	var oldest int64
	if err := d.QueryRowContext(ctx, `SELECT version FROM `+m.oldest).Scan(&oldest); err != nil {
		return fmt.Errorf("its schema has version %d, this release knows %d, and which releases may use it cannot be read: %w", current, target, err)
	}
	if oldest > target {
		return fmt.Errorf("its schema has version %d, and only releases that know version %d or newer may use it; this one knows %d: run the newer release that wrote it, or restore a backup made before the upgrade", current, oldest, target)
	}
	return nil
}

func (m migrations) provider(d *pool) (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, m.dir)
	if err != nil {
		return nil, err
	}
	dialect := database.DialectSQLite3
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true)}
	if d.dialect == "postgres" {
		dialect = database.DialectPostgres
		// Replicas that start together: one migrates, the others wait.
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300)) // try each second, for five minutes
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	store, err := database.NewStore(dialect, m.table)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider("", d.DB, files, append(options, goose.WithStore(store))...)
}
