package confluence

import (
	"context"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// auditAhead holds the records of several days, when all of them fit into one page:
// a first reading of a quiet log costs one call then, and not one for each day.
type auditAhead struct {
	mu    sync.Mutex
	asked bool
	whole bool                   // they fit
	days  map[string][]auditWire // what the page held
}

// ahead gives the records of a day from the page for all days that this run reads;
// false when these are not all, and the day has to be asked for by itself.
func (s *visit) ahead(ctx context.Context, day string) ([]auditWire, bool) {
	s.mu.Lock()
	from, to := s.audit.from.Truncate(24*time.Hour), s.audit.to
	s.mu.Unlock()
	if s.peek || to.Sub(from) <= 24*time.Hour {
		return nil, false
	}
	a := &s.auditAhead
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.asked {
		a.asked = true
		first, last := from.UnixMilli(), to.UnixMilli()-1
		query := url.Values{"startDate": {strconv.FormatInt(first, 10)}, "endDate": {strconv.FormatInt(last, 10)}}
		l := listing[auditWire]{path: pathAudit, query: query, limit: pageAudit, decode: func(body []byte) (batch[auditWire], error) { return decodeAuditWindow(body, first, last) }}
		b, next, err := offsetPage(ctx, s, l, 0)
		s.spend(weightCore, len(b.items))
		// What is in the way of the page, each day says for itself.
		a.whole, a.days = err == nil && next < 0, map[string][]auditWire{}
		for _, item := range b.items {
			of := time.UnixMilli(*item.CreationDate).UTC().Format(time.DateOnly)
			a.days[of] = append(a.days[of], item)
		}
	}
	return a.days[day], a.whole
}
