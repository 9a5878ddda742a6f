package httpx

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// DefaultPointsPerHour is the pool that all tenants of a Tier 1 app share
// (Atlassian, "Rate limiting", and public notes on it, 2026).
const DefaultPointsPerHour = 65_000

// BudgetOptions configure a Budget; the zero value is good.
type BudgetOptions struct {
	PointsPerHour int     // DefaultPointsPerHour if 0
	Reserve       float64 // part of the pool kept for tenants below their share; 0.2 if 0
	// Replicas is the number of processes that share the pool: each counts on an
	// equal part of it, and of what answers say is left of it. nil: one.
	Replicas func() int

	Now   func() time.Time                                 // time.Now if nil
	Sleep func(ctx context.Context, d time.Duration) error // a timer if nil
	// Waiting is told when a tenant has to wait for the next window, once per
	// tenant and window; it must not block. nil: nobody is told.
	Waiting func(tenant string, until time.Time)
}

// Budget is the hourly points quota of one OAuth app, shared by the clients of
// all its tenants. It is filled at the full hour (UTC), learns from answers what
// is left, and blocks until the next hour when nothing is. So that one tenant
// cannot starve the others (Invariant 7), the last part of the pool is open only
// to tenants that used less than an equal share. It is safe for concurrent use.
type Budget struct {
	pool     int
	replicas func() int
	reserve  float64
	now      func() time.Time
	sleep    func(context.Context, time.Duration) error
	waiting  func(string, time.Time)

	mu      sync.Mutex
	limit   int // this process's part of the pool
	parts   int // the number of parts
	reset   time.Time
	left    int
	learned bool // in this window, from an answer
	spent   map[string]int
	seen    map[string]time.Time // tenants of the last day
	blocked map[string]time.Time // "" for all
	told    map[string]time.Time // until when a tenant is said to wait
}

// NewBudget returns a full budget.
func NewBudget(o BudgetOptions) *Budget {
	b := &Budget{
		pool: o.PointsPerHour, replicas: o.Replicas, reserve: o.Reserve, now: o.Now, sleep: o.Sleep, waiting: o.Waiting,
		spent: map[string]int{}, seen: map[string]time.Time{}, blocked: map[string]time.Time{}, told: map[string]time.Time{},
	}
	if b.pool <= 0 {
		b.pool = DefaultPointsPerHour
	}
	b.limit, b.parts = b.pool, 1
	if b.reserve <= 0 || b.reserve >= 1 {
		b.reserve = 0.2
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.sleep == nil {
		b.sleep = sleep
	}
	return b
}

// Wait takes points for tenant, and waits for the next window when there are
// none to take. It returns an *Error of ClassThrottled at once when ctx would
// end before, and ctx's error when it ends during the wait.
func (b *Budget) Wait(ctx context.Context, tenant string, points int) error {
	for {
		until, ok := b.take(tenant, points)
		if ok {
			return nil
		}
		wait := until.Sub(b.now())
		if endsBefore(ctx, wait) {
			return &Error{
				Class: ClassThrottled, Op: "wait for the app's hourly points", Method: "-", URLPath: "-",
				Message: fmt.Sprintf("used up until %s", until.UTC().Format(time.RFC3339)), RetryAfter: wait,
			}
		}
		b.tell(tenant, until)
		// Not all at the same moment.
		if err := b.sleep(ctx, wait+rand.N(2*time.Second)); err != nil {
			return err
		}
	}
}

// tell says once per window that a tenant waits.
func (b *Budget) tell(tenant string, until time.Time) {
	b.mu.Lock()
	told := b.told[tenant].Equal(until)
	b.told[tenant] = until
	b.mu.Unlock()
	if b.waiting != nil && !told {
		b.waiting(tenant, until)
	}
}

// Charge adds points that turned out to be used after the call, such as those
// for each object of a page. It never waits.
func (b *Budget) Charge(tenant string, points int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	b.spent[tenant] += points
	if !b.learned { // else the answer's headers had them already
		b.left = max(b.left-points, 0)
	}
}

// Left returns the points left in this window, for metrics, and its end.
func (b *Budget) Left() (int, time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll()
	return b.left, b.reset
}

func (b *Budget) take(tenant string, points int) (until time.Time, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.roll()
	b.seen[tenant] = now
	for _, who := range [...]string{"", tenant} {
		if end := b.blocked[who]; end.After(now) {
			return end, false
		}
	}
	points = min(points, b.limit)
	share := max(b.limit/len(b.seen), 1)
	kept := 0
	if len(b.seen) > 1 && b.spent[tenant]+points > share {
		kept = int(float64(b.limit) * b.reserve)
	}
	if b.left-points < kept {
		return b.reset, false
	}
	b.left -= points
	b.spent[tenant] += points
	return time.Time{}, true
}

// roll begins a new window when the old one is over.
func (b *Budget) roll() time.Time {
	now := b.now()
	b.divide()
	if now.Before(b.reset) {
		return now
	}
	b.reset = now.UTC().Truncate(time.Hour).Add(time.Hour)
	b.left, b.learned = b.limit, false
	clear(b.spent)
	for t, at := range b.seen {
		if now.Sub(at) > 24*time.Hour {
			delete(b.seen, t)
			delete(b.told, t)
		}
	}
	for t, end := range b.blocked {
		if !end.After(now) {
			delete(b.blocked, t)
		}
	}
	return now
}

// divide follows the number of replicas. What is left changes with the part: it is
// a share of what is left of the pool.
func (b *Budget) divide() {
	if b.replicas == nil {
		return
	}
	parts := max(b.replicas(), 1)
	if parts == b.parts {
		return
	}
	b.left = b.left * b.parts / parts
	b.parts, b.limit = parts, max(b.pool/parts, 1)
}

// observe learns from the headers of an answer to tenant.
func (b *Budget) observe(tenant string, status int, h http.Header) {
	quotas := ParseQuotas(h)
	reason := h.Get("RateLimit-Reason")
	if len(quotas) == 0 && (status != http.StatusTooManyRequests || !strings.Contains(reason, "quota")) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.roll()
	for _, q := range quotas {
		switch {
		case q.Remaining < 0:
		case !q.PerTenant:
			// Other replicas use the pool too; the header is the truth, and each
			// leaves the others their part of it.
			b.left, b.learned = min(q.Remaining/b.parts, b.limit), true
		case q.Remaining == 0:
			end := b.reset
			if q.Reset > 0 {
				end = now.Add(q.Reset)
			}
			b.block(tenant, end)
		}
	}
	if status != http.StatusTooManyRequests {
		return
	}
	end := b.reset
	if d, ok := ParseRetryAfter(h.Get("Retry-After"), now); ok {
		end = now.Add(d)
	}
	switch {
	case strings.Contains(reason, "quota-global"):
		b.block("", end)
	case strings.Contains(reason, "quota-tenant"):
		b.block(tenant, end)
	}
}

func (b *Budget) block(tenant string, end time.Time) {
	if end.After(b.blocked[tenant]) {
		b.blocked[tenant] = end
	}
}
