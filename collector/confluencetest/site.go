package confluencetest

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// SiteSettings says what [Server.AddSite] generates. Zero values choose a small
// default, so that SiteSettings{Name: "acme"} is a usable site.
type SiteSettings struct {
	Name    string // host name part, unique per server
	CloudID string // a UUID; generated when empty
	Seed    uint64 // added to the server's seed

	Spaces              int // visible spaces; default 12
	PermissionsPerSpace int // default 20
	Groups              int // default 8, at least 4
	Users               int // default 40, guests and the collecting user included
	Guests              int // external collaborators among the users
	UngroupedGuests     int // how many of the guests are in no group, so that only the user search shows them
	MembersPerGroup     int // average of the groups that do not hold everyone; default 12
	AuditEvents         int // audit records older than the site's start

	// HiddenSpaces exist but cannot be seen by the collecting user. They take up
	// slots in listings, so pages come out short in spite of a next link, as the
	// real API filters by permission. 0 means 3 on sites of more than 25 spaces;
	// negative means none.
	HiddenSpaces int

	// Exact gives every space exactly PermissionsPerSpace rows. Otherwise one
	// space has none and one has more than a page of 250.
	Exact bool

	Apps               int  // Connect and Forge apps; default 7, negative means none
	PublicLinks        int  // links of a space that has some, on average; default 4
	NoLicenceEndpoints bool // the private licence endpoints answer 404
	// RequiredScopesKey is how errors of the GraphQL gateway spell the extension with
	// the scopes that an OAuth token lacks. Default requiredScopes; others were seen.
	RequiredScopesKey string

	Edition  string // default premium
	RoleMode string // default PRE_ROLES
}

func (s SiteSettings) withDefaults() SiteSettings {
	s.Spaces = cmp.Or(s.Spaces, 12)
	s.PermissionsPerSpace = cmp.Or(s.PermissionsPerSpace, 20)
	s.Groups = max(cmp.Or(s.Groups, 8), 4)
	s.Users = max(cmp.Or(s.Users, 40), s.Guests+2)
	s.MembersPerGroup = cmp.Or(s.MembersPerGroup, 12)
	s.Edition = cmp.Or(s.Edition, "premium")
	s.RoleMode = cmp.Or(s.RoleMode, "PRE_ROLES")
	s.Apps = max(cmp.Or(s.Apps, 7), 0)
	s.PublicLinks = max(cmp.Or(s.PublicLinks, 4), 1)
	s.RequiredScopesKey = cmp.Or(s.RequiredScopesKey, "requiredScopes")
	if s.HiddenSpaces == 0 && s.Spaces > 25 {
		s.HiddenSpaces = 3
	}
	s.HiddenSpaces = max(s.HiddenSpaces, 0)
	return s
}

// Site is one Confluence site. Its methods change it, and [Site.Truth] and
// [Site.Log] tell what it holds and what happened to it.
type Site struct {
	srv      *Server
	name     string
	cloudID  string
	index    uint16
	settings SiteSettings

	organization string // id; guarded by the server's mu

	apiCalls  atomic.Int64
	siteCalls atomic.Int64
	points    atomic.Int64

	mu            sync.RWMutex
	rand          random // draws for mutations; guarded by mu
	spaces        []*space
	spaceByID     map[int64]*space
	spaceByKey    map[string]*space
	groups        []*group // sorted by name
	groupByID     map[string]*group
	users         []*user
	userByID      map[string]*user
	principals    *interned
	operations    *interned
	lastSpace     int64
	lastRow       int64
	config        SiteConfiguration
	levels        []Level
	roles         []Role
	audit         []AuditRecord // ascending by time
	auditDenied   bool
	log           []Change
	steps         []Step    // due times ascending
	at            time.Time // time of the step being applied; zero outside of one
	sorted        map[string][]*space
	version       int64
	sortedVersion int64
	posture       posture

	faults faultSet
}

// Name returns the host name part that the site was added with.
func (s *Site) Name() string { return s.name }

// CloudID returns the id under which the API gateway knows the site.
func (s *Site) CloudID() string { return s.cloudID }

// URL returns the base address of the site's own host, without /wiki.
func (s *Site) URL() string { return s.srv.URL() + "/site/" + s.name }

// Settings returns what the site was generated from, defaults filled in.
func (s *Site) Settings() SiteSettings { return s.settings }

// HostName returns the name that the site would have on the real network.
func (s *Site) HostName() string { return s.name + ".atlassian.net" }

// APICalls returns how many requests for this site came through the API gateway,
// REST and GraphQL, whatever their answer. Calls of the token endpoint are not in it.
func (s *Site) APICalls() int64 { return s.apiCalls.Load() }

// SiteCalls returns how many requests came to the site's own host, whatever their
// answer. Looking up the cloud id is not in it.
func (s *Site) SiteCalls() int64 { return s.siteCalls.Load() }

// PointsUsed returns the rate limit points that requests for this site cost.
func (s *Site) PointsUsed() int64 { return s.points.Load() }

// sortedSpaces returns all spaces in the order that the API's sort parameter asks
// for. The caller holds mu for writing, or for reading when the order is by id.
func (s *Site) sortedSpaces(order string) []*space {
	if order == "" || order == "id" {
		return s.spaces
	}
	if s.sortedVersion != s.version || s.sorted == nil {
		s.sorted = map[string][]*space{}
		s.sortedVersion = s.version
	}
	if list, ok := s.sorted[order]; ok {
		return list
	}
	list := slices.Clone(s.spaces)
	field, descending := order, false
	if field[0] == '-' {
		field, descending = field[1:], true
	}
	slices.SortStableFunc(list, func(a, b *space) int {
		c := 0
		switch field {
		case "id":
			c = cmp.Compare(a.id, b.id)
		case "key":
			c = cmp.Compare(a.data.Key, b.data.Key)
		case "name":
			c = cmp.Compare(a.data.Name, b.data.Name)
		}
		if descending {
			return -c
		}
		return c
	})
	s.sorted[order] = list
	return list
}

func (s *Site) permission(r row) Permission {
	p, o := s.principals.pairs[r.principal], s.operations.pairs[r.operation]
	return Permission{ID: formatID(r.id), PrincipalType: p[0], PrincipalID: p[1], Operation: o[0], Target: o[1]}
}

func sortGroups(list []*group) {
	slices.SortFunc(list, func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.data.Name, b.data.Name), cmp.Compare(a.data.ID, b.data.ID))
	})
}
