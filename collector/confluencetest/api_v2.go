package confluencetest

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	v2Default = 25
	v2Maximum = 250
)

// listing is what a v2 list endpoint pages through. Items are numbered from 0 to
// total; those that the user may not see still take up their number, so that a
// page can come out short and yet have a successor.
type listing struct {
	total int
	// key returns the ascending id that item i continues from. nil pages by number.
	key func(i int) int64
	// put appends item i, or returns false when the user may not see it.
	put func(b []byte, i int) ([]byte, bool)
	// points per visible item.
	points int
}

// limitV2 reads the limit parameter; ok is false when an error was sent.
func (c *call) limitV2() (limit int, ok bool) {
	if !c.query.Has("limit") {
		return v2Default, true
	}
	limit, err := strconv.Atoi(c.query.Get("limit"))
	if err != nil || limit < 1 || limit > v2Maximum {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Provided value {"+c.query.Get("limit")+"} for 'limit' is not the correct type or not between 1 and 250")
		return 0, false
	}
	return limit, true
}

// sendList answers a v2 list endpoint. The caller holds the site's lock.
func (c *call) sendList(l listing) {
	limit, ok := c.limitV2()
	if !ok {
		return
	}
	cur := cursor{page: 1}
	if c.query.Has("cursor") {
		if cur, ok = c.decodeCursor(c.query.Get("cursor")); !ok {
			c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Provided cursor is invalid for this request")
			return
		}
	}
	from := min(int(cur.after), l.total)
	if l.key != nil {
		from = sort.Search(l.total, func(i int) bool { return l.key(i) > cur.after })
	}
	end := min(from+limit, l.total)
	more := end < l.total
	next := end // the number that the next page starts at
	turned := cur.page + 1
	if c.fault != nil {
		switch c.fault.Kind {
		case FaultEmptyPage:
			end, more = from, false
		case FaultEmptyWithNext:
			end, next, more = from, from, true
		case FaultShortWithNext:
			end = from + (end-from)/2
			next, more = end, true
		case FaultRepeatedPage, FaultEndless:
			next, more, turned = from, true, cur.page
		case FaultOverlap:
			next, more = max(from, end-3), true
		}
	}

	pooled := buffers.Get().(*[]byte)
	b := append((*pooled)[:0], `{"results":[`...)
	first := true
	for i := from; i < end; i++ {
		mark := len(b)
		if !first {
			b = append(b, ',')
		}
		var visible bool
		if b, visible = l.put(b, i); !visible {
			b = b[:mark]
			continue
		}
		first = false
		c.points += l.points
	}
	b = append(b, `],"_links":{`...)
	base := c.site.URL() + "/wiki"
	h := c.w.Header()
	links := make([]string, 0, 2)
	if more {
		after := int64(next)
		if l.key != nil {
			after = cur.after
			if next > 0 && next != from {
				after = l.key(next - 1)
			}
		}
		link := c.nextLink(cursor{after: after, page: turned})
		if c.fault != nil && c.fault.Kind == FaultForeignNextLink {
			link = c.srv.TrapURL() + link
		}
		b = appendString(append(b, `"next":`...), link)
		b = append(b, ',')
		links = append(links, "<"+link+`>; rel="next"`)
	}
	b = appendString(append(b, `"base":`...), base)
	b = append(b, "}}"...)
	h["Link"] = append(links, "<"+base+`>; rel="base"`)
	if len(links) == 1 { // one header line, as most servers write it
		h["Link"] = []string{links[0] + `, <` + base + `>; rel="base"`}
	}
	c.buf = b
	*pooled = b
	c.pooled = pooled
}

// flush sends what sendList or a single answer prepared, after the lock is gone.
func (c *call) flush() {
	if c.buf != nil {
		c.replyJSON(c.buf)
	}
	if c.pooled != nil {
		buffers.Put(c.pooled)
		c.pooled = nil
	}
}

// answer runs an endpoint's body under the site's read lock and sends afterwards.
func (c *call) answer(body func(*Site)) {
	c.site.mu.RLock()
	body(c.site)
	c.site.mu.RUnlock()
	c.flush()
}

// notImitated refuses filters that exist but that the simulator has no data for.
func (c *call) notImitated(names ...string) bool {
	for _, name := range names {
		if v := c.query.Get(name); v != "" && v != "false" {
			c.fail(http.StatusNotImplemented, "NOT_IMPLEMENTED", "The simulator does not imitate the parameter "+name)
			return true
		}
	}
	return false
}

// oneOf checks a parameter with a closed list of values.
func (c *call) oneOf(name string, values ...string) bool {
	if v := c.query.Get(name); c.query.Has(name) && !slices.Contains(values, v) {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Provided value {"+v+"} for '"+name+"' is not valid")
		return false
	}
	return true
}

// many reads an array parameter, repeated or separated by commas; ok is false
// when there are more than 250 values.
func (c *call) many(name string) (values []string, ok bool) {
	for _, v := range c.query[name] {
		values = append(values, strings.Split(v, ",")...)
	}
	if len(values) > v2Maximum {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "More than 250 values for '"+name+"'")
		return nil, false
	}
	return values, true
}

func (c *call) getRoleMode() {
	c.answer(func(s *Site) {
		c.buf = append(appendString([]byte(`{"futureFlag":null,"mode":`), s.config.RoleMode), '}')
	})
}

// withRoles sends 404 on sites without role based access control.
func (c *call) withRoles(l listing) {
	if c.site.config.RoleMode == "PRE_ROLES" {
		c.fail(http.StatusNotFound, "NOT_FOUND", "Space roles are not enabled on this site")
		return
	}
	c.sendList(l)
}

func (c *call) listRoles() {
	if c.notImitated("space-id", "principal-id", "principal-type") || !c.oneOf("role-type", "SYSTEM", "CUSTOM") {
		return
	}
	kind := c.query.Get("role-type")
	c.answer(func(s *Site) {
		c.withRoles(listing{total: len(s.roles), points: 2, put: func(b []byte, i int) ([]byte, bool) {
			r := s.roles[i]
			b = appendString(append(b, `{"id":`...), r.ID)
			b = appendString(append(b, `,"type":`...), r.Type)
			b = appendString(append(b, `,"name":`...), r.Name)
			b = appendString(append(b, `,"description":`...), r.Description)
			b = append(b, `,"spacePermissions":[`...)
			for j, p := range r.Permissions {
				if j > 0 {
					b = append(b, ',')
				}
				b = appendString(b, p)
			}
			return append(b, "]}"...), kind == "" || kind == r.Type
		}})
	})
}

func (c *call) listCatalogue() {
	list := roleCatalogue()
	c.answer(func(*Site) {
		c.withRoles(listing{total: len(list), points: 2, put: func(b []byte, i int) ([]byte, bool) {
			b = appendString(append(b, `{"id":`...), list[i].id)
			b = appendString(append(b, `,"displayName":`...), list[i].name)
			b = appendString(append(b, `,"description":`...), list[i].text)
			return append(b, `,"requiredPermissionIds":["read/space"]}`...), true
		}})
	})
}

func (c *call) listAssignments() {
	if c.notImitated("role-id", "role-type", "principal-id", "principal-type") {
		return
	}
	c.answer(func(s *Site) {
		sp := c.visibleSpace(s)
		if sp == nil {
			return
		}
		c.withRoles(listing{total: len(sp.assignments), points: 2, put: func(b []byte, i int) ([]byte, bool) {
			a := sp.assignments[i]
			b = appendString(append(b, `{"principal":{"principalType":`...), a.PrincipalType)
			b = appendString(append(b, `,"principalId":`...), a.PrincipalID)
			b = appendString(append(b, `},"roleId":`...), a.RoleID)
			return append(b, '}'), true
		}})
	})
}

func (c *call) listLevels() {
	c.answer(func(s *Site) {
		if len(s.levels) == 0 {
			c.fail(http.StatusNotFound, "NOT_FOUND", "No classification levels")
			return
		}
		b := []byte{'['}
		for i, l := range s.levels {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"id":`...), l.ID)
			b = appendString(append(b, `,"status":`...), l.Status)
			b = strconv.AppendInt(append(b, `,"order":`...), int64(l.Order), 10)
			b = appendString(append(b, `,"name":`...), l.Name)
			b = appendString(append(b, `,"description":`...), l.Description)
			b = appendString(append(b, `,"guideline":`...), l.Guideline)
			b = appendString(append(b, `,"color":`...), l.Color)
			b = append(b, '}')
		}
		c.points += len(s.levels)
		c.buf = append(b, ']')
	})
}

// onlyApps refuses API tokens, as the data policy endpoints do.
func (c *call) onlyApps() bool {
	if !c.who.app {
		c.fail(http.StatusForbidden, "FORBIDDEN", "Only apps can make this request")
	}
	return c.who.app
}

func (c *call) getPolicyMetadata() {
	if !c.onlyApps() {
		return
	}
	c.answer(func(s *Site) {
		c.buf = append(strconv.AppendBool([]byte(`{"anyContentBlocked":`), s.config.AnyContentBlocked), '}')
	})
}

// bulkUsers is POST /users-bulk. Unknown ids are left out of the answer.
func (c *call) bulkUsers() {
	if kind, _, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type")); kind != "application/json" {
		c.fail(http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE", "The body must be application/json")
		return
	}
	var body struct {
		AccountIDs []string `json:"accountIds"`
	}
	dec := json.NewDecoder(io.LimitReader(c.r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil || dec.More() {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_BODY", "The body must be {\"accountIds\": [...]}")
		return
	}
	if n := len(body.AccountIDs); n < 1 || n > v2Maximum {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_BODY", "accountIds must hold 1 to 250 ids, got "+strconv.Itoa(n))
		return
	}
	c.answer(func(s *Site) {
		b := []byte(`{"results":[`)
		n := 0
		seen := make(map[string]bool, len(body.AccountIDs))
		for _, id := range body.AccountIDs {
			u := s.userByID[id]
			if u == nil || seen[id] {
				continue
			}
			seen[id] = true
			if n++; n > 1 {
				b = append(b, ',')
			}
			b = appendUserV2(b, &u.data)
		}
		c.points += 2 * n
		base := s.URL() + "/wiki"
		c.w.Header()["Link"] = []string{"<" + base + `>; rel="base"`}
		if c.fault != nil && c.fault.Kind == FaultEmptyPage {
			b = []byte(`{"results":[`)
		}
		b = appendString(append(b, `],"_links":{"base":`...), base)
		c.buf = append(b, "}}"...)
	})
}

func appendUserV2(b []byte, u *User) []byte {
	b = appendString(append(b, `{"accountId":`...), u.AccountID)
	b = appendString(append(b, `,"accountType":`...), u.AccountType)
	b = appendString(append(b, `,"accountStatus":`...), u.AccountStatus)
	b = appendString(append(b, `,"email":`...), u.Email)
	b = appendString(append(b, `,"displayName":`...), u.DisplayName)
	b = appendString(append(b, `,"publicName":`...), u.PublicName)
	b = appendOptional(append(b, `,"timeZone":`...), u.TimeZone)
	b = appendOptional(append(b, `,"personalSpaceId":`...), u.PersonalSpace)
	b = appendBoolPointer(append(b, `,"isExternalCollaborator":`...), u.External)
	return append(b, `,"profilePicture":{"path":"/wiki/aa-avatar/user","isDefault":true},"extensions":{"badges":[]}}`...)
}
