package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
)

// UserSubject is a user as the subject of a permission.
func (dc *DataCenter) UserSubject(username string) (DCSubject, error) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	u, err := dc.findUser(username)
	if err != nil {
		return DCSubject{}, err
	}
	return DCSubject{Type: SubjectUser, Name: username, UserKey: u.data.UserKey, DisplayName: u.data.DisplayName}, nil
}

func (dc *DataCenter) findUser(username string) (*dcUser, error) {
	if u := dc.byUsername[username]; u != nil {
		return u, nil
	}
	return nil, dc.missing("user", username)
}

func (dc *DataCenter) findGroup(name string) (*dcGroup, error) {
	if g := dc.group[name]; g != nil {
		return g, nil
	}
	return nil, dc.missing("group", name)
}

func groupObject(name string) DCAuditObject { return DCAuditObject{Name: name, Type: "GROUP"} }

// AddGroup creates an empty group.
func (dc *DataCenter) AddGroup(name string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	if name == "" || dc.group[name] != nil {
		return dc.present("group", name)
	}
	dc.putGroup(name, nil)
	dc.record(DCChange{Kind: GroupAdded, Group: name})
	dc.witness("Users and groups", "Group created", groupObject(name))
	return nil
}

// RemoveGroup deletes a group, which also leaves the groups that it is nested in.
// Permissions that name it stay.
func (dc *DataCenter) RemoveGroup(name string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	g, err := dc.findGroup(name)
	if err != nil {
		return err
	}
	for _, o := range dc.groups {
		if i := slices.Index(o.nested, g); i >= 0 {
			o.nested = slices.Delete(slices.Clone(o.nested), i, i+1)
			dc.record(DCChange{Kind: GroupUnnested, Group: o.name, Before: name})
		}
	}
	dc.groups = slices.DeleteFunc(slices.Clone(dc.groups), func(o *dcGroup) bool { return o == g })
	delete(dc.group, name)
	dc.record(DCChange{Kind: GroupRemoved, Group: name, Members: userKeys(g.members)})
	dc.witness("Users and groups", "Group deleted", groupObject(name))
	return nil
}

// AddMember puts a user into a group; a user who is in it already stays as is.
func (dc *DataCenter) AddMember(group, username string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	g, u, err := dc.findMember(group, username)
	if err != nil || slices.Contains(g.members, u) {
		return err
	}
	g.members = append(slices.Clone(g.members), u)
	dc.record(DCChange{Kind: MemberAdded, Group: group, UserKey: u.data.UserKey})
	dc.witness("Users and groups", "User added to group", groupObject(group), DCAuditChange{Key: "Member", To: u.data.DisplayName})
	return nil
}

// RemoveMember takes a user out of a group.
func (dc *DataCenter) RemoveMember(group, username string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	g, u, err := dc.findMember(group, username)
	if err != nil {
		return err
	}
	i := slices.Index(g.members, u)
	if i < 0 {
		return dc.missing("member of group "+group, username)
	}
	g.members = slices.Delete(slices.Clone(g.members), i, i+1)
	dc.record(DCChange{Kind: MemberRemoved, Group: group, UserKey: u.data.UserKey})
	dc.witness("Users and groups", "User removed from group", groupObject(group), DCAuditChange{Key: "Member", From: u.data.DisplayName})
	return nil
}

func (dc *DataCenter) findMember(group, username string) (*dcGroup, *dcUser, error) {
	g, err := dc.findGroup(group)
	if err != nil {
		return nil, nil, err
	}
	u, err := dc.findUser(username)
	return g, u, err
}

// NestGroup makes child a member of parent. Circles are possible, as in
// directories outside of Confluence.
func (dc *DataCenter) NestGroup(parent, child string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	p, err := dc.findGroup(parent)
	if err != nil {
		return err
	}
	c, err := dc.findGroup(child)
	if err != nil || slices.Contains(p.nested, c) {
		return err
	}
	p.nested = append(slices.Clone(p.nested), c)
	dc.record(DCChange{Kind: GroupNested, Group: parent, After: child})
	dc.witness("Users and groups", "Group added to group", groupObject(parent), DCAuditChange{Key: "Member", To: child})
	return nil
}

// UnnestGroup takes child out of parent.
func (dc *DataCenter) UnnestGroup(parent, child string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	p, err := dc.findGroup(parent)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(p.nested, func(g *dcGroup) bool { return g.name == child })
	if i < 0 {
		return dc.missing("group nested in "+parent, child)
	}
	p.nested = slices.Delete(slices.Clone(p.nested), i, i+1)
	dc.record(DCChange{Kind: GroupUnnested, Group: parent, Before: child})
	dc.witness("Users and groups", "Group removed from group", groupObject(parent), DCAuditChange{Key: "Member", From: child})
	return nil
}

// AddUser creates an active user who is in no group and returns it. Empty fields
// of the template are generated, its UserKey too; Active is ignored. It panics on a
// username that is taken, which only a mistake in the calling test can cause.
func (dc *DataCenter) AddUser(template DCUser) DCUser {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	made := newDCUser(dc.rand, 100000+int(dc.lastUser))
	if template.Username != "" {
		made.Username, made.Email = template.Username, template.Email
	}
	made.DisplayName = cmp.Or(template.DisplayName, made.DisplayName)
	made.Email = cmp.Or(template.Email, made.Email)
	made.Right = template.Right
	if dc.byUsername[made.Username] != nil {
		panic(dc.present("user", made.Username).Error())
	}
	u := dc.putUser(made)
	dc.record(DCChange{Kind: UserAdded, UserKey: u.data.UserKey, After: u.data})
	dc.witness("Users and groups", "User created", userObject(u))
	return u.data
}

func userObject(u *dcUser) DCAuditObject {
	return DCAuditObject{ID: u.data.UserKey, Name: u.data.DisplayName, Type: "USER"}
}

// RemoveUser deletes a user, who leaves all groups; permissions that name the user
// stay, with a subject of type "unknown".
func (dc *DataCenter) RemoveUser(username string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	u, err := dc.findUser(username)
	if err != nil {
		return err
	}
	if u == dc.collector || u == dc.reader {
		return fmt.Errorf("user %q of site %q owns credentials and stays; revoke these instead, or deactivate the user", username, dc.settings.Name)
	}
	for _, g := range dc.groups {
		if i := slices.Index(g.members, u); i >= 0 {
			g.members = slices.Delete(slices.Clone(g.members), i, i+1)
			dc.record(DCChange{Kind: MemberRemoved, Group: g.name, UserKey: u.data.UserKey})
		}
	}
	delete(dc.byUsername, username)
	delete(dc.byUserKey, u.data.UserKey)
	dc.users = slices.DeleteFunc(slices.Clone(dc.users), func(o *dcUser) bool { return o == u })
	dc.record(DCChange{Kind: UserRemoved, UserKey: u.data.UserKey, Before: u.data})
	dc.witness("Users and groups", "User deleted", userObject(u))
	return nil
}

// RenameUser changes the username of a user; the key stays, and so do credentials.
func (dc *DataCenter) RenameUser(username, renamed string) error {
	return dc.ChangeUser(username, func(u *DCUser) { u.Username = renamed })
}

// DeactivateUser keeps a user from logging in; groups and permissions stay.
func (dc *DataCenter) DeactivateUser(username string) error {
	return dc.ChangeUser(username, func(u *DCUser) { u.Active = false })
}

// SetRight changes what a user may do to the installation, at once for every
// credential of the user.
func (dc *DataCenter) SetRight(username string, right Right) error {
	return dc.ChangeUser(username, func(u *DCUser) { u.Right = right })
}

// ChangeUser edits any field of a user but the UserKey.
func (dc *DataCenter) ChangeUser(username string, edit func(*DCUser)) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	u, err := dc.findUser(username)
	if err != nil {
		return err
	}
	before, after := u.data, u.data
	edit(&after)
	after.UserKey = before.UserKey
	if after == before {
		return nil
	}
	if after.Username != username && (after.Username == "" || dc.byUsername[after.Username] != nil) {
		return dc.present("user", after.Username)
	}
	u.data = after
	delete(dc.byUsername, username)
	dc.byUsername[after.Username] = u
	dc.users = slices.Clone(dc.users)
	slices.SortFunc(dc.users, compareDCUsers)
	dc.record(DCChange{Kind: UserChanged, UserKey: after.UserKey, Before: before, After: after})
	dc.witness("Users and groups", "User details updated", userObject(u), DCAuditChange{Key: "Username", From: before.Username, To: after.Username})
	return nil
}
