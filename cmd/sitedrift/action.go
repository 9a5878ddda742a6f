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

// perform runs an operation for actor. What it is about to change is in the audit
// trail before it begins, and what it changed, or failed to change, when it ended.
// What is refused as a mistake of the caller changes nothing and leaves no entry.
func (o operation) perform(ctx context.Context, a *app, actor string, params json.RawMessage, emit func(any)) (any, error) {
	if o.actions == nil {
		return o.run(ctx, a, params, emit)
	}
	var result any
	err := a.recorded(ctx, actor, o.actions(params, nil), func() (_ []collector.Action, err error) {
		result, err = o.run(ctx, a, params, emit)
		return o.actions(params, result), err
	})
	return result, err
}

// recorded does what changes what sitedrift does or holds, with an entry in the
// audit trail before and after, and in the log, from where they can be sent to a
// place that this machine cannot change. do returns what it did, or tried to do,
// also with an error. Without a begin nothing is recorded.
func (a *app) recorded(ctx context.Context, actor string, begin []collector.Action, do func() ([]collector.Action, error)) error {
	if len(begin) == 0 {
		_, err := do()
		return err
	}
	a.sign("action begins", actor, begin, nil)
	operation, err := a.store.BeginActions(ctx, begin...)
	if err != nil {
		return err // nothing is changed that is not on record
	}
	a.trace("action.begun")
	done, err := do()
	a.trace("action.done")
	if wrong := (*exitError)(nil); errors.As(err, &wrong) && wrong.code == exitUsage {
		done = nil
	} else if err != nil && len(done) == 0 {
		done = begin
	}
	a.sign("action", actor, done, err)
	return errors.Join(err, a.store.EndActions(context.WithoutCancel(ctx), operation, done...)) // whoever goes away has done it
}

func (a *app) trace(point string) {
	if a.out.trace != nil {
		a.out.trace(point)
	}
}

// sign fills in what all entries of an operation have in common, and logs them.
func (a *app) sign(message, actor string, entries []collector.Action, failed error) {
	for i := range entries {
		e := &entries[i]
		if e.At, e.Actor = a.out.now().UTC(), actor; failed != nil {
			e.Failure = failed.Error()
		}
		a.log.Info(message, zap.String("actor", e.Actor), zap.String("action", e.Name), zap.String("tenant", e.Tenant), zap.String("detail", e.Detail), zap.String("failure", e.Failure))
	}
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

// What each operation leaves in the audit trail: without a result of what begins,
// with one of what was done.

func syncActions(p syncParams, _ *[]syncRun) []collector.Action {
	return []collector.Action{{Name: "sync", Tenant: p.Tenant, Detail: strings.Join(p.Datasets, " ")}}
}

func connectActions(p connectParams, r *connected) []collector.Action {
	a := collector.Action{Name: "connect", Tenant: p.Tenant, Detail: p.Kind}
	if p.Forget {
		a.Name = "connect --forget"
	}
	if r != nil {
		a.Detail = cmp.Or(r.Kind, p.Kind)
	}
	return []collector.Action{a}
}

func pauseActions(p pauseParams, _ *struct{}) []collector.Action {
	return []collector.Action{{Name: map[bool]string{true: "tenants pause", false: "tenants resume"}[p.Paused], Tenant: p.ID}}
}

// putActions of a list that begins: which of it is new is found out then.
func putActions(p putParams, r *putResult) (all []collector.Action) {
	if p.DryRun {
		return nil
	}
	for _, t := range p.Tenants {
		a := collector.Action{Name: "tenants add", Tenant: t.ID, Detail: t.Site}
		switch {
		case r == nil && !p.New:
			a.Name = "tenants import"
		case r == nil:
		case slices.Contains(r.Changed, t.ID):
			a.Name = "tenants change"
			if kinds := r.Erased[t.ID]; len(kinds) > 0 {
				a.Detail += ", erased: " + strings.Join(kinds, " ")
			}
		case slices.Contains(r.Unchanged, t.ID):
			continue
		}
		all = append(all, a)
	}
	return all
}

func removeActions(p removeParams, r *removed) []collector.Action {
	detail := "its credentials and schedules"
	switch {
	case p.Erase && r == nil:
		detail += ", and its rows"
	case p.Erase:
		detail += fmt.Sprintf(", and %d rows", max(r.Erased, 0))
	}
	return []collector.Action{{Name: "tenants remove", Tenant: p.ID, Detail: detail}}
}

// erasePersonActions never says of whom.
func erasePersonActions(p eraseParams, r *erasedPerson) []collector.Action {
	if !p.Yes {
		return nil
	}
	detail := "rows of a person"
	if r != nil {
		detail = fmt.Sprintf("%d rows of a person", r.Rows)
	}
	return []collector.Action{{Name: "tenants erase", Tenant: p.ID, Detail: detail}}
}

func rekeyActions(_ rekeyParams, r *rekeyed) []collector.Action {
	if r == nil {
		return []collector.Action{{Name: "tenants rekey"}}
	}
	return []collector.Action{{Name: "tenants rekey", Detail: fmt.Sprintf("key %d encrypts; %s encrypted anew, %s taken out", r.Key, count(r.Resealed, "credential"), count(len(r.Dropped), "older key"))}}
}

func approveActions(p tenantsParams, n *int) []collector.Action {
	switch {
	case n == nil:
		return []collector.Action{{Name: "approve", Tenant: p.ID}}
	case *n == 0:
		return nil
	}
	return []collector.Action{{Name: "approve", Tenant: p.ID, Detail: count(*n, "held dataset")}}
}

func migrateActions(p migrateParams, r *migrated) []collector.Action {
	switch {
	case p.DryRun:
		return nil
	case r == nil:
		return []collector.Action{{Name: "migrate"}}
	case len(r.Steps) == 0 || len(r.Refused) > 0:
		return nil
	}
	return []collector.Action{{Name: "migrate", Detail: count(len(r.Steps), "step")}}
}
