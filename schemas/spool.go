package schemas

import (
	"encoding/binary"
	"fmt"
)

// The form of a block in a spool file, which only the process that wrote it
// reads again: slice after slice, each after its length, numbers in little-endian
// order.

// MarshalBinary encodes the rows for a spool file of the same program.
func (b *Block) MarshalBinary() ([]byte, error) {
	out := make([]byte, 0, b.Size()+64*(len(b.Cols)+2))
	out = binary.AppendUvarint(out, uint64(b.N))
	out = b.Partition.appendRaw(out)
	for _, s := range [][]byte{b.Keys, b.Hashes, b.Ops} {
		out = appendRawBytes(out, s)
	}
	out = appendRawInts(out, b.FirstSeen)
	out = binary.AppendUvarint(out, uint64(len(b.Cols)))
	for i := range b.Cols {
		out = b.Cols[i].appendRaw(out)
	}
	return out, nil
}

// UnmarshalBinary decodes what MarshalBinary of the same table wrote, replacing
// the rows of b. The rows refer to data from then on.
func (b *Block) UnmarshalBinary(data []byte) error {
	r := rawReader{data: data}
	n := int(r.number())
	partition := r.vector(KindString)
	keys, hashes, ops := r.bytes(), r.bytes(), r.bytes()
	first := r.ints()
	if cols := r.number(); !r.bad && cols != uint64(len(b.Table.Columns)) {
		return fmt.Errorf("decode spooled rows of %s: %d columns, declared are %d", b.Table.Name, cols, len(b.Table.Columns))
	}
	cols := make([]Vector, len(b.Table.Columns))
	for i, c := range b.Table.Columns {
		cols[i] = r.vector(c.Kind)
	}
	if r.bad || len(r.data) > 0 {
		return fmt.Errorf("decode spooled rows of %s: %d bytes that are not what was written", b.Table.Name, len(data))
	}
	b.N, b.Partition, b.Keys, b.Hashes, b.Ops, b.FirstSeen, b.Cols = n, partition, keys, hashes, ops, first, cols
	return nil
}

func (v *Vector) appendRaw(out []byte) []byte {
	out = binary.AppendUvarint(out, uint64(len(v.Nulls)))
	for _, null := range v.Nulls {
		out = appendBool(out, null)
	}
	out = appendRawInts(out, v.Ints)
	out = appendRawBytes(out, v.Bytes)
	out = appendRawEnds(out, v.Ends)
	return appendRawEnds(out, v.Sets)
}

func appendRawBytes(out, s []byte) []byte {
	return append(binary.AppendUvarint(out, uint64(len(s))), s...)
}

func appendRawInts(out []byte, ints []int64) []byte {
	out = binary.AppendUvarint(out, uint64(len(ints)))
	for _, n := range ints {
		out = binary.LittleEndian.AppendUint64(out, uint64(n))
	}
	return out
}

func appendRawEnds(out []byte, ends []uint32) []byte {
	out = binary.AppendUvarint(out, uint64(len(ends)))
	for _, n := range ends {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	return out
}

// rawReader takes apart what appendRaw put together. Once something does not
// fit, it is bad and gives nothing any more.
type rawReader struct {
	data []byte
	bad  bool
}

func (r *rawReader) number() uint64 {
	n, size := binary.Uvarint(r.data)
	if r.bad || size <= 0 {
		r.bad, r.data = true, nil
		return 0
	}
	r.data = r.data[size:]
	return n
}

// take returns the bytes of the next n values of the given size.
func (r *rawReader) take(size int) []byte {
	n := r.number()
	if n > uint64(len(r.data)/size) {
		r.bad, r.data = true, nil
		return nil
	}
	end := int(n) * size
	taken := r.data[:end:end]
	r.data = r.data[end:]
	return taken
}

func (r *rawReader) bytes() []byte { return r.take(1) }

func (r *rawReader) ints() []int64 {
	raw := r.take(8)
	ints := make([]int64, len(raw)/8)
	for i := range ints {
		ints[i] = int64(binary.LittleEndian.Uint64(raw[8*i:]))
	}
	return ints
}

func (r *rawReader) ends() []uint32 {
	raw := r.take(4)
	ends := make([]uint32, len(raw)/4)
	for i := range ends {
		ends[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	return ends
}

func (r *rawReader) vector(kind Kind) Vector {
	v := Vector{Kind: kind}
	for _, b := range r.take(1) {
		v.Nulls = append(v.Nulls, b != 0)
	}
	v.Ints, v.Bytes, v.Ends, v.Sets = r.ints(), r.bytes(), r.ends(), r.ends()
	return v
}
