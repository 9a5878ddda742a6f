package collector

import "time"

// Tenant is a customer: one Confluence site with its credentials and schedules.
type Tenant struct {
	ID         string    // chosen by the operator; [a-z0-9][a-z0-9._-]{0,62}
	Name       string    // for people
	SiteURL    string    // https://example.atlassian.net, or the base address of a Data Center site
	Deployment string    // schemas.Cloud or schemas.DataCenter; empty is Cloud
	CloudID    string    // UUID of a Cloud site; empty until consent or configuration names it
	Paused     bool      // no schedule of a paused tenant is claimed
	CreatedAt  time.Time // when the tenant was first stored
}
