package confluencetest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// DataCenterSettings says what [Server.AddDataCenter] generates and how the
// installation is configured. Zero values choose a small default.
type DataCenterSettings struct {
	Name        string // unique among the server's Data Centers
	ContextPath string // below the host; default "confluence", "-" for none
	Seed        uint64 // added to the server's seed

	Spaces              int // default 12
	PermissionsPerSpace int // default 20
	Groups              int // default 10, at least 6
	Users               int // default 40, the two standing users included
	MembersPerGroup     int // average of the groups that do not hold everyone; default 12
	HiddenSpaces        int // exist, but no credential sees them
	AuditEvents         int // audit events older than the site's start
	Addons              int // installed apps; default 6
	// Exact gives every space exactly PermissionsPerSpace rows. Otherwise one space
	// has none and one has more than a page of 250.
	Exact bool
	// GroupCycle nests three groups into each other in a circle.
	GroupCycle bool
	// EffectiveMembers makes the member listing of a group follow nested groups.
	EffectiveMembers bool
	// SparseSubjects leaves everything but the display name and the type out of the
	// subjects of permissions, as the reference pages print them.
	SparseSubjects bool

	// MaxLimit is what every page size is cut to without a word. Default: 100 for
	// spaces, 1000 for audit events, 200 for the rest.
	MaxLimit int
	// PasswordLogin allows basic authentication with a password.
	PasswordLogin bool
	// OAuthNoPermissions refuses OAuth tokens on the endpoints of space and global
	// permissions, as the reference pages say.
	OAuthNoPermissions bool
	// AllowNoPKCE lets confidential clients do without a code challenge.
	AllowNoPKCE bool
	// RefuseEncodedSlash answers 400 to %2F in a path, the default of Tomcat.
	RefuseEncodedSlash bool
	AccessTokenTTL     time.Duration // default 2 hours
	RefreshTokenTTL    time.Duration // default 90 days
	RateLimit          DCRateLimit
}

func (s DataCenterSettings) withDefaults() DataCenterSettings {
	s.ContextPath = strings.Trim(cmp.Or(s.ContextPath, "confluence"), "/")
	if s.ContextPath == "-" {
		s.ContextPath = ""
	}
	s.Spaces = cmp.Or(s.Spaces, 12)
	s.PermissionsPerSpace = cmp.Or(s.PermissionsPerSpace, 20)
	s.Groups = max(cmp.Or(s.Groups, 10), 6)
	s.Users = max(cmp.Or(s.Users, 40), 4)
	s.MembersPerGroup = cmp.Or(s.MembersPerGroup, 12)
	s.Addons = cmp.Or(s.Addons, 6)
	s.AccessTokenTTL = cmp.Or(s.AccessTokenTTL, 2*time.Hour)
	s.RefreshTokenTTL = cmp.Or(s.RefreshTokenTTL, 90*24*time.Hour)
	s.RateLimit = s.RateLimit.withDefaults()
	return s
}

// DataCenter is one Confluence Data Center installation: its own host below a
// context path, its own users and its own authorization server. Its methods change
// it; [DataCenter.Truth] and [DataCenter.Log] tell what it holds and what happened.
type DataCenter struct {
	srv      *Server
	settings DataCenterSettings
	prefix   string // path on the server, without a slash at the end
	oauth    *dcProvider
	meter    *dcMeter
	faults   faultSet
	apiCalls atomic.Int64

	logMu    sync.Mutex
	requests []Request

	mu         sync.RWMutex
	rand       random // draws for mutations; guarded by mu
	spaces     []*dcSpace
	spaceByKey map[string]*dcSpace
	groups     []*dcGroup // sorted by name
	group      map[string]*dcGroup
	users      []*dcUser // sorted by username
	byUsername map[string]*dcUser
	byUserKey  map[string]*dcUser
	collector  *dcUser
	reader     *dcUser
	global     []DCPermission
	unlicensed []DCPermission
	addons     []DCAddon // sorted by key
	license    DCLicense
	server     DCServer
	audit      []DCAuditRecord // ascending by time and id
	lastAudit  int64
	lastSpace  int64
	lastUser   int64
	reindexing bool
	pats       map[string]DCPAT // by token
	passwords  map[string]string
	log        []DCChange
	steps      []DCStep
	at         time.Time // time of the step being applied; zero outside of one
}

// AddDataCenter generates a Data Center site. It panics on a duplicate name, which
// only a mistake in the calling test can cause.
func (srv *Server) AddDataCenter(settings DataCenterSettings) *DataCenter {
	settings = settings.withDefaults()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	settings.Name = cmp.Or(settings.Name, fmt.Sprintf("dc%d", len(srv.centers)+1))
	if slices.ContainsFunc(srv.centers, func(o *DataCenter) bool { return o.settings.Name == settings.Name }) {
		panic(fmt.Sprintf("confluencetest: Data Center %q exists already", settings.Name))
	}
	dc := &DataCenter{srv: srv, settings: settings, prefix: "/dc/" + settings.Name}
	if settings.ContextPath != "" {
		dc.prefix += "/" + settings.ContextPath
	}
	seed := srv.settings.Seed*0x9e3779b97f4a7c15 + settings.Seed
	dc.meter = newDCMeter(settings.RateLimit, srv.now)
	dc.oauth = newDCProvider(dc, seed)
	dc.generate(seed, srv.now())
	srv.centers = append(slices.Clone(srv.centers), dc)
	return dc
}

// DataCenters returns all Data Center sites in the order in which they were added.
func (srv *Server) DataCenters() []*DataCenter {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.centers
}

// DataCenter returns the Data Center site of that name, or nil.
func (srv *Server) DataCenter(name string) *DataCenter {
	for _, dc := range srv.DataCenters() {
		if dc.settings.Name == name {
			return dc
		}
	}
	return nil
}

// Name returns the name that the site was added with.
func (dc *DataCenter) Name() string { return dc.settings.Name }

// URL returns the base URL of the installation, context path included and without
// a slash at the end.
func (dc *DataCenter) URL() string { return dc.srv.URL() + dc.prefix }

// Settings returns what the site was generated from, defaults filled in.
func (dc *DataCenter) Settings() DataCenterSettings { return dc.settings }

// APICalls returns how many REST requests the site got, whatever their answer.
// Calls of the OAuth endpoints are not in it.
func (dc *DataCenter) APICalls() int64 { return dc.apiCalls.Load() }

// Requests returns the REST requests so far, in order of their completion. Their
// AccountID is a user key.
func (dc *DataCenter) Requests() []Request {
	dc.logMu.Lock()
	defer dc.logMu.Unlock()
	return slices.Clone(dc.requests)
}

// ForgetRequests empties the request log; the counters stay.
func (dc *DataCenter) ForgetRequests() {
	dc.logMu.Lock()
	defer dc.logMu.Unlock()
	dc.requests = nil
}

// Fail scripts a fault of the REST endpoints, as [Site.Fail] does. Its Object is
// the key of a space, the name of a group or the key of an app, unescaped.
func (dc *DataCenter) Fail(f Fault) { dc.faults.add(f) }

// ClearFaults removes all scripted faults of the REST endpoints.
func (dc *DataCenter) ClearFaults() { dc.faults.clear() }

// FaultsApplied returns how often scripted faults were applied since they were
// last cleared.
func (dc *DataCenter) FaultsApplied() int { return dc.faults.applied() }

// serveDataCenter finds the installation that a path belongs to and tells its
// authorization server from its REST endpoints.
func (srv *Server) serveDataCenter(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	for _, dc := range srv.DataCenters() {
		rest, ok := strings.CutPrefix(path, (&url.URL{Path: dc.prefix}).EscapedPath()+"/")
		if !ok {
			continue
		}
		if at, ok := strings.CutPrefix(rest, "rest/oauth2/latest/"); ok {
			dc.oauth.serve(w, r, at)
			return
		}
		dc.serveREST(w, r, "/"+rest)
		return
	}
	http.NotFound(w, r)
}
