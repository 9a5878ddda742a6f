package confluencetest

import (
	"net/http"
	"time"
)

// graphqlBase is what a document costs before its objects, each one point, are
// added. The real prices are not published.
const graphqlBase = 10

// purse is what one account spent at the gateway in the current minute.
type purse struct {
	minute time.Time
	spent  int
}

// overdrawn refuses a document of an account that has no points left in this
// minute. Unlike everywhere else, Retry-After is a timestamp then.
func (c *call) overdrawn() bool {
	m := c.srv.meter
	now := m.now()
	m.mu.Lock()
	p := m.purses[c.who.account]
	broke := m.limits.Enforce && p.minute.Equal(now.UTC().Truncate(time.Minute)) && p.spent >= m.limits.GraphQLPointsPerMinute
	m.mu.Unlock()
	if broke {
		c.refuseCost(!m.limits.NoRetryAfter)
	}
	return broke
}

// refuseCost answers 429 as the gateway does.
func (c *call) refuseCost(hint bool) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	if hint {
		h.Set("Retry-After", c.now.UTC().Truncate(time.Minute).Add(time.Minute).Format("2006-01-02T15:04Z"))
	}
	c.reply(http.StatusTooManyRequests, c.errorsOnly(false, &gqlError{
		message: "The cost limit of this minute is used up", classification: "RateLimited", status: http.StatusTooManyRequests,
	}))
}

// spendGraphQL books what a document cost.
func (m *meter) spendGraphQL(account string, points int) {
	minute := m.now().UTC().Truncate(time.Minute)
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.purses[account]
	if !p.minute.Equal(minute) {
		p = purse{minute: minute}
	}
	p.spent += points
	m.purses[account] = p
}
