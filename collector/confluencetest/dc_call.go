package confluencetest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dcCall is one REST request to a Data Center in progress.
type dcCall struct {
	dc     *DataCenter
	route  *dcRoute
	w      http.ResponseWriter
	r      *http.Request
	who    dcWho
	query  url.Values
	object string // the key or name in the path or query, unescaped
	path   string // below the base URL, as it was sent
	page   int
	now    time.Time
	fault  *Fault

	kind   string // content type of the answer; default JSON
	status int
	sent   int
	booked bool
}

// serveREST runs the checks that all endpoints share: who, how much, what, may
// they; then the endpoint itself.
func (dc *DataCenter) serveREST(w http.ResponseWriter, r *http.Request, path string) {
	c := &dcCall{dc: dc, w: w, r: r, path: path, now: dc.srv.now(), page: 1}
	dc.apiCalls.Add(1)
	defer c.book()
	if dc.settings.RefuseEncodedSlash && strings.Contains(strings.ToLower(path), "%2f") {
		w.Header().Set("Content-Type", "text/html;charset=utf-8")
		c.reply(http.StatusBadRequest, []byte("<!doctype html><html><head><title>HTTP Status 400 – Bad Request</title></head><body><h1>HTTP Status 400 – Bad Request</h1></body></html>"))
		return
	}
	var ok bool
	if c.who, ok = c.authenticate(); !ok {
		return
	}
	if !dc.meter.admit(w.Header(), c.who.user.UserKey) {
		c.plainFail(http.StatusTooManyRequests, "Rate limit exceeded")
		return
	}
	if !c.match() {
		c.plainFail(http.StatusNotFound, "null for uri: "+dc.URL()+path)
		return
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		c.plainFail(http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed")
		return
	}
	if !c.allowed() {
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		c.fail(http.StatusBadRequest, "The query cannot be parsed")
		return
	}
	c.query = query
	c.locate()
	c.fault = dc.faults.find(c.route.name, c.object, c.page, func() *Request { return c.describe() })
	if c.fault != nil && c.fault.replace(stage{
		srv: dc.srv, w: w, r: r, now: c.now, reply: c.reply, book: c.book,
		outdated: func() { c.fail(http.StatusBadRequest, "The page cursor is no longer valid") },
	}) {
		return
	}
	if c.known() {
		c.route.handle(c)
	}
}

// match finds the route of the path, whatever the method.
func (c *dcCall) match() bool {
	parts := strings.Split(c.path[1:], "/")
	for i, p := range parts {
		p, _, _ = strings.Cut(p, ";") // from an unescaped semicolon on, Tomcat reads path parameters
		name, err := url.PathUnescape(p)
		if err != nil {
			return false
		}
		parts[i] = name
	}
	for i := range dcRoutes {
		if object, ok := dcRoutes[i].fits(parts); ok {
			c.route, c.object = &dcRoutes[i], object
			return true
		}
	}
	return false
}

// allowed checks what token and user may do, or answers 403.
func (c *dcCall) allowed() bool {
	switch {
	case c.who.oauth && c.route.permissions && c.dc.settings.OAuthNoPermissions:
		c.fail(http.StatusForbidden, "OAuth2 apps cannot access this REST resource")
	case !c.who.covers(c.route.right):
		c.dc.oauth.count(func(s *DCOAuthStats) { s.ScopeRefusals++ })
		c.w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
		c.fail(http.StatusForbidden, "The scope of the token does not cover this resource")
	case !c.route.self && !c.who.may(c.route.right):
		c.fail(http.StatusForbidden, "User not permitted to use this resource: administrator permission is required")
	case !c.accepts():
		c.plainFail(http.StatusNotAcceptable, "HTTP 406 Not Acceptable")
	default:
		return true
	}
	return false
}

// accepts looks for the media type that the endpoint insists on.
func (c *dcCall) accepts() bool {
	if c.route.accept == "" {
		return true
	}
	for _, header := range c.r.Header.Values("Accept") {
		for item := range strings.SplitSeq(header, ",") {
			kind, _, _ := strings.Cut(item, ";")
			if strings.TrimSpace(kind) == c.route.accept {
				return true
			}
		}
	}
	return false
}

// locate finds the object and the page number that faults and the log refer to.
func (c *dcCall) locate() {
	if c.object == "" {
		c.object = c.query.Get("key")
	}
	if c.object == "" {
		c.object = c.query.Get("username")
	}
	start, _ := strconv.Atoi(c.query.Get("start"))
	if limit, err := strconv.Atoi(c.query.Get("limit")); err == nil && limit > 0 {
		c.page = 1 + (start+limit-1)/limit
	} else if start > 0 {
		c.page = 2
	}
	if c.query.Has("pageCursor") {
		c.page = 2
	}
}

// known refuses parameters that the endpoint does not have.
func (c *dcCall) known() bool {
	for name, values := range c.query {
		switch {
		case slices.Contains(c.route.later, name):
			c.fail(http.StatusNotImplemented, "The simulator does not imitate the parameter "+name)
			return false
		case !slices.Contains(c.route.params, name):
			c.fail(http.StatusBadRequest, "Unknown query parameter "+name)
			return false
		case len(values) > 1 && name != "spaceKey" && name != "expand":
			c.fail(http.StatusBadRequest, "Repeated query parameter "+name)
			return false
		}
	}
	return true
}

// send answers with what build makes of the site, which is locked meanwhile.
// build returns nil after it has answered by itself.
func (c *dcCall) send(build func(dc *DataCenter) []byte) {
	c.dc.mu.RLock()
	body := build(c.dc)
	c.dc.mu.RUnlock()
	if body == nil {
		return
	}
	if c.kind == "" {
		c.kind = "application/json"
	}
	c.w.Header().Set("Content-Type", c.kind)
	if c.fault != nil {
		switch c.fault.Kind {
		case FaultReset:
			c.book()
			resetMidBody(c.w, []byte("HTTP/1.1 200 OK\r\nContent-Type: "+c.kind+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"), body)
			return
		case FaultTruncated:
			body = body[:len(body)/2]
		case FaultContentType:
			c.w.Header().Set("Content-Type", "text/html")
		}
	}
	c.reply(http.StatusOK, body)
}

// window reads start and limit; what lies above the maximum is cut down to it
// without a word. It returns false after it has refused.
func (c *dcCall) window(standard, maximum int) (w window, ok bool) {
	if c.dc.settings.MaxLimit > 0 {
		maximum = c.dc.settings.MaxLimit
	}
	w.limit = standard
	for name, value := range map[string]*int{"start": &w.start, "limit": &w.limit} {
		if !c.query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(c.query.Get(name))
		if err != nil || n < 0 || name == "limit" && n == 0 {
			c.fail(http.StatusBadRequest, "Invalid value for parameter "+name)
			return w, false
		}
		*value = n
	}
	w.limit = min(w.limit, maximum)
	return w, true
}

// expansions reads the parameter expand, which may be repeated or hold a list.
func (c *dcCall) expansions(known ...string) (list []string, ok bool) {
	for _, value := range c.query["expand"] {
		for e := range strings.SplitSeq(value, ",") {
			switch {
			case slices.Contains(known, e):
				list = append(list, e)
			case slices.Contains([]string{"icon", "metadata", "metadata.labels", "permissions", "retentionPolicy", "description.view", "users"}, e):
				c.fail(http.StatusNotImplemented, "The simulator does not imitate the expansion "+e)
				return nil, false
			default:
				c.fail(http.StatusBadRequest, "Unknown expansion "+e)
				return nil, false
			}
		}
	}
	return list, true
}

// envelope builds a page of a numbered listing.
func (c *dcCall) envelope(w window, total int, counted bool, put func(b []byte, i int) []byte) []byte {
	from, end, next, more := c.fault.bend(w, total)
	b := []byte(`{"results":[`)
	for i := from; i < end; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = put(b, i)
	}
	b = strconv.AppendInt(append(b, `],"start":`...), int64(w.start), 10)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(w.limit), 10)
	b = strconv.AppendInt(append(b, `,"size":`...), int64(end-from), 10)
	if counted {
		b = strconv.AppendInt(append(b, `,"totalCount":`...), int64(total), 10)
	}
	b = appendString(append(b, `,"_links":{"base":`...), c.dc.URL())
	b = appendString(append(b, `,"context":`...), c.dc.prefix)
	b = appendString(append(b, `,"self":`...), c.dc.URL()+c.path)
	if more {
		link := c.link(next, w.limit)
		if c.fault != nil && c.fault.Kind == FaultForeignNextLink {
			link = c.dc.srv.TrapURL() + link
		}
		b = appendString(append(b, `,"next":`...), link)
	}
	if w.start > 0 {
		b = appendString(append(b, `,"prev":`...), c.link(max(w.start-w.limit, 0), w.limit))
	}
	return append(b, "}}"...)
}

func (c *dcCall) link(start, limit int) string {
	q := url.Values{}
	maps.Copy(q, c.query)
	q.Set("start", strconv.Itoa(start))
	q.Set("limit", strconv.Itoa(limit))
	return c.path + "?" + q.Encode()
}

// reply sends a body as it is.
func (c *dcCall) reply(status int, body []byte) {
	c.status, c.sent = status, len(body)
	c.book()
	c.w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}

// fail sends an error in the shape of Confluence's own endpoints.
func (c *dcCall) fail(status int, text string) {
	b := strconv.AppendInt([]byte(`{"statusCode":`), int64(status), 10)
	b = strconv.AppendBool(append(b, `,"data":{"authorized":`...), status != http.StatusForbidden)
	b = append(b, `,"valid":true,"errors":[],"successful":false},"message":`...)
	b = appendASCII(b, text)
	b = append(appendString(append(b, `,"reason":`...), http.StatusText(status)), '}')
	c.w.Header().Set("Content-Type", "application/json")
	c.reply(status, b)
}

// plainFail sends an error in the shape of the platform below Confluence.
func (c *dcCall) plainFail(status int, text string) {
	b := appendString([]byte(`{"message":`), text)
	b = strconv.AppendInt(append(b, `,"status-code":`...), int64(status), 10)
	c.w.Header().Set("Content-Type", "application/json")
	c.reply(status, append(b, '}'))
}

func (c *dcCall) describe() *Request {
	endpoint := "unknown"
	if c.route != nil {
		endpoint = c.route.name
	}
	return &Request{
		At: c.now, Site: c.dc.settings.Name, Endpoint: endpoint, Object: c.object, Page: c.page, Status: c.status, AccountID: c.who.user.UserKey, Bytes: c.sent,
	}
}

// book logs the request once, before the answer is sent.
func (c *dcCall) book() {
	if c.booked {
		return
	}
	c.booked = true
	c.dc.logMu.Lock()
	defer c.dc.logMu.Unlock()
	c.dc.requests = append(c.dc.requests, *c.describe())
}
