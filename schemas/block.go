package schemas

import "fmt"

// Op says what a stored version tells of its entity.
type Op uint8

// The operations of versions, with the numbers they have in the warehouse.
const (
	OpBaseline  Op = 1 // seen at the start of an epoch
	OpAdded     Op = 2
	OpChanged   Op = 3
	OpRemoved   Op = 4
	OpOutOfView Op = 5 // no longer seen; nobody has proved that it is gone
)

// Ops lists the operations in the order of their numbers.
var Ops = []string{"baseline", "added", "changed", "removed", "out_of_view"}

// String is the operation's name in the warehouse.
func (o Op) String() string {
	if o < OpBaseline || o > OpOutOfView {
		return fmt.Sprintf("op(%d)", uint8(o))
	}
	return Ops[o-1]
}

// Gone reports whether the version ends its entity.
func (o Op) Gone() bool { return o == OpRemoved || o == OpOutOfView }

// Block is a set of rows, column by column. For a dataset each row is a version
// of an entity and carries Partition, Keys, Hashes, Ops and FirstSeen; the rows
// of a record table (changes, coverage, runs) have only Cols.
type Block struct {
	Table     *Dataset
	N         int
	Partition Vector
	Keys      []byte  // 16 bytes a row
	Hashes    []byte  // 32 bytes a row
	Ops       []byte  // one Op a row
	FirstSeen []int64 // Unix milliseconds; 0: first seen by this very run
	Cols      []Vector
}

// NewBlock returns an empty block of rows of the table.
func NewBlock(d *Dataset) *Block {
	b := &Block{Table: d, Partition: Vector{Kind: KindString}, Cols: make([]Vector, len(d.Columns))}
	for i, c := range d.Columns {
		b.Cols[i].Kind = c.Kind
	}
	return b
}

// Next returns an empty block of the same table with room for about as many
// rows as b holds, so that filling it moves no memory around.
func (b *Block) Next() *Block {
	n := &Block{
		Table: b.Table, Partition: b.Partition.next(), Cols: make([]Vector, len(b.Cols)), FirstSeen: make([]int64, 0, len(b.FirstSeen)),
		Keys: make([]byte, 0, len(b.Keys)), Hashes: make([]byte, 0, len(b.Hashes)), Ops: make([]byte, 0, len(b.Ops)),
	}
	for i := range b.Cols {
		n.Cols[i] = b.Cols[i].next()
	}
	return n
}

// Reset drops the rows and keeps the memory.
func (b *Block) Reset() {
	b.N, b.Keys, b.Hashes, b.Ops, b.FirstSeen = 0, b.Keys[:0], b.Hashes[:0], b.Ops[:0], b.FirstSeen[:0]
	b.Partition.Reset()
	for i := range b.Cols {
		b.Cols[i].Reset()
	}
}

// Size is roughly the memory that the rows take, in bytes.
func (b *Block) Size() int {
	n := b.Partition.Size() + len(b.Keys) + len(b.Hashes) + len(b.Ops) + 8*len(b.FirstSeen)
	for i := range b.Cols {
		n += b.Cols[i].Size()
	}
	return n
}

// Key returns the key hash of row i.
func (b *Block) Key(i int) KeyHash { return KeyHash(b.Keys[16*i : 16*i+16]) }

// Hash returns the row hash of row i.
func (b *Block) Hash(i int) RowHash { return RowHash(b.Hashes[32*i : 32*i+32]) }

// Version appends the engine's part of a version; the caller appends the
// columns, or copies them with CopyColumns.
func (b *Block) Version(partition string, key KeyHash, row RowHash, op Op, firstSeen int64) {
	b.Partition.AppendString(partition)
	b.Keys = append(b.Keys, key[:]...)
	b.Hashes = append(b.Hashes, row[:]...)
	b.Ops = append(b.Ops, byte(op))
	b.FirstSeen = append(b.FirstSeen, firstSeen)
	b.N++
}

// CopyColumns appends the column values of row j of o, a block of the same table.
func (b *Block) CopyColumns(o *Block, j int) {
	for i := range b.Cols {
		b.Cols[i].Copy(&o.Cols[i], j)
	}
}

// EntityName composes the name for people of row i from the columns that the
// table declares for it.
func (b *Block) EntityName(i int) string {
	if len(b.Table.EntityName) == 0 {
		return b.EntityKey(i)
	}
	var name []byte
	for _, c := range b.Table.entityName {
		part := b.cell(c, i)
		if part == "" {
			continue
		}
		if len(name) > 0 {
			name = append(name, ' ')
		}
		name = append(name, part...)
	}
	return string(name)
}

// EntityKey is the key of row i: the value itself when the key is one column,
// a JSON array of the values otherwise, so that no two keys read alike.
func (b *Block) EntityKey(i int) string {
	if len(b.Table.key) == 1 {
		return b.Cols[b.Table.key[0]].Display(i)
	}
	text := []byte{'['}
	for n, c := range b.Table.key {
		if n > 0 {
			text = append(text, ',')
		}
		text = b.Cols[c].AppendJSON(text, i)
	}
	return string(append(text, ']'))
}

// cell is a column's value for people; column -1 is the partition.
func (b *Block) cell(c, i int) string {
	if c < 0 {
		return b.Partition.Text(i)
	}
	return b.Cols[c].Display(i)
}
