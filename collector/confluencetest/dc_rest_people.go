package confluencetest

import (
	"net/http"
	"net/url"
	"slices"
)

func (c *dcCall) listGroups() {
	if _, ok := c.expansions(); !ok {
		return
	}
	w, ok := c.window(200, 200)
	if !ok {
		return
	}
	c.send(func(dc *DataCenter) []byte {
		return c.envelope(w, len(dc.groups), true, func(b []byte, i int) []byte { return c.appendGroup(b, dc.groups[i].name) })
	})
}

// theGroup finds the group of the path, or answers 404.
func (c *dcCall) theGroup() *dcGroup {
	g := c.dc.group[c.object]
	if g == nil {
		c.fail(http.StatusNotFound, "No group found with name: "+c.object)
	}
	return g
}

func (c *dcCall) getGroup() {
	if _, ok := c.expansions(); !ok {
		return
	}
	c.send(func(*DataCenter) []byte {
		if g := c.theGroup(); g != nil {
			return c.appendGroup(nil, g.name)
		}
		return nil
	})
}

func (c *dcCall) appendGroup(b []byte, name string) []byte {
	b = appendASCII(append(b, `{"type":"group","name":`...), name)
	b = appendString(append(b, `,"_links":{"self":`...), c.dc.URL()+"/rest/api/group/"+url.PathEscape(name))
	return append(b, "}}"...)
}

func (c *dcCall) listMembers() {
	expand, ok := c.expansions("status")
	if !ok {
		return
	}
	w, ok := c.window(200, 200)
	if !ok {
		return
	}
	c.send(func(dc *DataCenter) []byte {
		g := c.theGroup()
		if g == nil {
			return nil
		}
		return c.userPage(w, false, dc.membersOf(g), expand)
	})
}

func (c *dcCall) listNested() {
	if _, ok := c.expansions(); !ok {
		return
	}
	w, ok := c.window(200, 200)
	if !ok {
		return
	}
	c.send(func(*DataCenter) []byte {
		g := c.theGroup()
		if g == nil {
			return nil
		}
		return c.envelope(w, len(g.nested), false, func(b []byte, i int) []byte { return c.appendGroup(b, g.nested[i].name) })
	})
}

func (c *dcCall) userPage(w window, counted bool, list []*dcUser, expand []string) []byte {
	return c.envelope(w, len(list), counted, func(b []byte, i int) []byte { return c.appendUser(b, &list[i].data, expand) })
}

func (c *dcCall) listUsers() {
	c.users(true, func(dc *DataCenter) []*dcUser { return dc.users })
}

// listActive answers from an index, which lacks users while it is built anew.
func (c *dcCall) listActive() {
	c.users(false, func(dc *DataCenter) []*dcUser {
		list := slices.DeleteFunc(slices.Clone(dc.users), func(u *dcUser) bool { return !u.data.Active || !u.data.Licensed })
		if dc.reindexing {
			list = list[:len(list)/2]
		}
		return list
	})
}

func (c *dcCall) users(counted bool, which func(*DataCenter) []*dcUser) {
	expand, ok := c.expansions("status")
	if !ok {
		return
	}
	w, ok := c.window(200, 200)
	if !ok {
		return
	}
	c.send(func(dc *DataCenter) []byte { return c.userPage(w, counted, which(dc), expand) })
}

func (c *dcCall) getUser() {
	if c.query.Has("key") == c.query.Has("username") {
		c.fail(http.StatusBadRequest, "Exactly one of key and username is needed")
		return
	}
	c.oneUser(func(dc *DataCenter) *dcUser {
		if c.query.Has("key") {
			return dc.byUserKey[c.query.Get("key")]
		}
		return dc.byUsername[c.query.Get("username")]
	})
}

func (c *dcCall) getCurrentUser() {
	c.oneUser(func(dc *DataCenter) *dcUser { return dc.byUserKey[c.who.user.UserKey] })
}

func (c *dcCall) oneUser(find func(*DataCenter) *dcUser) {
	expand, ok := c.expansions("status")
	if !ok {
		return
	}
	c.send(func(dc *DataCenter) []byte {
		u := find(dc)
		if u == nil {
			c.fail(http.StatusNotFound, "No user found with key or name : "+c.object)
			return nil
		}
		return c.appendUser(nil, &u.data, expand)
	})
}

// appendUser shows mail addresses to administrators alone, and leaves the member
// out where there is none.
func (c *dcCall) appendUser(b []byte, u *DCUser, expand []string) []byte {
	b = appendString(append(b, `{"type":"known","username":`...), u.Username)
	b = appendString(append(b, `,"userKey":`...), u.UserKey)
	b = appendASCII(append(b, `,"displayName":`...), u.DisplayName)
	if u.Email != "" && c.who.may(RightAdmin) {
		b = appendString(append(b, `,"email":`...), u.Email)
	}
	b = c.appendPicture(b)
	if slices.Contains(expand, "status") {
		status := "active"
		if !u.Active {
			status = "inactive"
		}
		b = appendString(append(b, `,"status":`...), status)
	}
	b = appendString(append(b, `,"_links":{"self":`...), c.dc.URL()+"/rest/api/user?key="+url.QueryEscape(u.UserKey))
	return append(b, `},"_expandable":{"status":""}}`...)
}

func (c *dcCall) appendPicture(b []byte) []byte {
	b = appendString(append(b, `,"profilePicture":{"path":`...), c.dc.prefix+"/images/icons/profilepics/default.svg")
	return append(b, `,"width":48,"height":48,"isDefault":true}`...)
}
