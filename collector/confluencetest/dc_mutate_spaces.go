package confluencetest

import (
	"cmp"
	"slices"
)

func (dc *DataCenter) findSpace(key string) (*dcSpace, error) {
	if sp := dc.spaceByKey[key]; sp != nil {
		return sp, nil
	}
	return nil, dc.missing("space", key)
}

func spaceObject(sp *dcSpace) DCAuditObject {
	return DCAuditObject{ID: sp.data.ID, Name: sp.data.Name, Type: "SPACE"}
}

// AddSpace creates a space with n permission rows and returns it. Empty fields of
// the template are generated; its ID is ignored. It panics on a key that is taken,
// which only a mistake in the calling test can cause.
func (dc *DataCenter) AddSpace(template DCSpace, n int) DCSpace {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	id := dc.lastSpace + 1 + int64(dc.rand.IntN(3))
	made := dc.newSpace(dc.rand, id, 2000000+len(dc.spaces))
	made.Key = cmp.Or(template.Key, made.Key)
	made.Name = cmp.Or(template.Name, made.Name)
	made.Type = cmp.Or(template.Type, made.Type)
	made.Status = cmp.Or(template.Status, made.Status)
	made.Description = template.Description
	if dc.spaceByKey[made.Key] != nil {
		panic(dc.present("space", made.Key).Error())
	}
	sp := &dcSpace{id: id, data: made}
	for tries := 0; len(sp.rows) < n && tries < 50*n; tries++ {
		if p := dc.anyPermission(dc.rand); !slices.ContainsFunc(sp.rows, p.is) {
			sp.rows = append(sp.rows, p)
		}
	}
	dc.putSpace(sp)
	dc.record(DCChange{Kind: SpaceAdded, SpaceKey: made.Key, After: made, Permissions: dc.resolved(sp.rows)})
	dc.witness("Spaces", "Space created", spaceObject(sp), DCAuditChange{Key: "Key", To: made.Key})
	return made
}

// anyPermission draws a permission for a group or a user. The caller holds mu.
func (dc *DataCenter) anyPermission(r random) DCPermission {
	o := pick(r, standardDCOperations())
	p := DCPermission{Subject: DCSubject{Type: SubjectUser, UserKey: pick(r, dc.users).data.UserKey}, Operation: o[0], Target: o[1]}
	if len(dc.groups) > 0 && r.IntN(2) == 0 {
		p.Subject = GroupSubject(pick(r, dc.groups).name)
	}
	return p
}

// RemoveSpace deletes a space and its permissions; the audit log has a witness.
func (dc *DataCenter) RemoveSpace(key string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil {
		return err
	}
	dc.spaces = slices.DeleteFunc(slices.Clone(dc.spaces), func(o *dcSpace) bool { return o == sp })
	delete(dc.spaceByKey, key)
	dc.record(DCChange{Kind: SpaceRemoved, SpaceKey: key, Before: sp.data, Permissions: dc.resolved(sp.rows)})
	dc.witness("Spaces", "Space deleted", spaceObject(sp), DCAuditChange{Key: "Key", From: key})
	return nil
}

// HideSpace takes a space out of everybody's sight. To the API this looks like a
// deletion, except that no audit event says so.
func (dc *DataCenter) HideSpace(key string) error { return dc.setHidden(key, true) }

// ShowSpace brings a hidden space back.
func (dc *DataCenter) ShowSpace(key string) error { return dc.setHidden(key, false) }

func (dc *DataCenter) setHidden(key string, hidden bool) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil || sp.hidden == hidden {
		return err
	}
	sp.hidden = hidden
	c := DCChange{Kind: SpaceShown, SpaceKey: key, After: sp.data, Permissions: dc.resolved(sp.rows)}
	if hidden {
		c.Kind, c.Before, c.After = SpaceHidden, sp.data, nil
	}
	dc.record(c)
	return nil
}

// RestrictSpace makes the permissions of a space answer 403 to everybody, or ends
// that. The space itself stays in sight.
func (dc *DataCenter) RestrictSpace(key string, restricted bool) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil || sp.restricted == restricted {
		return err
	}
	sp.restricted = restricted
	kind := SpaceUnrestricted
	if restricted {
		kind = SpaceRestricted
	}
	dc.record(DCChange{Kind: kind, SpaceKey: key, Permissions: dc.resolved(sp.rows)})
	return nil
}

// RenameSpace changes the name of a space.
func (dc *DataCenter) RenameSpace(key, name string) error {
	return dc.ChangeSpace(key, func(sp *DCSpace) { sp.Name = name })
}

// ArchiveSpace sets the status of a space to archived.
func (dc *DataCenter) ArchiveSpace(key string) error {
	return dc.ChangeSpace(key, func(sp *DCSpace) { sp.Status = "archived" })
}

// ChangeSpace edits any field of a space but its ID and Key.
func (dc *DataCenter) ChangeSpace(key string, edit func(*DCSpace)) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil {
		return err
	}
	before, after := sp.data, sp.data
	edit(&after)
	after.ID, after.Key = before.ID, before.Key
	if after == before {
		return nil
	}
	sp.data = after
	dc.record(DCChange{Kind: SpaceChanged, SpaceKey: key, Before: before, After: after})
	dc.witness("Spaces", "Space details changed", spaceObject(sp), DCAuditChange{Key: "Name", From: before.Name, To: after.Name})
	return nil
}

// AddPermission gives a permission on a space. A permission that is there already
// is refused.
func (dc *DataCenter) AddPermission(key string, p DCPermission) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil {
		return err
	}
	p = dc.canonical(p)
	if slices.ContainsFunc(sp.rows, p.is) {
		return dc.present("permission", p.Operation+" "+p.Target)
	}
	sp.rows = append(slices.Clone(sp.rows), p)
	p = dc.resolve(p)
	dc.record(DCChange{Kind: PermissionAdded, SpaceKey: key, After: p})
	dc.witness("Permissions", "Space permission added", spaceObject(sp), DCAuditChange{Key: p.Operation, To: p.Subject.DisplayName})
	return nil
}

// RemovePermission takes a permission on a space away.
func (dc *DataCenter) RemovePermission(key string, p DCPermission) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	sp, err := dc.findSpace(key)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(sp.rows, dc.canonical(p).is)
	if i < 0 {
		return dc.missing("permission on space "+key, p.Operation+" "+p.Target)
	}
	p = dc.resolve(sp.rows[i])
	sp.rows = slices.Delete(slices.Clone(sp.rows), i, i+1)
	dc.record(DCChange{Kind: PermissionRemoved, SpaceKey: key, Before: p})
	dc.witness("Permissions", "Space permission removed", spaceObject(sp), DCAuditChange{Key: p.Operation, From: p.Subject.DisplayName})
	return nil
}

// AddGlobal gives a global permission. One that is there already is refused.
func (dc *DataCenter) AddGlobal(p DCPermission) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	p = dc.canonical(p)
	if slices.ContainsFunc(dc.global, p.is) {
		return dc.present("global permission", p.Operation+" "+p.Target)
	}
	dc.global = append(slices.Clone(dc.global), p)
	p = dc.resolve(p)
	dc.record(DCChange{Kind: GlobalPermissionAdded, After: p})
	dc.witness("Permissions", "Global permission added", DCAuditObject{Name: p.Subject.DisplayName, Type: "GROUP"}, DCAuditChange{Key: "Type", To: p.Operation})
	return nil
}

// RemoveGlobal takes a global permission away.
func (dc *DataCenter) RemoveGlobal(p DCPermission) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	i := slices.IndexFunc(dc.global, dc.canonical(p).is)
	if i < 0 {
		return dc.missing("global permission", p.Operation+" "+p.Target)
	}
	p = dc.resolve(dc.global[i])
	dc.global = slices.Delete(slices.Clone(dc.global), i, i+1)
	dc.record(DCChange{Kind: GlobalPermissionRemoved, Before: p})
	dc.witness("Permissions", "Global permission removed", DCAuditObject{Name: p.Subject.DisplayName, Type: "GROUP"}, DCAuditChange{Key: "Type", From: p.Operation})
	return nil
}
