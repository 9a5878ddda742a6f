package confluencetest

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// describe derives what only the organization knows of an account. It depends on
// nothing but the ids, so that the same account looks the same in every answer.
func (org *Organization) describe(account, accountType, status string) OrganizationUser {
	h := itemHash(org.id + "/" + account)
	u := OrganizationUser{
		AccountID: account, AccountType: accountType, AccountStatus: status, MembershipStatus: "active", Status: "active", ClaimStatus: "managed",
		ManagementSource: []string{"invited", "synced", ""}[h>>8%3], AddedToOrg: org.born.Add(-time.Duration(h>>16%1000) * 24 * time.Hour), Roles: map[string][]string{},
		Directory: org.directories[0].ID,
	}
	if h%4 == 0 {
		u.ClaimStatus = "unmanaged"
	}
	switch {
	case status == "inactive" || status == "closed":
		u.Status = "deactivated"
	case status != "active":
		u.Status = status
	case h>>32%23 == 7:
		u.Status, u.MembershipStatus = "suspended", "suspended"
	}
	if u.ClaimStatus == "managed" {
		mfa, set := org.mfa[account]
		if !set {
			mfa = h>>40%3 != 0
		}
		u.MFA = &mfa
	}
	return u
}

// users lists the accounts of all sites and the others, by account id. The caller
// holds mu.
func (org *Organization) users() []OrganizationUser {
	byID := map[string]*OrganizationUser{}
	for _, s := range org.sites {
		org.addUsersOf(s, byID)
	}
	for _, u := range org.others {
		fresh := org.describe(u.AccountID, u.AccountType, u.AccountStatus)
		fresh.Name, fresh.Nickname, fresh.Email, fresh.Directory = u.Name, u.Nickname, u.Email, u.Directory
		byID[u.AccountID] = &fresh
	}
	list := make([]OrganizationUser, 0, len(byID))
	for id, u := range byID {
		if roles, set := org.roles[id]; set {
			u.PlatformRoles = slices.Clone(roles)
		}
		slices.Sort(u.PlatformRoles)
		u.PlatformRoles = slices.Compact(u.PlatformRoles)
		slices.SortFunc(u.Access, func(a, b ProductAccess) int { return strings.Compare(a.ID, b.ID) })
		slices.SortFunc(u.Groups, func(a, b GroupReference) int {
			return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
		})
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b OrganizationUser) int { return cmp.Compare(a.AccountID, b.AccountID) })
	return list
}

// addUsersOf adds what one site knows. Apps and customers are in no directory.
func (org *Organization) addUsersOf(s *Site, byID map[string]*OrganizationUser) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	confluence, jira := contextARI+s.cloudID, "ari:cloud:jira-software::site/"+s.cloudID
	for i, su := range s.users {
		d := &su.data
		if d.AccountType == "app" || d.AccountType == "customer" {
			continue
		}
		u := byID[d.AccountID]
		if u == nil {
			fresh := org.describe(d.AccountID, d.AccountType, d.AccountStatus)
			fresh.Name, fresh.Nickname, fresh.Email = d.DisplayName, d.PublicName, d.Email
			u = &fresh
			byID[d.AccountID] = u
		}
		if i == 0 {
			u.PlatformRoles = append(u.PlatformRoles, "atlassian/org-admin", "atlassian/ai-access")
		}
		switch {
		case d.Guest():
			u.Roles[confluence] = []string{"atlassian/guest"}
		case licensed(d):
			u.Roles[confluence] = []string{"atlassian/user"}
		}
		seen := s.posture.activity[d.AccountID]
		if u.Roles[confluence] != nil {
			u.Access = append(u.Access, ProductAccess{Key: "confluence", ID: confluence, LastActive: seen["confluence"]})
		}
		if at, ok := seen["jira-software"]; ok {
			u.Roles[jira] = []string{"atlassian/user"}
			u.Access = append(u.Access, ProductAccess{Key: "jira-software", ID: jira, LastActive: at})
		}
	}
	for _, g := range s.groups {
		for _, m := range g.members {
			u := byID[m.data.AccountID]
			if u == nil {
				continue
			}
			u.Groups = append(u.Groups, GroupReference{ID: g.data.ID, Name: g.data.Name})
			switch g.data.Access {
			case "admin":
				if r := u.Roles[confluence]; r != nil && !slices.Contains(r, "atlassian/admin") {
					u.Roles[confluence] = append(r, "atlassian/admin")
				}
			case "site-admin":
				u.PlatformRoles = append(u.PlatformRoles, "atlassian/site-admin")
			}
		}
	}
}
