package confluencetest

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// route is one endpoint that the simulator knows.
type route struct {
	name   string // method and template
	number uint8  // position in routes, counted from 1
	method string
	parts  []string // template split at slashes; "{...}" matches one segment
	params []string // query parameters that exist; all others are refused
	// scopes lists alternatives, each a set of scopes of which all are needed: the
	// current scope family first, then the beta one.
	scopes [][]string
	v1     bool
	// style is whose errors the endpoint answers with; v1 has a field of its own.
	style  style
	handle func(*call)
}

// style tells API families apart.
type style uint8

const (
	styleREST style = iota
	styleGraphQL
	styleAdmin
)

// identity is who sent a request.
type identity struct {
	account string
	scopes  []string // nil: an unscoped API token, which may do everything
	quota   string   // client id for the points quota; empty: outside of the quota
	app     bool     // an OAuth app rather than an API token
}

// call is one API request in progress.
type call struct {
	srv      *Server
	site     *Site
	route    *route
	w        http.ResponseWriter
	r        *http.Request
	who      identity
	query    url.Values
	object   string        // the id in the path or the query
	fields   []string      // GraphQL: dotted paths of the selected fields
	org      *Organization // organization API
	secret   string        // organization API: the key
	segments []string      // organization API: the ids in the path
	body     []byte        // organization API
	path     string        // starts with /wiki
	page     int
	now      time.Time
	fault    *Fault
	gateway  bool

	buf    []byte  // the answer of the endpoint
	kind   string  // its media type, when it is not plain JSON
	pooled *[]byte // where buf came from and returns to
	points int
	status int
	sent   int
	booked bool
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// serveGateway answers what api.atlassian.com answers.
func (srv *Server) serveGateway(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/oauth/token/accessible-resources" {
		srv.calls.resources.Add(1)
		srv.serveResources(w, r)
		return
	}
	if path == "/graphql" {
		srv.serveGraphQL(w, r, nil)
		return
	}
	if rest, ok := strings.CutPrefix(path, "/admin/"); ok {
		srv.serveAdmin(w, r, "/"+rest)
		return
	}
	rest, ok := strings.CutPrefix(path, "/ex/confluence/")
	if !ok {
		gatewayError(w, http.StatusNotFound, "Not Found")
		return
	}
	cloudID, path, _ := strings.Cut(rest, "/")
	srv.mu.RLock()
	site := srv.byCloud[cloudID]
	srv.mu.RUnlock()
	srv.serveAPI(w, r, site, "/"+path, true)
}

// serveSite answers what {name}.atlassian.net answers.
func (srv *Server) serveSite(w http.ResponseWriter, r *http.Request, rest string) {
	name, path, _ := strings.Cut(rest, "/")
	site := srv.Site(name)
	if site == nil {
		http.NotFound(w, r)
		return
	}
	if path == "_edge/tenant_info" {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(append(appendString([]byte(`{"cloudId":`), site.cloudID), '}'))
		return
	}
	if path == "gateway/api/graphql" {
		srv.serveGraphQL(w, r, site)
		return
	}
	srv.serveAPI(w, r, site, "/"+path, false)
}

// serveAPI runs the checks that all API endpoints share, in the order of the real
// gateway: who, where, what, may they, how much; then the endpoint itself.
func (srv *Server) serveAPI(w http.ResponseWriter, r *http.Request, site *Site, path string, gateway bool) {
	c := &call{srv: srv, site: site, w: w, r: r, path: path, now: srv.now(), gateway: gateway, page: 1}
	if gateway {
		srv.calls.gateway.Add(1)
	} else {
		srv.calls.site.Add(1)
	}
	if site != nil && gateway {
		site.apiCalls.Add(1)
	} else if site != nil {
		site.siteCalls.Add(1)
	}
	defer c.book()
	who, grants, ok := srv.authenticate(r, site, gateway)
	c.who = who
	if !ok {
		c.unauthorized()
		return
	}
	if site == nil || grants != nil && !slices.Contains(grants, site) {
		c.gatewayFail(http.StatusNotFound, "Not Found")
		return
	}
	allowed := c.match(restRoutes)
	if c.route == nil {
		if allowed != "" {
			c.w.Header().Set("Allow", allowed)
			c.gatewayFail(http.StatusMethodNotAllowed, "Method Not Allowed")
			return
		}
		c.gatewayFail(http.StatusNotFound, "Not Found")
		return
	}
	if !c.who.covers(c.route.scopes) {
		srv.oauth.mu.Lock()
		srv.oauth.stats.ScopeRefusals++
		srv.oauth.mu.Unlock()
		c.gatewayFail(http.StatusUnauthorized, "Unauthorized; scope does not match")
		return
	}
	if reason := srv.meter.admit(w.Header(), site.index, c.quota()); reason != "" {
		c.fail(http.StatusTooManyRequests, "RATE_LIMITED", "Rate limit exceeded: "+reason)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		c.fail(http.StatusBadRequest, "BAD_REQUEST", "The query cannot be parsed")
		return
	}
	c.query = query
	c.locate()
	c.fault = site.faults.find(c.route.name, c.object, c.page, c.request)
	if c.before() {
		return
	}
	for name, values := range query {
		if !slices.Contains(c.route.params, name) {
			c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Unknown query parameter '"+name+"'")
			return
		}
		if len(values) > 1 && !slices.Contains([]string{"ids", "keys", "expand"}, name) {
			c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Repeated query parameter '"+name+"'")
			return
		}
	}
	c.route.handle(c)
}

// quota names the pool of points that the request draws from.
func (c *call) quota() string {
	if c.who.quota != "" && c.srv.meter.limits.PerTenant {
		return c.site.cloudID
	}
	return c.who.quota
}

// match finds the route, or else the method that the path exists for.
func (c *call) match(among []*route) (allowed string) {
	parts := strings.Split(c.path[1:], "/")
	for _, rt := range among {
		if len(rt.parts) != len(parts) {
			continue
		}
		object, same := "", true
		var segments []string
		for j, p := range rt.parts {
			if p != "" && p[0] == '{' {
				object, same = strings.CutSuffix(parts[j], p[strings.IndexByte(p, '}')+1:])
				if same = same && object != ""; rt.style == styleAdmin {
					segments = append(segments, object)
				}
			} else if p != parts[j] {
				same = false
			}
			if !same {
				break
			}
		}
		if !same {
			continue
		}
		allowed = rt.method
		if rt.method == c.r.Method {
			c.route, c.object, c.segments = rt, object, segments
			return allowed
		}
	}
	return allowed
}

// locate finds the object and the page number, which faults and the log refer to.
func (c *call) locate() {
	if c.object == "" {
		c.object = c.query.Get("id")
	}
	if c.object == "" {
		c.object = c.query.Get("accountId")
	}
	if c.route.v1 {
		start, _ := strconv.Atoi(c.query.Get("start"))
		if limit, err := strconv.Atoi(c.query.Get("limit")); err == nil && limit > 0 {
			c.page = 1 + (start+limit-1)/limit // also where pages overlap a little
		} else if start > 0 {
			c.page = 2
		}
		return
	}
	if cur, ok := c.decodeCursor(c.query.Get("cursor")); ok {
		c.page = int(cur.page)
	}
}

func (who identity) covers(alternatives [][]string) bool {
	if who.scopes == nil {
		return true
	}
	return slices.ContainsFunc(alternatives, func(needed []string) bool {
		return !slices.ContainsFunc(needed, func(scope string) bool { return !slices.Contains(who.scopes, scope) })
	})
}

// reply sends a body as it is.
func (c *call) reply(status int, body []byte) {
	c.status, c.sent = status, len(body)
	c.book()
	h := c.w.Header()
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	c.w.WriteHeader(status)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body)
	}
}

// replyJSON sends the answer of an endpoint and applies the faults that mutilate it.
func (c *call) replyJSON(body []byte) {
	h := c.w.Header()
	kind := cmp.Or(c.kind, "application/json")
	h["Content-Type"] = []string{kind}
	if c.fault != nil {
		switch c.fault.Kind {
		case FaultReset:
			c.book()
			resetMidBody(c.w, []byte("HTTP/1.1 200 OK\r\nContent-Type: "+kind+"\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"), body)
			return
		case FaultTruncated:
			body = body[:len(body)/2]
		case FaultContentType:
			c.w.Header().Set("Content-Type", "text/html")
		}
	}
	c.reply(http.StatusOK, body)
}

// fail sends an error in the shape of the endpoint's API version.
func (c *call) fail(status int, code, text string) {
	var b []byte
	if c.route.style == styleAdmin {
		c.adminFail(status, text)
		return
	}
	if c.route.v1 {
		b = strconv.AppendInt([]byte(`{"statusCode":`), int64(status), 10)
		b = append(b, `,"data":{"authorized":true,"valid":true,"errors":[],"successful":false},"message":`...)
		b = append(appendASCII(b, text), '}')
	} else {
		b = strconv.AppendInt([]byte(`{"errors":[{"status":`), int64(status), 10)
		b = appendString(append(b, `,"code":`...), code)
		b = appendString(append(b, `,"title":`...), text)
		b = append(b, `,"detail":null}]}`...)
	}
	c.w.Header().Set("Content-Type", "application/json")
	c.reply(status, b)
}

// unauthorized refuses a credential. The site's own host says in a header that
// basic authentication failed.
func (c *call) unauthorized() {
	if _, _, basic := c.r.BasicAuth(); basic && !c.gateway {
		c.w.Header().Set("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")
	}
	c.gatewayFail(http.StatusUnauthorized, "Unauthorized")
}

func (c *call) gatewayFail(status int, message string) {
	c.status = status
	c.book()
	gatewayError(c.w, status, message)
}

func gatewayError(w http.ResponseWriter, status int, message string) {
	b := strconv.AppendInt([]byte(`{"code":`), int64(status), 10)
	b = append(appendString(append(b, `,"message":`...), message), '}')
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// book counts and logs the request. It runs before the answer is sent, so that
// whoever has the answer finds the request counted.
func (c *call) book() {
	if c.booked {
		return
	}
	c.booked = true
	e := entry{at: c.now.UnixNano(), object: strings.Clone(c.object), account: c.who.account, bytes: int32(c.sent), page: int32(c.page), site: -1, org: -1, status: int16(c.status), gateway: c.gateway}
	if c.org != nil {
		e.org = int16(c.org.index)
	}
	if c.route != nil && (c.site != nil || c.route.style != styleREST) {
		e.route = c.route.number
	}
	if c.site != nil {
		e.site = int16(c.site.index)
		if c.route != nil && c.route.style == styleREST {
			if c.status == http.StatusOK {
				c.points++
			}
			c.site.points.Add(int64(c.points))
			c.srv.meter.spend(c.quota(), c.points)
		}
	}
	c.srv.log.add(e)
}
