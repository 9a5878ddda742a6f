package confluencetest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// DCSpace is one space of a Data Center. ID is a decimal number that may lie
// beyond 2^53; the API writes it as a number. Keys are unique and identify a space.
type DCSpace struct {
	ID          string
	Key         string // "~" and the username for personal spaces
	Name        string
	Type        string // global, personal; one space has a value beyond these
	Status      string // current or archived
	Description string
	HomepageID  string // empty where there is none
}

// Types of subjects. Others may occur.
const (
	SubjectUser       = "known"
	SubjectDeleted    = "unknown"
	SubjectGroup      = "group"
	SubjectAnonymous  = "anonymous"
	SubjectUnlicensed = "unlicensed"
)

// DCSubject is who a permission is given to. Name is a username or the name of a
// group. The zero value stands for a row whose subject is null.
type DCSubject struct {
	Type        string
	Name        string // empty for classes of users, and for deleted users at times
	UserKey     string // users only
	DisplayName string
}

// GroupSubject is a group as the subject of a permission.
func GroupSubject(name string) DCSubject {
	return DCSubject{Type: SubjectGroup, Name: name, DisplayName: name}
}

// AnonymousSubject is everybody who is not logged in.
func AnonymousSubject() DCSubject {
	return DCSubject{Type: SubjectAnonymous, DisplayName: "Anonymous"}
}

// UnlicensedSubject is everybody who is logged in without using up the licence.
func UnlicensedSubject() DCSubject {
	return DCSubject{Type: SubjectUnlicensed, DisplayName: "Unlicensed users"}
}

// is tells whether two subjects are the same one; display names do not decide.
func (s DCSubject) is(o DCSubject) bool {
	return s.Type == o.Type && s.Name == o.Name && s.UserKey == o.UserKey
}

// DCPermission is one permission of a space, or a global one. It has no id:
// subject, operation and target make it unique.
type DCPermission struct {
	Subject   DCSubject
	Operation string // may hold values that no reference page lists
	Target    string
}

func (p DCPermission) is(o DCPermission) bool {
	return p.Operation == o.Operation && p.Target == o.Target && p.Subject.is(o.Subject)
}

// Right is what a user may do to the whole installation.
type Right int

// The rights, each of which includes the ones before.
const (
	RightUser   Right = iota // may log in
	RightAdmin               // Confluence administrator
	RightSystem              // system administrator
)

// DCUser is one account. UserKey never changes; Username may.
type DCUser struct {
	UserKey     string
	Username    string
	DisplayName string
	Email       string // empty where there is none
	Active      bool   // deactivated users stay in listings and groups
	Licensed    bool   // counts against the licence while active
	Right       Right
}

// DCAddon is one installed app.
type DCAddon struct {
	Key           string
	Name          string
	Version       string
	Vendor        string // empty where the app names none
	Description   string
	Enabled       bool
	UserInstalled bool
	UsesLicensing bool
	License       *DCAddonLicense // nil: none, or none needed
}

// DCAddonLicense is the licence of an installed app.
type DCAddonLicense struct {
	Type            string
	Valid           bool
	Evaluation      bool
	MaximumUsers    int       // 0 means unlimited
	Expires         time.Time // zero means never
	MaintenanceEnds time.Time
	Raw             string // a secret that the API shows all the same
}

// DCLicense is the licence of the installation.
type DCLicense struct {
	Type            string
	MaximumUsers    int // -1 means unlimited
	Organization    string
	SupportNumber   string
	Evaluation      bool
	Purchased       time.Time
	Expires         time.Time // zero means never
	MaintenanceEnds time.Time
}

// DCServer is what the installation says of itself.
type DCServer struct {
	Version     string
	BuildNumber int
	BuildDate   time.Time
	Title       string
	AccessMode  string // READ_WRITE or READ_ONLY
}

// DCAuditRecord is one audit event. ID orders events of the same millisecond; it
// shows in the page cursor alone.
type DCAuditRecord struct {
	ID         int64
	At         time.Time // milliseconds precision, UTC
	AuthorKey  string    // user key; "-2" for the system
	AuthorName string
	Category   string
	Action     string
	Source     string // network address; empty means null
	Method     string
	Objects    []DCAuditObject
	Changed    []DCAuditChange
	Extra      []DCAuditAttribute
}

// DCAuditObject is an object that an audit event concerns.
type DCAuditObject struct{ ID, Name, Type string }

// DCAuditChange is one changed value; an empty From or To stands for null.
type DCAuditChange struct{ Key, From, To string }

// DCAuditAttribute is a further detail of an audit event.
type DCAuditAttribute struct{ Name, Value string }

type dcSpace struct {
	id         int64
	data       DCSpace
	hidden     bool // no credential sees it
	restricted bool // its permissions are refused to everybody
	rows       []DCPermission
}

type dcUser struct{ data DCUser }

type dcGroup struct {
	name     string
	standing bool // belongs to every site and never goes
	members  []*dcUser
	nested   []*dcGroup
}

// effective lists the members of a group and of all groups nested in it, each
// once, the direct ones first. Cycles end where they close.
func (g *dcGroup) effective() []*dcUser {
	var list []*dcUser
	seen := map[*dcUser]bool{}
	for _, o := range g.below() {
		for _, m := range o.members {
			if !seen[m] {
				seen[m] = true
				list = append(list, m)
			}
		}
	}
	return list
}

// below lists the group itself and all groups nested in it.
func (g *dcGroup) below() []*dcGroup {
	list := []*dcGroup{g}
	for i := 0; i < len(list); i++ {
		for _, n := range list[i].nested {
			if !slices.Contains(list, n) {
				list = append(list, n)
			}
		}
	}
	return list
}

func compareDCSpaces(a, b *dcSpace) int { return strings.Compare(a.data.Key, b.data.Key) }
func compareDCGroups(a, b *dcGroup) int { return strings.Compare(a.name, b.name) }
func compareDCUsers(a, b *dcUser) int   { return strings.Compare(a.data.Username, b.data.Username) }
func compareDCAddons(a, b DCAddon) int  { return strings.Compare(a.Key, b.Key) }
func compareDCAudit(a, b DCAuditRecord) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID))
}
