package confluencetest

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"
)

// InstallApp adds an app and returns it. Kind defaults to forge; empty fields of
// the template are generated.
func (s *Site) InstallApp(template InstalledApp) InstalledApp {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.newApp(s.posture.rand, template.Kind != connectApp, s.now())
	made.ID, made.Name = cmp.Or(template.ID, made.ID), cmp.Or(template.Name, made.Name)
	made.Vendor, made.Version = cmp.Or(template.Vendor, made.Vendor), cmp.Or(template.Version, made.Version)
	made.DistributionStatus, made.Environment = cmp.Or(template.DistributionStatus, made.DistributionStatus), cmp.Or(template.Environment, made.Environment)
	made.InstalledBy = cmp.Or(template.InstalledBy, made.InstalledBy)
	if template.Scopes != nil {
		made.Scopes = template.Scopes
	}
	if template.Egress != nil {
		made.Egress = template.Egress
	}
	made.License = template.License
	made = copyApp(made)
	s.posture.apps = append(slices.Clone(s.posture.apps), made)
	s.note(Change{Kind: AppInstalled, Key: made.ID, After: copyApp(made)})
	s.witness("App installed", "Apps", made.Name, "App", AuditChange{Name: "Version", New: made.Version})
	return copyApp(made)
}

func (s *Site) findApp(id string) (int, error) {
	i := slices.IndexFunc(s.posture.apps, func(a InstalledApp) bool { return a.ID == id })
	if i < 0 {
		return 0, s.missing("app", id)
	}
	return i, nil
}

// UpdateApp edits any field of an app but its ID and Kind, for example its version
// together with its scopes.
func (s *Site) UpdateApp(id string, edit func(*InstalledApp)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.findApp(id)
	if err != nil {
		return err
	}
	before := s.posture.apps[i]
	after := copyApp(before)
	edit(&after)
	after = copyApp(after)
	after.ID, after.Kind = before.ID, before.Kind
	if reflect.DeepEqual(before, after) {
		return nil
	}
	s.posture.apps = slices.Clone(s.posture.apps)
	s.posture.apps[i] = after
	s.note(Change{Kind: AppChanged, Key: id, Before: copyApp(before), After: copyApp(after)})
	s.witness("App updated", "Apps", after.Name, "App", AuditChange{Name: "Version", Old: before.Version, New: after.Version})
	return nil
}

// RemoveApp uninstalls an app.
func (s *Site) RemoveApp(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.findApp(id)
	if err != nil {
		return err
	}
	before := s.posture.apps[i]
	s.posture.apps = slices.Delete(slices.Clone(s.posture.apps), i, i+1)
	s.note(Change{Kind: AppRemoved, Key: id, Before: copyApp(before)})
	s.witness("App uninstalled", "Apps", before.Name, "App", AuditChange{Name: "Version", Old: before.Version})
	return nil
}

// SetSeats sets the number of accounts that the licence allows; -1 is no limit.
// How many are taken follows from the users of the site.
func (s *Site) SetSeats(maximum int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maximum = max(maximum, -1)
	if before := s.posture.maxSeats; before != maximum {
		s.posture.maxSeats = maximum
		s.note(Change{Kind: SeatsChanged, Before: before, After: maximum})
	}
}

// HideLicence makes the licence endpoints answer 404 (or answer again).
func (s *Site) HideLicence(hidden bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posture.noLicence = hidden
}

// TouchActivity sets when an account was last seen in a product, such as
// "confluence"; the zero time means never.
func (s *Site) TouchActivity(accountID, product string, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.userByID[accountID] == nil {
		return s.missing("user", accountID)
	}
	c := Change{Kind: ActivityChanged, AccountID: accountID, Key: product}
	before, seen := s.posture.activity[accountID][product]
	if seen {
		c.Before = before
	}
	products := map[string]time.Time{}
	maps.Copy(products, s.posture.activity[accountID])
	if delete(products, product); !at.IsZero() {
		at = at.UTC().Truncate(time.Second)
		products[product], c.After = at, at
	}
	if seen == !at.IsZero() && before.Equal(at) {
		return nil
	}
	s.posture.activity[accountID] = products
	s.note(c)
	return nil
}

// AssignGuestSpace lets an external collaborator into a space.
func (s *Site) AssignGuestSpace(accountID, spaceID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.userByID[accountID] == nil {
		return s.missing("user", accountID)
	}
	sp, err := s.findSpace(spaceID)
	if err != nil || slices.Contains(s.posture.guests[accountID], spaceID) {
		return err
	}
	s.posture.guests[accountID] = append(slices.Clone(s.posture.guests[accountID]), spaceID)
	s.note(Change{Kind: GuestAssigned, AccountID: accountID, SpaceID: spaceID})
	s.witness("Guest added to space", "Users and groups", sp.data.Name, "Space", AuditChange{Name: "Guest", New: accountID})
	return nil
}

// UnassignGuestSpace takes an external collaborator out of a space.
func (s *Site) UnassignGuestSpace(accountID, spaceID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.posture.guests[accountID]
	i := slices.Index(list, spaceID)
	if i < 0 {
		return s.missing("space of guest "+accountID, spaceID)
	}
	s.posture.guests[accountID] = slices.Delete(slices.Clone(list), i, i+1)
	s.note(Change{Kind: GuestUnassigned, AccountID: accountID, SpaceID: spaceID})
	return nil
}

// EnableAdminKey lets an account see restricted content until a time. Only that
// account's own API token can ask for it.
func (s *Site) EnableAdminKey(accountID string, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := &AdminKeyState{AccountID: accountID, Until: until.UTC().Truncate(time.Millisecond)}
	s.posture.adminKey = key
	s.note(Change{Kind: AdminKeyChanged, AccountID: accountID, After: *key})
	s.witness("Admin key enabled", "Security", s.name, "Site")
}

// DisableAdminKey ends an admin key.
func (s *Site) DisableAdminKey() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.posture.adminKey; key != nil {
		s.posture.adminKey = nil
		s.note(Change{Kind: AdminKeyChanged, AccountID: key.AccountID, Before: *key})
		s.witness("Admin key disabled", "Security", s.name, "Site")
	}
}
