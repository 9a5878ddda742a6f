package confluencetest

import "slices"

// DCTruth is everything that an administrator can see of a Data Center at one
// moment. It shares no memory with the site.
type DCTruth struct {
	Spaces      []DCSpace                 // ascending by key, hidden ones left out
	Permissions map[string][]DCPermission // by space key; no entry for restricted spaces
	Restricted  []string                  // keys of visible spaces whose permissions are refused
	Global      []DCPermission
	Unlicensed  []DCPermission
	Groups      []string            // ascending
	Members     map[string][]string // user keys by group, as the member listing shows them
	Nested      map[string][]string // names of directly nested groups by group
	Users       []DCUser            // ascending by username, deactivated ones included
	Active      []string            // keys of the users that count against the licence, by username
	Addons      []DCAddon           // ascending by key
	License     DCLicense
	Server      DCServer
	Audit       []DCAuditRecord // ascending by time and id
}

// Truth takes a snapshot of what an administrator can see right now.
func (dc *DataCenter) Truth() DCTruth {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	t := DCTruth{
		Permissions: map[string][]DCPermission{}, Members: map[string][]string{}, Nested: map[string][]string{},
		Global: dc.resolved(dc.global), Unlicensed: dc.resolved(dc.unlicensed), License: dc.license, Server: dc.server,
	}
	for _, sp := range dc.spaces {
		if sp.hidden {
			continue
		}
		t.Spaces = append(t.Spaces, sp.data)
		if sp.restricted {
			t.Restricted = append(t.Restricted, sp.data.Key)
			continue
		}
		t.Permissions[sp.data.Key] = dc.resolved(sp.rows)
	}
	for _, g := range dc.groups {
		t.Groups = append(t.Groups, g.name)
		t.Members[g.name] = userKeys(dc.membersOf(g))
		t.Nested[g.name] = groupNames(g.nested)
	}
	for _, u := range dc.users {
		t.Users = append(t.Users, u.data)
		if u.data.Active && u.data.Licensed {
			t.Active = append(t.Active, u.data.UserKey)
		}
	}
	for _, a := range dc.addons {
		t.Addons = append(t.Addons, copyAddon(a))
	}
	for _, a := range dc.audit {
		a.Objects, a.Changed, a.Extra = slices.Clone(a.Objects), slices.Clone(a.Changed), slices.Clone(a.Extra)
		t.Audit = append(t.Audit, a)
	}
	return t
}

// DCCounts are the sizes of a [DCTruth].
type DCCounts struct {
	Spaces, Permissions, Global, Groups, Members, Users, Addons int
}

// Counts counts what an administrator can see right now.
func (dc *DataCenter) Counts() DCCounts {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	c := DCCounts{Global: len(dc.global), Groups: len(dc.groups), Users: len(dc.users), Addons: len(dc.addons)}
	for _, sp := range dc.spaces {
		if !sp.hidden {
			c.Spaces++
			if !sp.restricted {
				c.Permissions += len(sp.rows)
			}
		}
	}
	for _, g := range dc.groups {
		c.Members += len(dc.membersOf(g))
	}
	return c
}

// membersOf lists the members of a group as the API shows them.
func (dc *DataCenter) membersOf(g *dcGroup) []*dcUser {
	if dc.settings.EffectiveMembers {
		return g.effective()
	}
	return g.members
}

// canonical is the stored form of a permission: users by key alone.
func (dc *DataCenter) canonical(p DCPermission) DCPermission {
	switch s := p.Subject; s.Type {
	case SubjectUser, SubjectDeleted:
		p.Subject = DCSubject{Type: SubjectUser, UserKey: s.UserKey}
		if u := dc.byUsername[s.Name]; s.UserKey == "" && u != nil {
			p.Subject.UserKey = u.data.UserKey
		}
	case SubjectGroup:
		p.Subject = GroupSubject(s.Name)
	}
	return p
}

// resolve fills in what a stored permission's subject is called today.
func (dc *DataCenter) resolve(p DCPermission) DCPermission {
	if p.Subject.Type != SubjectUser {
		return p
	}
	if u := dc.byUserKey[p.Subject.UserKey]; u != nil {
		p.Subject.Name, p.Subject.DisplayName = u.data.Username, u.data.DisplayName
	} else {
		p.Subject.Type, p.Subject.DisplayName = SubjectDeleted, "Unknown User ("+p.Subject.UserKey+")"
	}
	return p
}

func (dc *DataCenter) resolved(rows []DCPermission) []DCPermission {
	list := make([]DCPermission, len(rows))
	for i, p := range rows {
		list[i] = dc.resolve(p)
	}
	return list
}

func userKeys(members []*dcUser) []string {
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = m.data.UserKey
	}
	return keys
}

func groupNames(groups []*dcGroup) []string {
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.name
	}
	return names
}

func copyAddon(a DCAddon) DCAddon {
	if a.License != nil {
		a.License = new(*a.License)
	}
	return a
}
