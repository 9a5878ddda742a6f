package confluencetest

import (
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// auditTime is how the auditing endpoints write times.
const auditTime = "2006-01-02T15:04:05.000Z07:00"

// listAudit answers newest first; from and to are inclusive. A page cursor names
// the last event of the page before it by time and id.
func (c *dcCall) listAudit() {
	w, ok := c.window(200, 1000)
	if !ok {
		return
	}
	from, to := time.Time{}, c.now.AddDate(100, 0, 0)
	for name, at := range map[string]*time.Time{"from": &from, "to": &to} {
		if !c.query.Has(name) {
			continue
		}
		parsed, err := time.Parse(time.RFC3339Nano, c.query.Get(name))
		if err != nil {
			c.fail(http.StatusBadRequest, "Invalid value for parameter "+name+": an ISO 8601 time with zone is expected")
			return
		}
		*at = parsed
	}
	for name, least := range map[string]int{"offset": 0, "scanLimit": 1} {
		if n, err := strconv.Atoi(c.query.Get(name)); c.query.Has(name) && (err != nil || n < least) {
			c.fail(http.StatusBadRequest, "Invalid value for parameter "+name)
			return
		} else if c.query.Has(name) && name == "scanLimit" {
			w.limit = min(w.limit, n)
		}
	}
	before, cursor, ok := c.auditCursor()
	if !ok {
		return
	}
	c.send(func(dc *DataCenter) []byte {
		low := sort.Search(len(dc.audit), func(i int) bool { return !dc.audit[i].At.Before(from) })
		high := max(low, sort.Search(len(dc.audit), func(i int) bool { return dc.audit[i].At.After(to) }))
		list := dc.audit[low:high] // ascending; position i of the listing is list[len(list)-1-i]
		if cursor {
			at, _ := slices.BinarySearchFunc(list, before, compareDCAudit)
			w.start = len(list) - at
		} else {
			w.start, _ = strconv.Atoi(c.query.Get("offset"))
		}
		return c.auditPage(w, list)
	})
}

// auditCursor reads the page cursor, or refuses it.
func (c *dcCall) auditCursor() (before DCAuditRecord, given, ok bool) {
	if !c.query.Has("pageCursor") {
		return before, false, true
	}
	ms, id, _ := strings.Cut(c.query.Get("pageCursor"), ",")
	at, err := strconv.ParseInt(ms, 10, 64)
	if err == nil {
		before.ID, err = strconv.ParseInt(id, 10, 64)
	}
	if err != nil || c.query.Has("offset") {
		c.fail(http.StatusBadRequest, "Invalid value for parameter pageCursor: a time and an id are expected, and no offset beside it")
		return before, true, false
	}
	before.At = time.UnixMilli(at).UTC()
	return before, true, true
}

func (c *dcCall) auditPage(w window, list []DCAuditRecord) []byte {
	from, end, next, more := c.fault.bend(w, len(list))
	newest := func(i int) *DCAuditRecord { return &list[len(list)-1-i] }
	b := []byte(`{"entities":[`)
	for i := from; i < end; i++ {
		if i > from {
			b = append(b, ',')
		}
		b = c.appendEvent(b, newest(i))
	}
	b = strconv.AppendBool(append(b, `],"pagingInfo":{"lastPage":`...), !more)
	b = strconv.AppendInt(append(b, `,"size":`...), int64(end-from), 10)
	if more && len(list) > 0 {
		last := DCAuditRecord{At: newest(0).At, ID: newest(0).ID + 1} // just before the first one
		if next = min(next, len(list)); next > 0 {
			last = *newest(next - 1)
		}
		cursor := strconv.FormatInt(last.At.UnixMilli(), 10) + "," + formatID(last.ID)
		q := url.Values{"pageCursor": {cursor}}
		for name, values := range c.query {
			if name != "pageCursor" && name != "offset" {
				q[name] = values
			}
		}
		base := c.dc.URL()
		if c.fault != nil && c.fault.Kind == FaultForeignNextLink {
			base = c.dc.srv.TrapURL()
		}
		b = appendString(append(b, `,"nextPageCursor":`...), cursor)
		b = appendString(append(b, `,"nextPageLink":`...), base+c.path+"?"+q.Encode())
	}
	return append(b, "}}"...)
}

func (c *dcCall) appendEvent(b []byte, a *DCAuditRecord) []byte {
	kind := "user"
	if strings.HasPrefix(a.AuthorKey, "-") {
		kind = "system"
	}
	slug := func(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), ".")) }
	b = appendString(append(b, `{"timestamp":`...), a.At.Format(auditTime))
	b = appendString(append(b, `,"author":{"id":`...), a.AuthorKey)
	b = appendASCII(append(b, `,"name":`...), a.AuthorName)
	b = appendString(append(b, `,"type":`...), kind)
	uri := ""
	if kind == "user" {
		uri = c.dc.URL() + "/admin/users/viewuser.action?key=" + url.QueryEscape(a.AuthorKey)
	}
	b = appendOptional(append(b, `,"uri":`...), uri)
	b = appendASCII(append(b, `,"avatarUri":""},"type":{"category":`...), a.Category)
	b = appendASCII(append(b, `,"categoryI18nKey":`...), "audit.logging.category."+slug(a.Category))
	b = appendASCII(append(b, `,"action":`...), a.Action)
	b = appendASCII(append(b, `,"actionI18nKey":`...), "audit.logging.summary."+slug(a.Action))
	b = append(b, `},"affectedObjects":[`...)
	for i, o := range a.Objects {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"id":`...), o.ID)
		b = appendASCII(append(b, `,"name":`...), o.Name)
		b = append(appendString(append(b, `,"type":`...), o.Type), `,"uri":null}`...)
	}
	b = append(b, `],"changedValues":[`...)
	for i, v := range a.Changed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendASCII(append(b, `{"key":`...), v.Key)
		b = appendASCII(append(b, `,"i18nKey":`...), "audit.logging.changed.value."+slug(v.Key))
		b = appendOptional(append(b, `,"from":`...), v.From)
		b = append(appendOptional(append(b, `,"to":`...), v.To), '}')
	}
	b = append(b, `],"extraAttributes":[`...)
	for i, e := range a.Extra {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendASCII(append(b, `{"name":`...), e.Name)
		b = appendASCII(append(b, `,"nameI18nKey":`...), "audit.logging.extra."+slug(e.Name))
		b = append(appendASCII(append(b, `,"value":`...), e.Value), '}')
	}
	b = appendOptional(append(b, `],"source":`...), a.Source)
	b = appendString(append(b, `,"system":`...), c.dc.URL())
	b = appendString(append(b, `,"node":"node-1","method":`...), a.Method)
	return append(b, '}')
}
