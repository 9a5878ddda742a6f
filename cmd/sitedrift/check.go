package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
	return "A few small requests per dataset and credential; nothing is written. Exit code 3 when something cannot be read that the tenant's credentials should open."
}

type checked struct {
	Tenant      string         `json:"tenant"`
	Wanted      []string       `json:"wanted_scopes"`
	Granted     []string       `json:"granted_scopes"`
	Missing     []string       `json:"missing_scopes"`
	Credentials []credInfo     `json:"credentials"`
	Findings    []findingShown `json:"findings"`
}

func opCheck(ctx context.Context, a *app, p tenantsParams, _ func(any)) (checked, error) {
	t, err := a.store.Tenant(ctx, p.ID)
	if err != nil {
		return checked{}, unknownTenant(err)
	}
	kind := grantKind(t)
	res := checked{Tenant: t.ID, Wanted: wantedScopes(kind), Granted: []string{}, Missing: []string{}}
	source, stored, err := a.openSource(ctx, t, tables(), nil, refusals{now: a.out.now, log: a.log}) // nothing of it is stored
	res.Credentials = each(stored, a.showCredential)
	for _, c := range res.Credentials {
		if c.Kind == kind {
			res.Granted = c.Scopes
		}
	}
	for _, s := range res.Wanted {
		if !slices.Contains(res.Granted, s) {
			res.Missing = append(res.Missing, s)
		}
	}
	if refusal := (*collector.ReadError)(nil); errors.As(err, &refusal) {
		for _, d := range tables() {
			res.Findings = append(res.Findings, findingShown{Dataset: d.Name, State: string(refusal.State), Evidence: refusal.Evidence, Unlock: refusal.Unlock})
		}
		return res, nil
	}
	if err != nil {
		return res, err
	}
	probed := source.Probe(ctx, func(string, string, string) bool { return true }) // nothing of it is stored
	res.Findings = each(source.Check(ctx), showFinding)
	tellProbes(res.Findings, probed)
	return res, nil
}

// tellProbes puts the answer in the place of "not asked", where a source that is
// closed to the tenant's credentials was asked nevertheless.
func tellProbes(findings []findingShown, probed []collector.Exposure) {
	for i := range findings {
		f := &findings[i]
		if f.Credential != "" || f.State != string(schemas.CoverageNotExposed) {
			continue
		}
		spokesman := f.Dataset
		if t := tables()[slices.IndexFunc(tables(), func(t *schemas.Dataset) bool { return t.Name == f.Dataset })]; t.Parent != "" {
			spokesman = t.Parent // a probe asks for that
		}
		for _, e := range probed {
			if e.Dataset == spokesman && e.Section == f.Section && !e.Open {
				f.Evidence = "asked with " + e.Credential + ": " + e.Evidence
				break
			}
		}
	}
}

// grantKind is the kind of OAuth grant that a tenant's deployment has.
func grantKind(t collector.Tenant) string {
	if t.Deployment == schemas.DataCenter {
		return schemas.CredentialDCOAuth
	}
	return schemas.Credential3LO
}

func (c *checkCmd) Run(e *env) error {
	res, err := call[checked](e, "check", tenantsParams{c.Tenant}, nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		err = printJSON(e.out, res)
	} else {
		err = res.print(e.out)
	}
	if err != nil {
		return err
	}
	if slices.ContainsFunc(res.Findings, func(f findingShown) bool {
		state := schemas.CoverageState(f.State)
		return state != schemas.CoverageComplete && !state.OutOfReach()
	}) {
		return errIncomplete
	}
	return nil
}

// print shows which credential reaches which dataset, then why the others do not
// and what would help.
func (res checked) print(out io.Writer) error {
	var kinds []string
	for _, c := range res.Credentials {
		kinds = append(kinds, c.Kind)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(append(append([]string{"DATASET"}, upper(kinds)...), "READ BY"), "\t"))
	for i := 0; i < len(res.Findings); {
		name, by := res.Findings[i].name(), "-"
		states := make([]string, len(kinds))
		for k := range states {
			states[k] = "-"
		}
		for ; i < len(res.Findings) && res.Findings[i].name() == name; i++ {
			f := res.Findings[i]
			if k := slices.Index(kinds, f.Credential); k >= 0 {
				states[k] = f.State
			} else if f.State != string(schemas.CoverageNotExposed) { // none of them can be used
				for k := range states {
					states[k] = f.State
				}
			}
			if f.Taken && f.State == string(schemas.CoverageComplete) {
				by = schemas.Access{API: f.API, Credential: f.Credential}.String()
			}
		}
		fmt.Fprintln(w, strings.Join(append(append([]string{name}, states...), by), "\t"))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, g := range res.gaps() {
		if i == 0 {
			fmt.Fprint(out, "\nNot to be read:\n")
		}
		fmt.Fprintf(out, "  %s: %s\n    %s\n", g.what(), g.state, cell(g.evidence, 200))
		if g.unlock != "" {
			fmt.Fprintf(out, "    to unlock: %s\n", cell(g.unlock, 0))
		}
	}
	for _, c := range res.Credentials {
		if c.State == credentialRefused {
			fmt.Fprintf(out, "\n%s, %s: %s\n    to unlock: %s\n", c.Kind, c.State, cell(c.Reason, 200), c.Unlock)
		}
		if warning := c.warning(res.Tenant); warning != "" {
			fmt.Fprintf(out, "\n%s: %s\n", c.Kind, warning)
		}
	}
	if len(res.Missing) > 0 && (len(res.Credentials) == 0 || slices.ContainsFunc(res.Credentials, func(c credInfo) bool { return isConsent(c.Kind) })) {
		fmt.Fprintf(out, "\nscopes to ask for: %s\n", strings.Join(res.Wanted, " "))
		fmt.Fprintf(out, "not granted (an alternative may be): %s\n", strings.Join(res.Missing, " "))
	}
	return nil
}

// gap is what cannot be read for one reason.
type gap struct {
	datasets                []string
	sections                map[string][]string // by dataset
	state, evidence, unlock string
}

// what names the datasets and, behind each, its sections.
func (g *gap) what() string {
	return strings.Join(each(g.datasets, func(d string) string {
		if s := g.sections[d]; len(s) > 0 {
			return d + " (" + strings.Join(s, ", ") + ")"
		}
		return d
	}), ", ")
}

// gaps tell each reason once. Findings that the same would unlock are one gap: the
// evidence is then that of the first.
func (res checked) gaps() (all []*gap) {
	byReason := map[[2]string]*gap{}
	for _, f := range res.Findings {
		if f.State == string(schemas.CoverageComplete) || slices.ContainsFunc(res.Credentials, func(c credInfo) bool { return c.Kind == f.Credential && c.State == credentialRefused }) {
			continue // a refusal is told once, of the credential
		}
		if f.Credential == "" && f.State != string(schemas.CoverageNotExposed) || len(res.Credentials) == 0 {
			f.Dataset, f.Section = "all datasets", ""
		}
		reason := [2]string{f.State, cmp.Or(f.Unlock, f.Evidence)}
		g := byReason[reason]
		if g == nil {
			g = &gap{sections: map[string][]string{}, state: f.State, evidence: f.Evidence, unlock: f.Unlock}
			byReason[reason] = g
			all = append(all, g)
		}
		if !slices.Contains(g.datasets, f.Dataset) {
			g.datasets = append(g.datasets, f.Dataset)
		}
		if f.Section != "" && !slices.Contains(g.sections[f.Dataset], f.Section) {
			g.sections[f.Dataset] = append(g.sections[f.Dataset], f.Section)
		}
	}
	return all
}

func (f findingShown) name() string {
	if f.Section == "" {
		return f.Dataset
	}
	return f.Dataset + " (" + f.Section + ")"
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.ToUpper(s)
	}
	return out
}
