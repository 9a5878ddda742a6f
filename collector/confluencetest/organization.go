package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// OrganizationSettings says what [Server.AddOrganization] generates.
type OrganizationSettings struct {
	Name  string
	Seed  uint64   // added to the server's seed
	Sites []string // names of sites that belong to it; more can join later

	Domains     int // default 3
	Policies    int // default 6
	Events      int // audit events older than the organization's start
	OtherUsers  int // accounts that are on none of the sites; default 3
	Directories int // default 2
}

// Organization owns sites and is administered with keys of its own. Its methods
// may be called from many goroutines.
type Organization struct {
	srv        *Server
	id, name   string
	index      int
	born       time.Time
	adminCalls atomic.Int64
	faults     faultSet

	mu          sync.RWMutex
	rand        random
	sites       []*Site
	directories []Directory
	others      []OrganizationUser
	mfa         map[string]bool     // set by hand, by account
	roles       map[string][]string // platform roles set by hand, by account
	domains     []Domain
	policies    []Policy
	events      []OrganizationEvent // ascending by time
	log         []OrganizationChange
}

// Directory is a set of accounts that are administered together.
type Directory struct{ ID, Name string }

// Domain is an e-mail domain that the organization claims.
type Domain struct{ ID, Name, ClaimType, ClaimStatus string }

// Policy is a rule of the organization, such as an IP allowlist.
type Policy struct {
	ID        string
	Type      string
	Name      string // empty means absent
	Status    string
	Rule      string // JSON
	Resources []PolicyResource
	CreatedAt time.Time
	UpdatedAt time.Time // zero means null
}

// PolicyResource is what a policy is applied to.
type PolicyResource struct{ ID, ApplicationStatus string }

// Workspace is one product on one site.
type Workspace struct {
	ID, TypeKey, Type, Name, Status, HostURL, Plan string
	Usage, Capacity                                *int // nil means null
}

// OrganizationEvent is one entry of the organization's audit log.
type OrganizationEvent struct {
	ID, Action, ActorID, ActorName, IP, Country, Product string
	ObjectID, ObjectType, ObjectName                     string
	At                                                   time.Time // milliseconds
}

// OrganizationUser is an account as the organization's directories show it.
type OrganizationUser struct {
	AccountID, AccountType, Name, Nickname string
	Email                                  string // empty means absent
	Status, AccountStatus, MembershipStatus,
	ClaimStatus string
	ManagementSource string // empty means null
	MFA              *bool  // nil for accounts that the organization does not manage: absent
	AddedToOrg       time.Time
	PlatformRoles    []string
	Roles            map[string][]string // by ARI of a resource
	Access           []ProductAccess     // by ARI
	Groups           []GroupReference    // by name, then id
	Directory        string
}

// ProductAccess is a product that an account may use.
type ProductAccess struct {
	Key, ID    string
	LastActive time.Time // zero means null: never
}

// GroupReference names a group.
type GroupReference struct{ ID, Name string }

// OrganizationChange is one applied mutation of an organization.
type OrganizationChange struct {
	At            time.Time
	Kind          string // domain_added, domain_removed, policy_set, policy_removed, mfa_set, roles_set, event_added
	Key           string // id of the domain, policy, account or event
	Before, After any
}

// AddOrganization generates an organization. It panics on the name of a site that
// does not exist, which only a mistake in the calling test can cause.
func (srv *Server) AddOrganization(settings OrganizationSettings) *Organization {
	settings.Domains, settings.Policies = cmp.Or(settings.Domains, 3), cmp.Or(settings.Policies, 6)
	settings.OtherUsers, settings.Directories = cmp.Or(settings.OtherUsers, 3), cmp.Or(settings.Directories, 2)
	srv.mu.Lock()
	settings.Name = cmp.Or(settings.Name, fmt.Sprintf("Organization %d", len(srv.organizations)+1))
	r := newRandom(srv.settings.Seed*0x9e3779b97f4a7c15+settings.Seed, "organization "+settings.Name)
	org := &Organization{
		srv: srv, id: organizationID(r), name: settings.Name, index: len(srv.organizations), born: srv.now().UTC().Truncate(time.Second),
		rand: r, mfa: map[string]bool{}, roles: map[string][]string{},
	}
	srv.organizations = append(slices.Clone(srv.organizations), org)
	srv.mu.Unlock()
	for _, name := range settings.Sites {
		s := srv.Site(name)
		if s == nil {
			panic(fmt.Sprintf("confluencetest: organization %q shall own the site %q, which does not exist", settings.Name, name))
		}
		org.Join(s)
	}
	org.generate(settings)
	return org
}

// organizationID resembles a UUID but has letters beyond f, as real ones do.
func organizationID(r random) string {
	letters := []byte(r.uuid())
	for i, c := range letters {
		if c != '-' && r.IntN(4) == 0 {
			letters[i] = 'g' + byte(r.IntN(20))
		}
	}
	letters[0] = 'k'
	return string(letters)
}

// Join makes a site belong to the organization, and to no other any longer.
func (org *Organization) Join(s *Site) {
	for _, other := range org.srv.allOrganizations() {
		other.mu.Lock()
		other.sites = slices.DeleteFunc(slices.Clone(other.sites), func(o *Site) bool { return o == s })
		other.mu.Unlock()
	}
	org.mu.Lock()
	org.sites = append(slices.Clone(org.sites), s)
	org.mu.Unlock()
	org.srv.mu.Lock()
	s.organization = org.id
	org.srv.mu.Unlock()
}

func (srv *Server) allOrganizations() []*Organization {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.organizations
}

// organizationOf returns the id of the organization that a site belongs to. Sites
// that joined none have one nobody administers here.
func (srv *Server) organizationOf(s *Site) string {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return s.organization
}

// ID returns the organization's id, which is not a strict UUID.
func (org *Organization) ID() string { return org.id }

// Name returns the organization's name.
func (org *Organization) Name() string { return org.name }

// AdminCalls returns how many requests named this organization or carried one of
// its keys, whatever their answer.
func (org *Organization) AdminCalls() int64 { return org.adminCalls.Load() }

// Fail scripts a fault of the organization's endpoints.
func (org *Organization) Fail(f Fault) { org.faults.add(f) }

// ClearFaults removes all scripted faults of the organization.
func (org *Organization) ClearFaults() { org.faults.clear() }

// FaultsApplied returns how often scripted faults were applied since they were
// last cleared.
func (org *Organization) FaultsApplied() int { return org.faults.applied() }

// Log returns every mutation applied so far, oldest first.
func (org *Organization) Log() []OrganizationChange {
	org.mu.RLock()
	defer org.mu.RUnlock()
	return slices.Clone(org.log)
}
