package confluencetest

import (
	"net/http"
	"net/url"
	"slices"
)

// sees tells whether the caller may see a space: administrators see all that are
// not hidden, others what they or their groups may read. The caller holds mu.
func (c *dcCall) sees(sp *dcSpace) bool {
	if sp.hidden {
		return false
	}
	return c.who.user.Right >= RightAdmin || c.has(sp, "read")
}

// has tells whether the caller has a permission on a space, by itself, through a
// group, also a nested one, or because everybody has it.
func (c *dcCall) has(sp *dcSpace, operation string) bool {
	return slices.ContainsFunc(sp.rows, func(p DCPermission) bool {
		if p.Operation != operation || p.Target != "space" {
			return false
		}
		switch p.Subject.Type {
		case SubjectAnonymous:
			return true
		case SubjectUser:
			return p.Subject.UserKey == c.who.user.UserKey
		case SubjectGroup:
			g := c.dc.group[p.Subject.Name]
			return g != nil && slices.ContainsFunc(g.effective(), func(u *dcUser) bool { return u.data.UserKey == c.who.user.UserKey })
		}
		return false
	})
}

// oneOf refuses values that a parameter does not have.
func (c *dcCall) oneOf(name string, values ...string) bool {
	if c.query.Has(name) && !slices.Contains(values, c.query.Get(name)) {
		c.fail(http.StatusBadRequest, "Invalid value for parameter "+name)
		return false
	}
	return true
}

func spaceExpansions() []string {
	return []string{"description", "description.plain", "homepage"}
}

func (c *dcCall) listSpaces() {
	if !c.oneOf("type", "global", "personal") || !c.oneOf("status", "current", "archived") {
		return
	}
	expand, ok := c.expansions(spaceExpansions()...)
	if !ok {
		return
	}
	w, ok := c.window(25, 100)
	if !ok {
		return
	}
	kind, status, keys := c.query.Get("type"), c.query.Get("status"), c.query["spaceKey"]
	c.send(func(dc *DataCenter) []byte {
		var list []*dcSpace
		for _, sp := range dc.spaces {
			if (kind == "" || sp.data.Type == kind) && (status == "" || sp.data.Status == status) && (len(keys) == 0 || slices.Contains(keys, sp.data.Key)) && c.sees(sp) {
				list = append(list, sp)
			}
		}
		return c.envelope(w, len(list), false, func(b []byte, i int) []byte { return c.appendSpace(b, list[i], expand) })
	})
}

// visible finds the space of the path, or answers 404, for hidden ones too.
func (c *dcCall) visible() *dcSpace {
	sp := c.dc.spaceByKey[c.object]
	if sp == nil || !c.sees(sp) {
		c.fail(http.StatusNotFound, "No space found with key : "+c.object)
		return nil
	}
	return sp
}

func (c *dcCall) getSpace() {
	expand, ok := c.expansions(spaceExpansions()...)
	if !ok {
		return
	}
	c.send(func(*DataCenter) []byte {
		if sp := c.visible(); sp != nil {
			return c.appendSpace(nil, sp, expand)
		}
		return nil
	})
}

func (c *dcCall) appendSpace(b []byte, sp *dcSpace, expand []string) []byte {
	d, base := &sp.data, c.dc.URL()
	b = append(append(b, `{"id":`...), d.ID...)
	b = appendString(append(b, `,"key":`...), d.Key)
	b = appendASCII(append(b, `,"name":`...), d.Name)
	b = appendString(append(b, `,"status":`...), d.Status)
	b = appendString(append(b, `,"type":`...), d.Type)
	if slices.Contains(expand, "description") || slices.Contains(expand, "description.plain") {
		b = append(b, `,"description":{`...)
		if slices.Contains(expand, "description.plain") {
			b = append(appendASCII(append(b, `"plain":{"value":`...), d.Description), `,"representation":"plain"},`...)
		}
		b = append(b, `"_expandable":{"view":""}}`...)
	}
	if slices.Contains(expand, "homepage") && d.HomepageID != "" {
		b = appendString(append(b, `,"homepage":{"id":`...), d.HomepageID)
		b = appendASCII(append(b, `,"type":"page","status":"current","title":`...), d.Name+" Home")
		b = append(b, '}')
	}
	b = appendString(append(b, `,"_links":{"webui":`...), "/display/"+url.PathEscape(d.Key))
	b = appendString(append(b, `,"self":`...), base+"/rest/api/space/"+url.PathEscape(d.Key))
	return append(b, `},"_expandable":{"metadata":"","icon":"","description":"","retentionPolicy":"","homepage":""}}`...)
}

func (c *dcCall) listPermissions() { c.spaceRows(nil) }

func (c *dcCall) listAnonymous() {
	c.spaceRows(func(p DCPermission) bool { return p.Subject.Type == SubjectAnonymous })
}

func (c *dcCall) spaceRows(which func(DCPermission) bool) {
	c.send(func(dc *DataCenter) []byte {
		sp := c.visible()
		if sp == nil {
			return nil
		}
		if sp.restricted || !c.who.may(RightAdmin) && !c.has(sp, "administer") {
			c.fail(http.StatusForbidden, "User not permitted to view permissions of space "+sp.data.Key)
			return nil
		}
		return c.rows(sp.rows, which, sp)
	})
}

func (c *dcCall) listGlobal() {
	c.send(func(dc *DataCenter) []byte { return c.rows(dc.global, nil, nil) })
}

func (c *dcCall) listGlobalAnonymous() {
	c.send(func(dc *DataCenter) []byte {
		return c.rows(dc.global, func(p DCPermission) bool { return p.Subject.Type == SubjectAnonymous }, nil)
	})
}

func (c *dcCall) listUnlicensed() {
	c.send(func(dc *DataCenter) []byte { return c.rows(dc.unlicensed, nil, nil) })
}

// rows builds an array of permissions, of a space or global ones.
func (c *dcCall) rows(rows []DCPermission, which func(DCPermission) bool, sp *dcSpace) []byte {
	b := []byte{'['}
	if c.fault != nil && c.fault.Kind == FaultEmptyPage {
		return append(b, ']')
	}
	for _, p := range rows {
		if which != nil && !which(p) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = appendASCII(append(b, `{"operation":{"targetType":`...), p.Target)
		b = appendASCII(append(b, `,"operationKey":`...), p.Operation)
		b = c.appendSubject(append(b, `},"subject":`...), c.dc.resolve(p).Subject)
		if sp != nil {
			b = appendString(append(b, `,"spaceKey":`...), sp.data.Key)
			b = append(append(b, `,"spaceId":`...), sp.data.ID...)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func (c *dcCall) appendSubject(b []byte, s DCSubject) []byte {
	if s.Type == "" {
		return append(b, "null"...)
	}
	b = appendString(append(b, `{"type":`...), s.Type)
	b = appendASCII(append(b, `,"displayName":`...), s.DisplayName)
	if c.dc.settings.SparseSubjects {
		return append(b, '}')
	}
	switch s.Type {
	case SubjectUser:
		b = appendString(append(b, `,"username":`...), s.Name)
		b = appendString(append(b, `,"userKey":`...), s.UserKey)
		b = c.appendPicture(b)
	case SubjectDeleted:
		b = appendString(append(b, `,"userKey":`...), s.UserKey)
		if s.Name != "" {
			b = appendString(append(b, `,"username":`...), s.Name)
		}
	case SubjectAnonymous:
		b = c.appendPicture(b)
	default:
		if s.Name != "" {
			b = appendASCII(append(b, `,"name":`...), s.Name)
		}
	}
	return append(b, '}')
}
