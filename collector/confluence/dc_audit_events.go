package confluence

import (
	"cmp"
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathAuditDC = "/rest/auditing/1.0/events"
	pageAuditDC = 1000
)

// dcAuditWire is an event ("Audit log improvements for developers"; Confluence has
// the same plugin). Texts are in the language of the server.
type dcAuditWire struct {
	Timestamp string `json:"timestamp"`
	Author    *struct {
		ID   *string `json:"id"`
		Name *string `json:"name"`
		Type *string `json:"type"`
	} `json:"author"`
	Type *struct {
		Category    *string `json:"category"`
		CategoryKey *string `json:"categoryI18nKey"`
		Action      *string `json:"action"`
		ActionKey   *string `json:"actionI18nKey"`
	} `json:"type"`
	Affected []struct {
		Name *string `json:"name"`
		Type *string `json:"type"`
	} `json:"affectedObjects"`
	Changed []struct {
		Key  *string `json:"key"`
		From *string `json:"from"`
		To   *string `json:"to"`
	} `json:"changedValues"`
	Extra []struct {
		Name  *string `json:"name"`
		Value *string `json:"value"`
	} `json:"extraAttributes"`
	Source *string `json:"source"`
	Method *string `json:"method"`

	at int64 // ms since 1970
}

// dcAuditPage is one answer of the audit log, newest event first.
type dcAuditPage struct {
	events []dcAuditWire
	more   bool
	cursor string // of the next page
}

func decodeDataCenterAudit(body []byte) (dcAuditPage, error) {
	var w struct {
		Entities []dcAuditWire `json:"entities"`
		Paging   *struct {
			LastPage *bool   `json:"lastPage"`
			Cursor   *string `json:"nextPageCursor"`
		} `json:"pagingInfo"`
	}
	if err := decode(body, &w); err != nil {
		return dcAuditPage{}, err
	}
	switch {
	case w.Entities == nil:
		return dcAuditPage{}, malformedf("no entities")
	case w.Paging == nil || w.Paging.LastPage == nil:
		return dcAuditPage{}, malformedf("it does not say whether this is the last page")
	}
	for i := range w.Entities {
		at, ok := parseTime(w.Entities[i].Timestamp)
		if !ok {
			return dcAuditPage{}, malformedf("the timestamp of entities[%d] is no time", i)
		}
		w.Entities[i].at = at.UnixMilli()
	}
	return dcAuditPage{w.Entities, !*w.Paging.LastPage, firstText(w.Paging.Cursor)}, nil
}

// normalizeDataCenterAudit turns an event into a row without its occurrence. What
// has no column of its own, the method and further attributes, makes up the
// description. The first affected object is what the event is about.
func normalizeDataCenterAudit(w *dcAuditWire) datasets.AuditEvent {
	row := datasets.AuditEvent{At: time.UnixMilli(w.at).UTC(), Address: optional(w.Source)}
	if t := w.Type; t != nil {
		row.Category = cmp.Or(firstText(t.Category), firstText(t.CategoryKey))
		row.Summary = cmp.Or(firstText(t.Action), firstText(t.ActionKey))
	}
	if a := w.Author; a != nil {
		row.AuthorID, row.AuthorName, row.AuthorType = optional(a.ID), optional(a.Name), optional(a.Type)
	}
	var others []auditObject
	for i, o := range w.Affected {
		if i == 0 {
			row.AffectedType, row.AffectedName = optional(o.Type), optional(o.Name)
		} else {
			others = append(others, auditObject{firstText(o.Type), firstText(o.Name)})
		}
	}
	var changes []auditChange
	for _, c := range w.Changed {
		changes = append(changes, auditChange{firstText(c.Key), c.From, c.To})
	}
	type attribute struct {
		Name  string  `json:"name"`
		Value *string `json:"value"`
	}
	var more []attribute
	if w.Method != nil {
		more = append(more, attribute{"method", w.Method})
	}
	for _, e := range w.Extra {
		more = append(more, attribute{firstText(e.Name), e.Value})
	}
	row.ChangedValues, row.Associations, row.Description = listJSON(changes), listJSON(others), listJSON(more)
	row.ContentHash = auditHash(&row)
	return row
}

// readDataCenterAudit reads the events of one day, in windows as on Cloud: one that
// does not fit into a page is halved.
func (s *visit) readDataCenterAudit(ctx context.Context, day string, yield yielder) error {
	from, err := time.Parse(time.DateOnly, day)
	if err != nil {
		return err
	}
	s.mu.Lock()
	until := s.audit.to
	s.mu.Unlock()
	if end := from.Add(24 * time.Hour); until.IsZero() || end.Before(until) {
		until = end
	}
	seen := map[string]int64{}
	return s.dataCenterAuditWindow(ctx, datasets.AuditEvents.Dataset, from.UnixMilli(), until.UnixMilli()-1, func(events []dcAuditWire) error {
		rows := make([]datasets.AuditEvent, len(events))
		for i := range events {
			rows[i] = normalizeDataCenterAudit(&events[i])
			seen[rows[i].ContentHash]++
			rows[i].Occurrence = seen[rows[i].ContentHash]
		}
		return yieldPage(yield, datasets.AuditEvents, rows, nil)
	})
}

// emptyPages is how many pages with nothing but a next link are followed in a row.
const emptyPages = 5

// dataCenterAuditWindow reads the events from first to last, in milliseconds, both
// included.
func (s *visit) dataCenterAuditWindow(ctx context.Context, table *schemas.Dataset, first, last int64, emit func([]dcAuditWire) error) error {
	if first > last {
		return nil
	}
	page, err := s.dataCenterAuditPage(ctx, table, first, last, "")
	for range emptyPages { // nothing, and more of it
		if err == nil && page.more && len(page.events) == 0 {
			page, err = s.dataCenterAuditPage(ctx, table, first, last, page.cursor)
		}
	}
	if err != nil {
		return err
	}
	switch {
	case !page.more || s.peek:
		return emit(within(page.events, first, last))
	case len(page.events) == 0:
		return inCircles("GET " + pathAuditDC)
	case first < last:
		middle := first + (last-first)/2
		if err := s.dataCenterAuditWindow(ctx, table, first, middle, emit); err != nil {
			return err
		}
		return s.dataCenterAuditWindow(ctx, table, middle+1, last, emit)
	}
	// A millisecond with more events than fit into a page.
	met := map[string]bool{}
	for range maxPages {
		if err := emit(within(page.events, first, last)); err != nil || !page.more {
			return err
		}
		cursor := page.cursor
		if cursor == "" || met[cursor] {
			return inCircles("GET " + pathAuditDC)
		}
		met[cursor] = true
		if page, err = s.dataCenterAuditPage(ctx, table, first, last, cursor); err != nil {
			return err
		}
	}
	return inCircles("GET " + pathAuditDC)
}

// dataCenterAuditPage asks for a page. Whether the site counts the ends of a window
// in is not documented, so that it is asked for a millisecond more on either side;
// events beyond that say that the answer is not to the question.
func (s *visit) dataCenterAuditPage(ctx context.Context, table *schemas.Dataset, first, last int64, cursor string) (page dcAuditPage, err error) {
	query := url.Values{"from": {isoMillis(first - 1)}, "to": {isoMillis(last + 1)}, "limit": {strconv.Itoa(s.limit(pageAuditDC))}}
	if cursor != "" {
		query.Set("pageCursor", cursor)
	}
	err = s.get(ctx, pathAuditDC, query, nil, func(a answer) error {
		var err error
		if page, err = decodeDataCenterAudit(a.body); err != nil {
			return err
		}
		for i := range page.events {
			if at := page.events[i].at; at < first-1 || at > last+1 {
				return malformedf("entities[%d] is of %s, outside of what was asked for", i, isoMillis(at))
			}
		}
		return nil
	})
	if err != nil {
		return page, s.readError(table, "", err)
	}
	return page, nil
}

// within keeps the events of a window.
func within(events []dcAuditWire, first, last int64) []dcAuditWire {
	kept := events[:0]
	for i := range events {
		if events[i].at >= first && events[i].at <= last {
			kept = append(kept, events[i])
		}
	}
	return kept
}

// isoMillis writes milliseconds since 1970 as the audit log takes them.
func isoMillis(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }
