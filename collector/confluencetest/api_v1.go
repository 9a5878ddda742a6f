package confluencetest

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// searchCap is the number of users that a search for type=user returns at most.
const searchCap = 10000

// window is the part of a v1 listing that a request asks for.
type window struct{ start, limit int }

// windowV1 reads start and limit. What lies above the system's limit is cut down
// to it without a word, and the answer tells; with strict it is refused.
func (c *call) windowV1(standard, maximum int, strict bool) (w window, ok bool) {
	w.limit = standard
	for name, value := range map[string]*int{"start": &w.start, "limit": &w.limit} {
		if !c.query.Has(name) {
			continue
		}
		n, err := strconv.Atoi(c.query.Get(name))
		if err != nil || n < 0 || name == "limit" && n == 0 {
			c.fail(http.StatusBadRequest, "", "Invalid value for parameter "+name)
			return w, false
		}
		*value = n
	}
	if w.limit > maximum {
		if strict {
			c.fail(http.StatusBadRequest, "", "limit cannot be greater than "+strconv.Itoa(maximum))
			return w, false
		}
		w.limit = maximum
	}
	return w, true
}

// sendPage answers a v1 list endpoint. The caller holds the site's lock. extra is
// put into the envelope after the size.
func (c *call) sendPage(w window, total, points int, extra string, put func(b []byte, i int) []byte) {
	from, end, next, more := c.fault.bend(w, total)
	pooled := buffers.Get().(*[]byte)
	b := append((*pooled)[:0], `{"results":[`...)
	for i := from; i < end; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = put(b, i)
		c.points += points
	}
	b = strconv.AppendInt(append(b, `],"start":`...), int64(w.start), 10)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(w.limit), 10)
	b = strconv.AppendInt(append(b, `,"size":`...), int64(end-from), 10)
	b = append(b, extra...)
	b = appendString(append(b, `,"_links":{"base":`...), c.site.URL()+"/wiki")
	b = append(b, `,"context":"/wiki"`...)
	path := strings.TrimPrefix(c.path, "/wiki")
	b = appendString(append(b, `,"self":`...), c.site.URL()+c.path)
	if more {
		q := make([]string, 0, 4)
		for name, values := range c.query {
			if name != "start" && name != "limit" {
				for _, v := range values {
					q = append(q, name+"="+url.QueryEscape(v))
				}
			}
		}
		slices.Sort(q)
		q = append(q, "limit="+strconv.Itoa(w.limit), "start="+strconv.Itoa(next))
		link := path + "?" + strings.Join(q, "&")
		if c.fault != nil && c.fault.Kind == FaultForeignNextLink {
			link = c.srv.TrapURL() + link
		}
		b = appendString(append(b, `,"next":`...), link)
	}
	b = append(b, "}}"...)
	c.buf, *pooled, c.pooled = b, b, pooled
}

func (c *call) listGroups() {
	if !c.oneOf("accessType", "user", "admin", "site-admin") {
		return
	}
	w, ok := c.windowV1(200, 200, false)
	if !ok {
		return
	}
	access := c.query.Get("accessType")
	c.answer(func(s *Site) {
		list := s.groups
		if access != "" {
			list = slices.DeleteFunc(slices.Clone(list), func(g *group) bool { return g.data.Access != access })
		}
		c.sendPage(w, len(list), 2, `,"totalSize":`+strconv.Itoa(len(list)), func(b []byte, i int) []byte { return c.appendGroup(b, &list[i].data) })
	})
}

func (c *call) appendGroup(b []byte, g *Group) []byte {
	b = append(b, `{"type":"group","name":`...)
	b = appendASCII(b, g.Name)
	b = appendString(append(b, `,"id":`...), g.ID)
	b = append(b, `,"managedBy":"ADMINS","usageType":null,"_links":{"self":`...)
	b = appendString(b, c.site.URL()+"/wiki/rest/api/group/by-id?id="+g.ID)
	return append(b, "}}"...)
}

func (c *call) getGroup() {
	if !c.query.Has("id") {
		c.fail(http.StatusBadRequest, "", "Required parameter id is missing")
		return
	}
	c.answer(func(s *Site) {
		g := s.groupByID[c.query.Get("id")]
		if g == nil {
			c.fail(http.StatusNotFound, "", "No group found with id: "+c.query.Get("id"))
			return
		}
		c.points += 2
		c.buf = c.appendGroup(nil, &g.data)
	})
}

// expansions reads the expand parameter of the user endpoints.
func (c *call) expansions() (list []string, ok bool) {
	list, ok = c.many("expand")
	if !ok {
		return nil, false
	}
	for _, e := range list {
		switch e {
		case "isExternalCollaborator":
		case "operations", "personalSpace":
			c.fail(http.StatusNotImplemented, "", "The simulator does not imitate the expansion "+e)
			return nil, false
		default:
			c.fail(http.StatusBadRequest, "", "Unknown expansion "+e)
			return nil, false
		}
	}
	return list, true
}

// listMembers answers 200 with an empty page for a group that does not exist, as
// the live API was seen to do.
func (c *call) listMembers() {
	expand, ok := c.expansions()
	if !ok || !c.oneOf("shouldReturnTotalSize", "true", "false") {
		return
	}
	w, ok := c.windowV1(200, 200, true)
	if !ok {
		return
	}
	c.answer(func(s *Site) {
		var members []*user
		if g := s.groupByID[c.object]; g != nil {
			members = g.members
		}
		extra := ""
		if c.query.Get("shouldReturnTotalSize") == "true" {
			extra = `,"totalSize":` + strconv.Itoa(len(members))
		}
		c.sendPage(w, len(members), 2, extra, func(b []byte, i int) []byte { return c.appendUserV1(b, &members[i].data, expand) })
	})
}

func (c *call) appendUserV1(b []byte, u *User, expand []string) []byte {
	b = append(b, `{"type":"known","accountId":`...)
	b = appendString(b, u.AccountID)
	b = append(b, `,"accountType":`...)
	if u.AccountType == "customer" { // v1 knows no customers and says nothing
		b = append(b, `""`...)
	} else {
		b = appendString(b, u.AccountType)
	}
	b = appendOptional(append(b, `,"email":`...), u.Email) // v2 says "" where v1 says null
	b = appendASCII(append(b, `,"publicName":`...), u.PublicName)
	b = append(b, `,"profilePicture":null,"displayName":`...)
	b = appendASCII(b, u.DisplayName)
	b = appendOptional(append(b, `,"timeZone":`...), u.TimeZone)
	b = strconv.AppendBool(append(b, `,"isGuest":`...), u.Guest())
	if slices.Contains(expand, "isExternalCollaborator") {
		b = appendBoolPointer(append(b, `,"isExternalCollaborator":`...), u.External)
	}
	b = append(b, `,"_expandable":{"operations":"","personalSpace":""},"_links":{"self":`...)
	b = appendString(b, c.site.URL()+"/wiki/rest/api/user?accountId="+u.AccountID)
	return append(b, "}}"...)
}

func (c *call) getUser() {
	if !c.query.Has("accountId") {
		c.fail(http.StatusBadRequest, "", "Required parameter accountId is missing")
		return
	}
	c.sendUser(c.query.Get("accountId"))
}

// getCurrentUser knows whoever was let in, also service accounts, which no listing
// has.
func (c *call) getCurrentUser() {
	expand, ok := c.expansions()
	if !ok {
		return
	}
	c.answer(func(s *Site) {
		u := User{AccountID: c.who.account, AccountType: "app"}
		if known := s.userByID[u.AccountID]; known != nil {
			u = known.data
		}
		c.points += 2
		c.buf = c.appendUserV1(nil, &u, expand)
	})
}

func (c *call) sendUser(id string) {
	expand, ok := c.expansions()
	if !ok {
		return
	}
	c.answer(func(s *Site) {
		u := s.userByID[id]
		if u == nil {
			c.fail(http.StatusNotFound, "", "No user found with account id: "+id)
			return
		}
		c.points += 2
		c.buf = c.appendUserV1(nil, &u.data, expand)
	})
}

func (c *call) searchUsers() {
	if !c.oneOf("sitePermissionTypeFilter", "none", "externalCollaborator", "all") {
		return
	}
	expand, ok := c.expansions()
	if !ok {
		return
	}
	cql := c.query.Get("cql")
	if strings.ReplaceAll(strings.ToLower(cql), " ", "") != "type=user" {
		c.fail(http.StatusBadRequest, "", "Could not parse cql: "+cql)
		return
	}
	w, ok := c.windowV1(25, 200, false)
	if !ok {
		return
	}
	filter := c.query.Get("sitePermissionTypeFilter")
	c.answer(func(s *Site) {
		var list []*user
		for _, u := range s.users {
			if filter == "all" || u.data.Guest() == (filter == "externalCollaborator") {
				list = append(list, u)
			}
		}
		list = list[:min(len(list), searchCap)]
		extra := `,"totalSize":` + strconv.Itoa(len(list)) + `,"cqlQuery":` + string(appendASCII(nil, cql)) + `,"searchDuration":12,"archivedResultCount":0`
		c.sendPage(w, len(list), 2, extra, func(b []byte, i int) []byte {
			u := &list[i].data
			b = append(b, `{"user":`...)
			b = c.appendUserV1(b, u, expand)
			b = appendASCII(append(b, `,"title":`...), u.DisplayName)
			b = appendString(append(b, `,"excerpt":"","url":`...), "/people/"+u.AccountID)
			return append(b, `,"breadcrumbs":[],"entityType":"user","iconCssClass":"aui-icon content-type-profile","lastModified":"2024-05-01T08:00:00.000Z","score":0.0}`...)
		})
	})
}

func (c *call) getSystemInfo() {
	c.answer(func(s *Site) {
		b := appendString([]byte(`{"cloudId":`), s.cloudID)
		b = appendString(append(b, `,"commitHash":"c0ffee","baseUrl":`...), s.URL()+"/wiki")
		b = appendString(append(b, `,"fallbackBaseUrl":`...), s.URL()+"/wiki")
		b = appendString(append(b, `,"edition":`...), s.config.Edition)
		b = appendASCII(append(b, `,"siteTitle":`...), s.config.Title)
		b = appendString(append(b, `,"defaultLocale":`...), s.config.DefaultLocale)
		b = appendString(append(b, `,"defaultTimeZone":`...), s.config.DefaultTimeZone)
		c.buf = append(b, `,"microsPerimeter":"commercial","laterField":[{}]}`...)
	})
}

// mayAudit sends 403 when the user lacks the Confluence administrator permission.
// The caller holds the site's lock.
func (c *call) mayAudit(s *Site) bool {
	denied := s.auditDenied || s.posture.adminDenied
	if denied {
		c.fail(http.StatusForbidden, "", "The user does not have the Confluence administrator permission")
	}
	return !denied
}

func (c *call) getRetention() {
	c.answer(func(s *Site) {
		if !c.mayAudit(s) {
			return
		}
		b := strconv.AppendInt([]byte(`{"number":`), int64(s.config.RetentionNumber), 10)
		c.buf = append(appendString(append(b, `,"units":`...), s.config.RetentionUnits), '}')
	})
}

// listAudit answers newest first; both ends of the interval are inclusive.
func (c *call) listAudit() {
	w, ok := c.windowV1(1000, 1000, false)
	if !ok {
		return
	}
	from, to := time.UnixMilli(0), c.now.AddDate(100, 0, 0)
	for name, at := range map[string]*time.Time{"startDate": &from, "endDate": &to} {
		if !c.query.Has(name) {
			continue
		}
		ms, err := strconv.ParseInt(c.query.Get(name), 10, 64)
		if err != nil {
			c.fail(http.StatusBadRequest, "", "Invalid value for parameter "+name+": epoch milliseconds expected")
			return
		}
		*at = time.UnixMilli(ms)
	}
	search := c.query.Get("searchString")
	c.answer(func(s *Site) {
		if !c.mayAudit(s) {
			return
		}
		var list []*AuditRecord
		for i := len(s.audit) - 1; i >= 0; i-- {
			if a := &s.audit[i]; !a.At.Before(from) && !a.At.After(to) && (search == "" || strings.Contains(a.Summary, search) || strings.Contains(a.Object, search)) {
				list = append(list, a)
			}
		}
		c.sendPage(w, len(list), 1, "", func(b []byte, i int) []byte { return appendAudit(b, list[i]) })
	})
}

func appendAudit(b []byte, a *AuditRecord) []byte {
	b = append(b, `{"author":{"type":"user","displayName":`...)
	b = appendASCII(b, a.AuthorName)
	b = appendString(append(b, `,"operations":null,"username":null,"userKey":null,"accountId":`...), a.AuthorID)
	b = append(b, `,"accountType":"atlassian","isGuest":false,"publicName":`...)
	b = appendASCII(b, a.AuthorName)
	b = appendString(append(b, `},"remoteAddress":`...), a.Address)
	b = strconv.AppendInt(append(b, `,"creationDate":`...), a.At.UnixMilli(), 10)
	b = appendASCII(append(b, `,"summary":`...), a.Summary)
	b = appendASCII(append(b, `,"description":"","category":`...), a.Category)
	b = appendASCII(append(b, `,"sysAdmin":false,"superAdmin":false,"affectedObject":{"name":`...), a.Object)
	b = appendASCII(append(b, `,"objectType":`...), a.ObjectType)
	b = append(b, `},"changedValues":[`...)
	for i, v := range a.Changed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendASCII(append(b, `{"name":`...), v.Name)
		b = appendASCII(append(b, `,"oldValue":`...), v.Old)
		b = appendASCII(append(b, `,"newValue":`...), v.New)
		b = append(b, '}')
	}
	b = append(b, `],"associatedObjects":[`...)
	for i, o := range a.Associated {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendASCII(append(b, `{"name":`...), o.Name)
		b = append(appendASCII(append(b, `,"objectType":`...), o.Type), '}')
	}
	return append(b, "]}"...)
}
