package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

type tenantsAuditCmd struct {
	ID    string `arg:"" optional:"" help:"Tenant. Everything when left out."`
	Limit int    `default:"100" help:"At most this many entries, the last ones."`
}

type auditParams struct {
	ID    string `json:"id"`
	Limit int    `json:"limit"`
}

// actionShown is an entry of the audit trail.
type actionShown struct {
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	Action  string    `json:"action"`
	Tenant  string    `json:"tenant_id"`
	Detail  string    `json:"detail"`
	Failure string    `json:"failure,omitempty"`
	// Unfinished: under way, or cut off by the death of its process.
	Unfinished bool `json:"unfinished,omitempty"`
}

func opAudit(ctx context.Context, a *app, p auditParams, _ func(any)) ([]actionShown, error) {
	all, err := a.store.Actions(ctx, p.ID, p.Limit)
	return each(all, func(e collector.Action) actionShown {
		return actionShown{e.At, e.Actor, e.Name, e.Tenant, e.Detail, e.Failure, e.Unfinished}
	}), err
}

func (c tenantsAuditCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usage("--limit: write a number from 1 on")
	}
	all, err := call[[]actionShown](e, "audit", auditParams(c), nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(e.err, "nothing was changed yet")
		return nil
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tACTOR\tACTION\tTENANT\tDETAIL")
	for _, a := range all {
		detail := a.Detail
		if a.Failure != "" {
			detail += " FAILED: " + a.Failure
		}
		if a.Unfinished {
			detail += " NOT FINISHED: under way, or cut off"
		}
		detail = strings.TrimPrefix(detail, " ")
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.At.UTC().Format("2006-01-02 15:04:05"), cell(a.Actor, 60), a.Action, cell(a.Tenant, 63), cell(detail, 120))
	}
	return w.Flush()
}
