package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

type tenantsCmd struct {
	List   tenantsListCmd   `cmd:"" default:"1" help:"List all tenants."`
	Show   tenantsShowCmd   `cmd:"" help:"Show one tenant with its schedules, credential and holds."`
	Add    tenantsAddCmd    `cmd:"" help:"Add a tenant."`
	Import tenantsImportCmd `cmd:"" help:"Add or change many tenants from a CSV or YAML file."`
	Remove tenantsRemoveCmd `cmd:"" help:"Remove a tenant and erase its credentials; with --erase also its rows."`
	Erase  tenantsEraseCmd  `cmd:"" help:"Erase what is stored about a person; without --yes, count it."`
	Audit  tenantsAuditCmd  `cmd:"" help:"Show who changed what: the audit trail."`
	Rekey  tenantsRekeyCmd  `cmd:"" help:"Encrypt the stored credentials with a new key."`
	Pause  tenantsPauseCmd  `cmd:"" help:"Start no more runs of a tenant until it is resumed."`
	Resume tenantsResumeCmd `cmd:"" help:"Let the schedules of a paused or quarantined tenant go on."`
}

type (
	tenantsListCmd struct{}
	tenantsShowCmd struct {
		ID string `arg:"" help:"Tenant."`
	}
	tenantsPauseCmd struct {
		ID string `arg:"" help:"Tenant."`
	}
	tenantsResumeCmd struct {
		ID string `arg:"" help:"Tenant."`
	}
)

type tenantsParams struct {
	ID string `json:"id"` // empty: all
}

// tenantInfo is a tenant as it is shown: never a secret.
type tenantInfo struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Site        string         `json:"site"`
	Deployment  string         `json:"deployment"`
	CloudID     string         `json:"cloud_id"`
	Paused      bool           `json:"paused"`
	Schedules   []scheduleInfo `json:"schedules"`
	Credentials []credInfo     `json:"credentials"`
	Holds       []holdInfo     `json:"holds,omitempty"`
	Quarantined []quarantined  `json:"quarantined,omitempty"`
}

// quarantined is a group whose runs took the process down.
type quarantined struct {
	Group string    `json:"group"`
	Since time.Time `json:"since"`
}

type scheduleInfo struct {
	Group  string    `json:"group"`
	Cron   string    `json:"cron"`
	Paused bool      `json:"paused"`
	Next   time.Time `json:"next"`
}

type holdInfo struct {
	Dataset  string    `json:"dataset"`
	HeldAt   time.Time `json:"held_at"`
	Reason   string    `json:"reason"`
	Sample   []string  `json:"sample"`
	Approved bool      `json:"approved"`
}

// opTenants describes one tenant or all.
func opTenants(ctx context.Context, a *app, p tenantsParams, _ func(any)) ([]tenantInfo, error) {
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return nil, err
	}
	if p.ID != "" {
		if _, err := a.store.Tenant(ctx, p.ID); err != nil {
			return nil, unknownTenant(err)
		}
		tenants = slices.DeleteFunc(tenants, func(t collector.Tenant) bool { return t.ID != p.ID })
	}
	credentials, err := a.store.Credentials(ctx)
	if err != nil {
		return nil, err
	}
	holds, err := a.store.Holds(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	closed, err := a.store.Quarantines(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	schedules, err := a.schedules(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	all := []tenantInfo{}
	for _, t := range tenants {
		info := tenantInfo{ID: t.ID, Name: t.Name, Site: t.SiteURL, CloudID: t.CloudID, Deployment: t.Deployment, Paused: t.Paused, Schedules: []scheduleInfo{}, Credentials: []credInfo{}}
		for _, s := range schedules[t.ID] {
			info.Schedules = append(info.Schedules, scheduleInfo{s.Group, s.Cron, s.Paused, s.NextAt})
		}
		for _, c := range credentials {
			if c.Tenant == t.ID {
				info.Credentials = append(info.Credentials, a.showCredential(c))
			}
		}
		for _, h := range holds {
			if h.Tenant != t.ID {
				continue
			}
			info.Holds = append(info.Holds, holdInfo{h.Dataset, h.HeldAt, h.Reason, h.Sample, h.Approved})
		}
		for _, q := range closed {
			if q.Tenant == t.ID {
				info.Quarantined = append(info.Quarantined, quarantined{q.Group, q.Since})
			}
		}
		all = append(all, info)
	}
	return all, nil
}

func (tenantsListCmd) Run(e *env) error {
	all, err := call[[]tenantInfo](e, "tenants", tenantsParams{}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, all)
	}
	if len(all) == 0 {
		fmt.Fprintln(e.err, "no tenants yet: sitedrift tenants add ID --site URL, or add them under `tenants:` in the configuration")
		return nil
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tSITE\tSTATE\tCREDENTIAL\tNEXT RUN")
	for _, t := range all {
		next := "-"
		var soonest time.Time
		for _, s := range t.Schedules {
			if !t.Paused && !s.Paused && (soonest.IsZero() || s.Next.Before(soonest)) {
				soonest, next = s.Next, s.Group+" "+s.Next.UTC().Format("2006-01-02 15:04")
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, cell(t.Name, 30), cell(t.Site, 50), t.state(), t.credential(), next)
	}
	return w.Flush()
}

func (t tenantInfo) state() string {
	switch {
	case t.Paused:
		return "paused"
	case len(t.Quarantined) > 0:
		return "quarantined"
	}
	return "active"
}

func (t tenantInfo) credential() string {
	if len(t.Credentials) == 0 {
		return "none: " + connectCommand(t.ID, "")
	}
	var all []string
	for _, c := range t.Credentials {
		all = append(all, c.Kind+" "+c.State)
	}
	return strings.Join(all, ", ")
}

func (c tenantsShowCmd) Run(e *env) error {
	all, err := call[[]tenantInfo](e, "tenants", tenantsParams(c), nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, all[0])
	}
	t := all[0]
	fmt.Fprintf(e.out, "%s (%s), %s\nsite        %s\n", t.ID, cell(t.Name, 60), t.state(), cell(t.Site, 80))
	if t.Deployment == schemas.DataCenter {
		fmt.Fprintln(e.out, "deployment  Data Center")
	} else {
		fmt.Fprintf(e.out, "cloud id    %s\n", cmp.Or(t.CloudID, "not known before the first consent"))
	}
	if len(t.Credentials) == 0 {
		fmt.Fprintf(e.out, "credential  %s\n", t.credential())
	}
	for _, c := range t.Credentials {
		c.print(e.out, t.ID)
	}
	for _, s := range t.Schedules {
		fmt.Fprintf(e.out, "schedule    %s %q, next %s\n", s.Group, s.Cron, s.Next.UTC().Format("2006-01-02 15:04:05"))
	}
	for _, q := range t.Quarantined {
		fmt.Fprintf(e.out, "quarantined %s\n", (&collector.QuarantineError{Quarantine: collector.Quarantine{Tenant: t.ID, Group: q.Group, Since: q.Since}}).Error())
	}
	for _, h := range t.Holds {
		fmt.Fprintf(e.out, "held        %s since %s: %s\n            for example %s\n", h.Dataset, h.HeldAt.UTC().Format("2006-01-02 15:04"), h.Reason, cell(strings.Join(h.Sample, "; "), 200))
	}
	return nil
}

type pauseParams struct {
	ID     string `json:"id"`
	Paused bool   `json:"paused"`
}

func opPause(ctx context.Context, a *app, p pauseParams, _ func(any)) (struct{}, error) {
	if err := a.store.SetPaused(ctx, p.ID, p.Paused); err != nil {
		return struct{}{}, unknownTenant(err)
	}
	if !p.Paused {
		if _, err := a.store.Release(ctx, p.ID); err != nil {
			return struct{}{}, err
		}
	}
	if a.warehouse != nil {
		return struct{}{}, a.expect(ctx, p.ID)
	}
	return struct{}{}, nil
}

func (c tenantsPauseCmd) Run(e *env) error  { return setPaused(e, c.ID, true) }
func (c tenantsResumeCmd) Run(e *env) error { return setPaused(e, c.ID, false) }

func setPaused(e *env, id string, paused bool) error {
	if _, err := call[struct{}](e, "pause", pauseParams{id, paused}, nil); err != nil {
		return err
	}
	word := map[bool]string{true: "paused", false: "resumed"}[paused]
	if e.cli.JSON {
		return printJSON(e.out, map[string]string{"tenant": id, "state": word})
	}
	fmt.Fprintf(e.out, "%s is %s\n", id, word)
	return nil
}
