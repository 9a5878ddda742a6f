package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// An operation is what a command does to the system: a name, parameters, events
// on the way, a result. The daemon runs it when one is running, and this process
// otherwise; both through the same function, so a command behaves the same
// either way.
type operation struct {
	name  string
	needs needs
	run   func(ctx context.Context, a *app, params json.RawMessage, emit func(any)) (any, error)
}

// declare makes an operation of a typed function.
func declare[P, R any](name string, n needs, f func(ctx context.Context, a *app, p P, emit func(any)) (R, error)) operation {
	return operation{name, n, func(ctx context.Context, a *app, raw json.RawMessage, emit func(any)) (any, error) {
		var p P
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, usage("%s: the parameters are not understood: %v", name, err)
		}
		return f(ctx, a, p, emit)
	}}
}

// operations lists what the daemon does for the command line.
func operations() []operation {
	return []operation{
		declare("sync", needs{warehouse: true, tokens: true}, opSync),
		declare("check", needs{tokens: true}, opCheck),
		declare("connect", needs{tokens: true}, opConnect),
		declare("tenants", needs{}, opTenants),
		declare("pause", needs{}, opPause),
		declare("put_tenants", needs{}, opPutTenants),
		declare("remove", needs{warehouse: true, tokens: true}, opRemove),
		declare("erase_person", needs{warehouse: true, tokens: true}, opErasePerson),
		declare("approve", needs{}, opApprove),
		declare("query", needs{warehouse: true}, opQuery),
		declare("migrate", needs{warehouse: true, unmigrated: true}, opMigrate),
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
