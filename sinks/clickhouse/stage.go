package clickhouse

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"

	"github.com/ClickHouse/ch-go/proto"
	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// Points at which Settings.Trace is called; "write.table:" is followed by the
// name of the table that was just inserted into.
const (
	PointWriteBegin = "write.begin"
	PointWriteTable = "write.table:"
	PointWriteEnd   = "write.end"
	PointShowBegin  = "show.begin"
	PointShowEnd    = "show.end"
)

// Stage stores a delta under its attempt number: one insert per touched table,
// streamed, in bounded memory. Readers do not see the rows before Show moves the
// heads. An error means that the outcome is unknown: some tables, all of them or
// none may have taken their rows, so the attempt must be voided (Invariant 3).
// Repeating the same delta soon afterwards is harmless.
func (w *Warehouse) Stage(ctx context.Context, d *schemas.Delta) error {
	w.trace(PointWriteBegin)
	var changes, coverage []source
	for _, p := range d.Parts {
		if err := checkHead(d, p.Head, p.Table); err != nil {
			return err
		}
		if p.Rows != nil {
			token := insertToken(d, versionsName(p.Table))
			if err := w.insert(ctx, versionsName(p.Table), token, source{versionNative(p.Table, p.Head), p.Rows}); err != nil {
				return fmt.Errorf("stage attempt %d of tenant %s: %w", d.Seq, d.Tenant, err)
			}
			w.trace(PointWriteTable + versionsName(p.Table))
		}
		if p.Changes != nil {
			changes = append(changes, source{recordNative(schemas.ChangesTable.Dataset), p.Changes})
		}
		if p.Coverage != nil {
			coverage = append(coverage, source{recordNative(schemas.CoverageTable.Dataset), p.Coverage})
		}
	}
	run := source{recordNative(schemas.RunsTable.Dataset), runBlocks([]schemas.Run{d.Run})}
	for _, log := range []struct {
		table   string
		sources []source
	}{{changesName, changes}, {coverageName, coverage}, {runsName, []source{run}}} {
		if err := w.insert(ctx, log.table, insertToken(d, log.table), log.sources...); err != nil {
			return fmt.Errorf("stage attempt %d of tenant %s: %w", d.Seq, d.Tenant, err)
		}
		w.trace(PointWriteTable + log.table)
	}
	w.trace(PointWriteEnd)
	if err := w.room(ctx); err != nil {
		return fmt.Errorf("stage attempt %d of tenant %s: %w", d.Seq, d.Tenant, err)
	}
	return nil
}

// checkHead refuses a delta whose rows a head would never cover, or cover for
// somebody else.
func checkHead(d *schemas.Delta, h schemas.Head, table *schemas.Dataset) error {
	if h.Tenant != d.Tenant || h.Seq != d.Seq || h.Dataset != table.Name || h.Seq == 0 {
		return fmt.Errorf("stage attempt %d of tenant %s: the head of %s is of tenant %s, dataset %s, attempt %d", d.Seq, d.Tenant, table.Name, h.Tenant, h.Dataset, h.Seq)
	}
	return nil
}

// insert streams the sources into a table in one INSERT, if they have any rows.
func (w *Warehouse) insert(ctx context.Context, table, token string, sources ...source) error {
	return w.inTurn(ctx, func() error {
		r, err := newInsertReader(sources)
		if err != nil {
			return fmt.Errorf("read rows for %s: %w", table, err)
		}
		if r == nil {
			return nil
		}
		defer func() { _ = r.Close() }()
		return w.send(ctx, table, sources[0].columns, token, r)
	})
}

// send posts a body of Native blocks with the given columns.
func (w *Warehouse) send(ctx context.Context, table string, columns []nativeColumn, token string, body io.Reader) error {
	list := make([]string, len(columns))
	for i, c := range columns {
		list[i] = c.name
	}
	settings := ch.Settings{
		"async_insert": 0,
		// Bounds what the server holds before it writes a part.
		"min_insert_block_size_rows":  262_144,
		"min_insert_block_size_bytes": 64 << 20,
	}
	if token != "" {
		settings["insert_deduplication_token"] = token
	}
	sql := fmt.Sprintf("INSERT INTO %s (%s)", w.layout.object(table), names("", list))
	if err := w.conn.InsertFormat(ch.Context(ctx, ch.WithSettings(settings)), "Native", sql, body); err != nil {
		if errors.Is(err, ErrUnavailable) {
			w.health.refused(table)
		}
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	return nil
}

// insertToken names what an attempt puts into a table, so that a repeated
// insert is dropped. The run is part of it, because a state database that was
// restored from a backup may give a number out again.
func insertToken(d *schemas.Delta, table string) string {
	return hashText(d.Tenant, d.Group, strconv.FormatUint(d.Seq, 10), d.RunID.String(), table)
}

// hashText hashes texts with their lengths.
func hashText(parts ...string) string {
	h := sha256.New()
	for _, s := range parts {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Runs appends rows of runs that stand alone. Repeating an insert with unknown
// outcome is harmless: the view shows each row once.
func (w *Warehouse) Runs(ctx context.Context, runs []schemas.Run) error {
	var parts []string
	for _, r := range runs {
		if r.Gate != "" {
			return fmt.Errorf("run %s of tenant %s waits for %s to be shown: it belongs to a delta", r.RunID, r.Tenant, r.Gate)
		}
		parts = append(parts, r.RunID.String(), strconv.FormatUint(r.Seq, 10))
	}
	if err := w.insert(ctx, runsName, hashText(parts...), source{recordNative(schemas.RunsTable.Dataset), runBlocks(runs)}); err != nil {
		return err
	}
	return w.room(ctx)
}

func runBlocks(runs []schemas.Run) iter.Seq2[*schemas.Block, error] {
	return func(yield func(*schemas.Block, error) bool) {
		b := schemas.NewBlock(schemas.RunsTable.Dataset)
		page := schemas.RunsTable.Page(runs)
		for i := range runs {
			page.AppendColumns(b, i)
			b.N++
		}
		if b.N > 0 {
			yield(b, nil)
		}
	}
}

// Show moves the heads: from here on readers see the rows they cover. All heads
// go in one insert of one block, so they move together (Invariant 2). An older
// head than the one that is shown changes nothing, and a repeated one neither.
func (w *Warehouse) Show(ctx context.Context, heads []schemas.Head) error {
	if len(heads) == 0 {
		return nil
	}
	w.trace(PointShowBegin)
	columns := w.headsNative(heads)
	var block proto.Buffer
	encode(&block, columns, nil, 0, len(heads))
	// No token: heads replace by key, and a window of repeated inserts could
	// only swallow a head that was shown, superseded by hand, and shown again.
	err := w.inTurn(ctx, func() error { return w.send(ctx, headsName, columns, "", bytes.NewReader(block.Buf)) })
	if err == nil {
		err = w.room(ctx)
	}
	if err != nil {
		return fmt.Errorf("show %d heads, the first of tenant %s: %w", len(heads), heads[0].Tenant, err)
	}
	w.trace(PointShowEnd)
	return nil
}
