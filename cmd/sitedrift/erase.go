package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

type tenantsEraseCmd struct {
	ID      string `arg:"" help:"Tenant."`
	Account string `required:"" help:"Account id of the person (Data Center: user key)."`
	Yes     bool   `help:"Do it. Without it the rows are counted, and nothing is erased."`
}

type eraseParams struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Yes     bool   `json:"yes"`
}

// erasedPerson says how much there was, and never of whom.
type erasedPerson struct {
	Tenant string           `json:"tenant"`
	Erased bool             `json:"erased"`
	Rows   int64            `json:"rows"`
	Tables map[string]int64 `json:"tables"` // as of before
}

func (c tenantsEraseCmd) Run(e *env) error {
	res, err := call[erasedPerson](e, "erase_person", eraseParams(c), nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	for _, table := range slices.Sorted(maps.Keys(res.Tables)) {
		fmt.Fprintf(e.out, "%-32s %d\n", table, res.Tables[table])
	}
	if !res.Erased {
		fmt.Fprintf(e.out, "%d rows name this account; to erase them: add --yes\n", res.Rows)
		return nil
	}
	fmt.Fprintf(e.out, "%d rows named this account, and are erased; who is still on the site is read again by the next run. Files of the JSONL sink and backups are yours to erase\n", res.Rows)
	return nil
}

// opErasePerson counts the rows that name an account, and erases them.
func opErasePerson(ctx context.Context, a *app, p eraseParams, _ func(any)) (erasedPerson, error) {
	res := erasedPerson{Tenant: p.ID, Tables: map[string]int64{}}
	if _, err := a.store.Tenant(ctx, p.ID); err != nil {
		return res, unknownTenant(err)
	}
	if p.Account == "" {
		return res, usage("the account is empty")
	}
	var err error
	if res.Tables, err = a.warehouse.PersonRows(ctx, tables(), p.ID, p.Account); err != nil {
		return res, err
	}
	for _, n := range res.Tables {
		res.Rows += n
	}
	if !p.Yes {
		return res, nil
	}
	erasure, err := a.store.AskErasure(ctx, p.ID, p.Account, a.out.now())
	if err != nil {
		return res, err
	}
	res.Rows, err = a.erase(ctx, erasure)
	res.Erased = err == nil
	return res, err
}

// erase does one erasure, group by group, between the runs of each.
func (a *app) erase(ctx context.Context, e collector.Erasure) (rows int64, err error) {
	for _, group := range schemas.Groups {
		job, err := a.takeJob(ctx, e.Tenant, group, nil)
		if err != nil {
			return rows, err
		}
		s := *a.scheduler // its leases, for another kind of work
		s.Run = func(ctx context.Context, req collector.Request) (schemas.Run, error) {
			return a.erasePerson(ctx, req, e)
		}
		run, err := s.RunNow(ctx, job, collector.Listener{})
		if err != nil {
			return rows, fmt.Errorf("the erasure is not complete, and goes on when the daemon starts, or with the same command: %w", err)
		}
		rows += run.Written
	}
	return rows, a.store.FinishErasure(ctx, e, rows, a.out.now())
}

// erasePerson erases a person from one group, whose lease the caller has.
func (a *app) erasePerson(ctx context.Context, req collector.Request, e collector.Erasure) (schemas.Run, error) {
	a.rewriting.Lock()
	defer a.rewriting.Unlock()
	return a.runner.Erase(ctx, req, e.Account)
}

// run runs a group, after the erasures of persons that are not complete: a process
// that died in one may have deleted rows that the heads still count, and the run would
// take that for a loss of the warehouse.
func (a *app) run(ctx context.Context, req collector.Request) (schemas.Run, error) {
	pending, err := a.store.PendingErasures(ctx, req.Tenant.ID)
	if err != nil {
		return schemas.Run{}, err
	}
	for _, e := range pending {
		if _, err := a.erasePerson(ctx, req, e); err != nil {
			return schemas.Run{}, fmt.Errorf("before the run: %w", err)
		}
	}
	return a.runner.Run(ctx, req)
}

// occupied is for how long runs of a tenant are kept away while its rows are
// erased, if the process dies meanwhile and nobody notices.
const occupied = time.Hour

// eraseTenant erases the rows of a removed tenant, after its last run has ended, and
// returns how many there were. What such a run was doing is cut off when it renews its
// lease; a process that is frozen or dead holds it up no longer than its lease.
func (a *app) eraseTenant(ctx context.Context, id string) (int64, error) {
	a.erasing.Lock()
	defer a.erasing.Unlock()
	defer func() {
		if err := a.store.Vacate(context.WithoutCancel(ctx), a.owner, id); err != nil {
			a.log.Warn("runs of a tenant that was erased are kept away for an hour, should it come back", zap.String("tenant", id), zap.Error(err))
		}
	}()
	for {
		alone, err := a.store.Occupy(ctx, a.owner, id, a.out.now(), occupied)
		if err != nil {
			return 0, err
		}
		if alone {
			break
		}
		a.trace("erase.waits")
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return 0, fmt.Errorf("wait for the end of a run: %w", ctx.Err())
		}
	}
	switch _, err := a.store.Tenant(ctx, id); {
	case err == nil:
		return 0, fmt.Errorf("tenant %s was added again meanwhile: nothing was erased", id)
	case !errors.Is(err, state.ErrUnknownTenant):
		return 0, err
	}
	a.rewriting.Lock()
	defer a.rewriting.Unlock()
	rows, err := a.warehouse.Erase(ctx, id)
	if err != nil {
		return rows, err
	}
	return rows, a.store.ForgetTenant(ctx, id, rows, a.out.now())
}

// eraseLate erases what came in of erased tenants since: a process that was frozen
// in a run and wakes up may still send rows, and tells of the run.
func (a *app) eraseLate(ctx context.Context) error {
	stones, err := a.store.Tombstones(ctx)
	if err != nil {
		return err
	}
	var gone []string
	for _, s := range stones {
		if s.Erased >= 0 {
			gone = append(gone, s.Tenant)
		}
	}
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	gone = slices.DeleteFunc(gone, func(id string) bool {
		return slices.ContainsFunc(tenants, func(t collector.Tenant) bool { return t.ID == id })
	})
	late, err := a.warehouse.Holding(ctx, gone)
	if err != nil {
		return err
	}
	for _, id := range late {
		rows, err := a.eraseTenant(ctx, id)
		if err != nil {
			return err
		}
		a.log.Warn("erased rows that came in after their tenant was erased", zap.String("tenant", id), zap.Int64("rows", rows))
	}
	return nil
}

// resumeErasures goes on with what an earlier process did not complete.
func (a *app) resumeErasures(ctx context.Context) error {
	all, err := a.store.Erasures(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		if !e.DoneAt.IsZero() {
			continue
		}
		if _, err := a.store.Tenant(ctx, e.Tenant); err != nil { // removed meanwhile: remove --erase takes all of it
			continue
		}
		p := eraseParams{ID: e.Tenant, Yes: true} // the trail does not say of whom
		errs = append(errs, a.recorded(ctx, collector.ActorDaemon, erasePersonActions(p, nil), func() ([]collector.Action, error) {
			rows, err := a.erase(ctx, e)
			return erasePersonActions(p, &erasedPerson{Rows: rows}), err
		}))
	}
	return errors.Join(errs...)
}
