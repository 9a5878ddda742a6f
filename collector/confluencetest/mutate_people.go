package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
)

func accountIDs(members []*user) []string {
	ids := make([]string, len(members))
	for i, m := range members {
		ids[i] = m.data.AccountID
	}
	return ids
}

// AddGroup creates an empty group and returns it. The ID of the template is
// ignored, Access defaults to "user".
func (s *Site) AddGroup(template Group) Group {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := Group{ID: s.rand.uuid(), Name: template.Name, Access: cmp.Or(template.Access, "user")}
	made.Name = cmp.Or(made.Name, "team-"+made.ID[:8])
	g := &group{data: made}
	s.groups = append(slices.Clone(s.groups), g)
	sortGroups(s.groups)
	s.groupByID[made.ID] = g
	s.record(Change{Kind: GroupAdded, GroupID: made.ID, After: made})
	s.witness("Group created", "Users and groups", made.Name, "Group")
	return made
}

// RemoveGroup deletes a group. Permission rows that name it stay, as dangling
// principals do on real sites.
func (s *Site) RemoveGroup(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groupByID[id]
	if !ok {
		return s.missing("group", id)
	}
	delete(s.groupByID, id)
	s.groups = slices.DeleteFunc(slices.Clone(s.groups), func(o *group) bool { return o == g })
	s.record(Change{Kind: GroupRemoved, GroupID: id, Before: g.data, Members: accountIDs(g.members)})
	s.witness("Group deleted", "Users and groups", g.data.Name, "Group")
	return nil
}

// RenameGroup changes the name of a group.
func (s *Site) RenameGroup(id, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groupByID[id]
	if !ok {
		return s.missing("group", id)
	}
	before := g.data
	if before.Name == name {
		return nil
	}
	g.data.Name = name
	s.groups = slices.Clone(s.groups)
	sortGroups(s.groups)
	s.record(Change{Kind: GroupChanged, GroupID: id, Before: before, After: g.data})
	return nil
}

// AddMember puts a user into a group; a user who is in it already stays as is.
func (s *Site) AddMember(groupID, accountID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, u, err := s.findMember(groupID, accountID)
	if err != nil {
		return err
	}
	if slices.Contains(g.members, u) {
		return nil
	}
	g.members = append(slices.Clone(g.members), u)
	s.record(Change{Kind: MemberAdded, GroupID: groupID, AccountID: accountID})
	s.witness("User added to group", "Users and groups", g.data.Name, "Group", AuditChange{Name: "Member", New: u.data.DisplayName})
	return nil
}

// RemoveMember takes a user out of a group.
func (s *Site) RemoveMember(groupID, accountID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, u, err := s.findMember(groupID, accountID)
	if err != nil {
		return err
	}
	i := slices.Index(g.members, u)
	if i < 0 {
		return s.missing("member of group "+groupID, accountID)
	}
	g.members = slices.Delete(slices.Clone(g.members), i, i+1)
	s.record(Change{Kind: MemberRemoved, GroupID: groupID, AccountID: accountID})
	s.witness("User removed from group", "Users and groups", g.data.Name, "Group", AuditChange{Name: "Member", Old: u.data.DisplayName})
	return nil
}

func (s *Site) findMember(groupID, accountID string) (*group, *user, error) {
	g, ok := s.groupByID[groupID]
	if !ok {
		return nil, nil, s.missing("group", groupID)
	}
	u, ok := s.userByID[accountID]
	if !ok {
		return nil, nil, s.missing("user", accountID)
	}
	return g, u, nil
}

// AddUser creates a user who is in no group and returns it. Empty fields of the
// template are generated.
func (s *Site) AddUser(template User) User {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.newUser(s.rand, 1000+len(s.users)+len(s.log)-s.posture.changes)
	made.AccountID = cmp.Or(template.AccountID, made.AccountID)
	made.AccountType = cmp.Or(template.AccountType, made.AccountType)
	made.AccountStatus = cmp.Or(template.AccountStatus, made.AccountStatus)
	made.DisplayName = cmp.Or(template.DisplayName, made.DisplayName)
	made.PublicName = cmp.Or(template.PublicName, made.PublicName)
	made.Email = cmp.Or(template.Email, made.Email)
	if template.External != nil {
		made.External = new(*template.External)
	}
	s.users = slices.Clone(s.users)
	s.putUser(made)
	s.record(Change{Kind: UserAdded, AccountID: made.AccountID, After: made})
	s.witness("User created", "Users and groups", made.DisplayName, "User")
	return made
}

// RemoveUser deletes a user, who leaves all groups; rows that name it stay. The
// collecting user cannot be removed: revoke its grant instead.
func (s *Site) RemoveUser(accountID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.userByID[accountID]
	if !ok {
		return s.missing("user", accountID)
	}
	if u == s.users[0] {
		return fmt.Errorf("account %q collects on site %q and stays; use Server.Revoke to lock it out", accountID, s.name)
	}
	for _, g := range s.groups {
		if i := slices.Index(g.members, u); i >= 0 {
			g.members = slices.Delete(slices.Clone(g.members), i, i+1)
			s.record(Change{Kind: MemberRemoved, GroupID: g.data.ID, AccountID: accountID})
		}
	}
	delete(s.userByID, accountID)
	s.users = slices.DeleteFunc(slices.Clone(s.users), func(o *user) bool { return o == u })
	s.record(Change{Kind: UserRemoved, AccountID: accountID, Before: u.data})
	s.witness("User deleted", "Users and groups", u.data.DisplayName, "User")
	return nil
}

// RenameUser changes the display name of a user.
func (s *Site) RenameUser(accountID, name string) error {
	return s.ChangeUser(accountID, func(u *User) { u.DisplayName = name })
}

// DeactivateUser sets the account status to inactive; group memberships stay.
func (s *Site) DeactivateUser(accountID string) error {
	return s.ChangeUser(accountID, func(u *User) { u.AccountStatus = "inactive" })
}

// SetExternal makes a user an external collaborator or an insider; nil makes the
// API answer null.
func (s *Site) SetExternal(accountID string, external *bool) error {
	return s.ChangeUser(accountID, func(u *User) { u.External = external })
}

// ChangeUser edits any field of a user but the AccountID.
func (s *Site) ChangeUser(accountID string, edit func(*User)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, ok := s.userByID[accountID]
	if !ok {
		return s.missing("user", accountID)
	}
	before := u.data
	after := before
	edit(&after)
	after.AccountID = before.AccountID
	if after.External != nil {
		after.External = new(*after.External)
	}
	same := (before.External == nil) == (after.External == nil) && (before.External == nil || *before.External == *after.External)
	if same {
		after.External = before.External // so that the structs compare by value below
	}
	if after == before {
		return nil
	}
	u.data = after
	s.record(Change{Kind: UserChanged, AccountID: accountID, Before: before, After: after})
	s.witness("User details changed", "Users and groups", after.DisplayName, "User", AuditChange{Name: "Name", Old: before.DisplayName, New: after.DisplayName})
	return nil
}

// ChangeSettings edits the settings of the site: edition, role mode, retention.
// AnyContentBlocked follows from [Site.BlockSpace] and cannot be set.
func (s *Site) ChangeSettings(edit func(*SiteConfiguration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.config
	edit(&s.config)
	s.config.AnyContentBlocked = before.AnyContentBlocked
	if s.config == before {
		return
	}
	s.record(Change{Kind: SettingsChanged, Before: before, After: s.config})
	s.witness("Site configuration changed", "Security", s.name, "Site", AuditChange{Name: "Role mode", Old: before.RoleMode, New: s.config.RoleMode})
}

// DenyAudit takes the Confluence administrator permission from the collecting
// user (or gives it back): audit endpoints then answer 403.
func (s *Site) DenyAudit(denied bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.auditDenied = denied
}

// SetClassificationLevels replaces the levels; without any the API answers 404.
func (s *Site) SetClassificationLevels(levels []Level) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.levels = slices.Clone(levels)
}
