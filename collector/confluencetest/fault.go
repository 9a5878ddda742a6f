package confluencetest

import (
	"cmp"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// FaultKind says what goes wrong with an API answer.
type FaultKind string

// Faults of API endpoints.
const (
	FaultStatus          FaultKind = "status"            // answers Status with exactly Body
	FaultRateLimited     FaultKind = "rate_limited"      // answers 429 with RetryAfter and Reason as given
	FaultReset           FaultKind = "reset"             // cuts the connection in mid-body
	FaultStall           FaultKind = "stall"             // says nothing until the client gives up or the server closes
	FaultTruncated       FaultKind = "truncated"         // 200 with the first half of the JSON
	FaultHTML            FaultKind = "html"              // 200 with an HTML page
	FaultContentType     FaultKind = "content_type"      // the right JSON, which is called a web page
	FaultEmptyBody       FaultKind = "empty_body"        // 200 without a body
	FaultEmptyPage       FaultKind = "empty_page"        // a page without results and without a successor
	FaultEmptyWithNext   FaultKind = "empty_with_next"   // a page without results that has the rest as its successor
	FaultShortWithNext   FaultKind = "short_with_next"   // about half a page, with a correct successor
	FaultRepeatedPage    FaultKind = "repeated_page"     // the page's successor is the same page again, once
	FaultOverlap         FaultKind = "overlap"           // the successor repeats the last items of this page
	FaultCursorExpired   FaultKind = "cursor_expired"    // 400, as for an outdated cursor
	FaultEndless         FaultKind = "endless"           // the page's successor is the page itself; use with Times -1
	FaultClockSkew       FaultKind = "clock_skew"        // a Date header off by Skew
	FaultRedirect        FaultKind = "redirect"          // 302 to Location, by default to the trap
	FaultSlow            FaultKind = "slow"              // answers after Delay or Release
	FaultForeignNextLink FaultKind = "foreign_next_link" // the successor's link is absolute and leads to the trap
)

// Faults of the GraphQL gateway.
const (
	FaultNoData      FaultKind = "no_data"      // 200 with errors and without data; Body is the message
	FaultNullData    FaultKind = "null_data"    // 200 with errors and data null; Body is the message
	FaultPartialData FaultKind = "partial_data" // one field answers null with an error; the rest has data
	FaultCostLimited FaultKind = "cost_limited" // 429 whose Retry-After is a timestamp
)

// Fault scripts what goes wrong on a site. All conditions must hold.
type Fault struct {
	Kind FaultKind
	// Endpoint is contained in the endpoint's template, for example
	// "/spaces/{id}/permissions" or "POST"; empty matches every endpoint.
	Endpoint string
	Object   string // id in the path or query; empty matches any
	Page     int    // 1 is the first page; 0 matches any
	// Field is a field that a GraphQL document must select, as a dotted path of names
	// such as "sitePermissions.groups"; empty matches any document. Faults of
	// listings act on the connections there and below.
	Field string
	Match func(*Request) bool // further condition; Status and Bytes are not known yet
	After int                 // matching requests to let through first
	Times int                 // how often; 0 means once, negative means always

	Status     int
	Body       string
	Header     http.Header // added to the answer (Status, RateLimited)
	RetryAfter string      // as it shall stand in the header; empty leaves it out
	Reason     string      // RateLimit-Reason; empty leaves it out
	Location   string
	Skew       time.Duration
	Delay      time.Duration
	Release    <-chan struct{}
	// Classification is that of the error of FaultNoData, FaultNullData and
	// FaultPartialData; default DataFetchingException. Their Status, if set, becomes
	// the error's statusCode.
	Classification string

	seen, done int
}

// faultSet are the scripted faults of a site or an organization.
type faultSet struct {
	mu   sync.Mutex
	list []*Fault
}

// Fail scripts a fault. Faults are tried in the order in which they were added;
// the first that matches a request is applied.
func (s *Site) Fail(f Fault) { s.faults.add(f) }

// ClearFaults removes all scripted faults of the site.
func (s *Site) ClearFaults() { s.faults.clear() }

// FaultsApplied returns how often scripted faults of the site were applied since
// they were last cleared.
func (s *Site) FaultsApplied() int { return s.faults.applied() }

// add puts a fault behind those that are there.
func (fs *faultSet) add(f Fault) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = append(fs.list, &f)
}

func (fs *faultSet) clear() {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.list = nil
}

func (fs *faultSet) applied() int {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	n := 0
	for _, f := range fs.list {
		n += f.done
	}
	return n
}

// find returns the fault that is due for a request to an endpoint, and counts it
// as applied. describe is asked only where a fault has a condition of its own.
func (fs *faultSet) find(endpoint, object string, page int, describe func() *Request) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) == 0 {
		return nil
	}
	for _, f := range fs.list {
		if f.Endpoint != "" && !strings.Contains(endpoint, f.Endpoint) || f.Object != "" && f.Object != object || f.Page != 0 && f.Page != page {
			continue
		}
		if f.Times >= 0 && f.done >= max(f.Times, 1) {
			continue
		}
		if f.Field != "" && !describe().asksFor(f.Field) || f.Match != nil && !f.Match(describe()) {
			continue
		}
		if f.seen++; f.seen <= f.After {
			continue
		}
		f.done++
		return f
	}
	return nil
}

// request is what is known of a call before it is answered.
func (c *call) request() *Request {
	r := &Request{At: c.now, Endpoint: c.route.name, Object: c.object, Page: c.page, AccountID: c.who.account, Gateway: c.gateway, Fields: c.fields}
	if c.site != nil {
		r.Site = c.site.name
	}
	if c.org != nil {
		r.Organization = c.org.id
	}
	return r
}

// asksFor tells whether a GraphQL document selects a field.
func (r *Request) asksFor(field string) bool { return slices.Contains(r.Fields, field) }

// before applies the faults that replace the whole answer. It returns false when
// the request shall be handled as usual.
func (c *call) before() (handled bool) {
	f := c.fault
	if f == nil {
		return false
	}
	switch {
	case f.Kind == FaultNoData, f.Kind == FaultNullData:
		c.sendErrors(f.Kind == FaultNullData, &gqlError{
			message: cmp.Or(f.Body, "Internal server error"), classification: cmp.Or(f.Classification, "DataFetchingException"), status: f.Status,
		})
		return true
	case f.Kind == FaultCostLimited:
		c.refuseCost(true)
		return true
	case f.Kind == FaultCursorExpired && c.route.style == styleGraphQL:
		return false // the connection answers
	}
	return f.replace(stage{
		srv: c.srv, w: c.w, r: c.r, now: c.now, reply: c.reply, book: c.book,
		outdated: func() { c.fail(http.StatusBadRequest, "BAD_REQUEST", "The cursor is no longer valid") },
	})
}

// stage is the request in progress that a fault is applied to.
type stage struct {
	srv      *Server
	w        http.ResponseWriter
	r        *http.Request
	now      time.Time
	reply    func(status int, body []byte)
	book     func() // counts a request that gets no orderly answer
	outdated func() // answers that the position in a listing is no longer known
}

// replace answers instead of the endpoint, or returns false where the fault only
// concerns how the endpoint answers.
func (f *Fault) replace(at stage) (handled bool) {
	header := at.w.Header()
	switch f.Kind {
	case FaultStatus, FaultRateLimited:
		maps.Copy(header, f.Header)
		if f.RetryAfter != "" {
			header.Set("Retry-After", f.RetryAfter)
		}
		if f.Reason != "" {
			header.Set("RateLimit-Reason", f.Reason)
		}
		if header.Get("Content-Type") == "" {
			header.Set("Content-Type", "application/json")
		}
		status := f.Status
		if f.Kind == FaultRateLimited {
			status = http.StatusTooManyRequests
		}
		at.reply(status, []byte(f.Body))
	case FaultStall:
		at.book()
		at.srv.wait(at.r, 0, nil)
		reset(at.w)
	case FaultHTML:
		header.Set("Content-Type", "text/html; charset=utf-8")
		at.reply(http.StatusOK, []byte("<!doctype html><html><head><title>Log in</title></head><body>Please log in.</body></html>"))
	case FaultEmptyBody:
		header.Set("Content-Type", "application/json")
		at.reply(http.StatusOK, nil)
	case FaultCursorExpired:
		at.outdated()
	case FaultRedirect:
		location := f.Location
		if location == "" {
			location = at.srv.TrapURL() + at.r.URL.RequestURI()
		}
		header.Set("Location", location)
		at.reply(http.StatusFound, nil)
	default:
		switch f.Kind {
		case FaultSlow:
			at.srv.wait(at.r, f.Delay, f.Release)
		case FaultClockSkew:
			header.Set("Date", at.now.Add(f.Skew).UTC().Format(http.TimeFormat))
		}
		return false
	}
	return true
}

// bend returns which items a page of a numbered listing holds and where its
// successor starts, distorted by the fault, which may be nil.
func (f *Fault) bend(w window, total int) (from, end, next int, more bool) {
	from = min(w.start, total)
	end = min(from+w.limit, total)
	next, more = end, end < total
	if f == nil {
		return from, end, next, more
	}
	switch f.Kind {
	case FaultEmptyPage:
		end, more = from, false
	case FaultEmptyWithNext:
		end, next, more = from, from, true
	case FaultShortWithNext:
		end = from + (end-from)/2
		next, more = end, true
	case FaultRepeatedPage: // the page before this one once more
		back := max(from-w.limit, 0)
		from, end = back, min(back+w.limit, total)
	case FaultEndless: // the first page, whatever start was asked for
		from, end, next, more = 0, min(w.limit, total), w.start+w.limit, true
	case FaultOverlap:
		next, more = max(from, end-3), true
	}
	return from, end, next, more
}

// wait blocks for a delay in real time, or until released. With neither it lasts
// until the client is gone. The end of the client or the server ends every wait.
func (srv *Server) wait(r *http.Request, delay time.Duration, release <-chan struct{}) {
	var after <-chan time.Time
	if delay > 0 {
		t := time.NewTimer(delay)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-after:
	case <-release:
	case <-r.Context().Done():
	case <-srv.stop:
	}
}

// reset cuts the connection so that the client sees a reset, not an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// resetMidBody sends the head and half of the body, then cuts the connection.
func resetMidBody(w http.ResponseWriter, head, body []byte) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_, _ = conn.Write(append(head, body[:len(body)/2]...))
	// An immediate reset would throw away what the client has not read yet, so the
	// sending side is closed in the middle of the promised length.
	_ = conn.Close()
}

// trap is the listener that stands for a host which a client must not follow to.
type trap struct {
	url  string
	mu   sync.Mutex
	list []Trapped
}

// Trapped is a request that arrived at the trap.
type Trapped struct {
	Method, Path  string
	Authorization bool // it carried credentials
}

func (t *trap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t.mu.Lock()
	t.list = append(t.list, Trapped{Method: r.Method, Path: r.URL.Path, Authorization: r.Header.Get("Authorization") != ""})
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(`{"results":[],"start":0,"limit":25,"size":0,"_links":{}}`))
}

// TrapURL is the address of the foreign host that redirects and foreign links lead to.
func (srv *Server) TrapURL() string {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.trap.url
}

// Trapped returns who followed there.
func (srv *Server) Trapped() []Trapped {
	srv.trap.mu.Lock()
	defer srv.trap.mu.Unlock()
	return append([]Trapped(nil), srv.trap.list...)
}
