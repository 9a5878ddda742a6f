package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector/diff"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// stored is what the engine alone takes for rows that a first snapshot stored.
type stored struct {
	native   time.Duration // taking them in from a ready stream
	baseline time.Duration // handing them out as a baseline
	diff     time.Duration // comparing that baseline with itself, CPU
	rows     int
}

// measureStored opens the warehouse of a daemon that has ended.
func measureStored(ctx context.Context, binary, dir string, run shownRun) (s stored, err error) {
	engine, err := embedded.Start(ctx, embedded.Settings{Dir: filepath.Join(dir, "data"), Command: []string{binary, "engine"}, MaxMemoryBytes: 2 << 30})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(ctx))) }()
	if s.native, err = native(ctx, engine.Options(), filepath.Join(dir, "rows.native")); err != nil {
		return s, err
	}
	warehouse, err := clickhouse.Open(ctx, clickhouse.Settings{Options: engine.Options(), Datasets: datasets.All(), Installation: uuid.New()})
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, warehouse.Close()) }()
	return s, compare(ctx, warehouse, run, &s)
}

// nativeRuns is how often the ready stream is inserted; the median counts.
const nativeRuns = 3

// native exports the stored versions as they are, and times inserts of that
// stream into empty tables of the same schema.
func native(ctx context.Context, o *ch.Options, file string) (took time.Duration, err error) {
	conn, err := ch.Open(o)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	// Before the export: the driver's own first question must not carry the
	// settings of that.
	if err := conn.Ping(ctx); err != nil {
		return 0, err
	}
	const from, to = "sitedrift.space_permissions_versions", "sitedrift.bench_native"
	if err := export(ctx, conn, from, file); err != nil {
		return 0, fmt.Errorf("export %s: %w", from, err)
	}
	var all []float64
	for range nativeRuns {
		d, err := insertInto(ctx, conn, from, to, file)
		if err != nil {
			return 0, err
		}
		all = append(all, float64(d))
	}
	return time.Duration(median(all)), nil
}

// insertInto makes a table like another one, times the insert of the file into
// it, and drops it.
func insertInto(ctx context.Context, conn driver.Conn, like, table, file string) (took time.Duration, err error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := conn.Exec(ctx, "CREATE TABLE "+table+" AS "+like); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := conn.InsertFormat(ctx, "Native", "INSERT INTO "+table, f); err != nil {
		return 0, fmt.Errorf("insert a ready stream: %w", err)
	}
	took = time.Since(start)
	var same bool
	if err := conn.QueryRow(ctx, "SELECT (SELECT count() FROM "+like+") = (SELECT count() FROM "+table+")").Scan(&same); err != nil || !same {
		return 0, errors.Join(errors.New("the table that took the stream holds another number of rows"), err)
	}
	return took, conn.Exec(ctx, "DROP TABLE "+table+" SYNC")
}

func export(ctx context.Context, conn driver.Conn, table, file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	plain := ch.Context(ctx, ch.WithSettings(ch.Settings{"client_protocol_version": 0}))
	body, err := conn.QueryFormat(plain, "Native", "SELECT * FROM "+table)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	_, err = io.Copy(f, body)
	return err
}

// compare reads the baseline of the rows that the run wrote, as a run does, and
// then compares it with the same rows once more.
func compare(ctx context.Context, w *clickhouse.Warehouse, run shownRun, s *stored) error {
	table := datasets.SpacePermissions.Dataset
	head := schemas.Head{Tenant: run.Tenant, Dataset: table.Name, Group: table.Group, Seq: run.Seq}
	type part struct {
		name string
		keys []schemas.BaselineKey
	}
	var parts []part
	start := time.Now()
	partitions, err := w.Partitions(ctx, table, head)
	if err != nil || len(partitions) == 0 {
		return errors.Join(fmt.Errorf("%d partitions are stored", len(partitions)), err)
	}
	err = w.Baseline(ctx, table, head, partitions[0].Partition, partitions[len(partitions)-1].Partition, func(p string, keys []schemas.BaselineKey) error {
		parts = append(parts, part{p, append([]schemas.BaselineKey(nil), keys...)})
		s.rows += len(keys)
		return nil
	})
	if err != nil {
		return err
	}
	s.baseline = time.Since(start)

	before, err := ownCPU()
	if err != nil {
		return err
	}
	var h schemas.Hasher
	for _, p := range parts {
		base := diff.NewBaseline(len(p.keys))
		base.Add(p.keys)
		base.Seal(&h, p.name)
		for _, k := range p.keys {
			if verdict, _ := base.See(k.Key, k.Row); verdict != diff.Unchanged {
				return fmt.Errorf("a stored row compared with itself is %d", verdict)
			}
		}
		for key := range base.Missing() {
			return fmt.Errorf("key %x is missing although it was seen", key)
		}
	}
	after, err := ownCPU()
	s.diff = after - before
	return err
}
