package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// Times of the protocol. The lease outlives a call, and both are far shorter
// than the provider's leeway.
const (
	leaseFor     = 60 * time.Second
	callTimeout  = 30 * time.Second
	storeTimeout = 10 * time.Second
	cacheFor     = 30 * time.Second // how long the row is not read again for a fresh token
	earliest     = 5 * time.Minute  // a token is refreshed this long before its end, or at a tenth of its life
	usableFor    = 30 * time.Second // a token that ends sooner is not handed out
	maxTries     = 4                // calls of one refresh
	maxWait      = 3 * time.Minute  // for a lease of another process
)

// Options are what Tokens needs. Store and Vault are required, and Provider for
// Cloud.
type Options struct {
	// Provider is the app of all Cloud grants. Service accounts use its token
	// endpoint with their own client id.
	Provider Provider
	// ProviderFor gives the app of a Data Center grant: each site is a provider of
	// its own. What it leaves empty of client id and secret comes from the grant,
	// and so does the redirect URL, always. Nil: such grants cannot be used.
	ProviderFor func(ctx context.Context, c collector.Credential) (Provider, error)

	Store Store
	Vault *vault.Vault

	Transport http.RoundTripper // to the token endpoint; http.DefaultTransport if nil
	Owner     string            // names this process in leases; random if empty
	Log       *zap.Logger

	Now    func() time.Time                                 // time.Now if nil
	Sleep  func(ctx context.Context, d time.Duration) error // a timer if nil
	Jitter func() float64                                   // in [0, 1); spreads retries

	// Again gives the command that puts another credential of the kind in place,
	// for errors; sitedrift connect with its options if nil.
	Again func(tenant, kind string) string

	// Trace is called at the named points "refresh.intent_saved",
	// "refresh.answer_received" and "refresh.saved" of each refresh.
	Trace func(point string)
}

// Tokens hands out access tokens and refreshes them, and the secrets that need
// no refreshing. It is safe for concurrent use, and several processes may share
// one store.
type Tokens struct {
	Options

	client  *http.Client
	ctx     context.Context // of refreshes; ends when Close runs out of patience
	cancel  context.CancelFunc
	waiting context.Context // of pauses in refreshes; ends when Close begins
	hurry   context.CancelFunc

	mu      sync.Mutex
	closed  bool
	flights map[key]*flight
	cache   map[key]token
	forced  map[key]token     // tokens that answered a refusal, with the time they came
	retries map[key]retryPlan // of pending intents
	gates   map[key]*gate     // of grants whose refresh ends the access token in use
	serial  int64             // of tokens that are in no row
	running sync.WaitGroup
}

type key struct{ tenant, kind string }

// flight is a refresh in progress that several callers wait for.
type flight struct {
	done  chan struct{}
	token token
	err   error
}

// NewTokens returns Tokens over o. Close it to wait for refreshes in progress.
func NewTokens(o Options) *Tokens {
	if o.Owner == "" {
		o.Owner = "sitedrift-" + rand.Text()[:12]
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Jitter == nil {
		o.Jitter = mathrand.Float64
	}
	if o.Again == nil {
		o.Again = again
	}
	t := &Tokens{
		Options: o, client: newClient(o.Transport),
		flights: map[key]*flight{}, cache: map[key]token{}, forced: map[key]token{}, retries: map[key]retryPlan{}, gates: map[key]*gate{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.waiting, t.hurry = context.WithCancel(t.ctx)
	return t
}

// clientOf sends to a provider's token endpoint.
func (t *Tokens) clientOf(p Provider) *http.Client {
	if p.Transport != nil {
		return newClient(p.Transport)
	}
	return t.client
}

// Token returns an access token of a grant or a service account that is good
// for at least half a minute, and a number that grows with each new one: for a
// grant, the generation of the stored pair it belongs to. It refreshes when the
// token ends soon; the end of ctx ends the waiting and not the refresh. Errors
// are *Error, collector.ErrNoCredential, ErrClosed or that of ctx.
func (t *Tokens) Token(ctx context.Context, tenant, kind string) (vault.Secret, int64, error) {
	return t.token(ctx, key{tenant, kind}, 0)
}

// token is Token for rows from generation since on.
func (t *Tokens) token(ctx context.Context, k key, since int64) (vault.Secret, int64, error) {
	now := t.Now()
	t.mu.Lock()
	held, ok := t.cache[k]
	t.mu.Unlock()
	ok = ok && held.row >= since
	if ok && held.fresh(now) && now.Sub(held.readAt) < cacheFor {
		return held.access, held.generation, nil
	}
	r, err := t.read(ctx, k)
	if err != nil {
		if ok && held.usable(now) && errors.Is(err, ErrTemporary) {
			return held.access, held.generation, nil // the store is down, the token is good
		}
		return vault.Secret{}, 0, err
	}
	got, err := t.tokenOf(r)
	if err != nil {
		return vault.Secret{}, 0, err
	}
	goal := want{orUsable: true, settled: func(r row, tok token) bool {
		now := t.Now()
		if r.tooLate(now) {
			// The old refresh token may be poison by now: use up the access token first.
			return tok.usable(now)
		}
		return r.IntentAt.IsZero() && tok.fresh(now)
	}}
	if !goal.settled(r, got) {
		fresh, err := t.fly(ctx, k, goal)
		if err != nil {
			now = t.Now()
			if errors.Is(err, ErrNeedsReconsent) || !got.usable(now) || ctx.Err() != nil {
				return vault.Secret{}, 0, err
			}
			t.Log.Warn("refresh failed, the access token is still good",
				zap.String("tenant", k.tenant), zap.String("kind", k.kind), zap.Time("until", got.expires), zap.Error(err))
		} else {
			got = fresh
		}
	}
	t.remember(k, got)
	return got.access, got.generation, nil
}

// Refused says that the API answered 401 to the access token of the given
// generation. On nil a newer token is there, so ask Token and try once more;
// ErrStillRefused says that a token that answered a refusal was refused itself.
func (t *Tokens) Refused(ctx context.Context, tenant, kind string, generation int64) error {
	k := key{tenant, kind}
	t.mu.Lock()
	if held, ok := t.cache[k]; ok && held.generation <= generation {
		delete(t.cache, k)
	}
	last, again := t.forced[k]
	t.mu.Unlock()
	r, err := t.read(ctx, k)
	if err != nil {
		return err
	}
	if r.Generation > rowGeneration(kind, generation) {
		return nil // another process refreshed, or a person replaced it
	}
	// Under an intent the refusal may come from a refresh that is on its way, here
	// or in another process, and says nothing about the token.
	if again && r.IntentAt.IsZero() && last.generation == generation && t.Now().Sub(last.readAt) < 10*time.Minute {
		return &Error{
			Class: ErrStillRefused, Op: "use the access token", Tenant: tenant, Kind: kind,
			Hint: "refreshing does not help: check that the app is allowed on the site and that the account may use it",
		}
	}
	got, err := t.fly(ctx, k, want{settled: func(_ row, tok token) bool {
		return tok.generation > generation && tok.usable(t.Now())
	}})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.forced[k] = got
	t.mu.Unlock()
	return nil
}

// Close lets no new refresh begin and waits for those in progress, since one
// that is cut off between the answer and the store may lose a grant. When ctx
// ends first, they are cut off and ctx's error is returned.
func (t *Tokens) Close(ctx context.Context) error {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.hurry()
	defer t.cancel()
	idle := make(chan struct{})
	go func() {
		t.running.Wait()
		close(idle)
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		t.cancel()
		<-idle
		return fmt.Errorf("wait for token refreshes in progress: %w", ctx.Err())
	}
}

// remember keeps tok unless a newer one came meanwhile.
func (t *Tokens) remember(k key, tok token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cache[k].generation <= tok.generation {
		t.cache[k] = tok
	}
}

// Replaced says that a person, here or in another process, put a new credential
// in the place of the one whose tokens may be held in memory: the next Token is
// the new one's.
func (t *Tokens) Replaced(tenant, kind string) { t.drop(tenant, kind) }

// drop forgets the token of a credential whose grant was replaced.
func (t *Tokens) drop(tenant, kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.cache, key{tenant, kind})
	delete(t.forced, key{tenant, kind})
}

// forget drops what has ended, so that memory follows the tenants in use.
func (t *Tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.Now()
	maps.DeleteFunc(t.cache, func(_ key, tok token) bool { return !now.Before(tok.expires) })
	maps.DeleteFunc(t.forced, func(_ key, tok token) bool { return !now.Before(tok.expires) })
}

func (t *Tokens) storeError(op string, k key, err error) error {
	if errors.Is(err, collector.ErrNoCredential) {
		return fmt.Errorf("%s of tenant %s (%s): %w; run: %s", op, k.tenant, k.kind, collector.ErrNoCredential, t.Again(k.tenant, k.kind))
	}
	return &Error{Class: ErrTemporary, Op: op, Tenant: k.tenant, Kind: k.kind, Cause: err}
}

func (t *Tokens) trace(point string) {
	if t.Trace != nil {
		t.Trace(point)
	}
}

// pause sleeps in a refresh and ends early when the process shuts down.
func (t *Tokens) pause(d time.Duration) error {
	if t.Sleep(t.waiting, d) != nil || t.waiting.Err() != nil {
		return ErrClosed
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
