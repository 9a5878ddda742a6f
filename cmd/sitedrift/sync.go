package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

type syncCmd struct {
	Tenant  string   `required:"" placeholder:"ID" help:"Tenant to read."`
	Dataset []string `placeholder:"NAME" help:"Only this dataset and what it leans on; may be repeated. Default: all."`
}

// Help is shown by --help.
func (syncCmd) Help() string {
	return "Exit code 0: all that the tenant's credentials open was read (check shows what they do not). 3: it finished, and something that they open could not be seen (coverage says why). 1: nothing could be read."
}

type syncParams struct {
	Tenant   string   `json:"tenant"`
	Datasets []string `json:"datasets"`
}

// syncRun is a run as sync shows it.
type syncRun struct {
	Run      runShown          `json:"run"`
	Coverage []coverageShown   `json:"coverage"` // what this run did not find complete
	Epochs   []collector.Epoch `json:"epochs"`   // datasets that are compared anew, for another reason than a first run
	Error    string            `json:"error,omitempty"`
}

func (c *syncCmd) Run(e *env) error {
	bar := newProgress(e.err)
	runs, err := call[[]syncRun](e, "sync", syncParams{c.Tenant, c.Dataset}, func(raw json.RawMessage) error {
		var p collector.Progress
		if err := json.Unmarshal(raw, &p); err != nil {
			return err
		}
		bar.show(p)
		return nil
	})
	bar.close()
	if err != nil {
		return err
	}
	if e.cli.JSON {
		if err := printJSON(e.out, runs); err != nil {
			return err
		}
	} else {
		printRuns(e.out, runs)
	}
	for _, r := range runs {
		if r.Error != "" {
			return fmt.Errorf("run of %s: %s", r.Run.Group, r.Error)
		}
	}
	if !slices.ContainsFunc(runs, func(r syncRun) bool { return r.Run.Outcome != string(schemas.OutcomeFailed) }) {
		return errors.New("nothing could be read: the lines above say why and what to do; what was stored before stays as it is")
	}
	if slices.ContainsFunc(runs, func(r syncRun) bool {
		return r.Run.Outcome == string(schemas.OutcomeHeld) || slices.ContainsFunc(r.Coverage, func(c coverageShown) bool { return !schemas.CoverageState(c.State).OutOfReach() })
	}) {
		return errIncomplete
	}
	return nil
}

// maxUnseen bounds how many places that were not seen are listed of each run.
const maxUnseen = 10

func printRuns(w io.Writer, runs []syncRun) {
	for _, s := range runs {
		r := s.Run
		fmt.Fprintf(w, "%s: %s in %s, %s\n", r.Group, r.Outcome, r.EndedAt.Sub(r.StartedAt).Round(time.Millisecond), count(int(r.Calls), "API call"))
		fmt.Fprintf(w, "  read %d rows, wrote %d: %d added, %d changed, %d removed, %d out of view\n", r.RowsRead, r.Written, r.Added, r.Changed, r.Removed, r.Vanished)
		fmt.Fprintf(w, "  complete: %s\n", cmp.Or(strings.Join(r.Complete, ", "), "none"))
		for _, reason := range reasons(s.Epochs) {
			fmt.Fprintf(w, "  compared anew: %s\n", reason)
		}
		closed, absent := 0, 0
		unseen := slices.DeleteFunc(slices.Clone(s.Coverage), func(c coverageShown) bool {
			beyond := schemas.CoverageState(c.State).OutOfReach()
			switch {
			case beyond && c.Unlock != "":
				closed++
			case beyond:
				absent++
			}
			return beyond
		})
		for i, c := range unseen {
			if more := len(unseen) - i; i >= maxUnseen && more > 1 {
				fmt.Fprintf(w, "  not seen: %d more; all of them: sitedrift query \"SELECT * FROM coverage WHERE tenant_id = '%s' AND state != 'complete'\"\n", more, r.Tenant)
				break
			}
			name := c.Dataset
			if c.Partition != schemas.Whole {
				name += " " + c.Partition
			}
			fmt.Fprintf(w, "  not seen: %s is %s: %s\n", cell(name, 60), c.State, cell(c.Evidence, 160))
			if c.Unlock != "" {
				fmt.Fprintf(w, "            to unlock: %s\n", cell(c.Unlock, 0))
			}
		}
		if closed > 0 {
			fmt.Fprintf(w, "  not open to the tenant's credentials: %s; what would open them: sitedrift check --tenant %s\n", count(closed, "part"), r.Tenant)
		}
		if absent > 0 {
			fmt.Fprintf(w, "  not there on this site: %s; why: sitedrift check --tenant %s\n", count(absent, "part"), r.Tenant)
		}
	}
}

// reasons tell for each reason which datasets begin a new epoch.
func reasons(epochs []collector.Epoch) (lines []string) {
	datasets := map[string][]string{}
	for _, e := range epochs {
		datasets[e.Reason] = append(datasets[e.Reason], e.Dataset)
	}
	for _, reason := range slices.Sorted(maps.Keys(datasets)) {
		lines = append(lines, fmt.Sprintf("%s (%s): in these the numbers tell how the view differs from the former one; each is one change of the kind baseline", strings.Join(datasets[reason], ", "), reason))
	}
	return lines
}

// syncWait bounds how long sync waits for a run of the same group.
const syncWait = 10 * time.Minute

// opSync runs the groups of the datasets asked for, one after the other.
func opSync(ctx context.Context, a *app, p syncParams, emit func(any)) ([]syncRun, error) {
	if _, err := a.store.Tenant(ctx, p.Tenant); err != nil {
		return nil, unknownTenant(err)
	}
	groups, err := groupsOf(p.Datasets)
	if err != nil {
		return nil, err
	}
	var runs []syncRun
	for _, group := range groups {
		job, err := a.takeJob(ctx, p.Tenant, group, p.Datasets)
		if err != nil {
			return runs, err
		}
		var found collector.Found
		run, err := a.scheduler.RunNow(ctx, job, collector.Listener{Progress: seldom(a.out.now, emit), Found: func(f collector.Found) { found = f }})
		s := syncRun{Run: showRun(run), Coverage: each(incomplete(found.Coverage), showCoverage), Epochs: append([]collector.Epoch{}, found.Epochs...)}
		switch {
		case err != nil:
			s.Error = err.Error()
		case run.Outcome == schemas.OutcomeQuarantined:
			s.Error = run.Error
		}
		runs = append(runs, s)
	}
	return runs, nil
}

// progressEvery is how often a run tells how far it is: a site has thousands of
// partitions, and nobody reads that fast.
const progressEvery = 100 * time.Millisecond

// seldom passes on the beginning and the end of each dataset, and in between
// what is news after progressEvery.
func seldom(now func() time.Time, emit func(any)) func(collector.Progress) {
	var told time.Time
	return func(p collector.Progress) {
		t := now()
		if p.Done > 0 && p.Done < p.Total && t.Sub(told) < progressEvery {
			return
		}
		told = t
		emit(p)
	}
}

// takeJob gets the right to run a group now, waiting for a run under way.
func (a *app) takeJob(ctx context.Context, tenant, group string, names []string) (collector.Job, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, syncWait, fmt.Errorf("another run of %s/%s has been going on for %s", tenant, group, syncWait))
	defer cancel()
	for {
		job, ok, err := a.store.Take(ctx, a.owner, tenant, group, names, a.out.now(), a.scheduler.Lease)
		if err != nil || ok {
			return job, err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return job, context.Cause(ctx)
		}
	}
}

// groupsOf are the groups of the named datasets, or all.
func groupsOf(names []string) ([]string, error) {
	var groups, unknown []string
	for _, n := range names {
		i := slices.IndexFunc(tables(), func(t *schemas.Dataset) bool { return t.Name == n })
		if i < 0 {
			unknown = append(unknown, n)
		} else if g := tables()[i].Group; !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	if len(unknown) > 0 {
		var known []string
		for _, t := range tables() {
			known = append(known, t.Name)
		}
		return nil, usage("no dataset is named %s; there are: %s", strings.Join(unknown, ", "), strings.Join(known, ", "))
	}
	if len(names) == 0 {
		return groupsInUse(), nil
	}
	return groups, nil
}

// incomplete is what a run found, as far as it is not complete. What is in part
// only because some partitions are out of reach is told by those.
func incomplete(all []schemas.Coverage) []schemas.Coverage {
	all = slices.DeleteFunc(all, func(c schemas.Coverage) bool {
		return c.State == schemas.CoverageComplete || c.State == schemas.CoverageGone
	})
	beyond, within := map[string]bool{}, map[string]bool{} // datasets of which partitions are out of reach, or wanting otherwise
	for _, c := range all {
		if c.Partition != schemas.Whole {
			beyond[c.Dataset] = beyond[c.Dataset] || c.State.OutOfReach()
			within[c.Dataset] = within[c.Dataset] || !c.State.OutOfReach()
		}
	}
	return slices.DeleteFunc(all, func(c schemas.Coverage) bool {
		return c.State == schemas.CoveragePartial && c.Partition == schemas.Whole && beyond[c.Dataset] && !within[c.Dataset]
	})
}

// unknownTenant makes a mistyped tenant a usage error.
func unknownTenant(err error) error {
	if errors.Is(err, state.ErrUnknownTenant) {
		return &exitError{exitUsage, err}
	}
	return err
}

// progress shows how far reading is: a bar on a terminal, nothing elsewhere
// (the log and the result tell there).
type progress struct {
	w   io.Writer
	bar *progressbar.ProgressBar
	now string
}

func newProgress(w io.Writer) *progress {
	if f := terminal(w); f != nil {
		return &progress{w: f}
	}
	return &progress{}
}

func (p *progress) show(at collector.Progress) {
	if p.w == nil {
		return
	}
	if p.now != at.Dataset {
		p.close()
		p.now = at.Dataset
		p.bar = progressbar.NewOptions(at.Total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(at.Dataset),
			progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	p.bar.ChangeMax(at.Total)
	_ = p.bar.Set(at.Done) // a bar that cannot be drawn is no reason to stop
}

func (p *progress) close() {
	if p.bar != nil {
		_ = p.bar.Finish()
		p.bar = nil
	}
}
