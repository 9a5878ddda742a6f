package main

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// refusals learns whether sites take the tokens, keys and secrets that tenants gave,
// and keeps it. Without a store it keeps nothing, and asks about each credential: a
// check tells what is true now.
type refusals struct {
	store *state.Store // nil: a check
	now   func() time.Time
	log   *zap.Logger
}

// due reports whether to ask the site about the credential now.
func (r refusals) due(c collector.Credential) bool { return r.store == nil || c.Refusal.Due(r.now()) }

// try asks the site about a credential if that is due, and has the way report what
// a run finds out later. A refusal that is settled closes the way.
func (r refusals) try(ctx context.Context, w *confluence.Way, c *collector.Credential) error {
	if r.due(*c) {
		verdict, evidence := w.Ask(ctx)
		var err error
		switch verdict {
		case confluence.Denied:
			err = r.note(ctx, c, evidence)
		case confluence.Taken:
			err = r.end(ctx, c)
		case confluence.Undecided:
		}
		if err != nil {
			return err
		}
	}
	if c.Refusal.Settled() || r.store == nil && c.Refusal.Stands() {
		w.Refused = refusedSince(*c)
	}
	began := *c
	w.OnRefused = func(ctx context.Context, evidence string) {
		if err := r.note(ctx, &began, evidence); err != nil {
			r.log.Error("record that the site refuses a credential", zap.String("tenant", began.Tenant), zap.String("kind", began.Kind), zap.Error(err))
		}
	}
	return nil
}

// note records that the site refuses the credential itself.
func (r refusals) note(ctx context.Context, c *collector.Credential, evidence string) error {
	c.Refusal = c.Refusal.Again(r.now().UTC(), evidence)
	if r.store == nil {
		return nil
	}
	r.log.Warn("the site refuses a credential", zap.String("tenant", c.Tenant), zap.String("kind", c.Kind), zap.Time("since", c.Refusal.Since),
		zap.String("evidence", evidence), zap.String("to_do", connectCommand(c.Tenant, c.Kind)))
	_, err := r.store.PutRefusal(ctx, c.Tenant, c.Kind, c.Generation, c.Refusal)
	return err
}

// end records that the site takes the credential.
func (r refusals) end(ctx context.Context, c *collector.Credential) error {
	if !c.Refusal.Stands() {
		return nil
	}
	c.Refusal = collector.Refusal{}
	if r.store == nil {
		return nil
	}
	r.log.Info("the site takes a credential again", zap.String("tenant", c.Tenant), zap.String("kind", c.Kind))
	_, err := r.store.PutRefusal(ctx, c.Tenant, c.Kind, c.Generation, c.Refusal)
	return err
}

// refusedSince says that a credential is refused, and what to do.
func refusedSince(c collector.Credential) *collector.ReadError {
	return &collector.ReadError{
		State:    schemas.CoverageForbidden,
		Evidence: "the site refuses the " + c.Kind + " since " + c.Refusal.Since.UTC().Format(time.DateTime) + " UTC: " + c.Refusal.Evidence,
		Unlock:   "make a new one and store it (" + connectCommand(c.Tenant, c.Kind) + ")",
	}
}
