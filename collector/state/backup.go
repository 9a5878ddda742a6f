package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup copies the databases into dir, each as of one moment, while they are
// used: tenants, work and ledger first, and credentials second, whose tokens are
// the newer the better. Only SQLite has files to copy.
func (s *Store) Backup(ctx context.Context, dir string) error {
	if s.vault == s.db {
		return errors.New("the state is in PostgreSQL, which has means of its own for backups")
	}
	for _, file := range []struct {
		name string
		from *pool
	}{{stateFile, s.db}, {vaultFile, s.vault}} {
		path := filepath.Join(dir, file.name)
		// SQLite takes an empty file, and leaves it its mode.
		empty, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			err = empty.Close()
		}
		if err == nil {
			_, err = file.from.ExecContext(ctx, `VACUUM INTO $1`, path)
		}
		if err != nil {
			return fmt.Errorf("copy %s to %s: %w", file.name, dir, err)
		}
	}
	return nil
}
