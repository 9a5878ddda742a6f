package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"go.uber.org/zap"
)

// Step is one statement of a plan.
type Step struct {
	Object    string // table or view
	Why       string
	Statement string
}

// Difference is something that a plan will not touch by itself.
type Difference struct {
	Object string
	What   string // declared against found
	Do     string // what a person can do
}

// Plan is the way from the database as it is to the declared one.
type Plan struct {
	Steps   []Step
	Refused []Difference
	Newer   *Newer // nil: the schema is of no newer release
}

// Newer says that the schema is of a newer release than this one, which changes
// nothing of it: its version, and the one that this release knows.
type Newer struct{ Found, Own uint32 }

func (n Newer) String() string {
	return fmt.Sprintf("the warehouse's schema has version %d and is of a newer release; this one knows version %d and leaves it as it is", n.Found, n.Own)
}

// PlanError says why a database cannot be brought to the declared schema by
// itself. Nothing was changed.
type PlanError struct {
	Database string
	Refused  []Difference
}

func (e *PlanError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the database %s differs from the declared schema in %d places that are not changed unattended; nothing was changed", e.Database, len(e.Refused))
	for _, d := range e.Refused {
		fmt.Fprintf(&b, "\n- %s: %s\n  %s", d.Object, d.What, d.Do)
	}
	return b.String()
}

// InstallationError says that another state database decides what this
// warehouse shows.
type InstallationError struct{ Found, Own uuid.UUID }

func (e *InstallationError) Error() string {
	return fmt.Sprintf("the warehouse belongs to installation %s, this is installation %s: two state databases would undo each other's publishing. Give each its own database, or restore the state database that belongs to this warehouse", e.Found, e.Own)
}

// Plan compares the declared schema with the database and changes nothing. The
// error is about reading; what is refused is in the plan.
func (w *Warehouse) Plan(ctx context.Context) (*Plan, error) {
	found, err := w.inspect(ctx)
	if err != nil {
		return nil, fmt.Errorf("look at the database %s: %w", w.layout.database, err)
	}
	plan := &Plan{}
	if w.layout.cluster != "" {
		if err := w.planCluster(ctx, plan); err != nil {
			return nil, fmt.Errorf("look at the cluster %s: %w", w.layout.cluster, err)
		}
	}
	if found.version > schemaVersion(w.datasets) {
		plan.planNewer(w, found)
		return plan, nil
	}
	if !found.exists {
		plan.step(w.layout.database, "the database is missing", w.layout.createDatabase())
	}
	for _, t := range tables(w.datasets) {
		plan.table(w.layout, t, found.tables[t.name])
	}
	for _, v := range views(w.layout, w.datasets) {
		plan.view(v.name, v.create(w.layout), found)
	}
	if found.version < schemaVersion(w.datasets) {
		plan.recordVersion(w)
	}
	return plan, nil
}

// planCluster refuses a cluster that the server does not know, and one with
// several shards: nothing here spreads rows over them.
func (w *Warehouse) planCluster(ctx context.Context, p *Plan) error {
	var known []string
	var shards uint64
	row := w.conn.QueryRow(ctx, fmt.Sprintf("SELECT arraySort(groupUniqArray(cluster)), uniqExactIf(shard_num, cluster = %s) FROM system.clusters", text(w.layout.cluster)))
	if err := row.Scan(&known, &shards); err != nil {
		return err
	}
	switch {
	case shards == 0:
		p.refuse("cluster "+w.layout.cluster, "name one of them as warehouse.cluster, or add the cluster to remote_servers of every replica",
			"the server knows no such cluster; it knows %s", orNothing(strings.Join(known, ", ")))
	case shards > 1:
		p.refuse("cluster "+w.layout.cluster, "name a cluster of one shard with several replicas: every replica holds all rows",
			"it has %d shards", shards)
	}
	return nil
}

func (p *Plan) step(object, why, statement string) {
	p.Steps = append(p.Steps, Step{object, why, statement})
}

func (p *Plan) refuse(object, do, what string, args ...any) {
	p.Refused = append(p.Refused, Difference{object, fmt.Sprintf(what, args...), do})
}

// What a person can do about a difference.
const (
	doRebuild = "make a new table with the declared definition, copy the rows with INSERT SELECT, and exchange the two with EXCHANGE TABLES, while no daemon runs"
	doNewer   = "if a newer sitedrift wrote it, run that version; otherwise take the column off with ALTER TABLE ... DROP COLUMN"
	doForeign = "move the object away with RENAME TABLE: its name belongs to the schema"
)

// table plans what a declared table needs: it is made when missing, gets
// columns that it lacks, and has comments and settings set right. Everything
// else could lose or change stored history, so a person decides.
func (p *Plan) table(l layout, t table, found *foundTable) {
	if found == nil {
		p.step(t.name, "the table is missing", t.create(l))
		return
	}
	if engine, _, _ := strings.Cut(t.engine, "("); bareEngine(found.engine) != engine {
		do := doRebuild
		if found.engine == "View" {
			do = doForeign
		}
		p.refuse(t.name, do, "the engine is %s, declared is %s", found.engine, t.engine)
		return
	}
	if l.cluster != "" && bareEngine(found.engine) == found.engine {
		p.refuse(t.name, doRebuild, "the engine is %s, declared is %s: its rows stay on one replica", found.engine, l.engine(t.engine))
		return
	}
	// The server prints a key of one column with its parentheses.
	if got, order := strings.Trim(found.sortingKey, "()"), strings.Join(t.order, ", "); got != order {
		p.refuse(t.name, doRebuild, "the sorting key is (%s), declared is (%s)", got, order)
	}
	if found.partitionKey != t.partition {
		p.refuse(t.name, doRebuild, "it is partitioned by %s, declared is %s", orNothing(found.partitionKey), orNothing(t.partition))
	}
	p.columns(l, t, found)
	if found.comment != t.doc {
		p.step(t.name, "the comment changed", fmt.Sprintf("ALTER TABLE %s%s MODIFY COMMENT %s", l.object(t.name), l.onCluster(), text(t.doc)))
	}
	for _, s := range t.settings(l.cluster) {
		if !strings.Contains(found.engineFull+",", s+",") {
			p.step(t.name, "a setting differs", fmt.Sprintf("ALTER TABLE %s%s MODIFY SETTING %s", l.object(t.name), l.onCluster(), s))
		}
	}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func (p *Plan) columns(l layout, t table, found *foundTable) {
	after := ""
	for _, c := range t.columns {
		i := slices.IndexFunc(found.columns, func(f column) bool { return f.name == c.name })
		switch {
		case i < 0:
			p.step(t.name, "the column "+c.name+" is new", fmt.Sprintf("ALTER TABLE %s%s ADD COLUMN IF NOT EXISTS %s%s", l.object(t.name), l.onCluster(), c.definition(), after))
		case found.columns[i].typ != c.typ:
			p.refuse(t.name, "declare a new column beside it, or make a new table, copy the rows and exchange the two, while no daemon runs",
				"the column %s is %s, declared is %s", c.name, found.columns[i].typ, c.typ)
		case found.columns[i].doc != c.doc:
			p.step(t.name, "the comment of "+c.name+" changed", fmt.Sprintf("ALTER TABLE %s%s COMMENT COLUMN %s %s", l.object(t.name), l.onCluster(), name(c.name), text(c.doc)))
		}
		after = " AFTER " + name(c.name)
	}
	for _, f := range found.columns {
		if t.column(f.name) < 0 {
			p.refuse(t.name, doNewer, "the column %s (%s) is not declared", f.name, f.typ)
		}
	}
}

// view plans a view: views hold nothing, so they are made again whenever their
// statement, or what the server has, is not what it was.
func (p *Plan) view(viewName, statement string, found *found) {
	t := found.tables[viewName]
	switch {
	case t == nil:
		p.step(viewName, "the view is missing", statement)
	case t.engine != "View":
		p.refuse(viewName, doForeign, "it is a table of engine %s, declared is a view", t.engine)
	case found.recorded[viewName] != (recorded{hashText(statement), hashText(t.create)}):
		p.step(viewName, "the definition changed", statement)
	}
}

// Migrate brings the database to the declared schema and claims it for the
// installation. It returns the steps it took. When something would have to
// change that it does not change unattended it does nothing and returns a
// *PlanError, and when another installation owns the database an
// *InstallationError. The schema of a newer release is left as it is. Repeating it
// is harmless.
func (w *Warehouse) Migrate(ctx context.Context) (*Plan, error) {
	plan, err := w.Plan(ctx)
	if err != nil {
		return nil, err
	}
	if len(plan.Refused) > 0 {
		return plan, &PlanError{w.layout.database, plan.Refused}
	}
	if err := w.checkInstallation(ctx); err != nil {
		return nil, err
	}
	if plan.Newer != nil {
		w.log.Warn(plan.Newer.String(), zap.String("do", "upgrade this replica, too"))
		return plan, w.claim(ctx)
	}
	for _, s := range plan.Steps {
		w.log.Debug("change the schema", zap.String("object", s.Object), zap.String("why", s.Why))
		if err := w.inTurn(ctx, func() error { return w.conn.Exec(ctx, s.Statement) }); err != nil {
			return nil, fmt.Errorf("change the schema: %s: %s: %w", s.Object, s.Why, err)
		}
	}
	if len(plan.Steps) > 0 {
		w.log.Info("changed the schema", zap.String("database", w.layout.database), zap.Int("steps", len(plan.Steps)))
	}
	if err := w.inTurn(ctx, func() error { return w.recordViews(ctx) }); err != nil {
		return nil, fmt.Errorf("record the definitions of views: %w", err)
	}
	return plan, w.claim(ctx)
}

// Check tells whether runs may use the database as it is: the schema is the
// declared one, and the installation its owner. It changes nothing.
func (w *Warehouse) Check(ctx context.Context) error {
	plan, err := w.Plan(ctx)
	if err != nil {
		return err
	}
	if len(plan.Refused) > 0 {
		return &PlanError{w.layout.database, plan.Refused}
	}
	if n := len(plan.Steps); n > 0 {
		return fmt.Errorf("the database %s lacks %d changes, the first: %s: %s; run `sitedrift migrate`", w.layout.database, n, plan.Steps[0].Object, plan.Steps[0].Why)
	}
	return w.checkInstallation(ctx)
}

// checkInstallation refuses a database of another installation. A database
// without the table, or without a row in it, belongs to nobody yet.
func (w *Warehouse) checkInstallation(ctx context.Context) error {
	owner, err := w.owner(ctx)
	if err != nil {
		return fmt.Errorf("ask who owns the database %s: %w", w.layout.database, err)
	}
	if owner != uuid.Nil && owner != w.install {
		return &InstallationError{Found: owner, Own: w.install}
	}
	return nil
}

// claim makes the installation the owner if there is none. Of two that claim at
// once the earlier row wins, and the other is told here.
func (w *Warehouse) claim(ctx context.Context) error {
	owner, err := w.owner(ctx)
	if err == nil && owner == uuid.Nil {
		insert := fmt.Sprintf("INSERT INTO %s SELECT %s, fromUnixTimestamp64Milli(%d, 'UTC')", w.layout.object(installationName), uuidText(w.install), w.now().UnixMilli())
		err = w.inTurn(ctx, func() error { return w.conn.Exec(ctx, insert) })
	}
	return errors.Join(err, w.checkInstallation(ctx))
}
