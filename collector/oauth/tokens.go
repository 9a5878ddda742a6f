package oauth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
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

// Options are what Tokens needs. Provider, Store and Vault are required.
type Options struct {
	Provider Provider
	Store    Store
	Vault    *vault.Vault

	Transport http.RoundTripper // to the token endpoint; http.DefaultTransport if nil
	Owner     string            // names this process in leases; random if empty
	Log       *zap.Logger

	Now    func() time.Time                                 // time.Now if nil
	Sleep  func(ctx context.Context, d time.Duration) error // a timer if nil
	Jitter func() float64                                   // in [0, 1); spreads retries

	// Trace is called at the named points "refresh.intent_saved",
	// "refresh.answer_received" and "refresh.saved" of each refresh.
	Trace func(point string)
}

// Tokens hands out access tokens and refreshes them. It is safe for concurrent
// use, and several processes may share one store.
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
	running sync.WaitGroup
}

type key struct{ tenant, kind string }

// token is an access token as read from the store at readAt.
type token struct {
	access     vault.Secret
	generation int64
	expires    time.Time
	early      time.Duration
	readAt     time.Time
}

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
		o.Jitter = randomFraction
	}
	t := &Tokens{
		Options: o, client: newClient(o.Transport),
		flights: map[key]*flight{}, cache: map[key]token{}, forced: map[key]token{}, retries: map[key]retryPlan{},
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	t.waiting, t.hurry = context.WithCancel(t.ctx)
	return t
}

// Token returns an access token that is good for at least half a minute, and
// the generation of the stored pair it belongs to. It refreshes when the token
// ends soon; the end of ctx ends the waiting and not the refresh. Errors are
// *Error, collector.ErrNoCredential, ErrClosed or that of ctx.
func (t *Tokens) Token(ctx context.Context, tenant, kind string) (vault.Secret, int64, error) {
	k, now := key{tenant, kind}, t.Now()
	t.mu.Lock()
	held, ok := t.cache[k]
	t.mu.Unlock()
	if ok && held.fresh(now) && now.Sub(held.readAt) < cacheFor {
		return held.access, held.generation, nil
	}
	row, err := t.read(ctx, k)
	if err != nil {
		if ok && held.usable(now) && errors.Is(err, ErrTemporary) {
			return held.access, held.generation, nil // the store is down, the token is good
		}
		return vault.Secret{}, 0, err
	}
	got, err := t.tokenOf(row)
	if err != nil {
		return vault.Secret{}, 0, err
	}
	goal := want{orUsable: true, settled: func(c collector.Credential, tok token) bool {
		now := t.Now()
		if t.tooLate(c, now) {
			// The old refresh token may be poison by now: use up the access token first.
			return tok.usable(now)
		}
		return c.IntentAt.IsZero() && tok.fresh(now)
	}}
	if !goal.settled(row, got) {
		fresh, err := t.fly(ctx, k, goal)
		if err != nil {
			now = t.Now()
			if errors.Is(err, ErrNeedsReconsent) || !got.usable(now) || ctx.Err() != nil {
				return vault.Secret{}, 0, err
			}
			t.Log.Warn("refresh failed, the access token is still good",
				zap.String("tenant", tenant), zap.String("kind", kind), zap.Time("until", got.expires), zap.Error(err))
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
	row, err := t.read(ctx, k)
	if err != nil {
		return err
	}
	if row.Generation > generation {
		return nil // another process refreshed, or a person consented
	}
	if again && last.generation == generation && t.Now().Sub(last.readAt) < 10*time.Minute {
		return &Error{Class: ErrStillRefused, Op: "use the access token", Tenant: tenant, Kind: kind,
			Hint: "refreshing does not help: check that the app is allowed on the site and that the account may use it"}
	}
	got, err := t.fly(ctx, k, want{settled: func(c collector.Credential, tok token) bool {
		return c.Generation > generation && tok.usable(t.Now())
	}})
	if err != nil {
		return err
	}
	t.mu.Lock()
	t.forced[k] = got
	t.mu.Unlock()
	return nil
}

// Source binds Tokens to one credential in the form that an API client wants.
func (t *Tokens) Source(tenant, kind string) Source { return Source{t, key{tenant, kind}} }

// Source gives the Authorization header for one credential.
type Source struct {
	tokens *Tokens
	key    key
}

// Authorization returns the header's value and the generation behind it; errors as of Token.
func (s Source) Authorization(ctx context.Context) (string, int64, error) {
	access, generation, err := s.tokens.Token(ctx, s.key.tenant, s.key.kind)
	if err != nil {
		return "", 0, err
	}
	return "Bearer " + access.Reveal(), generation, nil
}

// Refused is Tokens.Refused for the bound credential.
func (s Source) Refused(ctx context.Context, generation int64) error {
	return s.tokens.Refused(ctx, s.key.tenant, s.key.kind, generation)
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

// read fetches the row and refuses what no refresh can help.
func (t *Tokens) read(ctx context.Context, k key) (collector.Credential, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	c, err := t.Store.Credential(ctx, k.tenant, k.kind)
	if err != nil {
		return c, t.storeError("read the credential", k, err)
	}
	return c, t.alive(c)
}

// alive refuses a row whose grant is dead or belongs to another app.
func (t *Tokens) alive(c collector.Credential) error {
	if c.State == collector.CredentialNeedsReconsent {
		return &Error{Class: ErrNeedsReconsent, Op: "use the grant", Tenant: c.Tenant, Kind: c.Kind,
			Description: clean(c.StateReason), Hint: "run: sitedrift connect --tenant " + c.Tenant}
	}
	if c.ClientID != "" && c.ClientID != t.Provider.ClientID {
		return &Error{Class: ErrClientConfig, Op: "use the grant", Tenant: c.Tenant, Kind: c.Kind,
			Cause: fmt.Errorf("it was given to the app %q and %q is configured", clean(c.ClientID), clean(t.Provider.ClientID)),
			Hint:  "put the former app's values into " + t.Provider.clientKeys() + ", or run: sitedrift connect --tenant " + c.Tenant}
	}
	return nil
}

// tokenOf opens a row's access token.
func (t *Tokens) tokenOf(c collector.Credential) (token, error) {
	g, err := openGrant(t.Vault, c)
	if err != nil {
		return token{}, err
	}
	return t.tokenFrom(c, g), nil
}

func (t *Tokens) tokenFrom(c collector.Credential, g grant) token {
	early := earliest
	if life := c.AccessExpiresAt.Sub(c.LastOKAt); life > 0 {
		early = min(early, life/10)
	}
	// Up to a fifth earlier, by a number that differs per credential and
	// process, so that neither refresh together.
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %d %s", c.Tenant, c.Kind, c.Generation, t.Owner)
	early += early * time.Duration(h.Sum32()%200) / 1000
	return token{access: g.Access, generation: c.Generation, expires: c.AccessExpiresAt, early: early, readAt: t.Now()}
}

func (tok token) fresh(now time.Time) bool {
	return !tok.access.IsZero() && now.Add(tok.early).Before(tok.expires)
}

func (tok token) usable(now time.Time) bool {
	return !tok.access.IsZero() && now.Add(min(usableFor, tok.early)).Before(tok.expires)
}

// remember keeps tok unless a newer one came meanwhile.
func (t *Tokens) remember(k key, tok token) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cache[k].generation <= tok.generation {
		t.cache[k] = tok
	}
}

// Replaced says that a person's consent, here or in another process, put a new
// grant in the place of the one whose tokens may be held in memory: the next
// Token is the new one's.
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

// tooLate tells whether the row has an intent so old that its token, if it was
// rotated then, is outside the leeway by now.
func (t *Tokens) tooLate(c collector.Credential, now time.Time) bool {
	return !c.IntentAt.IsZero() && now.Sub(c.IntentAt) > max(t.Provider.Leeway-time.Minute, 0)
}

func (t *Tokens) storeError(op string, k key, err error) error {
	if errors.Is(err, collector.ErrNoCredential) {
		return fmt.Errorf("%s of tenant %s (%s): %w; run: sitedrift connect --tenant %s", op, k.tenant, k.kind, collector.ErrNoCredential, k.tenant)
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
