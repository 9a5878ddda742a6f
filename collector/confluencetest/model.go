package confluencetest

import (
	"strconv"
	"time"
)

// Space is one space as the API shows it. ID is a decimal number that may lie
// beyond 2^53. Empty strings stand for null.
type Space struct {
	ID          string
	Key         string
	Name        string
	Type        string // global, personal, ...; may be a value the OpenAPI file does not list
	Status      string // current or archived
	AuthorID    string
	Alias       string
	CreatedAt   time.Time
	HomepageID  string
	Description string
}

// Permission is one row of a space's permissions. PrincipalType, Operation and
// Target may hold values that the OpenAPI file does not list.
type Permission struct {
	ID            string
	PrincipalType string
	PrincipalID   string
	Operation     string
	Target        string
}

// Group is one user group.
type Group struct {
	ID   string
	Name string
	// Access is who the group is for: "user", "admin" or "site-admin"; the filter
	// accessType of the group listing selects by it.
	Access string
}

// User is one account as Confluence knows it.
type User struct {
	AccountID     string
	AccountType   string // atlassian, app, customer, ...
	AccountStatus string // active, inactive, closed, ...
	Email         string // empty where privacy settings hide it
	DisplayName   string
	PublicName    string
	TimeZone      string // empty means null
	PersonalSpace string // id of a space; empty means null
	// External is the flag isExternalCollaborator; nil means that the API answers null.
	External *bool
}

// Guest tells whether the user is an external collaborator for certain.
func (u User) Guest() bool { return u.External != nil && *u.External }

// SiteConfiguration holds the settings of a site that the API exposes.
type SiteConfiguration struct {
	Edition           string // free, standard, premium, enterprise
	Title             string
	DefaultLocale     string
	DefaultTimeZone   string
	RoleMode          string // PRE_ROLES, ROLES_TRANSITION or ROLES
	RetentionNumber   int    // audit retention
	RetentionUnits    string
	AnyContentBlocked bool // the flag of data-policies/metadata
}

// Level is one classification level of the organization.
type Level struct {
	ID          string
	Status      string // DRAFT, PUBLISHED, ARCHIVED
	Order       int
	Name        string
	Description string
	Guideline   string
	Color       string
}

// Role is one space role of a site with role based access control.
type Role struct {
	ID          string
	Type        string // SYSTEM or CUSTOM
	Name        string
	Description string
	Permissions []string // ids from the catalogue of space permissions
}

// RoleAssignment gives a principal a role in one space.
type RoleAssignment struct {
	PrincipalType string // USER, GROUP, ACCESS_CLASS
	PrincipalID   string
	RoleID        string
}

// AuditRecord is one entry of the audit log. Records carry no id.
type AuditRecord struct {
	At         time.Time // milliseconds precision
	AuthorID   string
	AuthorName string
	Address    string
	Summary    string
	Category   string
	Object     string
	ObjectType string
	Changed    []AuditChange
	Associated []AuditObject
}

// AuditChange is one changed value in an audit record.
type AuditChange struct{ Name, Old, New string }

// AuditObject names an object that an audit record concerns.
type AuditObject struct{ Name, Type string }

// space is the stored form: numbers instead of strings, rows packed to 16 bytes,
// so that a site of a million rows stays small.
type space struct {
	id          int64
	data        Space
	hidden      bool // the collecting user cannot see it
	blocked     bool // a data policy blocks the app from its content
	rows        []row
	assignments []RoleAssignment
}

// row is a permission row; principal and operation index the site's tables.
type row struct {
	id        int64
	principal uint32
	operation uint32
}

type user struct {
	data User
}

type group struct {
	data    Group
	members []*user
}

func formatID(id int64) string { return strconv.FormatInt(id, 10) }

// interned is a table of pairs of strings, each with its JSON already encoded.
type interned struct {
	pairs   [][2]string
	encoded [][]byte
	index   map[[2]string]uint32
	// labels are the JSON member names of the two halves.
	labels [2]string
}

func newInterned(first, second string) *interned {
	return &interned{index: map[[2]string]uint32{}, labels: [2]string{first, second}}
}

func (t *interned) put(first, second string) uint32 {
	p := [2]string{first, second}
	if i, ok := t.index[p]; ok {
		return i
	}
	i := uint32(len(t.pairs))
	t.pairs = append(t.pairs, p)
	b := append([]byte(`{"`), t.labels[0]...)
	b = appendString(append(b, `":`...), first)
	b = append(b, `,"`...)
	b = append(b, t.labels[1]...)
	b = appendString(append(b, `":`...), second)
	t.encoded = append(t.encoded, append(b, '}'))
	t.index[p] = i
	return i
}
