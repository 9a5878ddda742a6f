package confluencetest

import (
	"encoding/json"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// eventsPerMinute is the documented limit of the endpoint for events.
const eventsPerMinute = 10

// serveAdmin answers what lies below /admin of the API host.
func (srv *Server) serveAdmin(w http.ResponseWriter, r *http.Request, path string) {
	c := &call{srv: srv, w: w, r: r, path: path, now: srv.now(), page: 1}
	srv.calls.admin.Add(1)
	defer c.book()
	org := c.authenticateAdmin()
	if org == nil {
		return
	}
	if allowed := c.match(adminRoutes); c.route == nil {
		if allowed != "" {
			w.Header().Set("Allow", allowed)
			c.adminFail(http.StatusMethodNotAllowed, "Method Not Allowed")
			return
		}
		c.adminFail(http.StatusNotFound, "Not Found")
		return
	}
	if !c.who.covers(c.route.scopes) {
		c.gatewayFail(http.StatusForbidden, "Forbidden; scope does not match")
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		c.adminFail(http.StatusBadRequest, "The query cannot be parsed")
		return
	}
	c.query, c.object = query, org.id
	var body []byte
	if r.Method == http.MethodPost {
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			c.adminFail(http.StatusUnsupportedMediaType, "The body must be application/json")
			return
		}
		if body, err = io.ReadAll(io.LimitReader(r.Body, 1<<20)); err != nil {
			return
		}
		var peek struct{ Cursor string }
		if json.Unmarshal(body, &peek) == nil {
			c.page = pageOfCursor(peek.Cursor)
		}
	} else {
		c.page = pageOfCursor(query.Get("cursor"))
	}
	c.fault = org.faults.find(c.route.name, c.object, c.page, c.request)
	if c.tooManyEvents() || c.before() {
		return
	}
	for name, values := range query {
		if !slices.Contains(c.route.params, name) {
			c.adminFail(http.StatusBadRequest, "Unknown query parameter '"+name+"'")
			return
		}
		if len(values) > 1 && !slices.Contains(repeatable, name) {
			c.adminFail(http.StatusBadRequest, "Repeated query parameter '"+name+"'")
			return
		}
	}
	if len(c.segments) > 0 && c.segments[0] != org.id {
		c.adminFail(http.StatusNotFound, "No organization found with id: "+c.segments[0])
		return
	}
	c.body = body
	c.route.handle(c)
	c.flush()
}

// repeatable are the query parameters that are lists.
var repeatable = []string{
	"accountIds", "directoryIds", "resourceIds", "groupIds", "status", "accountStatus", "membershipStatus", "roleIds", "emailDomains", "actor", "ip", "product",
}

// decodeBody reads a body strictly; ok is false when an error was sent.
func (c *call) decodeBody(into any) (ok bool) {
	dec := json.NewDecoder(strings.NewReader(string(c.body)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil || dec.More() {
		c.adminFail(http.StatusBadRequest, "The body is malformed or has unknown members")
		return false
	}
	return true
}

// adminFail sends an error in the shape of the organization API.
func (c *call) adminFail(status int, detail string) {
	b := appendString([]byte(`{"errors":[{"id":`), strconv.FormatInt(c.now.UnixNano(), 16))
	b = appendString(append(b, `,"status":`...), strconv.Itoa(status))
	b = appendString(append(b, `,"code":`...), "ADMIN-"+strconv.Itoa(status)+"-1")
	b = appendString(append(b, `,"title":`...), http.StatusText(status))
	b = appendString(append(b, `,"detail":`...), detail)
	c.w.Header().Set("Content-Type", "application/json")
	c.reply(status, append(b, "}]}"...))
}

// tooManyEvents counts the requests for events of a key in the current minute.
func (c *call) tooManyEvents() bool {
	if !strings.HasSuffix(c.route.name, "/events") {
		return false
	}
	m := c.srv.meter
	minute := c.now.UTC().Truncate(time.Minute)
	m.mu.Lock()
	p := m.purses[c.secret]
	if !p.minute.Equal(minute) {
		p = purse{minute: minute}
	}
	p.spent++
	m.purses[c.secret] = p
	m.mu.Unlock()
	if !m.limits.Enforce || p.spent <= eventsPerMinute {
		return false
	}
	if !m.limits.NoRetryAfter {
		c.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(minute.Add(time.Minute).Sub(c.now).Seconds()))))
	}
	c.adminFail(http.StatusTooManyRequests, "Rate limit exceeded")
	return true
}

// adminPage is a part of a listing of the organization API.
type adminPage struct {
	from, end  int
	next, prev string // bare cursors; empty: none
	self       string
}

// adminList is a listing; binding is what its cursors work for.
type adminList struct {
	total   int
	limit   int
	cursor  string
	binding []string
	id      func(i int) string
	put     func(b []byte, i int) []byte
}

// cutAdmin finds the page that a cursor leads to; ok is false when an error was sent.
func (c *call) cutAdmin(l adminList) (p adminPage, ok bool) {
	binding := append([]string{"admin", c.org.id, c.route.name}, l.binding...)
	hash := func(i int) uint64 {
		if i < 0 || i >= l.total {
			return 0
		}
		return itemHash(l.id(i))
	}
	at := bookmark{page: 1}
	if l.cursor != "" {
		if at, ok = c.srv.unseal(l.cursor, binding...); !ok {
			c.adminFail(http.StatusBadRequest, "The cursor is invalid for this request")
			return p, false
		}
	}
	seal := func(before, page int) string {
		return c.srv.seal(bookmark{before: before, page: page, last: hash(before - 1)}, binding...)
	}
	p.from = at.resume(l.total, hash)
	p.end = min(p.from+l.limit, l.total)
	more, next, turned := p.end < l.total, p.end, at.page+1
	if c.fault != nil {
		switch c.fault.Kind {
		case FaultEmptyPage:
			p.end, more = p.from, false
		case FaultEmptyWithNext:
			p.end, next, more = p.from, p.from, true
		case FaultShortWithNext:
			p.end = p.from + (p.end-p.from)/2
			next, more = p.end, true
		case FaultRepeatedPage, FaultEndless:
			next, more, turned = p.from, true, at.page
		case FaultOverlap:
			next, more = max(p.from, p.end-3), true
		}
	}
	p.self = seal(p.from, at.page)
	if p.from > 0 {
		p.prev = seal(max(p.from-l.limit, 0), max(at.page-1, 1))
	}
	if more {
		if p.next = seal(next, turned); c.fault != nil && c.fault.Kind == FaultForeignNextLink {
			p.next = c.srv.TrapURL() + "/admin" + c.path
		}
	}
	return p, true
}

// sendAdmin writes {"data":[...], and what tail adds}.
func (c *call) sendAdmin(l adminList, tail func(b []byte, p adminPage) []byte) {
	p, ok := c.cutAdmin(l)
	if !ok {
		return
	}
	b := []byte(`{"data":[`)
	for i := p.from; i < p.end; i++ {
		if i > p.from {
			b = append(b, ',')
		}
		b = l.put(b, i)
	}
	c.buf = append(tail(append(b, ']'), p), '}')
}

// linksOnly is the tail of most listings: a cursor that is absent at the end.
func linksOnly(b []byte, p adminPage) []byte {
	b = appendString(append(b, `,"links":{"self":`...), p.self)
	if p.prev != "" {
		b = appendString(append(b, `,"prev":`...), p.prev)
	}
	if p.next != "" {
		b = appendString(append(b, `,"next":`...), p.next)
	}
	return append(b, '}')
}

// metaAndLinks is the tail of the older listings: the same cursor twice, null at
// the end.
func metaAndLinks(b []byte, p adminPage) []byte {
	b = appendOptional(append(b, `,"meta":{"next":`...), p.next)
	b = strconv.AppendInt(append(b, `,"page_size":`...), int64(p.end-p.from), 10)
	b = appendString(append(b, `},"links":{"self":`...), p.self)
	return append(appendOptional(append(b, `,"next":`...), p.next), '}')
}

// adminLimit reads a limit parameter; ok is false when an error was sent.
func (c *call) adminLimit(standard, maximum int) (limit int, ok bool) {
	if !c.query.Has("limit") {
		return standard, true
	}
	n, err := strconv.Atoi(c.query.Get("limit"))
	if err != nil || n < 1 || n > maximum {
		c.adminFail(http.StatusBadRequest, "limit must be between 1 and "+strconv.Itoa(maximum))
		return 0, false
	}
	return n, true
}
