package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

type tenantsAddCmd struct {
	ID         string `arg:"" help:"Id of the tenant: up to 63 of a-z, 0-9, '.', '_', '-'. It cannot be changed later."`
	Site       string `required:"" placeholder:"URL" help:"Base address of the Confluence site."`
	Name       string `help:"Name for people. The id when left out."`
	DataCenter bool   `help:"The site is a Data Center one."`
	CloudID    string `name:"cloud-id" placeholder:"UUID" help:"Cloud id of the site; learned at consent when left out."`
}

type tenantsImportCmd struct {
	File   string `arg:"" help:"CSV with the columns id, site, and perhaps name, deployment, cloud_id, paused; or YAML with the key tenants:, as in the configuration. - is standard input, which may be either."`
	DryRun bool   `help:"Check the list and say what would change, and change nothing."`
}

type tenantsRemoveCmd struct {
	ID    string `arg:"" help:"Tenant."`
	Erase bool   `help:"Erase its rows from the warehouse, too. They cannot be brought back."`
	Yes   bool   `help:"Do it."`
}

func (c tenantsAddCmd) Run(e *env) error {
	t := map[string]string{"id": c.ID, "site": c.Site, "name": c.Name, "cloud_id": c.CloudID}
	if c.DataCenter {
		t["deployment"] = schemas.DataCenter
	}
	list, err := config.ParseTenants("tenants add", asYAML(t), checks())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return putTenants(e, putParams{Tenants: list, New: true})
}

// asYAML is a list of one tenant, so that it passes the rules of any list.
func asYAML(t map[string]string) []byte {
	text := []byte("tenants:\n- ")
	for _, key := range []string{"id", "site", "name", "deployment", "cloud_id"} {
		if t[key] != "" {
			text = fmt.Appendf(text, "%s: %q\n  ", key, t[key])
		}
	}
	return text
}

func (c tenantsImportCmd) Run(e *env) error {
	name, src, err := "standard input", []byte(nil), error(nil)
	if c.File == "-" {
		src, err = io.ReadAll(e.in)
	} else {
		name = filepath.Base(c.File)
		src, err = os.ReadFile(c.File)
	}
	if err != nil {
		return usage("read the list of tenants: %v", err)
	}
	list, err := config.ParseTenants(name, src, checks())
	if err != nil {
		return &exitError{exitUsage, err}
	}
	return putTenants(e, putParams{Tenants: list, DryRun: c.DryRun})
}

type putParams struct {
	Tenants []config.Tenant `json:"tenants"`
	New     bool            `json:"new"` // one that exists is an error
	DryRun  bool            `json:"dry_run"`
}

// putResult lists ids.
type putResult struct {
	Added     []string `json:"added"`
	Changed   []string `json:"changed"`
	Unchanged []string `json:"unchanged"`
	// Erased are the kinds of credentials that ended, by tenant: its site moved.
	Erased map[string][]string `json:"erased_credentials"`
	DryRun bool                `json:"dry_run"`
}

func putTenants(e *env, p putParams) error {
	res, err := call[putResult](e, "put_tenants", p, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	if p.New {
		fmt.Fprintf(e.out, "%s is added; give it a credential: %s\n", p.Tenants[0].ID, connectCommand(p.Tenants[0].ID, ""))
		return nil
	}
	verb := map[bool]string{false: "", true: "would be "}[res.DryRun]
	fmt.Fprintf(e.out, "%d %sadded, %d %schanged, %d are as they were\n", len(res.Added), verb, len(res.Changed), verb, len(res.Unchanged))
	for _, id := range slices.Sorted(maps.Keys(res.Erased)) {
		fmt.Fprintf(e.out, "%s moved: its %s, given for the old address, %serased; connect it again: %s\n",
			id, strings.Join(res.Erased[id], " and "), map[bool]string{false: "was ", true: "would be "}[res.DryRun], connectCommand(id, res.Erased[id][0]))
	}
	return nil
}

// opPutTenants adds and changes tenants: all of them, or none if one cannot be.
func opPutTenants(ctx context.Context, a *app, p putParams, _ func(any)) (putResult, error) {
	res := putResult{Added: []string{}, Changed: []string{}, Unchanged: []string{}, Erased: map[string][]string{}, DryRun: p.DryRun}
	stored, err := a.store.Tenants(ctx)
	if err != nil {
		return res, err
	}
	stones, err := a.store.Tombstones(ctx)
	if err != nil {
		return res, err
	}
	present, err := a.schedules(ctx, "")
	if err != nil {
		return res, err
	}
	byID, bySite, byCloud := map[string]collector.Tenant{}, map[string]string{}, map[string]string{}
	for _, t := range stored {
		byID[t.ID], bySite[t.SiteURL] = t, t.ID
		if t.CloudID != "" {
			byCloud[strings.ToLower(t.CloudID)] = t.ID
		}
	}
	var problems []error
	var changes []tenantChange
	for _, t := range p.Tenants {
		if other, ok := bySite[t.Site]; ok && other != t.ID {
			problems = append(problems, fmt.Errorf("tenant %s: its site %s is that of tenant %s; two tenants of one site would read everything twice", t.ID, t.Site, other))
		}
		if other, ok := byCloud[strings.ToLower(t.CloudID)]; ok && other != t.ID {
			problems = append(problems, fmt.Errorf("tenant %s: its cloud id %s is that of tenant %s; two tenants of one site would read everything twice", t.ID, t.CloudID, other))
		}
		if t.CloudID != "" {
			byCloud[strings.ToLower(t.CloudID)] = t.ID
		}
		now := collector.Tenant{ID: t.ID, Name: t.Name, SiteURL: t.Site, Deployment: t.Deployment, CloudID: t.CloudID, Paused: t.Paused, CreatedAt: a.out.now().UTC()}
		before, known := byID[t.ID]
		_, configured := a.cfg.Tenant(t.ID)
		switch {
		case configured:
			problems = append(problems, fmt.Errorf("tenant %s is in the configuration, which counts at each start: change it in %s", t.ID, a.cfg.File))
			continue
		case !known:
			if err := mayComeBack(stones, now); err != nil {
				problems = append(problems, err)
			}
			before = now
		case p.New:
			problems = append(problems, fmt.Errorf("tenant %s exists already: look at it with sitedrift tenants show %s", t.ID, t.ID))
		case deployment(before) != t.Deployment:
			problems = append(problems, fmt.Errorf("tenant %s is a site on %s: a site that moved to %s is another tenant, with a history of its own", t.ID, deployment(before), t.Deployment))
		default:
			if err := sameSite(before, t.CloudID); err != nil {
				problems = append(problems, err)
			}
		}
		if known {
			now.CreatedAt, now.Paused = before.CreatedAt, now.Paused || before.Paused
			if now.CloudID == "" && now.SiteURL == before.SiteURL { // at another address it may be another site
				now.CloudID = before.CloudID
			}
		}
		c := tenantChange{before: before, after: now}
		if c.erases, err = a.erasedBy(ctx, c); err != nil {
			return res, err
		}
		if c.schedules, err = a.planSchedules(t, present[t.ID]); err != nil {
			return res, err
		}
		if len(c.erases) > 0 {
			res.Erased[t.ID] = c.erases
		}
		switch {
		case !known:
			res.Added = append(res.Added, t.ID)
		case now == before:
			res.Unchanged = append(res.Unchanged, t.ID)
			if len(c.schedules) == 0 {
				continue
			}
		default:
			res.Changed = append(res.Changed, t.ID)
		}
		changes = append(changes, c)
	}
	if len(problems) > 0 {
		return res, &exitError{exitUsage, errors.Join(problems...)}
	}
	if p.DryRun {
		return res, nil
	}
	if err := a.change(ctx, changes); err != nil {
		return res, err
	}
	if a.warehouse != nil && len(changes) > 0 {
		return res, a.expect(ctx, each(changes, func(c tenantChange) string { return c.after.ID })...)
	}
	return res, nil
}

type removeParams struct {
	ID    string `json:"id"`
	Erase bool   `json:"erase"`
}

type removed struct {
	Tenant string `json:"tenant"`
	Erased int64  `json:"erased_rows"` // -1: the rows were kept
}

func (c tenantsRemoveCmd) Run(e *env) error {
	if !c.Yes {
		what := "its credentials and schedules"
		if c.Erase {
			what += ", and all of its rows"
		}
		return usage("this erases tenant %s: %s; add --yes to do it", c.ID, what)
	}
	res, err := call[removed](e, "remove", removeParams{c.ID, c.Erase}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	fmt.Fprintf(e.out, "%s is removed, its credentials are erased\n", res.Tenant)
	fmt.Fprintf(e.err, "warning: what they are lives on until it is revoked where it was made (Atlassian's account settings, the site, or the organization's administration)\n")
	if c.Erase {
		fmt.Fprintf(e.out, "%d rows were erased from the warehouse\n", res.Erased)
	} else {
		fmt.Fprintf(e.out, "its rows stay; to erase them, too: sitedrift tenants remove %s --erase --yes\n", res.Tenant)
	}
	return nil
}

// opRemove removes a tenant, credentials first. What is removed already can still
// be erased. Whoever is in the configuration comes back with the next start, so
// that one is refused.
func opRemove(ctx context.Context, a *app, p removeParams, _ func(any)) (removed, error) {
	res := removed{Tenant: p.ID, Erased: -1}
	if _, ok := a.cfg.Tenant(p.ID); ok {
		return res, usage("tenant %s is in the configuration, and would come back with the next start: take it out of %s first", p.ID, a.cfg.File)
	}
	err := a.store.RemoveTenant(ctx, p.ID, a.out.now())
	if errors.Is(err, state.ErrUnknownTenant) {
		err = a.wasRemoved(ctx, p.ID, err)
	}
	if err != nil {
		return res, err
	}
	if p.Erase {
		erased, err := a.eraseTenant(ctx, p.ID)
		if err == nil {
			res.Erased = erased
		}
		return res, err
	}
	if a.warehouse == nil {
		return res, nil
	}
	var gone []schemas.Expected
	for _, d := range tables() {
		gone = append(gone, schemas.Expected{Tenant: p.ID, Dataset: d.Name, Group: d.Group, Removed: true})
	}
	return res, a.warehouse.Expect(ctx, a.out.now(), gone)
}

// wasRemoved returns the error of a tenant that is not there, and nil if it was.
func (a *app) wasRemoved(ctx context.Context, id string, unknown error) error {
	stones, err := a.store.Tombstones(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(stones, func(s collector.Tombstone) bool { return s.Tenant == id }) {
		return nil
	}
	return unknownTenant(unknown)
}
