package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
)

// perform runs an operation for actor and adds what it changed, or failed to
// change, to the audit trail. What is refused as a mistake of the caller changes
// nothing and leaves no entry.
func (o operation) perform(ctx context.Context, a *app, actor string, params json.RawMessage, emit func(any)) (any, error) {
	result, err := o.run(ctx, a, params, emit)
	if wrong := (*exitError)(nil); o.actions == nil || errors.As(err, &wrong) && wrong.code == exitUsage {
		return result, err
	}
	entries := o.actions(params, result)
	for i := range entries {
		if entries[i].Actor = actor; err != nil {
			entries[i].Failure = err.Error()
		}
	}
	return result, errors.Join(err, a.record(context.WithoutCancel(ctx), entries...)) // whoever goes away has done it
}

// record adds entries to the audit trail and to the log, from where they can be
// sent to a place that this machine cannot change.
func (a *app) record(ctx context.Context, entries ...collector.Action) error {
	for i := range entries {
		e := &entries[i]
		e.At = a.out.now().UTC()
		a.log.Info("action", zap.String("actor", e.Actor), zap.String("action", e.Name), zap.String("tenant", e.Tenant), zap.String("detail", e.Detail), zap.String("failure", e.Failure))
	}
	if len(entries) == 0 {
		return nil
	}
	return a.store.AddActions(ctx, entries...)
}

// actorOf names a user of this machine.
func actorOf(uid int) string {
	id := "uid " + strconv.Itoa(uid)
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		id = u.Username + " (" + id + ")"
	}
	if host, err := os.Hostname(); err == nil {
		id += " on " + host
	}
	return id
}

// What each operation leaves in the audit trail.

func syncActions(p syncParams, _ []syncRun) []collector.Action {
	return []collector.Action{{Name: "sync", Tenant: p.Tenant, Detail: strings.Join(p.Datasets, " ")}}
}

func connectActions(p connectParams, r connected) []collector.Action {
	name := "connect"
	if p.Forget {
		name = "connect --forget"
	}
	return []collector.Action{{Name: name, Tenant: p.Tenant, Detail: cmp.Or(r.Kind, p.Kind)}}
}

func pauseActions(p pauseParams, _ struct{}) []collector.Action {
	return []collector.Action{{Name: map[bool]string{true: "tenants pause", false: "tenants resume"}[p.Paused], Tenant: p.ID}}
}

func putActions(p putParams, r putResult) (all []collector.Action) {
	if p.DryRun {
		return nil
	}
	for _, t := range p.Tenants {
		a := collector.Action{Name: "tenants add", Tenant: t.ID, Detail: t.Site}
		if slices.Contains(r.Changed, t.ID) {
			a.Name = "tenants change"
		}
		if !slices.Contains(r.Unchanged, t.ID) {
			all = append(all, a)
		}
	}
	return all
}

func removeActions(p removeParams, r removed) []collector.Action {
	detail := "its credentials and schedules"
	if p.Erase {
		detail += fmt.Sprintf(", and %d rows", max(r.Erased, 0))
	}
	return []collector.Action{{Name: "tenants remove", Tenant: p.ID, Detail: detail}}
}

// erasePersonActions never says of whom.
func erasePersonActions(p eraseParams, r erasedPerson) []collector.Action {
	if !p.Yes {
		return nil
	}
	return []collector.Action{{Name: "tenants erase", Tenant: p.ID, Detail: fmt.Sprintf("%d rows of a person", r.Rows)}}
}

func rekeyActions(_ rekeyParams, r rekeyed) []collector.Action {
	return []collector.Action{{Name: "tenants rekey", Detail: fmt.Sprintf("key %d encrypts; %s encrypted anew, %s taken out", r.Key, count(r.Resealed, "credential"), count(len(r.Dropped), "older key"))}}
}

func approveActions(p tenantsParams, n int) []collector.Action {
	if n == 0 {
		return nil
	}
	return []collector.Action{{Name: "approve", Tenant: p.ID, Detail: count(n, "held dataset")}}
}

func migrateActions(p migrateParams, r migrated) []collector.Action {
	if p.DryRun || len(r.Steps) == 0 || len(r.Refused) > 0 {
		return nil
	}
	return []collector.Action{{Name: "migrate", Detail: count(len(r.Steps), "step")}}
}
