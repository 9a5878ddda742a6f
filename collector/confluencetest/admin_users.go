package confluencetest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// userQuery are the filters of the user search and of the count.
type userQuery struct {
	Cursor           *string  `json:"cursor"`
	Limit            *int     `json:"limit"`
	AccountIDs       []string `json:"accountIds"`
	DirectoryIDs     []string `json:"directoryIds"`
	ResourceIDs      []string `json:"resourceIds"`
	GroupIDs         []string `json:"groupIds"`
	MFAEnabled       *bool    `json:"mfaEnabled"`
	ClaimStatus      *string  `json:"claimStatus"`
	Status           []string `json:"status"`
	AccountStatus    []string `json:"accountStatus"`
	MembershipStatus []string `json:"membershipStatus"`
	RoleIDs          []string `json:"roleIds"`
	EmailDomains     []string `json:"emailDomains"`
	SearchTerm       *string  `json:"searchTerm"`
	Emails           []string `json:"emails"`
	Expand           []string `json:"expand"`
	SortBy           []struct {
		Field     string `json:"field"`
		Direction string `json:"direction"`
	} `json:"sortBy"`
}

// problem says what is wrong with the filters; empty: nothing.
func (q *userQuery) problem() string {
	for _, f := range []struct {
		name   string
		values []string
		known  []string
	}{
		{"status", q.Status, []string{"active", "suspended", "not_invited", "deactivated", "for_deletion"}},
		{"accountStatus", q.AccountStatus, []string{"active", "inactive", "closed"}},
		{"membershipStatus", q.MembershipStatus, []string{"active", "suspended", "no_membership"}},
		{"expand", q.Expand, []string{"platformRoles", "counts.resources", "productAccess", "groups"}},
	} {
		for _, v := range f.values {
			if !slices.Contains(f.known, v) {
				return f.name + " cannot be '" + v + "'"
			}
		}
	}
	for _, role := range q.RoleIDs {
		if !strings.HasPrefix(role, "atlassian/") {
			return "roleIds cannot hold '" + role + "'"
		}
	}
	for _, id := range q.ResourceIDs {
		if !strings.HasPrefix(id, "ari:cloud:") {
			return "resourceIds must be ARIs, got '" + id + "'"
		}
	}
	switch {
	case q.ClaimStatus != nil && *q.ClaimStatus != "managed" && *q.ClaimStatus != "unmanaged":
		return "claimStatus cannot be '" + *q.ClaimStatus + "'"
	case q.SearchTerm != nil && q.Emails != nil:
		return "searchTerm and emails exclude each other"
	case q.Limit != nil && (*q.Limit < 1 || *q.Limit > 100):
		return "limit must be between 1 and 100"
	case len(q.SortBy) > 1:
		return "sortBy takes one field"
	case len(q.SortBy) == 1 && (q.SortBy[0].Field != "nick_name" || q.SortBy[0].Direction != "asc" && q.SortBy[0].Direction != "desc"):
		return "sortBy takes nick_name, asc or desc"
	}
	return ""
}

// selects tells whether an account of a directory ("-" is any) passes the filters.
func (q *userQuery) selects(u *OrganizationUser, directory string) bool {
	in := func(list []string, v string) bool { return list == nil || slices.Contains(list, v) }
	if directory != "-" && u.Directory != directory || !in(q.DirectoryIDs, u.Directory) || !in(q.AccountIDs, u.AccountID) ||
		!in(q.Status, u.Status) || !in(q.AccountStatus, u.AccountStatus) || !in(q.MembershipStatus, u.MembershipStatus) || !in(q.Emails, u.Email) {
		return false
	}
	if q.MFAEnabled != nil && (u.MFA == nil || *u.MFA != *q.MFAEnabled) || q.ClaimStatus != nil && *q.ClaimStatus != u.ClaimStatus {
		return false
	}
	if q.SearchTerm != nil && !matches(u.Name, *q.SearchTerm) && !matches(u.Email, *q.SearchTerm) {
		return false
	}
	if q.EmailDomains != nil && !slices.ContainsFunc(q.EmailDomains, func(d string) bool { return strings.HasSuffix(u.Email, "@"+strings.TrimPrefix(d, "@")) }) {
		return false
	}
	if q.GroupIDs != nil && !slices.ContainsFunc(u.Groups, func(g GroupReference) bool { return slices.Contains(q.GroupIDs, g.ID) }) {
		return false
	}
	return q.selectsRole(u)
}

// selectsRole: one of the roles, on one of the resources if any are named;
// platform roles hold everywhere.
func (q *userQuery) selectsRole(u *OrganizationUser) bool {
	if q.ResourceIDs == nil && q.RoleIDs == nil {
		return true
	}
	wanted := func(role string) bool { return q.RoleIDs == nil || slices.Contains(q.RoleIDs, role) }
	for resource, roles := range u.Roles {
		if (q.ResourceIDs == nil || slices.Contains(q.ResourceIDs, resource)) && slices.ContainsFunc(roles, wanted) {
			return true
		}
	}
	return q.ResourceIDs == nil && slices.ContainsFunc(u.PlatformRoles, wanted)
}

// selected lists the accounts that a request asks for; ok is false when an error
// was sent.
func (c *call) selected(q *userQuery) (list []OrganizationUser, ok bool) {
	if problem := q.problem(); problem != "" {
		c.adminFail(http.StatusBadRequest, problem)
		return nil, false
	}
	directory := c.segments[1]
	c.org.mu.RLock()
	defer c.org.mu.RUnlock()
	if directory != "-" && !slices.ContainsFunc(c.org.directories, func(d Directory) bool { return d.ID == directory }) {
		c.adminFail(http.StatusNotFound, "No directory found with id: "+directory)
		return nil, false
	}
	return slices.DeleteFunc(c.org.users(), func(u OrganizationUser) bool { return !q.selects(&u, directory) }), true
}

// searchOrganizationUsers is POST .../users/search.
func (c *call) searchOrganizationUsers() {
	var q userQuery
	if !c.decodeBody(&q) {
		return
	}
	list, ok := c.selected(&q)
	if !ok {
		return
	}
	if slices.Contains(q.Expand, "groups") && !slices.Contains(c.who.scopes, scopeAdminGroups) {
		c.gatewayFail(http.StatusForbidden, "Forbidden; scope does not match")
		return
	}
	if len(q.SortBy) == 1 {
		slices.SortStableFunc(list, func(a, b OrganizationUser) int {
			if q.SortBy[0].Direction == "desc" {
				a, b = b, a
			}
			return strings.Compare(a.Nickname, b.Nickname)
		})
	}
	l := adminList{total: len(list), limit: 50, id: func(i int) string { return list[i].AccountID }, put: func(b []byte, i int) []byte {
		return c.appendOrganizationUser(b, &list[i], q.Expand)
	}}
	if q.Limit != nil {
		l.limit = *q.Limit
	}
	if q.Cursor != nil {
		l.cursor = *q.Cursor
	}
	bound := q
	bound.Cursor = nil
	l.binding = []string{c.segments[1], describeQuery(&bound)}
	c.sendAdmin(l, linksOnly)
}

// describeQuery is the same for the same filters.
func describeQuery(q *userQuery) string {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return strconv.Quote(*s)
	}
	limit, mfa := 0, "-"
	if q.Limit != nil {
		limit = *q.Limit
	}
	if q.MFAEnabled != nil {
		mfa = strconv.FormatBool(*q.MFAEnabled)
	}
	return fmt.Sprintf("%d %s %s %s %q %q %q %q %q %q %q %q %q %q %q %v", limit, mfa, text(q.ClaimStatus), text(q.SearchTerm), q.AccountIDs, q.DirectoryIDs, q.ResourceIDs, q.GroupIDs,
		q.Status, q.AccountStatus, q.MembershipStatus, q.RoleIDs, q.EmailDomains, q.Emails, q.Expand, q.SortBy)
}

func (c *call) appendOrganizationUser(b []byte, u *OrganizationUser, expand []string) []byte {
	b = appendString(append(b, `{"accountId":`...), u.AccountID)
	b = appendString(append(b, `,"accountType":`...), u.AccountType)
	b = appendString(append(b, `,"status":`...), u.Status)
	b = appendString(append(b, `,"accountStatus":`...), u.AccountStatus)
	b = appendString(append(b, `,"membershipStatus":`...), u.MembershipStatus)
	b = appendTime(append(b, `,"addedToOrg":`...), u.AddedToOrg)
	b = appendASCII(append(b, `,"name":`...), u.Name)
	b = appendASCII(append(b, `,"nickname":`...), u.Nickname)
	if u.Email != "" {
		b = appendString(append(b, `,"email":`...), u.Email)
	}
	b = appendString(append(b, `,"emailVerified":true,"claimStatus":`...), u.ClaimStatus)
	b = appendOptional(append(b, `,"managementSource":`...), u.ManagementSource)
	if u.MFA != nil {
		b = strconv.AppendBool(append(b, `,"mfaEnabled":`...), *u.MFA)
	}
	b = append(b, `,"jobTitle":"","department":null,"organization":null,"location":null,"timeZone":null`...)
	if slices.Contains(expand, "platformRoles") {
		b = appendStrings(append(b, `,"platformRoles":`...), u.PlatformRoles)
	}
	if slices.Contains(expand, "counts.resources") {
		b = strconv.AppendInt(append(b, `,"counts":{"resources":`...), int64(len(u.Roles)), 10)
		b = append(b, '}')
	}
	if slices.Contains(expand, "productAccess") {
		b = append(b, `,"productAccess":[`...)
		for i, a := range u.Access {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"key":`...), a.Key)
			b = appendString(append(b, `,"id":`...), a.ID)
			b = append(appendTime(append(b, `,"lastActiveTimestamp":`...), a.LastActive), '}')
		}
		b = append(b, ']')
	}
	if slices.Contains(expand, "groups") {
		b = append(b, `,"groups":[`...)
		for i, g := range u.Groups {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(b, `{"id":`...), g.ID)
			b = append(appendASCII(append(b, `,"name":`...), g.Name), `,"description":null}`...)
		}
		b = append(b, ']')
	}
	return append(appendString(append(b, `,"links":{"self":`...), u.AccountID), "}}"...)
}

// countOrganizationUsers is GET .../users/count, whose filters are parameters.
func (c *call) countOrganizationUsers() {
	q := userQuery{
		AccountIDs: c.query["accountIds"], DirectoryIDs: c.query["directoryIds"], ResourceIDs: c.query["resourceIds"], GroupIDs: c.query["groupIds"], Status: c.query["status"],
		AccountStatus: c.query["accountStatus"], MembershipStatus: c.query["membershipStatus"], RoleIDs: c.query["roleIds"], EmailDomains: c.query["emailDomains"],
	}
	if c.query.Has("mfaEnabled") {
		enabled, err := strconv.ParseBool(c.query.Get("mfaEnabled"))
		if err != nil {
			c.adminFail(http.StatusBadRequest, "mfaEnabled must be true or false")
			return
		}
		q.MFAEnabled = &enabled
	}
	for name, into := range map[string]**string{"claimStatus": &q.ClaimStatus, "searchTerm": &q.SearchTerm} {
		if c.query.Has(name) {
			*into = new(c.query.Get(name))
		}
	}
	if list, ok := c.selected(&q); ok {
		c.buf = append(strconv.AppendInt([]byte(`{"count":`), int64(len(list)), 10), '}')
	}
}

// lastActive is GET .../last-active-dates, in the spelling of the older API.
func (c *call) lastActive() {
	c.org.mu.RLock()
	list := c.org.users()
	c.org.mu.RUnlock()
	i := slices.IndexFunc(list, func(u OrganizationUser) bool { return u.AccountID == c.segments[1] })
	if i < 0 {
		c.adminFail(http.StatusNotFound, "No account found with id: "+c.segments[1])
		return
	}
	u := &list[i]
	b := []byte(`{"data":{"product_access":[`)
	n := 0
	for _, a := range u.Access {
		if a.LastActive.IsZero() {
			continue
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"key":`...), a.Key)
		b = appendString(append(b, `,"id":`...), a.ID)
		b = appendString(append(b, `,"last_active":`...), a.LastActive.Format(time.DateOnly))
		b = append(appendTime(append(b, `,"last_active_timestamp":`...), a.LastActive), '}')
	}
	b = appendString(append(b, `],"added_to_org":`...), u.AddedToOrg.Format(time.DateOnly))
	c.buf = append(b, `},"links":{"next":null}}`...)
}
