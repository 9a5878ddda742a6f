package confluence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathAudit = "/wiki/rest/api/audit"
	pageAudit = 1000 // default page (Confluence Cloud REST v1, "Get audit records")

	auditBack    = 30 * 24 * time.Hour  // how far a first reading goes back
	auditMost    = 366 * 24 * time.Hour // how far one goes back at most, after a pause or with a wrong clock
	auditOverlap = 48 * time.Hour       // read again ...
	auditAgain   = 24 * time.Hour       // ... this often, for records that came late
)

// auditProgress is where the reading of the audit log stands.
type auditProgress struct {
	To    int64 `json:"to"`    // all before this was read; ms since 1970
	Again int64 `json:"again"` // when the overlap was read last; ms since 1970
}

// auditState is what a run knows of the reading of the audit log.
type auditState struct {
	from, to time.Time
	again    time.Time
}

// Resume implements collector.Source. The audit log is the one append-only
// dataset.
func (s *Source) Resume(_ *schemas.Dataset, cursor string) {
	now := s.now().UTC().Truncate(time.Millisecond)
	a := auditState{from: now.Add(-auditBack), to: now, again: now}
	var p auditProgress
	// Where a cursor lies ahead the clock was set back: until when the log was read
	// is not known then, and it is read as if for the first time.
	if json.Unmarshal([]byte(cursor), &p) == nil && p.To > 0 && p.To <= now.UnixMilli() {
		a.from, a.again = time.UnixMilli(p.To).UTC(), time.UnixMilli(p.Again).UTC()
		if now.Sub(a.again) >= auditAgain {
			a.from, a.again = a.from.Add(-auditOverlap), now
		}
		if earliest := now.Add(-auditMost); a.from.Before(earliest) {
			a.from = earliest
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.audit = a
}

// Cursor implements collector.Source.
func (s *Source) Cursor(*schemas.Dataset) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, err := json.Marshal(auditProgress{To: s.audit.to.UnixMilli(), Again: s.audit.again.UnixMilli()})
	if err != nil { // numbers always marshal
		panic(err)
	}
	return string(text)
}

// days lists the days from where the last reading ended until now.
func (a auditState) days() []string {
	var list []string
	for day := a.from.Truncate(24 * time.Hour); !day.After(a.to); day = day.Add(24 * time.Hour) {
		list = append(list, day.Format(time.DateOnly))
	}
	return list
}

// auditWire is a record in "Get audit records" (Confluence Cloud REST v1).
type auditWire struct {
	Author *struct {
		AccountID   *string `json:"accountId"`
		DisplayName *string `json:"displayName"`
		AccountType *string `json:"accountType"`
	} `json:"author"`
	RemoteAddress *string `json:"remoteAddress"`
	CreationDate  *int64  `json:"creationDate"`
	Summary       *string `json:"summary"`
	Description   *string `json:"description"`
	Category      *string `json:"category"`
	SysAdmin      *bool   `json:"sysAdmin"`
	Affected      *struct {
		Name *string `json:"name"`
		Type *string `json:"objectType"`
	} `json:"affectedObject"`
	Changed []struct {
		Name *string `json:"name"`
		Old  *string `json:"oldValue"`
		New  *string `json:"newValue"`
	} `json:"changedValues"`
	Associated []struct {
		Name *string `json:"name"`
		Type *string `json:"objectType"`
	} `json:"associatedObjects"`
}

func decodeAudit(body []byte) (batch[auditWire], error) {
	var w listV1[auditWire]
	if err := decode(body, &w); err != nil {
		return batch[auditWire]{}, err
	}
	if w.Results == nil {
		return batch[auditWire]{}, malformedf("no results")
	}
	for i := range w.Results {
		if w.Results[i].CreationDate == nil {
			return batch[auditWire]{}, malformedf("results[%d] has no creationDate", i)
		}
	}
	b := batch[auditWire]{items: w.Results, links: w.Links != nil, limit: max(w.Limit, 0)}
	if w.Links != nil {
		b.next = w.Links.Next
	}
	return b, nil
}

// auditChange and auditObject are the elements of changed_values and associations,
// whoever tells of the event.
type (
	auditChange struct {
		Name string  `json:"name"`
		Old  *string `json:"old"`
		New  *string `json:"new"`
	}
	auditObject struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
)

// normalizeAudit turns a record into a row without its occurrence.
func normalizeAudit(w *auditWire) datasets.AuditEvent {
	row := datasets.AuditEvent{At: time.UnixMilli(*w.CreationDate).UTC(), Address: optional(w.RemoteAddress), Description: optional(w.Description), SysAdmin: w.SysAdmin}
	if w.Summary != nil {
		row.Summary = *w.Summary
	}
	if w.Category != nil {
		row.Category = *w.Category
	}
	if a := w.Author; a != nil {
		row.AuthorID, row.AuthorName, row.AuthorType = optional(a.AccountID), optional(a.DisplayName), optional(a.AccountType)
	}
	if o := w.Affected; o != nil {
		row.AffectedType, row.AffectedName = optional(o.Type), optional(o.Name)
	}
	var changes []auditChange
	for _, c := range w.Changed {
		changes = append(changes, auditChange{firstText(c.Name), c.Old, c.New})
	}
	var objects []auditObject
	for _, o := range w.Associated {
		objects = append(objects, auditObject{firstText(o.Type), firstText(o.Name)})
	}
	row.ChangedValues, row.Associations = listJSON(changes), listJSON(objects)
	row.ContentHash = auditHash(&row)
	return row
}

// listJSON is a list as JSON; nil when it is empty.
func listJSON[T any](list []T) *string {
	if len(list) == 0 {
		return nil
	}
	text, err := json.Marshal(list)
	if err != nil { // texts always marshal
		panic(err)
	}
	return new(string(text))
}

// auditHash identifies the content of a record. Each part is preceded by its
// length, and by whether it is there (Invariant 10).
func auditHash(r *datasets.AuditEvent) string {
	b := binary.BigEndian.AppendUint64([]byte("sitedrift audit record\x00"), uint64(r.At.UnixMilli()))
	for _, part := range []*string{
		&r.Category, &r.Summary, r.Description, r.AuthorID, r.AuthorName, r.AuthorType, r.Address, r.AffectedType, r.AffectedName, r.ChangedValues, r.Associations,
	} {
		if part == nil {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(append(b, 1), uint64(len(*part)))
		b = append(b, *part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// readAuditEvents reads the records of one day. Windows are closed at both ends,
// to the millisecond, and do not touch; one that does not fit into a page is
// halved, so that records that come while it is read cannot shift others from one
// page to the next.
func (s *visit) readAuditEvents(ctx context.Context, day string, yield yielder) error {
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
	table, seen := datasets.AuditEvents, map[string]int64{}
	r := auditReader{visit: s, table: table.Dataset, take: func(items []auditWire) error {
		rows := make([]datasets.AuditEvent, len(items))
		for i := range items {
			rows[i] = normalizeAudit(&items[i])
			seen[rows[i].ContentHash]++ // those with the same content are counted
			rows[i].Occurrence = seen[rows[i].ContentHash]
		}
		return yieldPage(yield, table, rows, nil)
	}}
	items, whole := s.ahead(ctx, day)
	if whole {
		return r.take(items)
	}
	n, err := r.window(ctx, from.UnixMilli(), until.UnixMilli()-1)
	if err == nil && !s.peek {
		err = fewer(len(items), n, "for their day alone")
	}
	return err
}

// fewer is partial when the site did not show again what it had shown before.
func fewer(before, now int, asked string) error {
	if now >= before {
		return nil
	}
	return &collector.ReadError{
		State:    schemas.CoveragePartial,
		Evidence: fmt.Sprintf("GET %s: the site showed %d records, and %d when it was asked %s", pathAudit, before, now, asked),
	}
}

// auditReader reads windows of the audit log.
type auditReader struct {
	*visit
	table   *schemas.Dataset // for which it reads
	take    func([]auditWire) error
	windows int
}

// window reads the records from first to last, in milliseconds, both included, and
// returns how many they are.
func (r *auditReader) window(ctx context.Context, first, last int64) (n int, err error) {
	if first > last {
		return 0, nil
	}
	if r.windows++; r.windows > maxPages {
		return 0, inCircles("GET " + pathAudit)
	}
	query := url.Values{"startDate": {strconv.FormatInt(first, 10)}, "endDate": {strconv.FormatInt(last, 10)}}
	l := listing[auditWire]{path: pathAudit, query: query, limit: pageAudit, decode: func(body []byte) (batch[auditWire], error) { return decodeAuditWindow(body, first, last) }}
	items, next, err := r.page(ctx, l, 0)
	switch {
	case err != nil:
		return 0, err
	case next < 0 || r.peek:
		return len(items), r.take(items)
	case first == last: // one millisecond with more records than fit into a page
		return r.moment(ctx, l, items, next)
	}
	middle := first + (last-first)/2
	earlier, err := r.window(ctx, first, middle)
	if err != nil {
		return 0, err
	}
	later, err := r.window(ctx, middle+1, last)
	if err != nil {
		return 0, err
	}
	n = earlier + later
	return n, fewer(len(items), n, "in two parts")
}

// page asks for the records of a window from a number on.
func (r *auditReader) page(ctx context.Context, l listing[auditWire], start int) (items []auditWire, next int, err error) {
	b, next, err := offsetPage(ctx, r.visit, l, start)
	if err != nil {
		return nil, 0, r.readError(r.table, "", err)
	}
	r.spend(weightCore, len(b.items))
	return b.items, next, nil
}

// maxMoment bounds the records of one millisecond, which are held in memory.
const maxMoment = 50 * pageAudit

// moment reads the pages of a single millisecond, by numbers. A record that comes
// meanwhile moves others from page to page, so that one could be counted twice:
// each page is asked for from the last place of the one before, and must begin
// with the same record. A list that moved is read again, once.
func (r *auditReader) moment(ctx context.Context, l listing[auditWire], items []auditWire, next int) (n int, err error) {
	for try := 1; ; try++ {
		all, whole := slices.Clone(items), true
		for next >= 0 && whole {
			if len(all) > maxMoment || next < len(all) {
				return 0, inCircles("GET " + pathAudit)
			}
			page, after, err := r.page(ctx, l, next-1)
			switch {
			case err != nil:
				return 0, err
			case len(page) == 0 || normalizeAudit(&page[0]).ContentHash != normalizeAudit(&all[len(all)-1]).ContentHash:
				whole = false
			case len(page) == 1 && after >= 0:
				return 0, inCircles("GET " + pathAudit)
			default:
				all, next = append(all, page[1:]...), after
			}
		}
		switch {
		case whole:
			return len(all), r.take(all)
		case try == 2:
			return 0, &collector.ReadError{State: schemas.CoveragePartial, Evidence: "GET " + pathAudit + ": records came while those of one millisecond were read, twice in a row"}
		}
		if items, next, err = r.page(ctx, l, 0); err != nil {
			return 0, err
		}
	}
}

// decodeAuditWindow also refuses records from outside of what was asked for.
func decodeAuditWindow(body []byte, first, last int64) (batch[auditWire], error) {
	b, err := decodeAudit(body)
	for i := range b.items {
		if at := *b.items[i].CreationDate; at < first || at > last {
			return batch[auditWire]{}, malformedf("results[%d] is of %d, outside of what was asked for", i, at)
		}
	}
	return b, err
}
