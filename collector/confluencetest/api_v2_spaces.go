package confluencetest

import (
	"net/http"
	"slices"
	"strconv"
)

// visibleSpace finds the space of the path. What the user may not see does not
// exist: v2 answers 404 for both.
func (c *call) visibleSpace(s *Site) *space {
	id, err := strconv.ParseInt(c.object, 10, 64)
	if err != nil {
		c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Provided value {"+c.object+"} for 'id' is not the correct type. Expected type is long")
		return nil
	}
	sp := s.spaceByID[id]
	if sp == nil || sp.hidden {
		c.fail(http.StatusNotFound, "NOT_FOUND", "Not Found")
		return nil
	}
	return sp
}

// spaceOrders are the values of the sort parameter.
func spaceOrders() []string { return []string{"id", "-id", "key", "-key", "name", "-name"} }

// spaceSelection reads the filters of the space listings.
func (c *call) spaceSelection() (keep func(*space) bool, ok bool) {
	ids, ok := c.many("ids")
	if !ok {
		return nil, false
	}
	keys, ok := c.many("keys")
	if !ok {
		return nil, false
	}
	for _, id := range ids {
		if _, err := strconv.ParseInt(id, 10, 64); err != nil {
			c.fail(http.StatusBadRequest, "INVALID_REQUEST_PARAMETER", "Provided value {"+id+"} for 'ids' is not the correct type. Expected type is long")
			return nil, false
		}
	}
	kind, status := c.query.Get("type"), c.query.Get("status")
	return func(sp *space) bool {
		return (len(ids) == 0 || slices.Contains(ids, sp.data.ID)) && (len(keys) == 0 || slices.Contains(keys, sp.data.Key)) &&
			(kind == "" || kind == sp.data.Type) && (status == "" || status == sp.data.Status)
	}, true
}

// spacePage is the listing of spaces in the wanted order. Filters select before
// pages are cut; what the user may not see is taken out afterwards.
func (c *call) spacePage(s *Site, keep func(*space) bool, put func([]byte, *space) []byte) listing {
	order := c.query.Get("sort")
	list := s.sortedSpaces(order)
	for _, name := range []string{"ids", "keys", "type", "status"} {
		if c.query.Has(name) {
			list = slices.DeleteFunc(slices.Clone(list), func(sp *space) bool { return !keep(sp) })
			break
		}
	}
	l := listing{total: len(list), points: 1, put: func(b []byte, i int) ([]byte, bool) {
		if list[i].hidden {
			return b, false
		}
		return put(b, list[i]), true
	}}
	if order == "" || order == "id" {
		l.key = func(i int) int64 { return list[i].id }
	}
	return l
}

// locked runs a listing under the lock that its order needs: sorting fills a cache.
func (c *call) locked(body func(*Site)) {
	if order := c.query.Get("sort"); order == "" || order == "id" {
		c.answer(body)
		return
	}
	c.site.mu.Lock()
	body(c.site)
	c.site.mu.Unlock()
	c.flush()
}

func (c *call) listSpaces() {
	if c.notImitated("labels", "favorited-by", "not-favorited-by") || !c.oneOf("sort", spaceOrders()...) ||
		!c.oneOf("type", "global", "collaboration", "knowledge_base", "personal", "system", "onboarding", "xflow_sample_space") ||
		!c.oneOf("status", "current", "archived") || !c.oneOf("description-format", "plain", "view") || !c.oneOf("include-icon", "true", "false") {
		return
	}
	keep, ok := c.spaceSelection()
	if !ok {
		return
	}
	c.locked(func(s *Site) {
		c.sendList(c.spacePage(s, keep, func(b []byte, sp *space) []byte { return append(c.appendSpace(b, &sp.data, true), '}') }))
	})
}

func (c *call) getSpace() {
	if c.notImitated("include-operations", "include-properties", "include-permissions", "include-role-assignments", "include-labels") ||
		!c.oneOf("description-format", "plain", "view") || !c.oneOf("include-icon", "true", "false") {
		return
	}
	c.answer(func(s *Site) {
		if sp := c.visibleSpace(s); sp != nil {
			b := c.appendSpace(nil, &sp.data, false)
			c.points++
			c.buf = append(b, '}')
		}
	})
}

// appendSpace appends a space without its closing brace. Unknown members stand
// before and between the known ones.
func (c *call) appendSpace(b []byte, sp *Space, bulk bool) []byte {
	b = append(b, `{"spaceOwnerId":null,"_futureField":{"id":"not-the-id","list":[1,null,"x",{"key":"decoy"}]},"id":`...)
	b = appendString(b, sp.ID)
	b = appendString(append(b, `,"key":`...), sp.Key)
	b = appendString(append(b, `,"name":`...), sp.Name)
	b = appendString(append(b, `,"type":`...), sp.Type)
	b = appendString(append(b, `,"status":`...), sp.Status)
	b = appendString(append(b, `,"authorId":`...), sp.AuthorID)
	if bulk {
		b = appendOptional(append(b, `,"currentActiveAlias":`...), sp.Alias)
	}
	b = append(b, `,"createdAt":"`...)
	b = sp.CreatedAt.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = appendOptional(append(b, `","homepageId":`...), sp.HomepageID)
	b = append(b, `,"description":`...)
	if format := c.query.Get("description-format"); format != "" && sp.Description != "" {
		b = appendString(append(b, `{"`+format+`":{"representation":`...), format)
		b = append(appendString(append(b, `,"value":`...), sp.Description), "}}"...)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, `,"icon":`...)
	if c.query.Get("include-icon") == "true" {
		b = append(b, `{"path":"/wiki/aa-avatar/space","apiDownloadLink":"/wiki/download/icon"}`...)
	} else {
		b = append(b, "null"...)
	}
	b = appendString(append(b, `,"_links":{"webui":`...), "/spaces/"+sp.Key)
	if !bulk {
		b = appendString(append(b, `,"base":`...), c.site.URL()+"/wiki")
	}
	return append(b, '}')
}

func (c *call) listPermissions() {
	c.answer(func(s *Site) {
		sp := c.visibleSpace(s)
		if sp == nil {
			return
		}
		principals, operations, rows := s.principals.encoded, s.operations.encoded, sp.rows
		c.sendList(listing{
			total: len(rows), points: 2,
			key: func(i int) int64 { return rows[i].id },
			put: func(b []byte, i int) ([]byte, bool) {
				r := &rows[i]
				b = appendID(append(b, `{"id":`...), r.id)
				b = append(append(b, `,"principal":`...), principals[r.principal]...)
				b = append(append(b, `,"operation":`...), operations[r.operation]...)
				return append(b, '}'), true
			},
		})
	})
}

func (c *call) listPolicySpaces() {
	if !c.onlyApps() || !c.oneOf("sort", spaceOrders()...) {
		return
	}
	keep, ok := c.spaceSelection()
	if !ok {
		return
	}
	c.locked(func(s *Site) {
		c.sendList(c.spacePage(s, keep, func(b []byte, sp *space) []byte {
			b = appendString(append(b, `{"id":`...), sp.data.ID)
			b = appendString(append(b, `,"key":`...), sp.data.Key)
			b = appendString(append(b, `,"name":`...), sp.data.Name)
			b = append(b, `,"description":null,"dataPolicy":{"anyContentBlocked":`...)
			b = strconv.AppendBool(b, sp.blocked)
			b = appendString(append(b, `},"icon":null,"_links":{"webui":`...), "/spaces/"+sp.data.Key)
			return append(b, "}}"...)
		}))
	})
}
