package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sitedrift/sitedrift/collector"
)

// An operation is what a command does to the system: a name, parameters, events
// on the way, a result. The daemon runs it when one is running, and this process
// otherwise; both through the same function, so a command behaves the same
// either way.
type operation struct {
	name  string
	needs needs
	run   func(ctx context.Context, a *app, params json.RawMessage, emit func(any)) (any, error)
	// actions are what goes into the audit trail: of what begins if there is no
	// result, of what was done otherwise. nil: the operation changes nothing.
	actions func(params json.RawMessage, result any) []collector.Action
}

// declare makes an operation of a typed function.
func declare[P, R any](name string, n needs, f func(ctx context.Context, a *app, p P, emit func(any)) (R, error)) operation {
	return operation{name: name, needs: n, run: func(ctx context.Context, a *app, raw json.RawMessage, emit func(any)) (any, error) {
		var p P
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, usage("%s: the parameters are not understood: %v", name, err)
		}
		return f(ctx, a, p, emit)
	}}
}

// changes makes an operation of a typed function that changes something, and of
// another that says what, from the parameters when it begins, which has no
// result, and from parameters and result when it ended.
func changes[P, R any](name string, n needs, f func(ctx context.Context, a *app, p P, emit func(any)) (R, error), actions func(p P, r *R) []collector.Action) operation {
	o := declare(name, n, f)
	o.actions = func(raw json.RawMessage, result any) []collector.Action {
		var p P
		if json.Unmarshal(raw, &p) != nil {
			return nil // it will not run, or did not
		}
		if result == nil {
			return actions(p, nil)
		}
		r, _ := result.(R)
		return actions(p, &r)
	}
	return o
}

// operations lists what the daemon does for the command line.
func operations() []operation {
	return []operation{
		changes("sync", needs{warehouse: true, tokens: true}, opSync, syncActions),
		declare("check", needs{tokens: true}, opCheck),
		declare("ask_consent", needs{tokens: true}, opAskConsent),
		changes("connect", needs{tokens: true}, opConnect, connectActions),
		declare("tenants", needs{}, opTenants),
		declare("audit", needs{}, opAudit),
		changes("pause", needs{}, opPause, pauseActions),
		changes("put_tenants", needs{}, opPutTenants, putActions),
		changes("remove", needs{warehouse: true, tokens: true}, opRemove, removeActions),
		changes("erase_person", needs{warehouse: true, tokens: true}, opErasePerson, erasePersonActions),
		changes("rekey", needs{tokens: true}, opRekey, rekeyActions),
		changes("approve", needs{}, opApprove, approveActions),
		declare("query", needs{warehouse: true}, opQuery),
		changes("backup", needs{warehouse: true}, opBackup, backupActions),
		changes("migrate", needs{warehouse: true, unmigrated: true}, opMigrate, migrateActions),
	}
}

func findOperation(name string) (operation, bool) {
	for _, o := range operations() {
		if o.name == name {
			return o, true
		}
	}
	return operation{}, false
}

// call runs an operation in the daemon if one is running, else here. Events
// reach onEvent in the order in which they happen.
func call[R any](e *env, name string, params any, onEvent func(json.RawMessage) error) (R, error) {
	var result R
	op, ok := findOperation(name)
	if !ok {
		return result, fmt.Errorf("no operation %q", name)
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return result, fmt.Errorf("%s: %w", name, err)
	}
	if onEvent == nil {
		onEvent = func(json.RawMessage) error { return nil }
	}
	cfg, err := e.config()
	if err != nil {
		return result, err
	}
	answer, err := remote(e.ctx, cfg.Server.ControlSocket, name, raw, onEvent)
	if errors.Is(err, errNoDaemon) {
		answer, err = local(e, cfg, op, raw, onEvent)
	}
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(answer, &result)
}
