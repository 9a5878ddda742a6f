package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

type migrateCmd struct {
	DryRun bool `help:"Only show what would be done."`
}

// Help is shown by --help.
func (migrateCmd) Help() string {
	return "serve does the same when it starts. New tables and columns are made without asking; anything else is refused with a plan for people."
}

type migrateParams struct {
	DryRun bool `json:"dry_run"`
}

type migrated struct {
	Done    bool              `json:"done"` // nothing is left to do
	Steps   []stepShown       `json:"steps"`
	Refused []differenceShown `json:"refused"`
	Newer   string            `json:"newer,omitempty"`   // the schema is of a newer release
	Readers []string          `json:"readers,omitempty"` // what the server lacks to keep tenants' readers apart
}

func opMigrate(ctx context.Context, a *app, p migrateParams, _ func(any)) (migrated, error) {
	plan, err := a.warehouse.Plan(ctx)
	if err != nil {
		return migrated{}, err
	}
	res := migrated{Done: len(plan.Steps)+len(plan.Refused) == 0, Steps: each(plan.Steps, showStep), Refused: each(plan.Refused, showDifference)}
	if plan.Newer != nil {
		res.Newer = plan.Newer.String()
	}
	res.Readers = a.readerGaps(ctx)
	if p.DryRun {
		return res, nil
	}
	_, err = a.warehouse.Migrate(ctx)
	if refused := (*clickhouse.PlanError)(nil); errors.As(err, &refused) {
		return res, nil
	}
	res.Done = err == nil
	return res, err
}

func (c *migrateCmd) Run(e *env) error {
	res, err := call[migrated](e, "migrate", migrateParams{c.DryRun}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		err = printJSON(e.out, res)
	} else {
		for _, s := range res.Steps {
			fmt.Fprintf(e.out, "%s: %s\n", s.Object, s.Why)
		}
		for _, d := range res.Refused {
			fmt.Fprintf(e.out, "refused: %s: %s\n  %s\n", d.Object, d.What, d.Do)
		}
		for _, gap := range res.Readers {
			fmt.Fprintln(e.out, gap)
		}
		switch n := len(res.Steps); {
		case res.Newer != "" && len(res.Refused) == 0:
			fmt.Fprintln(e.out, res.Newer)
		case n+len(res.Refused) == 0:
			fmt.Fprintln(e.out, "the warehouse is up to date")
		case res.Done:
			fmt.Fprintf(e.out, "%s done\n", count(n, "step"))
		case c.DryRun && len(res.Refused) == 0:
			fmt.Fprintf(e.out, "%s to do: sitedrift migrate\n", count(n, "step"))
		}
	}
	if err == nil && len(res.Refused) > 0 {
		return errors.New("nothing was changed: do what the plan says, then run migrate again")
	}
	return err
}
