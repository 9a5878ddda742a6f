package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// The files of a state directory.
const (
	stateFile = "state.db"
	vaultFile = "vault.db"
)

// OpenSQLite opens, or creates, the state of a single process: state.db and
// vault.db in dir. The directory gets mode 0700, the files 0600. A second
// process is refused at once with ErrInUse; ErrUnfit when a file is there and cannot
// be used as it is. Call RecoverLeases after it: what a
// dead process had claimed is free, since nobody else can be alive.
func OpenSQLite(ctx context.Context, dir string) (_ *Store, err error) {
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeOpened())
		}
	}()
	if s.db, err = openFile(ctx, filepath.Join(dir, stateFile)); err != nil {
		return nil, err
	}
	if s.vault, err = openFile(ctx, filepath.Join(dir, vaultFile)); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.db, stateMigrations); err != nil {
		return nil, s.db.explain(err)
	}
	if err := migrate(ctx, s.vault, vaultMigrations); err != nil {
		return nil, s.vault.explain(err)
	}
	return s, nil
}

// closeOpened closes what an unfinished OpenSQLite has opened.
func (s *Store) closeOpened() error {
	var errs []error
	for _, d := range []*pool{s.db, s.vault} {
		if d != nil {
			errs = append(errs, d.Close())
		}
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// privateDir creates dir for its owner only, and closes an existing one to
// others. Shared directories such as /tmp itself are refused.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create state directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("state directory: %w", err)
	}
	if info.Mode()&os.ModeSticky != 0 {
		return fmt.Errorf("state directory %s is shared with other users (sticky bit set): name a directory of its own", dir)
	}
	if info.Mode().Perm() == 0o700 {
		return nil
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // a directory needs the x
		return fmt.Errorf("close state directory to other users: %w", err)
	}
	return nil
}

// openFile opens one SQLite file.
func openFile(ctx context.Context, path string) (*pool, error) {
	// SQLite gives its journals the mode of the file, so that is made first.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create database file: %w", err)
	}
	err = errors.Join(f.Chmod(0o600), f.Close())
	if err != nil {
		return nil, fmt.Errorf("close database file to other users: %w", err)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	settings := url.Values{
		"_pragma": {
			"journal_mode(WAL)",
			// Invariant 5: a commit that returned is on disk. The driver runs
			// these for every connection that it opens.
			"synchronous(FULL)",
			"busy_timeout(10000)",
			"foreign_keys(1)",
			"secure_delete(1)", // an erased credential leaves no copy in free pages
		},
		"_txlock": {"immediate"},
	}
	dsn := url.URL{Scheme: "file", Path: abs, RawQuery: settings.Encode()}
	connector, err := sqlite.NewConnector(dsn.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	conns := sql.OpenDB(keeping{connector})
	// One connection: writers queue here, fairly and without SQLITE_BUSY.
	conns.SetMaxOpenConns(1)
	if err := conns.PingContext(ctx); err != nil {
		return nil, errors.Join(explainSQLite(path, err), conns.Close())
	}
	return &pool{DB: conns, dialect: "sqlite", explain: func(err error) error { return explainSQLite(path, err) }}, nil
}
