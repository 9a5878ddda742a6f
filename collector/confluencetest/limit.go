package confluencetest

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Limits says how API requests are metered. Points follow the announced model:
// one per request, one more per core object (space, policy, role), two more per
// identity or permission object in the answer.
type Limits struct {
	// Enforce refuses requests beyond the limits with 429. Otherwise the headers
	// tell what is left, down to 0, and everything is served.
	Enforce bool
	// PointsPerHour is the quota. Default 65,000 (tier 1).
	PointsPerHour int
	// PerTenant gives every site its own quota (tier 2) instead of one for the app.
	PerTenant bool
	// Burst is the token bucket of a site, refilled at this many requests a
	// second. Default 100.
	Burst int
	// GraphQLPointsPerMinute is what one account may spend at the GraphQL gateway.
	// Default 10,000.
	GraphQLPointsPerMinute int
	// HeaderPrefix stands before the quota headers: "", "Beta-" or "X-Beta-".
	HeaderPrefix string
	// NoRetryAfter leaves the header out of refusals.
	NoRetryAfter bool
}

func (l Limits) withDefaults() Limits {
	l.PointsPerHour = cmp.Or(l.PointsPerHour, 65000)
	l.Burst = cmp.Or(l.Burst, 100)
	l.GraphQLPointsPerMinute = cmp.Or(l.GraphQLPointsPerMinute, 10000)
	return l
}

// meter counts points by the hour and requests by the second.
type meter struct {
	limits Limits
	now    func() time.Time

	mu      sync.Mutex
	hour    time.Time
	used    map[string]int // points in the hour, by client or site
	buckets map[uint16]*bucket
	purses  map[string]purse // by account at the gateway, by key for events
}

type bucket struct {
	tokens float64
	at     time.Time
}

func newMeter(l Limits, now func() time.Time) *meter {
	return &meter{limits: l, now: now, used: map[string]int{}, buckets: map[uint16]*bucket{}, purses: map[string]purse{}}
}

// admit takes one request from the burst bucket and writes the headers that every
// answer has. A reason other than "" refuses the request. API tokens are outside
// of the quota, as the announcement says.
func (m *meter) admit(h http.Header, site uint16, quota string) (reason string) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(now)
	b := m.buckets[site]
	if b == nil {
		b = &bucket{tokens: float64(m.limits.Burst), at: now}
		m.buckets[site] = b
	}
	b.tokens = min(float64(m.limits.Burst), b.tokens+max(now.Sub(b.at).Seconds(), 0)*float64(m.limits.Burst))
	b.at = now
	next := m.hour.Add(time.Hour)
	left := m.limits.PointsPerHour - m.used[quota]
	retry := 0
	switch {
	case m.limits.Enforce && quota != "" && left <= 0:
		reason = "confluence-quota-global-based"
		if m.limits.PerTenant {
			reason = "confluence-quota-tenant-based"
		}
		retry = int(math.Ceil(next.Sub(now).Seconds()))
	case m.limits.Enforce && b.tokens < 1:
		reason = "confluence-burst-based"
		retry = 1
	default:
		b.tokens = max(b.tokens-1, 0)
	}
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(m.limits.Burst)}
	h["X-Ratelimit-Remaining"] = []string{strconv.Itoa(int(b.tokens))}
	h["X-Ratelimit-Reset"] = []string{next.UTC().Format("2006-01-02T15:04Z")}
	if b.tokens < float64(m.limits.Burst)/5 {
		h["X-Ratelimit-Nearlimit"] = []string{"true"}
	}
	if quota != "" {
		name := "global-app-quota"
		if m.limits.PerTenant {
			name = "tenant-app-quota"
		}
		if left > 0 { // at exhaustion the policy header was seen to be missing
			h.Set(m.limits.HeaderPrefix+"RateLimit-Policy", `"`+name+`";q=`+strconv.Itoa(m.limits.PointsPerHour)+`;w=3600`)
		}
		h.Set(m.limits.HeaderPrefix+"RateLimit", `"`+name+`";r=`+strconv.Itoa(max(left, 0))+`;t=`+strconv.Itoa(int(next.Sub(now).Seconds())))
	}
	if reason != "" {
		h.Set("RateLimit-Reason", reason)
		if !m.limits.NoRetryAfter {
			h.Set("Retry-After", strconv.Itoa(max(retry, 1)))
		}
	}
	return reason
}

// spend books the points of an answer.
func (m *meter) spend(quota string, points int) {
	if quota == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn(m.now())
	m.used[quota] += points
}

// turn starts a new hour: the quota resets at the top of the UTC hour.
func (m *meter) turn(now time.Time) {
	if hour := now.UTC().Truncate(time.Hour); hour.After(m.hour) {
		m.hour = hour
		clear(m.used)
	}
}

// DrainQuota uses up the points of this hour, for the whole app or, with tenant
// quotas, for this site.
func (s *Site) DrainQuota(clientID string) {
	m := s.srv.meter
	quota := clientID
	if m.limits.PerTenant {
		quota = s.cloudID
	}
	m.spend(quota, m.limits.PointsPerHour)
}
