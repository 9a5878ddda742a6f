package confluencetest

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Posture is what of a site lies outside of the reach of OAuth tokens: the GraphQL
// gateway, the plugin manager and the licence endpoints show it to classic API
// tokens. It shares no memory with the site.
type Posture struct {
	SitePermissions SitePermissions
	Configuration   SecurityConfiguration
	// PublicLinkSite is the switch for the whole site: ON, OFF, BLOCKED_BY_ORG, or a
	// value that no schema lists.
	PublicLinkSite string
	ShareableLinks []ShareableLink // in the order of the answer
	// PublicLinkSpaces are the visible spaces in which links were ever allowed,
	// ascending by numeric id.
	PublicLinkSpaces []PublicLinkSpace
	PublicLinks      map[string][]PublicLink // by space id, ascending by numeric id
	// Guests has an entry for every external collaborator, ascending by account id.
	Guests []GuestAssignment
	Apps   []InstalledApp // in order of installation
	// InternalPlugins counts the rows of the plugin manager that are no apps.
	InternalPlugins int
	Seats           Seats
	Activity        []Activity // by account id, then product; who was never active has no entry
	AdminKey        *AdminKeyState
	OrganizationID  string
}

// SiteOperation is one global permission, such as USE_CONFLUENCE on APPLICATION.
type SiteOperation struct{ Operation, Target string }

// SitePermissions are the global permissions of a site.
type SitePermissions struct {
	Groups  []SiteGroup  // ascending by name
	Persons []SitePerson // ascending by display name, then account id
	// Anonymous is what anybody may do; nil: nothing, and the API answers null.
	Anonymous []SiteOperation
	// Unlicensed is what agents without a Confluence seat may do.
	Unlicensed []SiteOperation
	// AnonymousBlocked: a data security policy overrules Anonymous.
	AnonymousBlocked bool
}

// SiteGroup is a group with global permissions.
type SiteGroup struct {
	ID, Name   string
	ManagedBy  string // empty means null
	UsageType  string // empty means null
	Operations []SiteOperation
}

// SitePerson is an account with global permissions of its own.
type SitePerson struct {
	AccountID, AccountType, DisplayName, PublicName string
	Email                                           string // empty means null
	PermissionType                                  string // INTERNAL, EXTERNAL, APP, JSD, or a later invention
	Operations                                      []SiteOperation
}

// SecurityConfiguration are the settings that only the gateway's schema has. nil
// stands for null: not every site answers every field.
type SecurityConfiguration struct {
	AttachmentSecurityLevel *string
	MaxAttachmentSize       *int64
	MaxAttachmentsPerUpload *int
	AnonymousRemoteAPI      *bool
	ExternalConnections     *bool
	ConnectionTimeout       *int // milliseconds
	SocketTimeout           *int // milliseconds
	ElevatedSecurityCheck   *bool
	LoginAttemptsThreshold  *int
	PrivacyMode             *bool
	SystemAdmin             *bool
	XSRFAddComments         *bool
	NofollowExternalLinks   *bool
	HideTitleInURL          *bool
	ContactAdministrators   *bool
	ContentAccessRequests   *bool
	SpaceAccessRequests     *bool
	SnippetSharing          *bool
	SearchWildcards         *bool
	MaxRSSItems             *int
	SiteHomePage            *string
	TeamAdminControls       *bool
}

// ShareableLink is the site's default for one kind of link.
type ShareableLink struct{ AccessType, Status string }

// PublicLinkSpace is a space as the administration of public links lists it.
type PublicLinkSpace struct {
	SpaceID, Key, Name string
	Alias              string // empty means null
	Status             string
	PreviousStatus     string // empty means null
	// ClassificationPolicy tells whether a policy decides by classification level;
	// nil means null.
	ClassificationPolicy *bool
	Active               int // links whose status is ON
}

// PublicLink is one page that strangers may open. The address itself is not part
// of the truth: it is the capability, and nobody may keep it.
type PublicLink struct {
	ID         string
	Title      string // empty means null
	Type       string
	Status     string
	AccessType string // empty means null
	EnabledBy  string // account id, possibly of somebody who left; empty means null
	EnabledAt  time.Time
}

// GuestAssignment lists the spaces that an external collaborator was let into.
type GuestAssignment struct {
	AccountID string
	SpaceIDs  []string // in order of assignment; nil means that the API answers null
}

// InstalledApp is a Connect or Forge app on a site.
type InstalledApp struct {
	ID                 string // Connect: the key; Forge: an ARI
	Kind               string // connect or forge
	Name               string
	Vendor             string // empty means null
	VendorType         string // Forge; empty means null
	Version            string
	Latest             bool // Forge: no newer major version exists
	Enabled            bool
	DistributionStatus string
	MarketplaceKey     string // empty means not listed
	Environment        string // Forge: PRODUCTION, STAGING, ...
	Scopes             []string
	Egress             []Egress
	License            *AppLicense // nil means null
	Installation       string      // id of the installation
	InstalledBy        string      // account id; empty means null
	InstalledAt        time.Time
	BaseURL            string // Connect
	PersonalData       *bool  // Forge; nil means null
}

// Egress is one kind of outside address that a Forge app talks to.
type Egress struct {
	Type      string
	Addresses []string
}

// AppLicense is the licence of an app on a site.
type AppLicense struct {
	Active     bool
	Type       string    // empty means null
	Evaluation *bool     // nil means null
	TrialEnd   time.Time // zero means null
	End        time.Time // zero means null
}

// Seats tells how many accounts of the licence are taken. Maximum is -1 when
// there is no limit.
type Seats struct{ Used, Maximum int }

// Remaining is what the licence endpoint answers: -1 when there is no limit.
func (s Seats) Remaining() int {
	if s.Maximum < 0 {
		return -1
	}
	return max(s.Maximum-s.Used, 0)
}

// Activity is when an account was last seen in a product, in whole seconds.
type Activity struct {
	AccountID  string
	Product    string
	LastActive time.Time
}

// AdminKeyState is an enabled admin key, with which an administrator sees
// restricted content.
type AdminKeyState struct {
	AccountID string
	Until     time.Time
}

// posture is the stored form.
type posture struct {
	rand             random // draws for mutations
	groups           map[string][]SiteOperation
	persons          map[string][]SiteOperation
	anonymous        []SiteOperation
	unlicensed       []SiteOperation
	anonymousBlocked bool
	config           SecurityConfiguration
	linkSite         string
	shareable        []ShareableLink
	links            map[int64]*linkSpace
	lastLink         int64
	guests           map[string][]string
	apps             []InstalledApp
	maxSeats         int
	activity         map[string]map[string]time.Time
	adminKey         *AdminKeyState

	noLicence    bool // the licence endpoints answer 404
	adminDenied  bool
	maxFirst     int                 // upper bound of first on this site; 0 leaves each field its own
	open         map[string][]string // fields that OAuth tokens may read, and the scopes for it
	experimental map[string]string   // fields that want a header, and its value
	drift        drift
	changes      int // entries of the log that belong to this part
}

type linkSpace struct {
	status, previous string
	policy           *bool
	links            []PublicLink
}

func (l *linkSpace) active() int {
	n := 0
	for _, p := range l.links {
		if p.Status == "ON" {
			n++
		}
	}
	return n
}

// Posture takes a snapshot of what a Confluence administrator sees right now.
func (s *Site) Posture() Posture {
	organization := s.srv.organizationOf(s)
	s.mu.RLock()
	defer s.mu.RUnlock()
	x := &s.posture
	p := Posture{
		SitePermissions: SitePermissions{
			Groups: s.siteGroups(), Persons: s.sitePersons(), Anonymous: slices.Clone(x.anonymous), Unlicensed: slices.Clone(x.unlicensed), AnonymousBlocked: x.anonymousBlocked,
		},
		Configuration: x.config.clone(), PublicLinkSite: x.linkSite, ShareableLinks: slices.Clone(x.shareable),
		PublicLinks: map[string][]PublicLink{}, InternalPlugins: internalPluginCount, Seats: s.seats(), Activity: s.activities(), OrganizationID: organization,
	}
	for _, sp := range s.linkSpaces() {
		p.PublicLinkSpaces = append(p.PublicLinkSpaces, s.publicLinkSpace(sp))
		p.PublicLinks[sp.data.ID] = slices.Clone(x.links[sp.id].links)
	}
	for _, u := range s.users {
		if u.data.Guest() {
			p.Guests = append(p.Guests, GuestAssignment{AccountID: u.data.AccountID, SpaceIDs: s.assignedSpaces(u.data.AccountID)})
		}
	}
	slices.SortFunc(p.Guests, func(a, b GuestAssignment) int { return cmp.Compare(a.AccountID, b.AccountID) })
	for _, a := range x.apps {
		p.Apps = append(p.Apps, copyApp(a))
	}
	if key := s.enabledAdminKey(); key != nil {
		p.AdminKey = new(*key)
	}
	return p
}

// siteGroups lists groups with global permissions in the order of the answer. A
// group that is gone took its permissions along. The caller holds mu.
func (s *Site) siteGroups() []SiteGroup {
	var list []SiteGroup
	for i, g := range s.groups {
		operations := s.posture.groups[g.data.ID]
		if len(operations) == 0 {
			continue
		}
		sg := SiteGroup{ID: g.data.ID, Name: g.data.Name, ManagedBy: "ADMINS", UsageType: "TEAM_COLLABORATION", Operations: slices.Clone(operations)}
		switch g.data.Access {
		case "admin", "site-admin":
			sg.UsageType = "ADMIN_OVERSIGHT"
		default:
			if len(g.members) > len(s.users)/2 {
				sg.UsageType = "USERBASE_GROUP"
			} else if i%3 == 0 {
				sg.ManagedBy, sg.UsageType = "", ""
			}
		}
		list = append(list, sg)
	}
	return list
}

// sitePersons is the same for accounts.
func (s *Site) sitePersons() []SitePerson {
	var list []SitePerson
	for id, operations := range s.posture.persons {
		u := s.userByID[id]
		if u == nil || len(operations) == 0 {
			continue
		}
		d := &u.data
		list = append(list, SitePerson{
			AccountID: id, AccountType: d.AccountType, DisplayName: d.DisplayName, PublicName: d.PublicName, Email: d.Email,
			PermissionType: permissionType(d), Operations: slices.Clone(operations),
		})
	}
	slices.SortFunc(list, func(a, b SitePerson) int {
		return cmp.Or(cmp.Compare(a.DisplayName, b.DisplayName), cmp.Compare(a.AccountID, b.AccountID))
	})
	return list
}

func permissionType(u *User) string {
	switch {
	case u.Guest():
		return "EXTERNAL"
	case u.AccountType == "app":
		return "APP"
	case u.AccountType == "customer":
		return "JSD"
	case u.AccountType == "atlassian":
		return "INTERNAL"
	default:
		return "SERVICE" // in no published list
	}
}

// linkSpaces are the visible spaces that public links are known of, by id.
func (s *Site) linkSpaces() []*space {
	var list []*space
	for _, sp := range s.spaces {
		if !sp.hidden && s.posture.links[sp.id] != nil {
			list = append(list, sp)
		}
	}
	return list
}

func (s *Site) publicLinkSpace(sp *space) PublicLinkSpace {
	l := s.posture.links[sp.id]
	p := PublicLinkSpace{
		SpaceID: sp.data.ID, Key: sp.data.Key, Name: sp.data.Name, Alias: sp.data.Alias, Status: l.status, PreviousStatus: l.previous, Active: l.active(),
	}
	if l.policy != nil {
		p.ClassificationPolicy = new(*l.policy)
	}
	return p
}

// assignedSpaces lists the existing spaces that a guest was let into; nil when
// nobody ever assigned any.
func (s *Site) assignedSpaces(account string) []string {
	if s.posture.guests[account] == nil {
		return nil
	}
	list := []string{}
	for _, id := range s.posture.guests[account] {
		if _, err := s.findSpace(id); err == nil {
			list = append(list, id)
		}
	}
	return list
}

// licensed tells whether an account takes a seat.
func licensed(u *User) bool {
	return u.AccountType == "atlassian" && u.AccountStatus == "active" && !u.Guest()
}

func (s *Site) seats() Seats {
	n := 0
	for _, u := range s.users {
		if licensed(&u.data) {
			n++
		}
	}
	return Seats{Used: n, Maximum: s.posture.maxSeats}
}

func (s *Site) activities() []Activity {
	var list []Activity
	for account, products := range s.posture.activity {
		if s.userByID[account] == nil {
			continue
		}
		for _, product := range slices.Sorted(maps.Keys(products)) {
			list = append(list, Activity{AccountID: account, Product: product, LastActive: products[product]})
		}
	}
	slices.SortStableFunc(list, func(a, b Activity) int { return cmp.Compare(a.AccountID, b.AccountID) })
	return list
}

// enabledAdminKey is nil when no key is enabled, when it ended, or when the plan
// has none.
func (s *Site) enabledAdminKey() *AdminKeyState {
	k := s.posture.adminKey
	if k == nil || !k.Until.After(s.now()) || s.config.Edition != "premium" && s.config.Edition != "enterprise" {
		return nil
	}
	return k
}
