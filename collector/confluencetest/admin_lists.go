package confluencetest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *call) adminURL(path string) string { return c.srv.APIURL() + "/admin" + path }

func (c *call) appendOrganization(b []byte) []byte {
	self := c.adminURL("/v1/orgs/" + c.org.id)
	b = appendString(append(b, `{"id":`...), c.org.id)
	b = appendASCII(append(b, `,"type":"orgs","attributes":{"name":`...), c.org.name)
	b = appendString(append(b, `},"relationships":{"domains":{"links":{"related":`...), self+"/domains")
	b = appendString(append(b, `}},"users":{"links":{"related":`...), self+"/users")
	b = appendString(append(b, `}}},"links":{"self":`...), self)
	return append(b, "}}"...)
}

// listOrganizations shows the key's own organization.
func (c *call) listOrganizations() {
	c.sendAdmin(adminList{
		total: 1, limit: 1, cursor: c.query.Get("cursor"), id: func(int) string { return c.org.id }, put: func(b []byte, _ int) []byte { return c.appendOrganization(b) },
	}, linksOnly)
}

func (c *call) getOrganization() {
	c.buf = append(c.appendOrganization([]byte(`{"data":`)), '}')
}

func (c *call) listDirectories() {
	limit, ok := c.adminLimit(50, 100)
	if !ok {
		return
	}
	c.org.mu.RLock()
	list := c.org.directories
	c.org.mu.RUnlock()
	c.sendAdmin(adminList{
		total: len(list), limit: limit, cursor: c.query.Get("cursor"), id: func(i int) string { return list[i].ID },
		put: func(b []byte, i int) []byte {
			b = appendString(append(b, `{"directoryId":`...), list[i].ID)
			return append(appendASCII(append(b, `,"name":`...), list[i].Name), `,"icon":null}`...)
		},
	}, linksOnly)
}

// adminPageSize is that of the listings whose requests have no limit.
const adminPageSize = 2

func (c *call) listDomains() {
	c.org.mu.RLock()
	list := c.org.domains
	c.org.mu.RUnlock()
	c.sendAdmin(adminList{
		total: len(list), limit: adminPageSize, cursor: c.query.Get("cursor"), id: func(i int) string { return list[i].ID },
		put: func(b []byte, i int) []byte {
			d := list[i]
			b = appendString(append(b, `{"id":`...), d.ID)
			b = appendString(append(b, `,"type":"domains","attributes":{"name":`...), d.Name)
			b = appendString(append(b, `,"claim":{"type":`...), d.ClaimType)
			b = appendString(append(b, `,"status":`...), d.ClaimStatus)
			b = appendString(append(b, `}},"links":{"self":`...), c.adminURL("/v1/orgs/"+c.org.id+"/domains/"+d.ID))
			return append(b, "}}"...)
		},
	}, func(b []byte, p adminPage) []byte {
		b = appendString(append(b, `,"links":{"self":`...), p.self)
		return append(appendOptional(append(b, `,"next":`...), p.next), '}')
	})
}

func (c *call) listPolicies() {
	kind := c.query.Get("type")
	c.org.mu.RLock()
	list := slices.DeleteFunc(slices.Clone(c.org.policies), func(p Policy) bool { return kind != "" && p.Type != kind })
	c.org.mu.RUnlock()
	c.sendAdmin(adminList{
		total: len(list), limit: adminPageSize, cursor: c.query.Get("cursor"), binding: []string{kind}, id: func(i int) string { return list[i].ID },
		put: func(b []byte, i int) []byte { return appendPolicy(b, &list[i]) },
	}, metaAndLinks)
}

func appendPolicy(b []byte, p *Policy) []byte {
	b = appendString(append(b, `{"id":`...), p.ID)
	b = appendString(append(b, `,"type":"policy","attributes":{"type":`...), p.Type)
	if p.Name != "" {
		b = appendASCII(append(b, `,"name":`...), p.Name)
	}
	b = appendString(append(b, `,"status":`...), p.Status)
	b = append(append(b, `,"rule":`...), p.Rule...)
	b = append(b, `,"resources":[`...)
	for i, r := range p.Resources {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), r.ID)
		b = append(appendString(append(b, `,"applicationStatus":`...), r.ApplicationStatus), '}')
	}
	b = appendTime(append(b, `],"createdAt":`...), p.CreatedAt)
	b = appendTime(append(b, `,"updatedAt":`...), p.UpdatedAt)
	return append(b, `},"links":null}`...)
}

// appendTime appends a time in whole seconds or milliseconds, null for the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return appendString(b, t.UTC().Format("2006-01-02T15:04:05.999Z"))
}

func appendInt(b []byte, n *int) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(*n), 10)
}

// listWorkspaces takes a cursor alone, as its description demands.
func (c *call) listWorkspaces() {
	var body struct {
		Query  json.RawMessage `json:"query"`
		Limit  *int            `json:"limit"`
		Sort   json.RawMessage `json:"sort"`
		Cursor *string         `json:"cursor"`
	}
	if !c.decodeBody(&body) {
		return
	}
	cursor, limit := "", 50
	switch {
	case body.Cursor != nil && (body.Query != nil || body.Limit != nil || body.Sort != nil):
		c.adminFail(http.StatusBadRequest, "With a cursor no other members may be present")
		return
	case body.Cursor != nil:
		var sealed string
		var ok bool
		if sealed, cursor, ok = strings.Cut(*body.Cursor, "."); ok {
			limit, _ = strconv.Atoi(sealed)
		}
		if !ok || limit < 1 || limit > 100 {
			c.adminFail(http.StatusBadRequest, "The cursor is invalid for this request")
			return
		}
	case body.Query != nil || body.Sort != nil:
		c.adminFail(http.StatusNotImplemented, "The simulator does not imitate query and sort")
		return
	case body.Limit != nil:
		if limit = *body.Limit; limit < 1 || limit > 100 {
			c.adminFail(http.StatusBadRequest, "limit must be between 1 and 100")
			return
		}
	}
	c.org.mu.RLock()
	list := c.org.workspaces()
	c.org.mu.RUnlock()
	// The cursor remembers the limit, because it comes alone.
	prefix := strconv.Itoa(limit)
	l := adminList{total: len(list), limit: limit, cursor: cursor, binding: []string{prefix}, id: func(i int) string { return list[i].ID }, put: func(b []byte, i int) []byte {
		return c.appendWorkspace(b, &list[i])
	}}
	c.sendAdmin(l, func(b []byte, p adminPage) []byte {
		b = strconv.AppendInt(append(b, `,"meta":{"pageSize":`...), int64(p.end-p.from), 10)
		b = strconv.AppendInt(append(b, `,"startIndex":`...), int64(p.from), 10)
		b = strconv.AppendInt(append(b, `,"endIndex":`...), int64(p.end), 10)
		b = strconv.AppendInt(append(b, `,"total":`...), int64(len(list)), 10)
		for _, cursor := range []*string{&p.self, &p.prev, &p.next} {
			if *cursor != "" && !strings.HasPrefix(*cursor, "http") {
				*cursor = prefix + "." + *cursor
			}
		}
		return linksOnly(append(b, '}'), p)
	})
}

func (c *call) appendWorkspace(b []byte, w *Workspace) []byte {
	b = appendString(append(b, `{"id":`...), w.ID)
	b = appendASCII(append(b, `,"type":"workspace","attributes":{"name":`...), w.Name)
	b = appendString(append(b, `,"typeKey":`...), w.TypeKey)
	b = appendString(append(b, `,"type":`...), w.Type)
	b = appendString(append(b, `,"owner":null,"status":`...), w.Status)
	b = appendInt(append(b, `,"statusDetails":[],"labels":[],"usage":`...), w.Usage)
	b = appendInt(append(b, `,"capacity":`...), w.Capacity)
	b = appendTime(append(b, `,"createdAt":`...), c.org.born)
	b = appendOptional(append(b, `,"createdBy":null,"hostUrl":`...), w.HostURL)
	b = appendString(append(b, `,"realm":"europe","regions":["eu-west-1"]},"relationships":{"entitlement":[{"id":`...), "ent-"+w.ID)
	b = appendString(append(b, `,"type":"entitlement","attributes":{"key":`...), w.TypeKey)
	b = appendString(append(b, `,"planKey":`...), w.Plan)
	b = appendString(append(b, `,"plan":`...), strings.ToUpper(w.Plan))
	b = appendString(append(b, `}}]},"links":{"self":`...), c.adminURL("/v2/orgs/"+c.org.id+"/workspaces/"+w.ID))
	return append(b, "}}"...)
}

// listEvents answers newest first.
func (c *call) listEvents() {
	limit, ok := c.adminLimit(50, 500)
	if !ok {
		return
	}
	if c.query.Has("location") {
		c.adminFail(http.StatusNotImplemented, "The simulator does not imitate the parameter location")
		return
	}
	var binding []string
	for _, name := range []string{"q", "from", "to", "action", "actor", "ip", "product"} {
		binding = append(binding, name, strings.Join(c.query[name], "\x00"))
	}
	from, to := time.UnixMilli(0), c.now.AddDate(100, 0, 0)
	for name, at := range map[string]*time.Time{"from": &from, "to": &to} {
		if !c.query.Has(name) {
			continue
		}
		ms, err := strconv.ParseInt(c.query.Get(name), 10, 64)
		if err != nil {
			c.adminFail(http.StatusBadRequest, name+" must be epoch milliseconds")
			return
		}
		*at = time.UnixMilli(ms)
	}
	among := func(name, value string) bool { return !c.query.Has(name) || slices.Contains(c.query[name], value) }
	c.org.mu.RLock()
	var list []OrganizationEvent
	for _, e := range slices.Backward(c.org.events) {
		if !e.At.Before(from) && !e.At.After(to) && among("action", e.Action) && among("actor", e.ActorID) && among("ip", e.IP) && among("product", e.Product) &&
			(matches(e.Action, c.query.Get("q")) || matches(e.ObjectName, c.query.Get("q"))) {
			list = append(list, e)
		}
	}
	c.org.mu.RUnlock()
	c.sendAdmin(adminList{
		total: len(list), limit: limit, cursor: c.query.Get("cursor"), binding: binding, id: func(i int) string { return list[i].ID },
		put: func(b []byte, i int) []byte { return c.appendEvent(b, &list[i]) },
	}, metaAndLinks)
}

func (c *call) appendEvent(b []byte, e *OrganizationEvent) []byte {
	b = appendString(append(b, `{"id":`...), e.ID)
	b = appendTime(append(b, `,"type":"events","attributes":{"time":`...), e.At)
	b = appendASCII(append(b, `,"action":`...), e.Action)
	b = appendString(append(b, `,"actor":{"id":`...), e.ActorID)
	b = appendASCII(append(b, `,"name":`...), e.ActorName)
	b = appendString(append(b, `,"links":{"self":`...), c.adminURL("/v1/orgs/"+c.org.id+"/users/"+e.ActorID))
	b = appendString(append(b, `}},"context":[{"id":`...), e.ObjectID)
	b = appendString(append(b, `,"type":`...), e.ObjectType)
	b = appendASCII(append(b, `,"attributes":{"name":`...), e.ObjectName)
	b = appendOptional(append(b, `}}],"container":[{"id":`...), e.Product)
	b = appendString(append(b, `,"type":"product","attributes":{}}],"location":{"ip":`...), e.IP)
	b = appendOptional(append(b, `,"countryName":`...), e.Country)
	b = appendASCII(append(b, `}},"message":{"content":`...), e.ActorName+": "+e.Action)
	b = appendString(append(b, `},"links":{"self":`...), c.adminURL("/v1/orgs/"+c.org.id+"/events/"+e.ID))
	return append(b, "}}"...)
}
