package confluencetest

import (
	"cmp"
	"slices"
)

// Truth is everything that the collecting user can see of a site at one moment.
// It shares no memory with the site.
type Truth struct {
	Spaces      []Space                 // ascending by numeric id, hidden ones left out
	Permissions map[string][]Permission // by space id; a visible space without rows has an empty entry
	Groups      []Group                 // ascending by name
	Members     map[string][]string     // account ids by group id, in joining order
	// Users are those reachable through groups, ascending by account id.
	Users []User
	// External are the account ids of all external collaborators, also of those
	// in no group, ascending.
	External []string
	// BlockedSpaces are the ids of visible spaces with a data policy.
	BlockedSpaces []string
	Settings      SiteConfiguration
	Levels        []Level
	// Roles and Assignments (by space id) are empty while the role mode is PRE_ROLES.
	Roles       []Role
	Assignments map[string][]RoleAssignment
	Audit       []AuditRecord // ascending by time
}

// Truth takes a snapshot of what the collecting user can see right now.
func (s *Site) Truth() Truth {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := Truth{
		Permissions: make(map[string][]Permission, len(s.spaces)),
		Members:     make(map[string][]string, len(s.groups)),
		Assignments: map[string][]RoleAssignment{},
		Settings:    s.config,
		Levels:      slices.Clone(s.levels),
	}
	roles := s.config.RoleMode != "PRE_ROLES"
	for _, sp := range s.spaces {
		if sp.hidden {
			continue
		}
		t.Spaces = append(t.Spaces, sp.data)
		t.Permissions[sp.data.ID] = s.permissionsOf(sp)
		if sp.blocked {
			t.BlockedSpaces = append(t.BlockedSpaces, sp.data.ID)
		}
		if roles {
			t.Assignments[sp.data.ID] = slices.Clone(sp.assignments)
		}
	}
	if roles {
		for _, r := range s.roles {
			r.Permissions = slices.Clone(r.Permissions)
			t.Roles = append(t.Roles, r)
		}
	}
	seen := map[*user]bool{}
	for _, g := range s.groups {
		t.Groups = append(t.Groups, g.data)
		t.Members[g.data.ID] = accountIDs(g.members)
		for _, m := range g.members {
			if !seen[m] {
				seen[m] = true
				t.Users = append(t.Users, copyUser(m.data))
			}
		}
	}
	slices.SortFunc(t.Users, func(a, b User) int { return cmp.Compare(a.AccountID, b.AccountID) })
	for _, u := range s.users {
		if u.data.Guest() {
			t.External = append(t.External, u.data.AccountID)
		}
	}
	slices.Sort(t.External)
	for _, a := range s.audit {
		a.Changed, a.Associated = slices.Clone(a.Changed), slices.Clone(a.Associated)
		t.Audit = append(t.Audit, a)
	}
	return t
}

func copyUser(u User) User {
	if u.External != nil {
		u.External = new(*u.External)
	}
	return u
}

// Counts are the sizes of a [Truth], for sites too large to copy.
type Counts struct {
	Spaces, Permissions, Groups, Members, Users, AllUsers, External int
}

// Counts counts what the collecting user can see right now. Users are those
// reachable through groups.
func (s *Site) Counts() Counts {
	s.mu.RLock()
	defer s.mu.RUnlock()
	c := Counts{Groups: len(s.groups), AllUsers: len(s.users)}
	for _, sp := range s.spaces {
		if !sp.hidden {
			c.Spaces++
			c.Permissions += len(sp.rows)
		}
	}
	seen := map[*user]bool{}
	for _, g := range s.groups {
		c.Members += len(g.members)
		for _, m := range g.members {
			seen[m] = true
		}
	}
	c.Users = len(seen)
	for _, u := range s.users {
		if u.data.Guest() {
			c.External++
		}
	}
	return c
}
