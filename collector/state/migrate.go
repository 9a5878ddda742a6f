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

// migrations is a directory of migrations and the table that remembers which ran.
type migrations struct{ dir, table string }

var (
	stateMigrations = migrations{"migrations/state", "sitedrift_state_version"}
	vaultMigrations = migrations{"migrations/vault", "sitedrift_vault_version"}
)

// migrate brings a database to the newest version, and refuses one that a newer
// release has written.
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
	if current > target {
		return fmt.Errorf("its schema has version %d, this release knows %d: run the newer release that wrote it, or restore a backup made before the upgrade", current, target)
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
