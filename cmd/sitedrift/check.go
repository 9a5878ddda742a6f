package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

type checkCmd struct {
	Tenant string `required:"" placeholder:"ID" help:"Tenant to ask about."`
}

// Help is shown by --help.
func (checkCmd) Help() string {
	return "One small request per dataset; nothing is written. Exit code 3 when something cannot be read."
}

type checked struct {
	Tenant   string         `json:"tenant"`
	Wanted   []string       `json:"wanted_scopes"`
	Granted  []string       `json:"granted_scopes"`
	Missing  []string       `json:"missing_scopes"`
	Findings []findingShown `json:"findings"`
}

func opCheck(ctx context.Context, a *app, p tenantsParams, _ func(any)) (checked, error) {
	t, err := a.store.Tenant(ctx, p.ID)
	if err != nil {
		return checked{}, unknownTenant(err)
	}
	res := checked{Tenant: t.ID, Wanted: wantedScopes(), Granted: []string{}, Missing: []string{}}
	if c, err := a.store.Credential(ctx, t.ID, collector.CredentialKind3LO); err == nil {
		res.Granted = c.Scopes
	}
	for _, s := range res.Wanted {
		if !slices.Contains(res.Granted, s) {
			res.Missing = append(res.Missing, s)
		}
	}
	source, err := a.openSource(ctx, t, tables())
	if refusal := (*collector.ReadError)(nil); errors.As(err, &refusal) {
		for _, d := range tables() {
			res.Findings = append(res.Findings, findingShown{Dataset: d.Name, State: string(refusal.State), Evidence: refusal.Evidence, Unlock: refusal.Unlock})
		}
		return res, nil
	}
	if err != nil {
		return res, err
	}
	res.Findings = each(source.Check(ctx), showFinding)
	return res, nil
}

func (c *checkCmd) Run(e *env) error {
	res, err := call[checked](e, "check", tenantsParams{c.Tenant}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		if err := printJSON(e.out, res); err != nil {
			return err
		}
	} else {
		w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "DATASET\tSTATE\tEVIDENCE\tTO UNLOCK")
		for _, f := range res.Findings {
			name := f.Dataset
			if f.Section != "" {
				name += " (" + f.Section + ")"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, f.State, cell(f.Evidence, 200), cell(f.Unlock, 200))
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if len(res.Missing) > 0 {
			fmt.Fprintf(e.out, "\nscopes to ask for: %s\n", strings.Join(res.Wanted, " "))
			fmt.Fprintf(e.out, "not granted (an alternative may be): %s\n", strings.Join(res.Missing, " "))
		}
	}
	if slices.ContainsFunc(res.Findings, func(f findingShown) bool { return f.State != string(schemas.CoverageComplete) }) {
		return errIncomplete
	}
	return nil
}
