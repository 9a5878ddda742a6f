package clickhouse

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
)

// Reads for the comparison. They go to the tables of versions and not to the
// views, with the head of the ledger: what the ledger decided counts, whether
// readers see it already or not.

// Partitions lists the partitions with versions at the head, by the bytes of
// their names.
func (w *Warehouse) Partitions(ctx context.Context, table *schemas.Dataset, head schemas.Head) ([]schemas.PartitionSize, error) {
	if head.Seq == 0 {
		return nil, nil
	}
	partition := schemas.Vector{Kind: schemas.KindString}
	var counts []int64
	columns := []readColumn{
		{"partition_id", "partition_id", typeText, func(r *proto.Reader, rows int) error { return readTexts(r, &partition, rows) }},
		{"versions", "count()", "UInt64", func(r *proto.Reader, rows int) error { return readInts(r, &counts, rows) }},
	}
	rest := fmt.Sprintf("FROM %s WHERE %s GROUP BY partition_id ORDER BY partition_id", w.layout.object(versionsName(table)), below(head))
	if err := w.read(ctx, columns, rest, ch.Settings{"optimize_aggregation_in_order": 1}, func(int) error { return nil }); err != nil {
		return nil, fmt.Errorf("list the partitions of %s of tenant %s: %w", table.Name, head.Tenant, err)
	}
	list := make([]schemas.PartitionSize, len(counts))
	for i, n := range counts {
		list[i] = schemas.PartitionSize{Partition: partition.Text(i), Versions: uint64(n)}
	}
	return list, nil
}

// Baseline streams the versions of the partitions from first to last, in the
// order in which they lie on disk. It is one query: a query per partition costs
// 6 ms each, and the server needs only its read buffers, because nothing is
// sorted or grouped there.
func (w *Warehouse) Baseline(ctx context.Context, table *schemas.Dataset, head schemas.Head, first, last string, yield func(partition string, keys []schemas.BaselineKey) error) error {
	if head.Seq == 0 {
		return nil
	}
	b := baselineBlock{partition: schemas.Vector{Kind: schemas.KindString}}
	rest := fmt.Sprintf("FROM %s WHERE %s AND partition_id >= %s AND partition_id <= %s", w.layout.object(versionsName(table)), below(head), text(first), text(last))
	err := w.read(ctx, b.columns(), rest, ch.Settings{"max_threads": 2}, func(rows int) error { return b.each(rows, yield) })
	if err != nil {
		return fmt.Errorf("read the baseline of %s of tenant %s: %w", table.Name, head.Tenant, err)
	}
	return nil
}

// baselineBlock is one block of a baseline, and the scratch space to hand it on.
type baselineBlock struct {
	partition              schemas.Vector
	keys, hashes, seqs, op []byte
	out                    []schemas.BaselineKey
}

func (b *baselineBlock) columns() []readColumn {
	return []readColumn{
		{"partition_id", "partition_id", typeText, func(r *proto.Reader, rows int) error {
			b.partition.Reset()
			return readTexts(r, &b.partition, rows)
		}},
		{"key_hash", "key_hash", typeHash16, readBytes(&b.keys, 16)},
		{"row_hash", "row_hash", typeHash32, readBytes(&b.hashes, 32)},
		{"seq", "seq", "UInt64", readBytes(&b.seqs, 8)},
		{"op", "CAST(op, 'Int8')", "Int8", readBytes(&b.op, 1)},
	}
}

// each yields the rows of the block, those of one partition that follow each
// other together.
func (b *baselineBlock) each(rows int, yield func(partition string, keys []schemas.BaselineKey) error) error {
	b.out = b.out[:0]
	var start uint32
	var current []byte
	for i := range rows {
		end := b.partition.Ends[i]
		p := b.partition.Bytes[start:end]
		start = end
		if len(b.out) > 0 && string(p) != string(current) {
			if err := yield(string(current), b.out); err != nil {
				return err
			}
			b.out = b.out[:0]
		}
		current = p
		b.out = append(b.out, schemas.BaselineKey{
			Key: schemas.KeyHash(b.keys[16*i : 16*i+16]), Row: schemas.RowHash(b.hashes[32*i : 32*i+32]),
			Seq: binary.LittleEndian.Uint64(b.seqs[8*i:]), Op: schemas.Op(b.op[i]),
		})
	}
	return yield(string(current), b.out)
}

// entitiesPerQuery bounds the list in one statement of Versions.
const entitiesPerQuery = 2_000

// Versions returns the current version of each of the entities, in no
// particular order, FirstSeen filled. An entity that is unknown, or whose last
// version tells that it is gone, is left out.
func (w *Warehouse) Versions(ctx context.Context, table *schemas.Dataset, head schemas.Head, entities []schemas.Entity) (*schemas.Block, error) {
	block := schemas.NewBlock(table)
	if head.Seq == 0 {
		return block, nil
	}
	for len(entities) > 0 {
		n := min(len(entities), entitiesPerQuery)
		if err := w.readVersions(ctx, table, head, entities[:n], block); err != nil {
			return nil, fmt.Errorf("read versions of %s of tenant %s: %w", table.Name, head.Tenant, err)
		}
		entities = entities[n:]
	}
	return block, nil
}

func (w *Warehouse) readVersions(ctx context.Context, table *schemas.Dataset, head schemas.Head, entities []schemas.Entity, block *schemas.Block) error {
	var list strings.Builder
	for i, e := range entities {
		if i > 0 {
			list.WriteString(", ")
		}
		fmt.Fprintf(&list, "(%s, %s)", text(e.Partition), hexText(e.Key[:]))
	}
	var keys, hashes, ops []byte
	columns := []readColumn{
		{"partition_id", "partition_id", typeText, func(r *proto.Reader, rows int) error { return readTexts(r, &block.Partition, rows) }},
		{"key_hash", "key_hash", typeHash16, readBytes(&keys, 16)},
		{"row_hash", "row_hash", typeHash32, readBytes(&hashes, 32)},
		{"op", "CAST(op, 'Int8')", "Int8", readBytes(&ops, 1)},
		{"first_seen_at", "toUnixTimestamp64Milli(first_seen_at)", "Int64", func(r *proto.Reader, rows int) error { return readInts(r, &block.FirstSeen, rows) }},
	}
	for i, c := range table.Columns {
		columns = append(columns, vectorColumn(c, &block.Cols[i]))
	}
	inner := fmt.Sprintf("SELECT * FROM %s WHERE %s AND (partition_id, key_hash) IN (%s) ORDER BY partition_id, key_hash, seq DESC LIMIT 1 BY partition_id, key_hash",
		w.layout.object(versionsName(table)), below(head), list.String())
	// The filter has a SELECT of its own: the columns asked for are named like
	// those of the table, and an alias would win.
	rest := fmt.Sprintf("FROM (SELECT * FROM (%s) WHERE op NOT IN ('removed', 'out_of_view'))", inner)
	return w.read(ctx, columns, rest, nil, func(rows int) error {
		block.Keys, block.Hashes, block.Ops = append(block.Keys, keys...), append(block.Hashes, hashes...), append(block.Ops, ops...)
		block.N += rows
		return nil
	})
}
