package confluencetest

import (
	"fmt"
	"slices"
	"time"
)

// ChangeKind names what a mutation did.
type ChangeKind string

// The kinds of changes that a site's log holds.
const (
	SpaceAdded        ChangeKind = "space_added"
	SpaceRemoved      ChangeKind = "space_removed"
	SpaceHidden       ChangeKind = "space_hidden"
	SpaceShown        ChangeKind = "space_shown"
	SpaceChanged      ChangeKind = "space_changed"
	PermissionAdded   ChangeKind = "permission_added"
	PermissionRemoved ChangeKind = "permission_removed"
	PermissionChanged ChangeKind = "permission_changed"
	GroupAdded        ChangeKind = "group_added"
	GroupRemoved      ChangeKind = "group_removed"
	GroupChanged      ChangeKind = "group_changed"
	MemberAdded       ChangeKind = "member_added"
	MemberRemoved     ChangeKind = "member_removed"
	UserAdded         ChangeKind = "user_added"
	UserRemoved       ChangeKind = "user_removed"
	UserChanged       ChangeKind = "user_changed"
	SettingsChanged   ChangeKind = "settings_changed"
	PolicyChanged     ChangeKind = "policy_changed"
)

// The kinds of changes of what [Site.Posture] holds.
const (
	SitePermissionGranted   ChangeKind = "site_permission_granted"   // After is a SiteOperation
	SitePermissionRevoked   ChangeKind = "site_permission_revoked"   // Before is a SiteOperation
	AnonymousAccessChanged  ChangeKind = "anonymous_access_changed"  // []SiteOperation, or bool with the key "blocked by policy"
	UnlicensedAccessChanged ChangeKind = "unlicensed_access_changed" // []SiteOperation
	SecurityChanged         ChangeKind = "security_changed"          // SecurityConfiguration
	PublicLinkSiteChanged   ChangeKind = "public_link_site_changed"  // string; Key is the access type of a shareable link, or empty
	PublicLinkSpaceChanged  ChangeKind = "public_link_space_changed" // string
	PublicLinkChanged       ChangeKind = "public_link_changed"       // PublicLink
	AppInstalled            ChangeKind = "app_installed"             // InstalledApp
	AppChanged              ChangeKind = "app_changed"               // InstalledApp
	AppRemoved              ChangeKind = "app_removed"               // InstalledApp
	SeatsChanged            ChangeKind = "seats_changed"             // int
	ActivityChanged         ChangeKind = "activity_changed"          // time.Time; Key is the product
	GuestAssigned           ChangeKind = "guest_assigned"
	GuestUnassigned         ChangeKind = "guest_unassigned"
	AdminKeyChanged         ChangeKind = "admin_key_changed" // AdminKeyState
)

// Change is one applied mutation. The ids that do not concern its kind are empty.
type Change struct {
	At           time.Time
	Kind         ChangeKind
	SpaceID      string
	PermissionID string
	GroupID      string
	AccountID    string
	// Key names the app, the public link, the product or the principal ("group {id}"
	// or "person {id}") that a change of the posture is about.
	Key string
	// Before and After hold a Space, Permission, Group, User, SiteConfiguration or
	// a bool (PolicyChanged), or what stands beside the kinds of the posture, as plain
	// copies; nil where there was or is nothing.
	Before, After any
	// Permissions are the rows that came or went together with a space.
	Permissions []Permission
	// Members are the account ids that came or went together with a group.
	Members []string
}

// Log returns every mutation applied so far, oldest first.
func (s *Site) Log() []Change {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.log)
}

// now returns the time at which a mutation happens: that of the scheduled step
// being applied, else the server's. The caller holds mu.
func (s *Site) now() time.Time {
	if !s.at.IsZero() {
		return s.at
	}
	return s.srv.now()
}

func (s *Site) record(c Change) {
	c.At = s.now()
	s.log = append(s.log, c)
	s.version++
}

// witness writes an audit record about a mutation. The caller holds mu.
func (s *Site) witness(summary, category, object, kind string, changed ...AuditChange) {
	admin := s.users[0].data
	s.audit = append(s.audit, AuditRecord{
		At: s.now().UTC().Truncate(time.Millisecond), AuthorID: admin.AccountID, AuthorName: admin.DisplayName, Address: "192.0.2.1",
		Summary: summary, Category: category, Object: object, ObjectType: kind, Changed: changed,
		Associated: []AuditObject{{Name: s.name, Type: "Site"}},
	})
	// A step may be applied after later records were written by hand.
	for i := len(s.audit) - 1; i > 0 && s.audit[i].At.Before(s.audit[i-1].At); i-- {
		s.audit[i], s.audit[i-1] = s.audit[i-1], s.audit[i]
	}
}

// NotFoundError says that a mutation named something the site does not hold.
type NotFoundError struct{ Site, What, ID string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("site %q has no %s %q; ids are listed by Truth", e.Site, e.What, e.ID)
}

func (s *Site) missing(what, id string) error {
	return &NotFoundError{Site: s.name, What: what, ID: id}
}
