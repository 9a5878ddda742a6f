package main

import (
	"context"
	"fmt"
)

type approveCmd struct {
	Tenant string `required:"" placeholder:"ID" help:"Tenant whose held removals may pass."`
}

// Help is shown by --help.
func (approveCmd) Help() string {
	return "A run that would end very many rows at once is held. The next complete run that finds the same, a quarter of an hour later or more, is published by itself; approve lets the very next one pass. See what is held with: sitedrift tenants show ID"
}

func opApprove(ctx context.Context, a *app, p tenantsParams, _ func(any)) (int, error) {
	if _, err := a.store.Tenant(ctx, p.ID); err != nil {
		return 0, unknownTenant(err)
	}
	return a.store.Approve(ctx, p.ID)
}

func (c *approveCmd) Run(e *env) error {
	n, err := call[int](e, "approve", tenantsParams{c.Tenant}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, map[string]any{"tenant": c.Tenant, "approved": n})
	}
	if n == 0 {
		fmt.Fprintf(e.out, "nothing of %s is held\n", c.Tenant)
		return nil
	}
	fmt.Fprintf(e.out, "%s of %s will pass in the next run: sitedrift sync --tenant %s\n", count(n, "held dataset"), c.Tenant, c.Tenant)
	return nil
}
