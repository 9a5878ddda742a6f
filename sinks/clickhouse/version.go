package clickhouse

import (
	"context"
	"fmt"

	"github.com/sitedrift/sitedrift/schemas"
)

// The schema has a number, which the database remembers, so that a release can
// tell a schema that is ahead of its own from one that somebody changed by hand.
// While replicas are replaced one by one, older releases start on the schema of a
// newer one: they use it as it is, as long as that one says that they may (ADR 0009).
const (
	// layoutVersion counts the changes of whatever is no dataset's own: the tables of
	// all datasets together, and the views. A dataset that goes leaves its version here.
	layoutVersion = 1
	// oldestVersion is the lowest number whose releases may run on the schema. A
	// release that takes a column away, or its meaning, raises it to the number of the
	// first release that did without it.
	oldestVersion = 0
)

// schemaVersion grows with each dataset and with each version of one.
func schemaVersion(datasets []*schemas.Dataset) uint32 {
	n := uint32(layoutVersion)
	for _, d := range datasets {
		n += uint32(d.Version)
	}
	return n
}

// planNewer checks that this release can work with the schema of a newer one, of
// which it changes nothing: what it needs must be there.
func (p *Plan) planNewer(w *Warehouse, found *found) {
	own := schemaVersion(w.datasets)
	p.Newer = &Newer{Found: found.version, Own: own}
	if found.oldest > own {
		p.refuse("schema", "run the newer release that wrote it, or restore a backup made before the upgrade",
			"it has version %d, and only releases that know version %d or newer may use it; this one knows %d", found.version, found.oldest, own)
		return
	}
	for _, t := range tables(w.datasets) {
		have := found.tables[t.name]
		if have == nil {
			p.refuse(t.name, doNewest, "the table is missing")
			continue
		}
		for _, c := range t.columns {
			if typ := have.typeOf(c.name); typ != c.typ {
				p.refuse(t.name, doNewest, "the column %s is %s, this release needs %s", c.name, orNothing(typ), c.typ)
			}
		}
	}
	for _, v := range views(w.layout, w.datasets) {
		if have := found.tables[v.name]; have == nil || have.engine != "View" {
			p.refuse(v.name, doNewest, "the view is missing")
		}
	}
}

// doNewest is what a person can do about a schema that a newer release left unfinished.
const doNewest = "a newer release wrote the schema: let it finish with `sitedrift migrate`, or run it in the place of this one"

// recordVersion plans to note which schema the database has when the steps before
// it are done.
func (p *Plan) recordVersion(w *Warehouse) {
	own := schemaVersion(w.datasets)
	p.step(schemaVersionsName, fmt.Sprintf("the schema has version %d from now on", own),
		fmt.Sprintf("INSERT INTO %s SELECT %d, %d, fromUnixTimestamp64Milli(%d, 'UTC')", w.layout.object(schemaVersionsName), own, oldestVersion, w.now().UnixMilli()))
}

// knowsAll refuses what must reach all that the database holds, if a newer release
// may have put there what this one does not know of.
func (w *Warehouse) knowsAll(ctx context.Context) error {
	found, err := w.inspect(ctx)
	if err != nil {
		return fmt.Errorf("look at the database %s: %w", w.layout.database, err)
	}
	if own := schemaVersion(w.datasets); found.version > own {
		return fmt.Errorf("%s; nothing was done, since it may hold what this release does not know of: run the newer release", Newer{found.version, own})
	}
	return nil
}
