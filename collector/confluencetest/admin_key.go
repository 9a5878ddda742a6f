package confluencetest

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Scopes of organization keys.
const (
	scopeAdminOrgs        = "read:orgs:admin"
	scopeAdminDirectories = "read:directories:admin"
	scopeAdminDomains     = "read:domains:admin"
	scopeAdminPolicies    = "read:policies:admin"
	scopeAdminWorkspaces  = "read:workspaces:admin"
	scopeAdminEvents      = "read:events:admin"
	scopeAdminGroups      = "read:groups:admin"
	scopeAdminAccounts    = "read:accounts:admin"
)

// AdminScopes returns every scope that some endpoint of the organization API takes.
func AdminScopes() []string {
	return []string{
		scopeAdminOrgs, scopeAdminDirectories, scopeAdminDomains, scopeAdminPolicies, scopeAdminWorkspaces, scopeAdminEvents, scopeAdminGroups, scopeAdminAccounts,
	}
}

// AdminKey is an API key of an organization. It opens {api}/admin and nothing else.
type AdminKey struct {
	Key          string
	Organization string
	Scopes       []string
	Expires      time.Time // zero: never
}

type adminKey struct {
	org     *Organization
	scopes  []string
	expires time.Time
}

// AddAdminKey makes a key with these scopes (none when nil) that is refused from
// a time of the server's clock on; the zero time is never.
func (org *Organization) AddAdminKey(scopes []string, expires time.Time) AdminKey {
	org.mu.Lock()
	key := AdminKey{Key: "ATCTT3x" + org.rand.hex(48), Organization: org.id, Scopes: slices.Clone(scopes), Expires: expires}
	org.mu.Unlock()
	org.srv.mu.Lock()
	defer org.srv.mu.Unlock()
	org.srv.adminKeys[key.Key] = adminKey{org: org, scopes: append([]string{}, scopes...), expires: expires}
	return key
}

// RemoveAdminKey makes a key invalid.
func (org *Organization) RemoveAdminKey(key string) {
	org.srv.mu.Lock()
	defer org.srv.mu.Unlock()
	delete(org.srv.adminKeys, key)
}

// authenticateAdmin finds out whose key a request carries; nil was refused.
func (c *call) authenticateAdmin() *Organization {
	secret, bearer := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer ")
	c.srv.mu.RLock()
	key, known := c.srv.adminKeys[secret]
	c.srv.mu.RUnlock()
	switch {
	case !bearer || !known:
		c.gatewayFail(http.StatusUnauthorized, "Unauthorized")
		return nil
	case !key.expires.IsZero() && !c.now.Before(key.expires):
		c.org = key.org
		key.org.adminCalls.Add(1)
		c.gatewayFail(http.StatusUnauthorized, "API key has expired")
		return nil
	}
	key.org.adminCalls.Add(1)
	c.org, c.secret = key.org, secret
	c.who = identity{account: "key of " + key.org.id, scopes: key.scopes}
	return key.org
}
