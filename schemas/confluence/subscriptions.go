package confluence

import (
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// Subscription is a row of subscriptions.
type Subscription struct {
	Product                string
	Used, Free, Total      *int64
	Unlimited              *bool
	Plan, LicenseType      *string
	Active                 *bool
	ExpiresAt, MaintenedTo time.Time
}

// Subscriptions are the seats of each product.
var Subscriptions = schemas.Declare(schemas.Table[Subscription]{
	Name: "subscriptions", Version: 1, Group: schemas.GroupInventory,
	Doc:   "Seats of each product: used, free, in total. On Cloud from the organization, or from licence endpoints that Atlassian does not document.",
	Grain: "tenant, product",
	Columns: []schemas.Column[Subscription]{
		schemas.String("product", "Product, such as confluence.", func(r *Subscription) string { return r.Product }).Key(),
		schemas.NullInt("seats_used", "Users who count; null when the site does not say.", func(r *Subscription) *int64 { return r.Used }),
		schemas.NullInt("seats_free", "Seats left; null when unlimited or not known.", func(r *Subscription) *int64 { return r.Free }),
		schemas.NullInt("seats_total", "Seats in all; null when unlimited or not known.", func(r *Subscription) *int64 { return r.Total }),
		schemas.NullBool("unlimited", "Whether there is no limit; null when the site does not say.", func(r *Subscription) *bool { return r.Unlimited }),
		schemas.NullString("plan", "Plan, such as premium.", func(r *Subscription) *string { return r.Plan }),
		schemas.NullString("license_type", "Type of the licence (Data Center).", func(r *Subscription) *string { return r.LicenseType }),
		schemas.NullBool("active", "Whether the licence or the site is active.", func(r *Subscription) *bool { return r.Active }),
		schemas.NullTime("expires_at", "When the licence ends (Data Center).", func(r *Subscription) time.Time { return r.ExpiresAt }),
		schemas.NullTime("maintained_until", "When maintenance ends (Data Center).", func(r *Subscription) time.Time { return r.MaintenedTo }),
	},
	EntityName: []string{"product"},
	Sources: slices.Concat(
		[]schemas.Access{
			{
				Deployment: schemas.Cloud, Credential: schemas.CredentialAdminKey, API: schemas.APIAdmin, PageSize: 100,
				Calls:  []string{"GET /v1/orgs", "POST /v2/orgs/{id}/workspaces", "GET /v2/orgs/{id}/directories/-/users/count"},
				Scopes: [][]string{{"read:workspaces:admin"}, {"read:directories:admin"}}, Cost: "3",
			},
			classic(schemas.Access{API: schemas.APILicense, Calls: []string{"GET /wiki/rest/license/1.0/license/userCount", "GET /wiki/rest/license/1.0/license/remainingSeats", "GET /wiki/rest/license/1.0/license/maxUsers"}, Cost: "3", Note: "Not documented by Atlassian; some sites answer 404."}),
		},
		dataCenter(schemas.Access{API: schemas.APILicense, Calls: []string{"GET /rest/license/1.0/license/details", "GET /rest/license/1.0/license/userCount"}, Cost: "2", Note: "Confluence 7.1 or newer."}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"plan", "seats_total", "unlimited", "active", "license_type"}, Why: "what is paid for changed"},
	},
	Examples: []schemas.Example{
		{Question: "How many seats are free on each site?", SQL: "SELECT tenant_id, product, seats_used, seats_free, seats_total, unlimited FROM sitedrift.subscriptions ORDER BY tenant_id, product"},
	},
})
