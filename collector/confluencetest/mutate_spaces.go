package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

func (s *Site) findSpace(id string) (*space, error) {
	n, err := strconv.ParseInt(id, 10, 64)
	if err == nil {
		if sp, ok := s.spaceByID[n]; ok {
			return sp, nil
		}
	}
	return nil, s.missing("space", id)
}

func (s *Site) permissionsOf(sp *space) []Permission {
	list := make([]Permission, len(sp.rows))
	for i, r := range sp.rows {
		list[i] = s.permission(r)
	}
	return list
}

// AddSpace creates a space with n permission rows and returns it. Empty fields of
// the template are generated; its ID is ignored.
func (s *Site) AddSpace(template Space, n int) Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.lastSpace + 1 + int64(s.rand.IntN(3))
	made := s.newSpace(s.rand, id, 2000000+len(s.spaces), s.now())
	made.CreatedAt = s.now().UTC()
	made.Key = cmp.Or(template.Key, made.Key)
	made.Name = cmp.Or(template.Name, made.Name)
	made.Type = cmp.Or(template.Type, made.Type)
	made.Status = cmp.Or(template.Status, made.Status)
	made.Description = template.Description
	sp := &space{id: id, data: made}
	for range n {
		sp.rows = append(sp.rows, s.newRow(s.randomPermission()))
	}
	s.putSpace(sp)
	s.record(Change{Kind: SpaceAdded, SpaceID: made.ID, After: made, Permissions: s.permissionsOf(sp)})
	s.witness("Space created", "Spaces", made.Name, "Space", AuditChange{Name: "Key", New: made.Key})
	return made
}

// RemoveSpace deletes a space and its rows; the audit log has a witness.
func (s *Site) RemoveSpace(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, err := s.findSpace(id)
	if err != nil {
		return err
	}
	s.spaces = slices.DeleteFunc(slices.Clone(s.spaces), func(o *space) bool { return o == sp })
	delete(s.spaceByID, sp.id)
	delete(s.spaceByKey, sp.data.Key)
	s.record(Change{Kind: SpaceRemoved, SpaceID: id, Before: sp.data, Permissions: s.permissionsOf(sp)})
	s.witness("Space deleted", "Spaces", sp.data.Name, "Space", AuditChange{Name: "Key", Old: sp.data.Key})
	return nil
}

// HideSpace takes the space out of the collecting user's sight. To the API this
// looks exactly like a deletion, except that no audit record says so.
func (s *Site) HideSpace(id string) error { return s.setHidden(id, true) }

// ShowSpace gives the collecting user sight of the space again.
func (s *Site) ShowSpace(id string) error { return s.setHidden(id, false) }

func (s *Site) setHidden(id string, hidden bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, err := s.findSpace(id)
	if err != nil {
		return err
	}
	if sp.hidden == hidden {
		return nil
	}
	sp.hidden = hidden
	c := Change{Kind: SpaceShown, SpaceID: id, After: sp.data, Permissions: s.permissionsOf(sp)}
	if hidden {
		c.Kind, c.Before, c.After = SpaceHidden, sp.data, nil
	}
	s.record(c)
	return nil
}

// RenameSpace changes the name of a space.
func (s *Site) RenameSpace(id, name string) error {
	return s.changeSpace(id, "Space renamed", func(sp *Space) { sp.Name = name })
}

// ArchiveSpace sets the status of a space to archived.
func (s *Site) ArchiveSpace(id string) error {
	return s.changeSpace(id, "Space archived", func(sp *Space) { sp.Status = "archived" })
}

// ChangeSpace edits any field of a space but its ID and Key.
func (s *Site) ChangeSpace(id string, edit func(*Space)) error {
	return s.changeSpace(id, "Space details changed", edit)
}

func (s *Site) changeSpace(id, summary string, edit func(*Space)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, err := s.findSpace(id)
	if err != nil {
		return err
	}
	before := sp.data
	after := before
	edit(&after)
	after.ID, after.Key = before.ID, before.Key
	if after == before {
		return nil
	}
	sp.data = after
	s.record(Change{Kind: SpaceChanged, SpaceID: id, Before: before, After: after})
	s.witness(summary, "Spaces", after.Name, "Space", AuditChange{Name: "Name", Old: before.Name, New: after.Name})
	return nil
}

// BlockSpace sets or lifts the data policy that keeps the app from the content of
// a space; the posture endpoints are exempt from it.
func (s *Site) BlockSpace(id string, blocked bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, err := s.findSpace(id)
	if err != nil {
		return err
	}
	if sp.blocked == blocked {
		return nil
	}
	sp.blocked = blocked
	s.config.AnyContentBlocked = slices.ContainsFunc(s.spaces, func(o *space) bool { return o.blocked })
	s.record(Change{Kind: PolicyChanged, SpaceID: id, Before: !blocked, After: blocked})
	return nil
}

func (s *Site) newRow(p Permission) row {
	s.lastRow++
	return row{id: s.lastRow, principal: s.principals.put(p.PrincipalType, p.PrincipalID), operation: s.operations.put(p.Operation, p.Target)}
}

func (s *Site) randomPermission() Permission {
	o := pick(s.rand, standardOperations())
	p := Permission{PrincipalType: "user", PrincipalID: pick(s.rand, s.users).data.AccountID, Operation: o[0], Target: o[1]}
	if s.rand.IntN(2) == 0 && len(s.groups) > 0 {
		p.PrincipalType, p.PrincipalID = "group", pick(s.rand, s.groups).data.ID
	}
	return p
}

// AddPermission adds a row to a space and returns it with its new ID. The ID of
// the argument is ignored; empty fields are generated.
func (s *Site) AddPermission(spaceID string, p Permission) (Permission, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, err := s.findSpace(spaceID)
	if err != nil {
		return Permission{}, err
	}
	if p.PrincipalID == "" {
		p = s.randomPermission()
	}
	r := s.newRow(p)
	sp.rows = append(slices.Clone(sp.rows), r)
	after := s.permission(r)
	s.record(Change{Kind: PermissionAdded, SpaceID: spaceID, PermissionID: after.ID, After: after})
	s.witness("Space permission added", "Permissions", sp.data.Name, "Space", AuditChange{Name: after.Operation, New: strings.Join([]string{after.PrincipalType, after.PrincipalID}, " ")})
	return after, nil
}

func (s *Site) findRow(spaceID, permissionID string) (*space, int, error) {
	sp, err := s.findSpace(spaceID)
	if err != nil {
		return nil, 0, err
	}
	n, err := strconv.ParseInt(permissionID, 10, 64)
	if err != nil {
		return nil, 0, fmt.Errorf("permission id %q: %w", permissionID, err)
	}
	i := slices.IndexFunc(sp.rows, func(r row) bool { return r.id == n })
	if i < 0 {
		return nil, 0, s.missing("permission of space "+spaceID, permissionID)
	}
	return sp, i, nil
}

// RemovePermission removes a row from a space.
func (s *Site) RemovePermission(spaceID, permissionID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, i, err := s.findRow(spaceID, permissionID)
	if err != nil {
		return err
	}
	before := s.permission(sp.rows[i])
	sp.rows = slices.Delete(slices.Clone(sp.rows), i, i+1)
	s.record(Change{Kind: PermissionRemoved, SpaceID: spaceID, PermissionID: permissionID, Before: before})
	s.witness("Space permission removed", "Permissions", sp.data.Name, "Space", AuditChange{Name: before.Operation, Old: strings.Join([]string{before.PrincipalType, before.PrincipalID}, " ")})
	return nil
}

// ChangePermission replaces principal and operation of a row, keeping its ID.
func (s *Site) ChangePermission(spaceID, permissionID string, p Permission) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, i, err := s.findRow(spaceID, permissionID)
	if err != nil {
		return err
	}
	before := s.permission(sp.rows[i])
	changed := row{id: sp.rows[i].id, principal: s.principals.put(p.PrincipalType, p.PrincipalID), operation: s.operations.put(p.Operation, p.Target)}
	if changed == sp.rows[i] {
		return nil
	}
	sp.rows = slices.Clone(sp.rows)
	sp.rows[i] = changed
	s.record(Change{Kind: PermissionChanged, SpaceID: spaceID, PermissionID: permissionID, Before: before, After: s.permission(changed)})
	s.witness("Space permission changed", "Permissions", sp.data.Name, "Space", AuditChange{Name: "Operation", Old: before.Operation, New: p.Operation})
	return nil
}
