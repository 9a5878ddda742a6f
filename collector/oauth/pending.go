package oauth

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
)

// atOnce bounds the refreshes that pending intents and the keep-alive run side by side.
const atOnce = 8

// retryPlan spreads the tries of an intent that stays pending.
type retryPlan struct {
	at   time.Time
	wait time.Duration
}

// ServePendingIntents finishes refreshes whose outcome is unknown, such as those
// that a crash cut off. Call it at boot before any schedule, since the leeway of
// the provider is running, and every few seconds after that (see Run). Rows
// under a lease, dead grants and intents tried a moment ago are left for later. The error joins those of the single rows.
func (t *Tokens) ServePendingIntents(ctx context.Context) error {
	rows, err := t.Store.PendingIntents(ctx)
	if err != nil {
		return &Error{Class: ErrTemporary, Op: "list unfinished token refreshes", Cause: err}
	}
	return t.each(ctx, rows, func(c collector.Credential) error {
		k, now := key{c.Tenant, c.Kind}, t.Now()
		if now.Before(c.LeaseUntil) {
			return nil
		}
		t.mu.Lock()
		plan := t.retries[k]
		t.mu.Unlock()
		if now.Before(plan.at) {
			return nil
		}
		pending := c.Generation
		_, err := t.fly(ctx, k, want{settled: func(r row, tok token) bool {
			// An old intent is not sent again while the access token lives (step 5).
			return r.Generation != pending || r.IntentAt.IsZero() || r.tooLate(t.Now()) && tok.usable(t.Now())
		}})
		if err != nil {
			plan.wait = min(max(2*plan.wait, time.Second), time.Minute)
			plan.at = t.Now().Add(plan.wait)
			t.mu.Lock()
			t.retries[k] = plan
			t.mu.Unlock()
		}
		return err
	})
}

// each runs do for the rows that can be refreshed here, a few side by side.
func (t *Tokens) each(ctx context.Context, rows []collector.Credential, do func(collector.Credential) error) error {
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		errs []error
		slot = make(chan struct{}, atOnce)
	)
	for _, c := range rows {
		if !t.rotates(c.Kind) || c.State != collector.CredentialOK {
			continue
		}
		select {
		case slot <- struct{}{}:
		case <-ctx.Done():
			wg.Wait()
			return errors.Join(append(errs, ctx.Err())...)
		}
		wg.Go(func() {
			defer func() { <-slot }()
			if err := do(c); err != nil {
				mu.Lock()
				errs = append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Run serves pending intents every five seconds and keeps idle grants alive
// every hour until ctx ends. Warnings go to the log.
func (t *Tokens) Run(ctx context.Context) {
	var alive time.Time
	for ctx.Err() == nil {
		if err := t.ServePendingIntents(ctx); err != nil && ctx.Err() == nil {
			t.Log.Warn("some token refreshes stay unfinished and are tried again", zap.Error(err))
		}
		if now := t.Now(); now.Sub(alive) >= time.Hour {
			alive = now
			warnings, err := t.KeepAlive(ctx)
			for _, w := range warnings {
				t.Log.Warn("a credential ends soon and nothing renews it: consent again, or make a new token",
					zap.String("tenant", w.Tenant), zap.String("kind", w.Kind), zap.Int("days_left", w.DaysLeft), zap.String("run", t.Again(w.Tenant, w.Kind)))
			}
			if err != nil && ctx.Err() == nil {
				t.Log.Warn("some idle grants could not be kept alive", zap.Error(err))
			}
			t.forget()
		}
		if t.Sleep(ctx, 5*time.Second) != nil {
			return
		}
	}
}
