package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// note writes the log. The caller holds mu.
func (org *Organization) note(kind, key string, before, after any) {
	org.log = append(org.log, OrganizationChange{At: org.srv.now(), Kind: kind, Key: key, Before: before, After: after})
}

func (org *Organization) missing(what, id string) error {
	return fmt.Errorf("organization %q has no %s %q; ids are listed by Truth", org.name, what, id)
}

// AddDomain claims a domain and returns it with its id.
func (org *Organization) AddDomain(d Domain) Domain {
	org.mu.Lock()
	defer org.mu.Unlock()
	d.ID = cmp.Or(d.ID, org.rand.uuid())
	d.ClaimType, d.ClaimStatus = cmp.Or(d.ClaimType, "dns"), cmp.Or(d.ClaimStatus, "verified")
	org.domains = append(slices.Clone(org.domains), d)
	org.note("domain_added", d.ID, nil, d)
	return d
}

// RemoveDomain gives a domain up.
func (org *Organization) RemoveDomain(id string) error {
	org.mu.Lock()
	defer org.mu.Unlock()
	i := slices.IndexFunc(org.domains, func(d Domain) bool { return d.ID == id })
	if i < 0 {
		return org.missing("domain", id)
	}
	before := org.domains[i]
	org.domains = slices.Delete(slices.Clone(org.domains), i, i+1)
	org.note("domain_removed", id, before, nil)
	return nil
}

// SetPolicy replaces the policy of that id, or adds one when there is none. An
// empty ID is generated.
func (org *Organization) SetPolicy(p Policy) Policy {
	org.mu.Lock()
	defer org.mu.Unlock()
	p.ID, p.Status, p.Rule = cmp.Or(p.ID, org.rand.uuid()), cmp.Or(p.Status, "enabled"), cmp.Or(p.Rule, "[]")
	p.Resources = slices.Clone(p.Resources)
	if p.CreatedAt.IsZero() {
		p.CreatedAt = org.srv.now()
	}
	p.CreatedAt = p.CreatedAt.UTC().Truncate(time.Second)
	list := slices.Clone(org.policies)
	var before any
	if i := slices.IndexFunc(list, func(o Policy) bool { return o.ID == p.ID }); i >= 0 {
		before, list[i] = list[i], p
	} else {
		list = append(list, p)
	}
	org.policies = list
	org.note("policy_set", p.ID, before, p)
	return p
}

// RemovePolicy deletes a policy.
func (org *Organization) RemovePolicy(id string) error {
	org.mu.Lock()
	defer org.mu.Unlock()
	i := slices.IndexFunc(org.policies, func(p Policy) bool { return p.ID == id })
	if i < 0 {
		return org.missing("policy", id)
	}
	before := org.policies[i]
	org.policies = slices.Delete(slices.Clone(org.policies), i, i+1)
	org.note("policy_removed", id, before, nil)
	return nil
}

// SetMFA says whether an account has two-step verification. It shows on accounts
// that the organization manages.
func (org *Organization) SetMFA(accountID string, enabled bool) {
	org.mu.Lock()
	defer org.mu.Unlock()
	org.mfa[accountID] = enabled
	org.note("mfa_set", accountID, nil, enabled)
}

// SetPlatformRoles replaces the roles of an account in the organization, such as
// "atlassian/org-admin".
func (org *Organization) SetPlatformRoles(accountID string, roles ...string) {
	org.mu.Lock()
	defer org.mu.Unlock()
	before := org.roles[accountID]
	org.roles[accountID] = slices.Clone(roles)
	org.note("roles_set", accountID, slices.Clone(before), slices.Clone(roles))
}

// AddEvent writes the organization's audit log. Empty ids and times are filled in.
func (org *Organization) AddEvent(e OrganizationEvent) OrganizationEvent {
	org.mu.Lock()
	defer org.mu.Unlock()
	e.ID, e.Action = cmp.Or(e.ID, org.rand.uuid()), cmp.Or(e.Action, "user_invited")
	if e.At.IsZero() {
		e.At = org.srv.now()
	}
	e.At = e.At.UTC().Truncate(time.Millisecond)
	org.events = append(slices.Clone(org.events), e)
	slices.SortStableFunc(org.events, func(a, b OrganizationEvent) int { return a.At.Compare(b.At) })
	org.note("event_added", e.ID, nil, e)
	return e
}
