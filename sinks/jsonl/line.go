package jsonl

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// line writes objects, one per line, and keeps the first error. Texts go
// through the JSON encoder, which escapes line ends and control characters, so
// no content can end a line (Invariant 10).
type line struct {
	w   *bufio.Writer
	buf []byte
	err error
}

func (l *line) end() {
	l.buf = append(l.buf, "}}\n"...)
	if l.err == nil {
		_, l.err = l.w.Write(l.buf)
	}
}

// member appends "name": and leaves the value to the caller.
func (l *line) member(name string) {
	if l.buf[len(l.buf)-1] != '{' {
		l.buf = append(l.buf, ',')
	}
	l.buf = append(strconv.AppendQuote(l.buf, name), ':')
}

func (l *line) text(name, s string) {
	l.member(name)
	encoded, err := json.Marshal(s)
	if l.err == nil {
		l.err = err
	}
	l.buf = append(l.buf, encoded...)
}

func (l *line) number(name string, n uint64) {
	l.member(name)
	l.buf = strconv.AppendUint(l.buf, n, 10)
}

func (l *line) time(name string, ms int64) {
	l.text(name, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z"))
}

// begin starts an object up to its data.
func (l *line) begin(kind string) {
	l.buf = append(l.buf[:0], '{')
	l.text("type", kind)
}

func (l *line) data() {
	l.member("data")
	l.buf = append(l.buf, '{')
}

// run writes a run; parts are the datasets of its attempt.
func (l *line) run(r schemas.Run, parts []string) {
	b := schemas.NewBlock(schemas.RunsTable.Dataset)
	schemas.RunsTable.Page([]schemas.Run{r}).AppendColumns(b, 0)
	l.begin("run")
	if parts != nil {
		l.member("parts")
		encoded, err := json.Marshal(parts)
		if l.err == nil {
			l.err = err
		}
		l.buf = append(l.buf, encoded...)
	}
	l.data()
	l.columns(b, 0)
	l.end()
}

// record writes a row of a record table.
func (l *line) record(kind string, b *schemas.Block, i int) {
	l.begin(kind)
	l.data()
	l.columns(b, i)
	l.end()
}

// version writes a version of a dataset's row.
func (l *line) version(h schemas.Head, b *schemas.Block, i int) {
	l.begin("row")
	l.text("dataset", b.Table.Name)
	l.data()
	l.text("tenant_id", h.Tenant)
	if b.Table.PartitionColumn != "" {
		l.text(b.Table.PartitionColumn, b.Partition.Text(i))
	}
	key, row := b.Key(i), b.Hash(i)
	l.text("key_hash", hex.EncodeToString(key[:]))
	l.text("row_hash", hex.EncodeToString(row[:]))
	l.text("op", schemas.Op(b.Ops[i]).String())
	l.number("seq", h.Seq)
	l.number("epoch", uint64(h.Epoch))
	l.columns(b, i)
	first := b.FirstSeen[i]
	if first == 0 {
		first = h.ObservedAt.UnixMilli()
	}
	l.time("first_seen_at", first)
	l.time("observed_at", h.ObservedAt.UnixMilli())
	l.text("run_id", h.RunID.String())
	l.end()
}

// columns writes the declared columns of a row. What holds JSON already is
// written as such.
func (l *line) columns(b *schemas.Block, i int) {
	changes := b.Table == schemas.ChangesTable.Dataset
	for c, info := range b.Table.Columns {
		l.member(info.Name)
		if changes && (info.Name == "before" || info.Name == "after") {
			var object bytes.Buffer // on one line
			if json.Compact(&object, []byte(b.Cols[c].Text(i))) != nil {
				object.Reset()
				object.WriteString("null")
			}
			l.buf = append(l.buf, object.Bytes()...)
			continue
		}
		l.buf = b.Cols[c].AppendJSON(l.buf, i)
	}
}
