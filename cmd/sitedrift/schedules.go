package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/schedule"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/schemas"
)

// storeTenants brings the tenants of the configuration, and their schedules,
// into the state. Tenants that were added otherwise stay as they are.
func (a *app) storeTenants(ctx context.Context) error {
	for _, t := range a.cfg.Tenants {
		stored, err := a.store.Tenant(ctx, t.ID)
		if err != nil && !errors.Is(err, state.ErrUnknownTenant) {
			return err
		}
		if err != nil {
			stored = collector.Tenant{ID: t.ID, SiteURL: t.Site, CreatedAt: a.out.now().UTC(), Paused: t.Paused}
		}
		before := stored
		stored.Name, stored.SiteURL, stored.Deployment, stored.Paused = t.Name, t.Site, t.Deployment, stored.Paused || t.Paused
		if t.CloudID != "" || before.SiteURL != stored.SiteURL { // at another address it may be another site
			stored.CloudID = t.CloudID
		}
		known := err == nil
		if err := a.move(ctx, before, stored); err != nil {
			return err
		}
		scheduled, err := a.storeSchedules(ctx, t)
		if err != nil {
			return err
		}
		entry := collector.Action{Actor: collector.ActorConfiguration, Tenant: t.ID, Detail: stored.SiteURL}
		switch {
		case !known:
			entry.Name = "tenants add"
		case before != stored:
			entry.Name = "tenants change"
		case len(scheduled) > 0:
			entry.Name, entry.Detail = "schedules", strings.Join(scheduled, " ")
		default:
			continue
		}
		if err := a.record(ctx, entry); err != nil {
			return err
		}
	}
	return nil
}

// storeSchedules brings a tenant's schedules into the table of work. A schedule
// that did not change keeps its next start, so that a restart moves nothing. It
// returns the groups whose schedule changed.
func (a *app) storeSchedules(ctx context.Context, t config.Tenant) (changed []string, _ error) {
	present, err := a.store.Schedules(ctx, t.ID)
	if err != nil {
		return nil, err
	}
	for _, group := range groupsInUse() {
		i := slices.IndexFunc(present, func(s collector.Schedule) bool { return s.Group == group })
		expr, on := a.cfg.Schedule(t, group)
		switch {
		case !on && i >= 0:
			changed = append(changed, group)
			err = a.store.RemoveSchedule(ctx, t.ID, group)
		case on && (i < 0 || present[i].Cron != expr):
			changed = append(changed, group)
			var next time.Time
			next, err = schedule.NextStart(t.ID, group, expr, a.out.now(), a.cfg.Jitter)
			if i >= 0 && present[i].NextAt.Before(next) && !present[i].NextAt.After(a.out.now()) {
				next = present[i].NextAt // missed, and to be caught up with, whatever the new schedule is (Invariant 11)
			}
			if err == nil {
				err = a.store.PutSchedule(ctx, collector.Schedule{Tenant: t.ID, Group: group, Cron: expr, NextAt: next, Paused: i >= 0 && present[i].Paused})
			}
		}
		if err != nil {
			return changed, fmt.Errorf("schedule %s of tenant %s: %w", group, t.ID, err)
		}
	}
	return changed, nil
}

// groupsInUse are the groups that have datasets.
func groupsInUse() (groups []string) {
	for _, t := range tables() {
		if !slices.Contains(groups, t.Group) {
			groups = append(groups, t.Group)
		}
	}
	return groups
}

// expect tells the warehouse what each tenant is meant to deliver, so that
// dashboards can show what was never read.
func (a *app) expect(ctx context.Context) error {
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	var all []schemas.Expected
	for _, t := range tenants {
		schedules, err := a.store.Schedules(ctx, t.ID)
		if err != nil {
			return err
		}
		for _, d := range tables() {
			e := schemas.Expected{Tenant: t.ID, Dataset: d.Name, Group: d.Group, Paused: t.Paused}
			for _, s := range schedules {
				if s.Group == d.Group {
					e.Cadence, e.Paused = a.cadence(s), e.Paused || s.Paused
				}
			}
			all = append(all, e)
		}
	}
	return a.warehouse.Expect(ctx, all)
}

// cadence is the time between two starts of a schedule, at present.
func (a *app) cadence(s collector.Schedule) time.Duration {
	plan, err := schedule.NewPlan(s.Tenant, s.Group, s.Cron, a.cfg.Jitter)
	if err != nil {
		return 0
	}
	first := plan.Next(a.out.now())
	return plan.Next(first).Sub(first)
}
