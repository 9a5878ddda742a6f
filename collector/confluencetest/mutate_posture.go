package confluencetest

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
)

// SitePrincipal is who holds a global permission. Type is "group" or "person".
type SitePrincipal struct{ Type, ID string }

// note writes a change of the posture into the log. The caller holds mu.
func (s *Site) note(c Change) {
	s.posture.changes++
	s.record(c)
}

// holders returns the map that a principal stands in. The caller holds mu.
func (s *Site) holders(p SitePrincipal) (map[string][]SiteOperation, error) {
	switch p.Type {
	case "group":
		if s.groupByID[p.ID] == nil {
			return nil, s.missing("group", p.ID)
		}
		return s.posture.groups, nil
	case "person":
		if s.userByID[p.ID] == nil {
			return nil, s.missing("user", p.ID)
		}
		return s.posture.persons, nil
	default:
		return nil, fmt.Errorf("a site permission belongs to a \"group\" or a \"person\", not to a %q", p.Type)
	}
}

func (s *Site) noteGrant(kind ChangeKind, p SitePrincipal, c Change) {
	c.Kind, c.Key = kind, p.Type+" "+p.ID
	if p.Type == "group" {
		c.GroupID = p.ID
	} else {
		c.AccountID = p.ID
	}
	s.note(c)
}

// GrantSitePermission gives a global permission; one that is held stays as it is.
func (s *Site) GrantSitePermission(p SitePrincipal, o SiteOperation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	holders, err := s.holders(p)
	if err != nil || slices.Contains(holders[p.ID], o) {
		return err
	}
	holders[p.ID] = append(slices.Clone(holders[p.ID]), o)
	s.noteGrant(SitePermissionGranted, p, Change{After: o})
	s.witness("Global permission added", "Permissions", s.name, "Site", AuditChange{Name: o.Operation, New: p.Type + " " + p.ID})
	return nil
}

// RevokeSitePermission takes a global permission away.
func (s *Site) RevokeSitePermission(p SitePrincipal, o SiteOperation) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	holders, err := s.holders(p)
	if err != nil {
		return err
	}
	i := slices.Index(holders[p.ID], o)
	if i < 0 {
		return s.missing("site permission of "+p.Type+" "+p.ID, o.Operation+" "+o.Target)
	}
	holders[p.ID] = slices.Delete(slices.Clone(holders[p.ID]), i, i+1)
	s.noteGrant(SitePermissionRevoked, p, Change{Before: o})
	s.witness("Global permission removed", "Permissions", s.name, "Site", AuditChange{Name: o.Operation, Old: p.Type + " " + p.ID})
	return nil
}

// SetAnonymousAccess sets what anybody may do; without operations the API answers
// null for anonymous access.
func (s *Site) SetAnonymousAccess(operations ...SiteOperation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setOperations(AnonymousAccessChanged, &s.posture.anonymous, operations)
}

// SetUnlicensedAccess sets what agents without a Confluence seat may do.
func (s *Site) SetUnlicensedAccess(operations ...SiteOperation) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setOperations(UnlicensedAccessChanged, &s.posture.unlicensed, operations)
}

func (s *Site) setOperations(kind ChangeKind, held *[]SiteOperation, operations []SiteOperation) {
	if slices.Equal(*held, operations) {
		return
	}
	before := *held
	if *held = nil; len(operations) > 0 {
		*held = slices.Clone(operations)
	}
	s.note(Change{Kind: kind, Before: slices.Clone(before), After: slices.Clone(*held)})
	s.witness("Global permissions changed", "Permissions", s.name, "Site", AuditChange{Name: string(kind), Old: joined(before), New: joined(*held)})
}

func joined(list []SiteOperation) string {
	names := make([]string, len(list))
	for i, o := range list {
		names[i] = o.Operation
	}
	return strings.Join(names, ", ")
}

// BlockAnonymousAccess sets whether a data security policy overrules anonymous access.
func (s *Site) BlockAnonymousAccess(blocked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.posture.anonymousBlocked == blocked {
		return
	}
	s.posture.anonymousBlocked = blocked
	s.note(Change{Kind: AnonymousAccessChanged, Key: "blocked by policy", Before: !blocked, After: blocked})
}

// ChangeSecurity edits the settings that the gateway answers with.
func (s *Site) ChangeSecurity(edit func(*SecurityConfiguration)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.posture.config
	after := before.clone()
	edit(&after)
	after = after.clone()
	if reflect.DeepEqual(before, after) {
		return
	}
	s.posture.config = after
	s.note(Change{Kind: SecurityChanged, Before: before.clone(), After: after.clone()})
	s.witness("Security configuration changed", "Security", s.name, "Site")
}

// SetPublicLinks sets the switch for the whole site: ON, OFF or BLOCKED_BY_ORG.
func (s *Site) SetPublicLinks(status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.posture.linkSite; before != status {
		s.posture.linkSite = status
		s.note(Change{Kind: PublicLinkSiteChanged, Before: before, After: status})
		s.witness("Public links changed", "Security", s.name, "Site", AuditChange{Name: "Public links", Old: before, New: status})
	}
}

// SetShareableLinks sets the site's default for one access type.
func (s *Site) SetShareableLinks(accessType, status string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := slices.Clone(s.posture.shareable)
	i := slices.IndexFunc(list, func(l ShareableLink) bool { return l.AccessType == accessType })
	before := ""
	if i < 0 {
		list = append(list, ShareableLink{accessType, status})
	} else {
		before, list[i].Status = list[i].Status, status
	}
	if before != status {
		s.posture.shareable = list
		s.note(Change{Kind: PublicLinkSiteChanged, Key: accessType, Before: before, After: status})
	}
}

// linksOf finds the links of a space, an empty list for a space without any.
func (s *Site) linksOf(spaceID string) (*space, *linkSpace, error) {
	sp, err := s.findSpace(spaceID)
	if err != nil {
		return nil, nil, err
	}
	if l := s.posture.links[sp.id]; l != nil {
		return sp, l, nil
	}
	return sp, &linkSpace{status: "OFF"}, nil
}

// SetPublicLinkSpace allows or forbids public links in a space, by status: ON, OFF
// or one of the blocked ones. Links themselves keep theirs.
func (s *Site) SetPublicLinkSpace(spaceID, status string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, l, err := s.linksOf(spaceID)
	if err != nil || l.status == status && s.posture.links[sp.id] != nil {
		return err
	}
	before := ""
	if s.posture.links[sp.id] != nil {
		before = l.status
	}
	s.posture.links[sp.id] = &linkSpace{status: status, previous: l.status, policy: l.policy, links: l.links}
	s.note(Change{Kind: PublicLinkSpaceChanged, SpaceID: spaceID, Before: before, After: status})
	s.witness("Public links of a space changed", "Security", sp.data.Name, "Space", AuditChange{Name: "Public links", Old: before, New: status})
	return nil
}

// EnablePublicLink opens a page to strangers and returns the link. With the ID of a
// link that exists, that one is turned on; otherwise a link is made, and empty
// fields of the template are generated.
func (s *Site) EnablePublicLink(spaceID string, template PublicLink) (PublicLink, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, l, err := s.linksOf(spaceID)
	if err != nil {
		return PublicLink{}, err
	}
	links := slices.Clone(l.links)
	c := Change{Kind: PublicLinkChanged, SpaceID: spaceID}
	var made PublicLink
	if i := slices.IndexFunc(links, func(p PublicLink) bool { return p.ID == template.ID }); template.ID != "" {
		if i < 0 {
			return PublicLink{}, s.missing("public link of space "+spaceID, template.ID)
		}
		c.Before, made = links[i], links[i]
		made.Status, made.EnabledAt = "ON", s.now().UTC().Truncate(time.Millisecond)
		links[i] = made
	} else {
		made = s.newLink(s.posture.rand, s.now())
		made.Title, made.Type = cmp.Or(template.Title, made.Title), cmp.Or(template.Type, made.Type)
		made.Status, made.AccessType = cmp.Or(template.Status, made.Status), cmp.Or(template.AccessType, made.AccessType)
		made.EnabledBy = cmp.Or(template.EnabledBy, made.EnabledBy)
		made.EnabledAt = s.now().UTC().Truncate(time.Millisecond)
		links = append(links, made)
	}
	s.posture.links[sp.id] = &linkSpace{status: l.status, previous: l.previous, policy: l.policy, links: links}
	c.Key, c.After = made.ID, made
	s.note(c)
	s.witness("Public link enabled", "Security", made.Title, "Page", AuditChange{Name: "Space", New: sp.data.Name})
	return made, nil
}

// DisablePublicLink turns a link off; it stays in the listing.
func (s *Site) DisablePublicLink(spaceID, linkID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp, l, err := s.linksOf(spaceID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(l.links, func(p PublicLink) bool { return p.ID == linkID })
	if i < 0 {
		return s.missing("public link of space "+spaceID, linkID)
	}
	links := slices.Clone(l.links)
	before := links[i]
	if before.Status == "OFF" {
		return nil
	}
	links[i].Status = "OFF"
	s.posture.links[sp.id] = &linkSpace{status: l.status, previous: l.previous, policy: l.policy, links: links}
	s.note(Change{Kind: PublicLinkChanged, SpaceID: spaceID, Key: linkID, Before: before, After: links[i]})
	s.witness("Public link disabled", "Security", before.Title, "Page", AuditChange{Name: "Space", Old: sp.data.Name})
	return nil
}
