package confluencetest

import "sync/atomic"

// Calls counts requests by host, whatever their answer, also those that named no
// known site. Together they are everything that a run asked of Atlassian, but for
// consent pages and the lookup of cloud ids.
type Calls struct {
	Gateway   int64 // {api}/ex/confluence and {api}/graphql
	Site      int64 // the sites' own hosts
	Admin     int64 // {api}/admin
	Token     int64 // the token endpoint
	Resources int64 // accessible-resources
}

// Total is the sum of all.
func (c Calls) Total() int64 { return c.Gateway + c.Site + c.Admin + c.Token + c.Resources }

type callCounters struct{ gateway, site, admin, resources atomic.Int64 }

// Calls returns the counters of all hosts.
func (srv *Server) Calls() Calls {
	return Calls{
		Gateway: srv.calls.gateway.Load(), Site: srv.calls.site.Load(), Admin: srv.calls.admin.Load(), Token: srv.TokenCalls(), Resources: srv.calls.resources.Load(),
	}
}
