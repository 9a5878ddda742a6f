package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// tenantChange is a tenant that is added or changed, with its schedules.
type tenantChange struct {
	before, after collector.Tenant // the same id; before is after for one that is new
	schedules     []scheduleChange
	erases        []string // kinds of stored credentials that end with the change
}

// moved reports whether the tenant's site has another address from now on.
func (c tenantChange) moved() bool { return c.before.SiteURL != c.after.SiteURL }

// told says for the audit trail what the tenant's site is, and what ended with that.
func (c tenantChange) told() string {
	if len(c.erases) == 0 {
		return c.after.SiteURL
	}
	return c.after.SiteURL + ", erased: " + strings.Join(c.erases, " ")
}

// sentToSite are the kinds of credentials that are sent to the tenant's own site. What
// is sent to Atlassian's shared services stays when the site moves.
var sentToSite = []string{schemas.CredentialAPIToken, schemas.CredentialDCOAuth, schemas.CredentialDCToken}

// erasedBy are the kinds of credentials that a change ends: a token must never reach
// a host that it was not given for (Invariant 9).
func (a *app) erasedBy(ctx context.Context, c tenantChange) (kinds []string, _ error) {
	if !c.moved() {
		return nil, nil
	}
	stored, err := a.store.TenantCredentials(ctx, c.after.ID)
	for _, s := range stored {
		if slices.Contains(sentToSite, s.Kind) {
			kinds = append(kinds, s.Kind)
		}
	}
	return kinds, err
}

// change stores tenants and their schedules: all of them or, with an error, none. What
// erasedBy told of is erased before.
func (a *app) change(ctx context.Context, changes []tenantChange) error {
	var tenants []collector.Tenant
	var put, remove []collector.Schedule
	for _, c := range changes {
		if c.moved() {
			a.log.Warn("the site's address changed: tokens that were given for the old one are erased",
				zap.String("tenant", c.after.ID), zap.String("before", c.before.SiteURL), zap.String("after", c.after.SiteURL), zap.Strings("erased", c.erases))
			if err := a.store.DeleteCredentials(ctx, c.after.ID, sentToSite...); err != nil {
				return err
			}
		}
		tenants = append(tenants, c.after)
		for _, s := range c.schedules {
			if s.remove {
				remove = append(remove, s.Schedule)
			} else {
				put = append(put, s.Schedule)
			}
		}
	}
	if err := a.store.PutTenants(ctx, tenants, put, remove); err != nil {
		return err
	}
	for _, c := range changes {
		if c.moved() { // a consent to the old site may have ended in between
			if err := a.store.DeleteCredentials(ctx, c.after.ID, sentToSite...); err != nil {
				return err
			}
		}
	}
	return nil
}

// sameSite refuses another cloud id for a tenant whose cloud id is known: that is
// another site, whose rows would be told of as changes of the first (Invariant 7).
func sameSite(known collector.Tenant, cloudID string) error {
	if cloudID == "" || known.CloudID == "" || strings.EqualFold(cloudID, known.CloudID) {
		return nil
	}
	return fmt.Errorf("tenant %s is the site with the cloud id %s, and %s is another site, whose history would be mixed with it: make it a tenant of its own", known.ID, known.CloudID, cloudID)
}

// mayComeBack refuses a new tenant under the id of a removed one whose rows stayed,
// unless the site is the same: they would be shown as its own (Invariant 7).
func mayComeBack(stones []collector.Tombstone, t collector.Tenant) error {
	for _, s := range stones {
		if s.Tenant == t.ID && s.Erased < 0 && s.SiteURL != t.SiteURL {
			return fmt.Errorf("tenant %s was removed, and the rows of its site %s stayed: they would be shown as those of %s; erase them first (sitedrift tenants remove %s --erase --yes), or take another id", t.ID, s.SiteURL, t.SiteURL, t.ID)
		}
	}
	return nil
}
