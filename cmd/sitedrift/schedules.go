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
	stones, err := a.store.Tombstones(ctx)
	if err != nil {
		return err
	}
	present, err := a.schedules(ctx, "")
	if err != nil {
		return err
	}
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
		switch {
		case !known:
			err = mayComeBack(stones, stored)
		default:
			err = sameSite(before, t.CloudID)
		}
		if err != nil {
			return &exitError{exitUsage, err}
		}
		change := tenantChange{before: before, after: stored}
		if change.schedules, err = a.planSchedules(t, present[t.ID]); err != nil {
			return err
		}
		if change.erases, err = a.erasedBy(ctx, change); err != nil {
			return err
		}
		entry := collector.Action{Tenant: t.ID, Detail: change.told()}
		switch {
		case !known:
			entry.Name = "tenants add"
		case before != stored:
			entry.Name = "tenants change"
		case len(change.schedules) > 0:
			entry.Name, entry.Detail = "schedules", strings.Join(each(change.schedules, func(c scheduleChange) string { return c.Group }), " ")
		default:
			continue
		}
		entries := []collector.Action{entry}
		err = a.recorded(ctx, collector.ActorConfiguration, entries, func() ([]collector.Action, error) {
			return entries, a.change(ctx, []tenantChange{change})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// scheduleChange is a schedule that is to be stored, or removed.
type scheduleChange struct {
	collector.Schedule
	remove bool
}

// schedules are those of a tenant, or of all if it is empty, by tenant: of thousands
// they are asked for once.
func (a *app) schedules(ctx context.Context, tenant string) (map[string][]collector.Schedule, error) {
	all, err := a.store.Schedules(ctx, tenant)
	by := map[string][]collector.Schedule{}
	for _, s := range all {
		by[s.Tenant] = append(by[s.Tenant], s)
	}
	return by, err
}

// planSchedules compares a tenant's schedules in the configuration with those that are
// present in the table of work. A schedule that did not change keeps its next start, so that a
// restart moves nothing.
func (a *app) planSchedules(t config.Tenant, present []collector.Schedule) (changes []scheduleChange, _ error) {
	for _, group := range groupsInUse() {
		i := slices.IndexFunc(present, func(s collector.Schedule) bool { return s.Group == group })
		expr, on := a.cfg.Schedule(t, group)
		switch {
		case !on && i >= 0:
			changes = append(changes, scheduleChange{present[i], true})
		case on && (i < 0 || present[i].Cron != expr):
			next, err := schedule.NextStart(t.ID, group, expr, a.out.now(), a.cfg.Jitter)
			if err != nil {
				return nil, fmt.Errorf("schedule %s of tenant %s: %w", group, t.ID, err)
			}
			if i >= 0 && present[i].NextAt.Before(next) && !present[i].NextAt.After(a.out.now()) {
				next = present[i].NextAt // missed, and to be caught up with, whatever the new schedule is (Invariant 11)
			}
			changes = append(changes, scheduleChange{collector.Schedule{Tenant: t.ID, Group: group, Cron: expr, NextAt: next, Paused: i >= 0 && present[i].Paused}, false})
		}
	}
	return changes, nil
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

// expect tells the warehouse what tenants are meant to deliver, so that dashboards
// can show what was never read: those that are named, or all.
func (a *app) expect(ctx context.Context, only ...string) error {
	asOf := a.out.now() // before the look: a tenant that is removed meanwhile stays removed
	tenants, err := a.store.Tenants(ctx)
	if err != nil {
		return err
	}
	one := ""
	if len(only) == 1 {
		one = only[0]
	}
	schedules, err := a.schedules(ctx, one)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, id := range only {
		named[id] = true
	}
	var all []schemas.Expected
	for _, t := range tenants {
		if len(only) > 0 && !named[t.ID] {
			continue
		}
		cadences := map[string]time.Duration{} // by group
		for _, s := range schedules[t.ID] {
			cadences[s.Group] = a.cadence(s)
		}
		for _, d := range tables() {
			e := schemas.Expected{Tenant: t.ID, Dataset: d.Name, Group: d.Group, Cadence: cadences[d.Group], Paused: t.Paused}
			for _, s := range schedules[t.ID] {
				if s.Group == d.Group {
					e.Paused = e.Paused || s.Paused
				}
			}
			all = append(all, e)
		}
	}
	return a.warehouse.Expect(ctx, asOf, all)
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
