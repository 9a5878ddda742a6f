package clickhouse

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// Encoding of ClickHouse's Native format at revision 0, which every server reads
// on insert (ClickHouse documentation, "Native"): per block the number of
// columns and rows, then per column its name, its type and its values end to
// end. The values go from schemas.Vector to the wire in one step; ch-go's
// columns would copy them once more.

// nativeColumn writes rows [from, to) of one column.
type nativeColumn struct {
	name string
	typ  string
	put  func(b *proto.Buffer, block *schemas.Block, from, to int)
}

// encode appends rows [from, to) of the block as one Native block.
func encode(b *proto.Buffer, columns []nativeColumn, block *schemas.Block, from, to int) {
	// The number of columns takes two bytes where one would do: 9, 10, 12 or 32
	// would be white space right behind "FORMAT Native", which the parser of
	// INSERT may take for its own (ClickHouse source, ParserInsertQuery).
	b.Buf = append(b.Buf, byte(len(columns))|0x80, byte(len(columns)>>7))
	b.PutInt(to - from)
	for _, c := range columns {
		b.PutString(c.name)
		b.PutString(c.typ)
		c.put(b, block, from, to)
	}
}

// valueColumn sends declared column i. What the table stores as a dictionary is
// sent as plain text: the server builds the dictionary cheaper than we do.
func valueColumn(d *schemas.Dataset, i int) nativeColumn {
	info := d.Columns[i]
	info.Few = false
	return nativeColumn{info.Name, columnType(info), func(b *proto.Buffer, block *schemas.Block, from, to int) {
		putVector(b, &block.Cols[i], info.Nullable, from, to)
	}}
}

// putVector writes values [from, to) of a vector.
func putVector(b *proto.Buffer, v *schemas.Vector, nullable bool, from, to int) {
	if nullable {
		for i := from; i < to; i++ {
			b.PutBool(v.Null(i))
		}
	}
	switch v.Kind {
	case schemas.KindString:
		putTexts(b, v, from, to)
	case schemas.KindStrings:
		base := setEnd(v, from)
		for i := from; i < to; i++ {
			b.PutUInt64(uint64(v.Sets[i] - base))
		}
		putTexts(b, v, int(base), int(setEnd(v, to)))
	case schemas.KindBool:
		for i := from; i < to; i++ {
			b.Buf = append(b.Buf, byte(v.Ints[i]))
		}
	default:
		for _, n := range v.Ints[from:to] {
			b.Buf = binary.LittleEndian.AppendUint64(b.Buf, uint64(n))
		}
	}
}

// setEnd is the number of texts in the first i sets.
func setEnd(v *schemas.Vector, i int) uint32 {
	if i == 0 {
		return 0
	}
	return v.Sets[i-1]
}

// putTexts writes texts [from, to), each after its length.
func putTexts(b *proto.Buffer, v *schemas.Vector, from, to int) {
	var start uint32
	if from > 0 {
		start = v.Ends[from-1]
	}
	for _, end := range v.Ends[from:to] {
		b.Buf = binary.AppendUvarint(b.Buf, uint64(end-start))
		b.Buf = append(b.Buf, v.Bytes[start:end]...)
		start = end
	}
}

// constant sends the same value for every row; one is its encoding.
func constant(name, typ string, one []byte) nativeColumn {
	return nativeColumn{name, typ, func(b *proto.Buffer, _ *schemas.Block, from, to int) {
		for range to - from {
			b.Buf = append(b.Buf, one...)
		}
	}}
}

// constantText sends the same text for every row, as a dictionary of one entry.
func constantText(name, s string) nativeColumn {
	return nativeColumn{name, typeFew, func(b *proto.Buffer, _ *schemas.Block, from, to int) {
		// Version of the keys' serialization; flags: 8-bit keys, own
		// dictionary, to be replaced; the dictionary; the keys.
		b.PutInt64(1)
		b.PutInt64(1<<9 | 1<<10)
		b.PutInt64(1)
		b.PutString(s)
		b.PutInt64(int64(to - from))
		b.Buf = append(b.Buf, make([]byte, to-from)...)
	}}
}

// uuidBytes is a UUID as ClickHouse writes it: two little-endian halves.
func uuidBytes(id uuid.UUID) []byte {
	b := binary.LittleEndian.AppendUint64(nil, binary.BigEndian.Uint64(id[:8]))
	return binary.LittleEndian.AppendUint64(b, binary.BigEndian.Uint64(id[8:]))
}

func uint64Bytes(n uint64) []byte { return binary.LittleEndian.AppendUint64(nil, n) }

// versionNative sends a block of versions under a head: what is the same for
// all rows comes from there.
func versionNative(d *schemas.Dataset, h schemas.Head) []nativeColumn {
	observed := h.ObservedAt.UnixMilli()
	columns := []nativeColumn{
		constantText("tenant_id", h.Tenant),
		{"partition_id", typeText, func(b *proto.Buffer, block *schemas.Block, from, to int) {
			putTexts(b, &block.Partition, from, to)
		}},
		{"key_hash", typeHash16, func(b *proto.Buffer, block *schemas.Block, from, to int) {
			b.Buf = append(b.Buf, block.Keys[16*from:16*to]...)
		}},
		constant("seq", "UInt64", uint64Bytes(h.Seq)),
		{"op", typeOp, func(b *proto.Buffer, block *schemas.Block, from, to int) {
			b.Buf = append(b.Buf, block.Ops[from:to]...)
		}},
		{"row_hash", typeHash32, func(b *proto.Buffer, block *schemas.Block, from, to int) {
			b.Buf = append(b.Buf, block.Hashes[32*from:32*to]...)
		}},
		constant("epoch", "UInt32", binary.LittleEndian.AppendUint32(nil, h.Epoch)),
	}
	for i := range d.Columns {
		columns = append(columns, valueColumn(d, i))
	}
	return append(columns,
		nativeColumn{"first_seen_at", typeTime, func(b *proto.Buffer, block *schemas.Block, from, to int) {
			for _, at := range block.FirstSeen[from:to] {
				if at == 0 {
					at = observed
				}
				b.Buf = binary.LittleEndian.AppendUint64(b.Buf, uint64(at))
			}
		}},
		constant("observed_at", typeTime, uint64Bytes(uint64(observed))),
		constant("run_id", "UUID", uuidBytes(h.RunID)),
	)
}

// recordNative sends a block of a record table.
func recordNative(d *schemas.Dataset) []nativeColumn {
	columns := make([]nativeColumn, len(d.Columns))
	for i := range d.Columns {
		columns[i] = valueColumn(d, i)
	}
	return columns
}

// headsNative sends heads. There is no block behind it: the columns read the heads.
func (w *Warehouse) headsNative(heads []schemas.Head) []nativeColumn {
	each := func(name, typ string, put func(b []byte, h schemas.Head) []byte) nativeColumn {
		return nativeColumn{name, typ, func(b *proto.Buffer, _ *schemas.Block, from, to int) {
			for _, h := range heads[from:to] {
				b.Buf = put(b.Buf, h)
			}
		}}
	}
	str := func(name string, get func(h schemas.Head) string) nativeColumn {
		return each(name, typeText, func(b []byte, h schemas.Head) []byte {
			s := get(h)
			return append(binary.AppendUvarint(b, uint64(len(s))), s...)
		})
	}
	num := func(name string, get func(h schemas.Head) uint64) nativeColumn {
		return each(name, "UInt64", func(b []byte, h schemas.Head) []byte { return binary.LittleEndian.AppendUint64(b, get(h)) })
	}
	void := nativeColumn{"void", "Array(UInt64)", func(b *proto.Buffer, _ *schemas.Block, from, to int) {
		var end uint64
		for _, h := range heads[from:to] {
			end += uint64(len(h.Void))
			b.PutUInt64(end)
		}
		for _, h := range heads[from:to] {
			for _, seq := range h.Void {
				b.PutUInt64(seq)
			}
		}
	}}
	return []nativeColumn{
		str("tenant_id", func(h schemas.Head) string { return h.Tenant }),
		str("dataset", func(h schemas.Head) string { return h.Dataset }),
		str("dataset_group", func(h schemas.Head) string { return h.Group }),
		num("committed_seq", func(h schemas.Head) uint64 { return h.Seq }),
		void,
		num("epoch", func(h schemas.Head) uint64 { return uint64(h.Epoch) }),
		num("rows", func(h schemas.Head) uint64 { return h.Rows }),
		each("digest", "UInt128", func(b []byte, h schemas.Head) []byte {
			b = binary.LittleEndian.AppendUint64(b, h.Digest.Lo)
			return binary.LittleEndian.AppendUint64(b, h.Digest.Hi)
		}),
		each("observed_at", typeTime, func(b []byte, h schemas.Head) []byte {
			return binary.LittleEndian.AppendUint64(b, uint64(h.ObservedAt.UnixMilli()))
		}),
		each("run_id", "UUID", func(b []byte, h schemas.Head) []byte { return append(b, uuidBytes(h.RunID)...) }),
		num("version", func(h schemas.Head) uint64 { return uint64(w.versions[h.Dataset]) }),
		constant("installation", "UUID", uuidBytes(w.install)),
	}
}
