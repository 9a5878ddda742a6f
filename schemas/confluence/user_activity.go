package confluence

import (
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// UserActivity is a row of user_activity.
type UserActivity struct {
	AccountID, Product string
	Name               *string
	LastActiveAt       time.Time
	Source             string
}

const fromAudit = "Derived: the newest record of the last seven days by each user. An account without one keeps the time that was found before."

// UserActivities tell when accounts used a product last.
var UserActivities = schemas.Declare(schemas.Table[UserActivity]{
	Name: "user_activity", Version: 1, Group: schemas.GroupInventory,
	Doc: "When each account used each product last. source says who tells: the organization, to which viewing a page counts, up to a day late; " +
		"or, without a key of the organization, the newest record of the audit log, which knows who changed something and nothing of who only read.",
	Grain: "tenant, account, product",
	Needs: []string{"users"},
	Columns: []schemas.Column[UserActivity]{
		schemas.String("account_id", "Account.", func(r *UserActivity) string { return r.AccountID }).Key().Personal(),
		schemas.String("product", "Product, such as confluence.", func(r *UserActivity) string { return r.Product }).Key(),
		schemas.NullString("display_name", "Name when the row was written; null when hidden.", func(r *UserActivity) *string { return r.Name }).Context().Personal(),
		schemas.NullTime("last_active_at", "Last use, as of observed_at; null: never used by then if source is organization, not known if it is audit.", func(r *UserActivity) time.Time { return r.LastActiveAt }),
		schemas.Enum("source", "Who told, as of observed_at, and perhaps no longer does. organization: the product's own records; audit: derived from the audit log.", func(r *UserActivity) string { return r.Source }),
	},
	EntityName: []string{"display_name", "account_id", "product"},
	Sources: slices.Concat(
		[]schemas.Access{directory("U/100", "With the expansion productAccess, so that one call tells of a hundred accounts.")},
		cloud(schemas.Access{PageSize: 1000, Calls: []string{"GET /wiki/rest/api/audit"}, Cost: "the records of 7 days/1000", Note: fromAudit}, readAudit),
		dataCenter(schemas.Access{PageSize: 1000, Calls: []string{"GET /rest/auditing/1.0/events"}, Cost: "the records of 7 days/1000", Note: fromAudit}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelInfo, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"last_active_at"}, Why: "somebody used the product"},
	},
	Examples: []schemas.Example{
		{Question: "Whose seat is not used any more, as far as the organization tells? (Of tenants that it tells of now.)", SQL: "SELECT tenant_id, account_id, display_name, last_active_at FROM sitedrift.user_activity WHERE tenant_id IN (SELECT tenant_id FROM sitedrift.coverage WHERE dataset = 'user_activity' AND partition_id = '' AND state = 'complete' AND endsWith(evidence, 'with admin_key')) AND product = 'confluence' AND source = 'organization' AND (last_active_at IS NULL OR last_active_at < now() - INTERVAL 90 DAY) ORDER BY last_active_at, tenant_id, account_id LIMIT 100"},
	},
})
