package oauth

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
)

// want is what a refresh is for: settled tells whether a row and its token
// already give it.
type want struct {
	settled  func(row, token) bool
	orUsable bool // a token that still lives will do while another process refreshes
}

// fly joins the refresh of k in progress or begins one, and waits for it or for
// ctx. The refresh itself runs on without its callers (protocol, step 3).
func (t *Tokens) fly(ctx context.Context, k key, goal want) (token, error) {
	for {
		t.mu.Lock()
		f, joined := t.flights[k]
		if !joined {
			if t.closed {
				t.mu.Unlock()
				return token{}, ErrClosed
			}
			f = &flight{done: make(chan struct{})}
			t.flights[k] = f
			t.running.Add(1)
			go t.take(k, f, goal)
		}
		t.mu.Unlock()
		select {
		case <-f.done:
		case <-ctx.Done():
			return token{}, ctx.Err()
		}
		if f.err != nil || !joined {
			return f.token, f.err
		}
		// Somebody else's refresh may have wanted less than we do.
		r, err := t.read(ctx, k)
		if err != nil {
			return token{}, err
		}
		got, err := t.tokenOf(r)
		if err != nil || goal.settled(r, got) {
			return got, err
		}
	}
}

// take runs one flight. A panic on the way, also a runtime.Goexit, ends this
// flight only and leaves the row as a crash would (Invariant 7).
func (t *Tokens) take(k key, f *flight, goal want) {
	f.err = &Error{Class: ErrTemporary, Op: "refresh the token", Tenant: k.tenant, Kind: k.kind, Cause: errors.New("the refresh was abandoned")}
	defer func() {
		if p := recover(); p != nil {
			t.Log.Error("token refresh panicked", zap.String("tenant", k.tenant), zap.String("kind", k.kind),
				zap.String("panic", fmt.Sprintf("%T", p)), zap.Stack("stack"))
		}
		t.mu.Lock()
		delete(t.flights, k)
		if f.err == nil {
			t.cache[k] = f.token
			delete(t.retries, k)
		}
		gate := t.gates[k]
		t.mu.Unlock()
		gate.open() // what waits there finds the new token
		close(f.done)
		t.running.Done()
	}()
	if k.kind == collector.CredentialKindServiceAccount {
		f.token, f.err = t.mint(k, goal)
		return
	}
	f.token, f.err = t.refresh(k, goal)
}

// refresh runs the protocol until there is a token, a verdict, or no try left.
func (t *Tokens) refresh(k key, goal want) (token, error) {
	waitUntil := t.Now().Add(maxWait)
	for try, drained := 1, false; ; {
		r, got, done, err := t.look(k, goal)
		if err != nil || done {
			return got, err
		}
		if r.provider.EndsAccess && !drained {
			// Before the claim: the lease is for the call alone.
			if err := t.drain(k); err != nil {
				return token{}, err
			}
			drained = true
			continue
		}
		c, ours, claimed, err := t.claim(k)
		if err != nil {
			return token{}, err
		}
		got, err = t.tokenOf(c)
		if err != nil {
			if claimed {
				t.release(k, ours)
			}
			return token{}, err
		}
		view := c
		if ours {
			view.IntentAt = time.Time{} // this claim's own, nothing was sent under it
		}
		if goal.settled(view, got) {
			if claimed {
				t.release(k, ours)
			}
			return got, nil
		}
		if !claimed {
			if drained {
				t.gateOf(k).open()
				drained = false
			}
			// Another process is at it: wait for what it stores, or for its lease to end.
			if goal.orUsable && got.usable(t.Now()) {
				return got, nil
			}
			if !t.Now().Before(waitUntil) {
				return token{}, &Error{
					Class: ErrTemporary, Op: "refresh the token", Tenant: k.tenant, Kind: k.kind,
					Cause: fmt.Errorf("process %s held the refresh lease for %v", c.LeaseOwner, maxWait),
				}
			}
			left := max(c.LeaseUntil.Sub(t.Now()), 50*time.Millisecond)
			if err := t.pause(min(left, time.Duration(250+250*t.Jitter())*time.Millisecond)); err != nil {
				return token{}, err
			}
			continue
		}

		tok, v, err := t.attempt(k, c, ours)
		if err == nil || v == refused || v == dead {
			return tok, err
		}
		if v == rotated { // the row is to be read again
			continue
		}
		// Unknown outcome: the intent stays, and the same token goes out again
		// (Invariant 5), while the provider still takes it.
		tries := maxTries
		if c.provider.Leeway == 0 {
			tries = 2
		}
		if try++; try > tries || c.tooLate(t.Now()) {
			return token{}, err
		}
		if err := t.pause(t.backoff(try, c.Credential, v, err)); err != nil {
			return token{}, err
		}
	}
}

// look tells whether the row gives what is wanted without a claim: another
// process may have refreshed while we waited.
func (t *Tokens) look(k key, goal want) (r row, got token, done bool, err error) {
	if r, err = t.read(t.ctx, k); err != nil {
		return r, token{}, false, err
	}
	if got, err = t.tokenOf(r); err != nil {
		return r, token{}, false, err
	}
	return r, got, goal.settled(r, got), nil
}

// claim takes the lease, with a durable intent, before anything is sent. It
// tells whether the intent is this claim's own, and whether the claim was got.
func (t *Tokens) claim(k key) (c row, ours, claimed bool, err error) {
	before, err := t.read(t.ctx, k)
	if err != nil {
		return before, false, false, err
	}
	now := t.Now().Truncate(time.Millisecond)
	if before.LeaseOwner == t.Owner && now.Before(before.LeaseUntil) {
		// Left by a call of ours that had no answer: the provider may still be at it.
		return before, false, false, nil
	}
	ctx, cancel := context.WithTimeout(t.ctx, storeTimeout)
	defer cancel()
	c.provider, c.claimedAt = before.provider, now
	c.Credential, claimed, err = t.Store.ClaimRefresh(ctx, k.tenant, k.kind, t.Owner, now, now.Add(leaseFor))
	if err != nil {
		return c, false, false, t.storeError("claim the refresh", k, err)
	}
	if !claimed {
		c, err = t.read(t.ctx, k)
		return c, false, false, err
	}
	// The claim keeps an intent that is there, so one from just now is our own.
	ours = c.IntentAt.Equal(now) && !before.IntentAt.Equal(now)
	if err := t.alive(c); err != nil {
		t.release(k, ours)
		return c, ours, false, err
	}
	return c, ours, true, nil
}

// attempt sends the claimed row's refresh token once and stores what comes. A
// verdict of rotated with an error means that the row is to be read again.
func (t *Tokens) attempt(k key, c row, ours bool) (token, verdict, error) {
	g, err := openGrant(t.Vault, c.Credential)
	if err != nil {
		t.release(k, ours)
		return token{}, refused, err
	}
	if g.Refresh.IsZero() {
		t.release(k, ours)
		return token{}, refused, &Error{
			Class: ErrClientConfig, Op: "refresh the token", Tenant: k.tenant, Kind: k.kind,
			Cause: errors.New("no refresh token is stored"), Hint: "run: " + t.Again(k.tenant, k.kind),
		}
	}
	t.trace("refresh.intent_saved")

	sentAt := t.Now()
	if sentAt.Sub(c.claimedAt) > leaseFor-callTimeout {
		// Frozen since the claim: the call would outlive the lease, and by now the
		// token may have been used, and its successor, too (Invariant 5).
		t.release(k, ours)
		return token{}, rotated, &Error{Class: ErrTemporary, Op: "refresh the token", Tenant: k.tenant, Kind: k.kind, Cause: errors.New("this process stood still for too long to use its lease")}
	}
	ctx, cancel := context.WithTimeout(t.ctx, callTimeout)
	p, v, fail := c.provider.of(g).refresh(ctx, t.clientOf(c.provider), g.Refresh)
	cancel()
	if fail != nil {
		fail.Op, fail.Tenant, fail.Kind = "refresh the token", k.tenant, k.kind
	}
	switch v {
	case rotated:
		t.trace("refresh.answer_received")
		return t.persist(k, c, g, p, sentAt)
	case dead:
		return t.bury(k, c, ours, fail)
	case refused:
		// The app was turned away before anybody looked at the token.
		t.release(k, ours)
	case unknown:
		t.release(k, false)
	case unanswered:
		// The provider may still be rotating: nobody else may try until the lease ends.
	}
	t.Log.Warn("token refresh failed", zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.Error(fail))
	return token{}, v, fail
}

// persist stores the new pair and only then returns its access token
// (Invariant 5). While the store is down it tries on: the pair is the only copy.
func (t *Tokens) persist(k key, r row, old grant, p pair, sentAt time.Time) (token, verdict, error) {
	next := old
	next.Access = p.access
	if !p.refresh.IsZero() { // RFC 6749, section 6: else the old one stays in force
		next.Refresh = p.refresh
	}
	c, was := r.Credential, r.Generation
	c.Generation++
	c.State, c.StateReason = collector.CredentialOK, ""
	c.LeaseOwner, c.LeaseUntil, c.IntentAt = "", time.Time{}, time.Time{}
	c.AccessExpiresAt, c.LastOKAt = sentAt.Add(p.lifetime), sentAt
	if p.scopes != nil {
		c.Scopes = r.provider.holds(p.scopes)
	}
	sealed, err := sealGrant(t.Vault, c, next)
	if err != nil {
		return token{}, unknown, &Error{Class: ErrTemporary, Op: "store the new token", Tenant: k.tenant, Kind: k.kind, Cause: err}
	}
	c.Sealed = sealed
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		ctx, cancel := context.WithTimeout(t.ctx, storeTimeout)
		// Inside the leeway whoever claimed since may send the same token, too: what
		// it gets ends the pair that is held here, and the last claim counts. Where
		// there is none, no other call can get anything.
		saved, err := t.Store.SaveRotation(ctx, c, was, t.Owner, r.provider.Leeway > 0)
		cancel()
		if err == nil && !saved {
			// Another process was first, or is at it, or our own write before this one,
			// which gave an error, had happened. Either way the row has the answer.
			t.Log.Info("another token than this one is stored already, or will be, and is used", zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.Int64("after_generation", was))
			t.release(k, false)
			return token{}, rotated, &Error{
				Class: ErrTemporary, Op: "store the new token", Tenant: k.tenant, Kind: k.kind,
				Cause: errors.New("a newer one is stored already, or another process is getting one"),
			}
		}
		if err == nil {
			t.trace("refresh.saved")
			return t.tokenFrom(c, next), rotated, nil
		}
		t.Log.Error("the new token is not stored yet, trying on", zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.Error(err))
		// Not t.pause: shutting down does not end this, only Close's deadline does.
		if t.Sleep(t.ctx, wait) != nil {
			return token{}, unknown, &Error{Class: ErrTemporary, Op: "store the new token", Tenant: k.tenant, Kind: k.kind, Cause: err}
		}
	}
}

// bury marks the grant dead, if the token that the provider refused is still
// the stored one (Invariant 6). If it is not, another process refreshed or a
// person consented, and the answer says nothing about the present grant.
func (t *Tokens) bury(k key, c row, ours bool, fail *Error) (token, verdict, error) {
	ctx, cancel := context.WithTimeout(t.ctx, storeTimeout)
	defer cancel()
	reason := fmt.Sprintf("the provider answered %d %s", fail.Status, fail.Code)
	if fail.Description != "" {
		reason += " (" + fail.Description + ")"
	}
	if !ours { // a try before this one may have reached the provider
		reason += fmt.Sprintf("; a refresh begun at %s UTC got no answer that is known here, and may have used the token up", c.IntentAt.UTC().Format(time.DateTime))
		if c.provider.Leeway == 0 {
			reason += ": this provider takes a token once"
		}
	}
	marked, err := t.Store.MarkNeedsReconsent(ctx, k.tenant, k.kind, c.Generation, reason)
	if err != nil {
		t.release(k, false)
		return token{}, unknown, t.storeError("mark the grant as dead", k, err)
	}
	if !marked {
		t.release(k, false)
		return token{}, rotated, fail
	}
	t.release(k, true)
	t.Log.Error("the grant is dead, consent is needed", zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.String("reason", reason))
	fail.Hint = "run: " + t.Again(k.tenant, k.kind)
	if !ours {
		fail.Cause = errors.New("an earlier try may have used the refresh token up")
	}
	return token{}, dead, fail
}

// release gives the lease back. If that fails, the lease ends by itself.
func (t *Tokens) release(k key, clearIntent bool) {
	ctx, cancel := context.WithTimeout(t.ctx, storeTimeout)
	defer cancel()
	if err := t.Store.ReleaseRefresh(ctx, k.tenant, k.kind, t.Owner, clearIntent); err != nil {
		t.Log.Warn("the refresh lease could not be given back and will end by itself",
			zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.Error(err))
	}
}

// backoff says how long to wait before the given try: a second, doubling, or
// longer if the provider asks; until the lease ends when the call had no answer.
func (t *Tokens) backoff(try int, c collector.Credential, v verdict, err error) time.Duration {
	wait := time.Duration((0.5 + 0.5*t.Jitter()) * float64(time.Second<<(try-2)))
	if v == unanswered {
		wait += max(c.LeaseUntil.Sub(t.Now()), 0)
	}
	var e *Error
	if errors.As(err, &e) && e.RetryAfter > wait {
		// Beyond the leeway waiting would be worse than asking early.
		wait = min(e.RetryAfter, time.Minute)
	}
	return wait
}
