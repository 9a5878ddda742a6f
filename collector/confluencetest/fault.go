package confluencetest

import (
	"net"
	"net/http"
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

// Fault scripts what goes wrong on a site. All conditions must hold.
type Fault struct {
	Kind FaultKind
	// Endpoint is contained in the endpoint's template, for example
	// "/spaces/{id}/permissions" or "POST"; empty matches every endpoint.
	Endpoint string
	Object   string              // id in the path or query; empty matches any
	Page     int                 // 1 is the first page; 0 matches any
	Match    func(*Request) bool // further condition; Status and Bytes are not known yet
	After    int                 // matching requests to let through first
	Times    int                 // how often; 0 means once, negative means always

	Status     int
	Body       string
	Header     http.Header // added to the answer (Status, RateLimited)
	RetryAfter string      // as it shall stand in the header; empty leaves it out
	Reason     string      // RateLimit-Reason; empty leaves it out
	Location   string
	Skew       time.Duration
	Delay      time.Duration
	Release    <-chan struct{}

	seen, done int
}

// faultSet are the scripted faults of a site.
type faultSet struct {
	mu   sync.Mutex
	list []*Fault
}

// Fail scripts a fault. Faults are tried in the order in which they were added;
// the first that matches a request is applied.
func (s *Site) Fail(f Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
}

// ClearFaults removes all scripted faults of the site.
func (s *Site) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
}

// FaultsApplied returns how often scripted faults of the site were applied since
// they were last cleared.
func (s *Site) FaultsApplied() int {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	n := 0
	for _, f := range s.faults.list {
		n += f.done
	}
	return n
}

func (fs *faultSet) find(c *call) *Fault {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if len(fs.list) == 0 {
		return nil
	}
	for _, f := range fs.list {
		if f.Endpoint != "" && !strings.Contains(c.route.name, f.Endpoint) || f.Object != "" && f.Object != c.object || f.Page != 0 && f.Page != c.page {
			continue
		}
		if f.Times >= 0 && f.done >= max(f.Times, 1) {
			continue
		}
		if f.Match != nil && !f.Match(&Request{At: c.now, Site: c.site.name, Endpoint: c.route.name, Object: c.object, Page: c.page, AccountID: c.who.account, Gateway: c.gateway}) {
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

// before applies the faults that replace the whole answer. It returns false when
// the request shall be handled as usual.
func (c *call) before() (handled bool) {
	f := c.fault
	if f == nil {
		return false
	}
	header := c.w.Header()
	switch f.Kind {
	case FaultStatus, FaultRateLimited:
		for name, values := range f.Header {
			header[name] = values
		}
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
		c.reply(status, []byte(f.Body))
	case FaultStall:
		c.book()
		c.srv.wait(c.r, 0, nil)
		reset(c.w)
	case FaultHTML:
		header.Set("Content-Type", "text/html; charset=utf-8")
		c.reply(http.StatusOK, []byte("<!doctype html><html><head><title>Log in</title></head><body>Please log in.</body></html>"))
	case FaultEmptyBody:
		header.Set("Content-Type", "application/json")
		c.reply(http.StatusOK, nil)
	case FaultCursorExpired:
		c.fail(http.StatusBadRequest, "BAD_REQUEST", "The cursor is no longer valid")
	case FaultRedirect:
		location := f.Location
		if location == "" {
			location = c.srv.TrapURL() + c.r.URL.RequestURI()
		}
		header.Set("Location", location)
		c.reply(http.StatusFound, nil)
	default:
		switch f.Kind {
		case FaultSlow:
			c.srv.wait(c.r, f.Delay, f.Release)
		case FaultClockSkew:
			header.Set("Date", c.now.Add(f.Skew).UTC().Format(http.TimeFormat))
		}
		return false
	}
	return true
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
