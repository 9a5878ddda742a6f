package confluencetest

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// DCRateLimit is the token bucket that an administrator can switch on for each
// user. The headers are those of "Rate limiting headers" (Confluence Data Center).
type DCRateLimit struct {
	Enabled  bool          // default: nothing is refused and no header is sent
	Limit    int           // size of the bucket; default 10
	Fill     int           // tokens that are put in at each interval; default 10
	Interval time.Duration // default 1 second
}

func (l DCRateLimit) withDefaults() DCRateLimit {
	l.Limit = cmp.Or(l.Limit, 10)
	l.Fill = cmp.Or(l.Fill, 10)
	l.Interval = cmp.Or(l.Interval, time.Second)
	return l
}

// dcMeter holds the buckets of a site, by user key.
type dcMeter struct {
	limit DCRateLimit
	now   func() time.Time

	mu      sync.Mutex
	buckets map[string]*dcBucket
}

type dcBucket struct {
	tokens int
	filled time.Time // when the last whole interval ended
}

func newDCMeter(l DCRateLimit, now func() time.Time) *dcMeter {
	return &dcMeter{limit: l, now: now, buckets: map[string]*dcBucket{}}
}

// admit takes a token from the user's bucket and writes the headers. It returns
// false when the bucket is empty.
func (m *dcMeter) admit(h http.Header, userKey string) bool {
	if !m.limit.Enabled {
		return true
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.buckets[userKey]
	if b == nil {
		b = &dcBucket{tokens: m.limit.Limit, filled: now}
		m.buckets[userKey] = b
	}
	if n := int(now.Sub(b.filled) / m.limit.Interval); n > 0 {
		b.tokens = min(m.limit.Limit, b.tokens+n*m.limit.Fill)
		b.filled = b.filled.Add(time.Duration(n) * m.limit.Interval)
	}
	admitted := b.tokens > 0
	if admitted {
		b.tokens--
	}
	retry := 0
	if b.tokens == 0 {
		retry = max(int(math.Ceil(b.filled.Add(m.limit.Interval).Sub(now).Seconds())), 1)
	}
	h["X-Ratelimit-Limit"] = []string{strconv.Itoa(m.limit.Limit)}
	h["X-Ratelimit-Remaining"] = []string{strconv.Itoa(b.tokens)}
	h["X-Ratelimit-Interval-Seconds"] = []string{strconv.Itoa(int(m.limit.Interval.Seconds()))}
	h["X-Ratelimit-Fillrate"] = []string{strconv.Itoa(m.limit.Fill)}
	h["Retry-After"] = []string{strconv.Itoa(retry)}
	return admitted
}
