package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

type backupCmd struct {
	Dir string `arg:"" type:"path" help:"Where to make the copy. It must not be there yet."`
}

// Help is shown by --help.
func (backupCmd) Help() string {
	return "Makes a directory that can take the place of data_dir, while the daemon works: the state first, the warehouse second, copied and restored there by the engine. To restore, put it where data_dir says and start. The key file is not in it: keep a copy of that apart, or the stored credentials are lost. Where the stores are servers, back them up with their own means."
}

type backupParams struct {
	Dir string `json:"dir"`
}

type backedUp struct {
	Dir   string `json:"dir"`
	Bytes int64  `json:"bytes"`
}

func (c *backupCmd) Run(e *env) error {
	res, err := call[backedUp](e, "backup", backupParams(*c), nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	_, err = fmt.Fprintf(e.out, "made %s, %.1f MB; the key file (vault.key_file) is not in it: keep a copy of that apart\n", res.Dir, float64(res.Bytes)/1e6)
	return err
}

func backupActions(p backupParams, _ *backedUp) []collector.Action {
	return []collector.Action{{Name: "backup", Detail: p.Dir}}
}

// opBackup makes a copy of the data directory of which every part is whole.
func opBackup(ctx context.Context, a *app, p backupParams, _ func(any)) (res backedUp, err error) {
	res.Dir = p.Dir
	if a.cfg.State.Driver != config.DriverSQLite || a.cfg.Warehouse.Mode != config.ModeEmbedded {
		return res, usage("backup copies the files of one machine, and here a store is a server: back it up with its own means, the state before the warehouse")
	}
	if _, err := os.Lstat(p.Dir); err == nil {
		return res, usage("%s is there already: name a directory that is not", p.Dir)
	}
	if !a.rewriting.TryLock() {
		return res, errors.New("another backup is under way, or an erasure: let it end")
	}
	defer a.rewriting.Unlock()
	part := p.Dir + ".part" // until all of it is there
	switch err := os.Mkdir(part, 0o700); {
	case errors.Is(err, fs.ErrExist):
		return res, fmt.Errorf("%s is left of a backup that was cut off: remove it", part)
	case errors.Is(err, fs.ErrNotExist): // perhaps a disk that is not mounted
		return res, usage("%s is not there: make it, or mount it, first", filepath.Dir(p.Dir))
	case err != nil:
		return res, fmt.Errorf("make the directory of the backup, with the rights of the daemon: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	// The state is the older one, whatever is published meanwhile: the start on a
	// copy recognizes that, and takes over what the warehouse shows (Invariant 3).
	// With an older warehouse the ledger would miss rows that it has decided.
	if err := a.store.Backup(ctx, part); err != nil {
		return res, err
	}
	a.trace("backup.state")
	if err := a.backUpWarehouse(ctx, part); err != nil {
		return res, err
	}
	if err := os.Rename(part, p.Dir); err != nil {
		return res, fmt.Errorf("give the backup its name: %w", err)
	}
	res.Bytes, err = bytesBelow(p.Dir)
	return res, err
}

// backUpWarehouse lets the engine copy its tables, and an engine of its own restore
// them in the data directory dir, which proves that they can be.
func (a *app) backUpWarehouse(ctx context.Context, dir string) (err error) {
	own := embedded.BackupDir(a.cfg.DataDir)
	if err := os.RemoveAll(own); err != nil { // left by a process that died
		return fmt.Errorf("make room for the backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own)) }()
	if err := a.warehouse.Backup(ctx, own, func() { a.trace("backup.heads") }); err != nil {
		return err
	}
	engine, err := embedded.Start(ctx, embedded.Settings{
		Dir: dir, Command: a.out.engine, Library: a.cfg.Warehouse.Library, MaxMemoryBytes: int64(a.cfg.Warehouse.MaxMemory), Log: a.log.Named("backup"),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(ctx))) }()
	there := embedded.BackupDir(dir)
	if err := move(own, there); err != nil {
		return fmt.Errorf("move the backup to its place: %w", err)
	}
	if err := clickhouse.Restore(ctx, engine.Options(), tables(), there); err != nil {
		return err
	}
	return os.RemoveAll(there)
}

// move renames a directory, or copies it to another file system.
func move(from, to string) error {
	err := os.Rename(from, to)
	if errors.Is(err, syscall.EXDEV) {
		return os.CopyFS(to, os.DirFS(from))
	}
	return err
}

// bytesBelow is the size of all files below dir.
func bytesBelow(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	return n, err
}
