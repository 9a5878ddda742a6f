package confluence

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pageEvents = 500

// eventWire is an event of an organization ("Query audit log events",
// Organizations REST API).
type eventWire struct {
	ID         ident `json:"id"`
	Attributes struct {
		Time   *string `json:"time"`
		Action *string `json:"action"`
		Actor  *struct {
			ID   *string `json:"id"`
			Name *string `json:"name"`
		} `json:"actor"`
		Context   []eventObject `json:"context"`
		Container []eventObject `json:"container"`
		Location  *struct {
			IP *string `json:"ip"`
		} `json:"location"`
	} `json:"attributes"`
	Message *struct {
		Content *string `json:"content"`
	} `json:"message"`

	at time.Time
}

// eventObject is what an event is about.
type eventObject struct {
	ID         *string `json:"id"`
	Type       *string `json:"type"`
	Attributes struct {
		Name *string `json:"name"`
	} `json:"attributes"`
}

func (o *eventObject) name() string { return firstText(o.Attributes.Name, o.ID) }

// normalizeEvent turns an event into a row without its occurrence. The first
// object of the context is what the event is about.
func normalizeEvent(w *eventWire) datasets.AuditEvent {
	a := &w.Attributes
	row := datasets.AuditEvent{At: w.at, Category: "organization", Summary: firstText(a.Action)}
	if a.Actor != nil {
		row.AuthorID, row.AuthorName = optional(a.Actor.ID), optional(a.Actor.Name)
	}
	if a.Location != nil {
		row.Address = optional(a.Location.IP)
	}
	if w.Message != nil {
		row.Description = optional(w.Message.Content)
	}
	var others []auditObject
	for i := range a.Context {
		o := &a.Context[i]
		if i == 0 {
			row.AffectedType, row.AffectedName = optional(o.Type), optional(new(o.name()))
		} else {
			others = append(others, auditObject{firstText(o.Type), o.name()})
		}
	}
	for i := range a.Container {
		others = append(others, auditObject{firstText(a.Container[i].Type), a.Container[i].name()})
	}
	row.Associations = listJSON(others)
	row.ContentHash = auditHash(&row)
	return row
}

// eventsAhead is what a run knows of the events of an organization before it asks
// day by day: whose they are, and all of them when they fit into one page. The
// organization answers ten such questions a minute.
type eventsAhead struct {
	mu           sync.Mutex
	asked, whole bool
	err          error
	organization string
	days         map[string][]eventWire
}

// events asks for those from first to last, in milliseconds, both included.
func (s *visit) events(ctx context.Context, org string, first, last int64, emit func(page []eventWire, next string) error) error {
	path := pathOrganizations + "/" + org + "/events"
	query := url.Values{"from": {strconv.FormatInt(first, 10)}, "to": {strconv.FormatInt(last, 10)}, "limit": {strconv.Itoa(s.limit(pageEvents))}}
	next := ""
	return adminPages(http.MethodGet, path, func(w *eventWire) ident { return w.ID }, func(cursor string, into *adminPage[eventWire]) error {
		return s.get(ctx, path, query, func(q url.Values) {
			if cursor != "" {
				q.Set("cursor", cursor)
			}
		}, func(a answer) error {
			if err := decode(a.body, into); err != nil {
				return err
			}
			for i := range into.Data {
				at, ok := parseTime(firstText(into.Data[i].Attributes.Time))
				if !ok {
					return malformedf("the time of data[%d] is none", i)
				}
				if ms := at.UnixMilli(); ms < first || ms > last {
					return malformedf("data[%d] is of %s, outside of what was asked for", i, isoMillis(ms))
				}
				into.Data[i].at = at.UTC().Truncate(time.Millisecond)
			}
			next = firstText(into.Links.Next, into.Meta.Next)
			return nil
		})
	}, s.peek, func(page []eventWire) error {
		s.spend(weightIdentity, len(page))
		return emit(page, next)
	})
}

// errMore ends a walk whose first page is not all.
var errMore = errors.New("there is more than one page")

// aheadEvents finds the organization, and looks whether the events of all days
// that the run reads fit into one page.
func (s *visit) aheadEvents(ctx context.Context) *eventsAhead {
	s.mu.Lock()
	from, to := s.audit.from.Truncate(24*time.Hour), s.audit.to
	s.mu.Unlock()
	a := &s.eventsAhead
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked {
		return a
	}
	a.asked = true
	if a.organization, a.err = s.ownOrganization(ctx); a.err != nil || s.peek {
		return a
	}
	a.days = map[string][]eventWire{}
	err := s.events(ctx, a.organization, from.UnixMilli(), to.UnixMilli()-1, func(page []eventWire, next string) error {
		if next != "" {
			return errMore
		}
		for _, w := range page {
			of := w.at.Format(time.DateOnly)
			a.days[of] = append(a.days[of], w)
		}
		return nil
	})
	a.whole = err == nil // what is in the way, each day says for itself
	return a
}

// readOrganizationEvents reads the events of one day.
func (s *visit) readOrganizationEvents(ctx context.Context, day string, yield yielder) error {
	table, seen := datasets.AuditEvents, map[string]int64{}
	from, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err
	}
	take := func(page []eventWire, _ string) error {
		rows := make([]datasets.AuditEvent, len(page))
		for i := range page {
			rows[i] = normalizeEvent(&page[i])
			seen[rows[i].ContentHash]++
			rows[i].Occurrence = seen[rows[i].ContentHash]
		}
		return yieldPage(yield, table, rows, nil)
	}
	ahead := s.aheadEvents(ctx)
	switch {
	case ahead.err != nil:
		return s.readError(table.Dataset, "", ahead.err)
	case ahead.whole:
		return take(ahead.days[day], "")
	}
	s.mu.Lock()
	until := s.audit.to
	s.mu.Unlock()
	if end := from.Add(24 * time.Hour); until.IsZero() || end.Before(until) {
		until = end
	}
	if err := s.events(ctx, ahead.organization, from.UnixMilli(), until.UnixMilli()-1, take); err != nil {
		return s.readError(table.Dataset, "", err)
	}
	return nil
}
