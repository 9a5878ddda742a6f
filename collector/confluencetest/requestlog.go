package confluencetest

import (
	"slices"
	"sync"
	"time"
)

// Request is one API request as the server saw it. Requests of the token endpoint
// are counted in [ProviderStats] instead.
type Request struct {
	At        time.Time // server clock
	Site      string    // empty when the address named no known site
	Endpoint  string    // template such as "GET /wiki/api/v2/spaces/{id}/permissions"; "unknown" for others
	Object    string    // the id in the path or query, if any
	Page      int       // 1 for the first page
	Status    int       // 0 when a fault cut the connection without a status
	AccountID string
	Gateway   bool // came through /api/ex/confluence or /api/graphql; otherwise on the site's own host
	// Organization is the id of the organization whose key was used, below /api/admin.
	Organization string
	// Fields are dotted paths of the fields that a GraphQL document selects. Only
	// [Fault.Match] is told of them; the log does not keep them.
	Fields []string
	Bytes  int // length of the body
}

// entry is the stored form of a Request, without repeated strings.
type entry struct {
	at      int64
	object  string
	account string
	bytes   int32
	page    int32
	site    int16 // -1 unknown
	org     int16 // -1 none
	status  int16
	route   uint8
	gateway bool
}

type requestLog struct {
	mu      sync.Mutex
	entries []entry
}

func (l *requestLog) add(e entry) {
	l.mu.Lock()
	l.entries = append(l.entries, e)
	l.mu.Unlock()
}

// Requests returns all API requests so far, in order of their completion.
func (srv *Server) Requests() []Request {
	srv.log.mu.Lock()
	entries := slices.Clone(srv.log.entries)
	srv.log.mu.Unlock()
	sites, organizations := srv.Sites(), srv.allOrganizations()
	list := make([]Request, len(entries))
	for i, e := range entries {
		r := Request{At: time.Unix(0, e.at).UTC(), Endpoint: "unknown", Object: e.object, Page: int(e.page), Status: int(e.status), AccountID: e.account, Gateway: e.gateway, Bytes: int(e.bytes)}
		if e.site >= 0 {
			r.Site = sites[e.site].name
		}
		if e.org >= 0 {
			r.Organization = organizations[e.org].id
		}
		if e.route > 0 {
			r.Endpoint = allRoutes[e.route-1].name
		}
		list[i] = r
	}
	return list
}

// Requests returns the requests that concerned this site.
func (s *Site) Requests() []Request {
	return slices.DeleteFunc(s.srv.Requests(), func(r Request) bool { return r.Site != s.name })
}

// ForgetRequests empties the request log; the counters of the sites stay.
func (srv *Server) ForgetRequests() {
	srv.log.mu.Lock()
	defer srv.log.mu.Unlock()
	srv.log.entries = nil
}
