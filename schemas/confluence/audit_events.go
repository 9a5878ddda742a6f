package confluence

import (
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// AuditEvent is a row of audit_events.
type AuditEvent struct {
	ContentHash                 string
	Occurrence                  int64
	At                          time.Time
	AuthorID, AuthorName        *string
	AuthorType, Address         *string
	Category                    string
	Summary                     string
	Description                 *string
	SysAdmin                    *bool
	AffectedType, AffectedName  *string
	ChangedValues, Associations *string
}

// AuditEvents are the records of the audit log.
var AuditEvents = schemas.Declare(schemas.Table[AuditEvent]{
	Name: "audit_events", Version: 1, Group: schemas.GroupAudit,
	Doc: "Records of the site's audit log, as they came. Records have no id: the same content at the same millisecond is told apart by counting. " +
		"A first reading begins thirty days back, or where the log begins; the last two days are read again once a day, for records that came late.",
	Grain:  "tenant, day, record",
	Append: true, PartitionColumn: "day", PartitionDoc: "Day (UTC) of the record.",
	Columns: []schemas.Column[AuditEvent]{
		schemas.String("content_hash", "Hash of the record.", func(r *AuditEvent) string { return r.ContentHash }).Key(),
		schemas.Int("occurrence", "1 for the first record with this content, 2 for the second, and so on.", func(r *AuditEvent) int64 { return r.Occurrence }).Key(),
		schemas.Time("at", "When it happened, as the site says.", func(r *AuditEvent) time.Time { return r.At }),
		schemas.NullString("author_id", "Account that did it (Data Center: user key); null when the site does not say.", func(r *AuditEvent) *string { return r.AuthorID }).Personal(),
		schemas.NullString("author_name", "Its name then.", func(r *AuditEvent) *string { return r.AuthorName }).Personal(),
		schemas.NullString("author_type", "Type of account.", func(r *AuditEvent) *string { return r.AuthorType }),
		schemas.NullString("remote_address", "Network address that it came from.", func(r *AuditEvent) *string { return r.Address }).Personal(),
		schemas.Enum("category", "Category that the site gives it.", func(r *AuditEvent) string { return r.Category }),
		schemas.String("summary", "What happened.", func(r *AuditEvent) string { return r.Summary }),
		schemas.NullString("description", "More of it.", func(r *AuditEvent) *string { return r.Description }),
		schemas.NullBool("by_system_admin", "Whether a system administrator did it; null when the site does not say.", func(r *AuditEvent) *bool { return r.SysAdmin }),
		schemas.NullString("affected_type", "Type of what it was done to.", func(r *AuditEvent) *string { return r.AffectedType }),
		schemas.NullString("affected_name", "Name of what it was done to.", func(r *AuditEvent) *string { return r.AffectedName }).Personal(),
		schemas.NullString("changed_values", "What changed, as a JSON array of objects with name, old and new; null when nothing did.", func(r *AuditEvent) *string { return r.ChangedValues }).Personal(),
		schemas.NullString("associated_objects", "What else it is about, as a JSON array of objects with type and name.", func(r *AuditEvent) *string { return r.Associations }).Personal(),
	},
	EntityName: []string{"summary"},
	Sources: slices.Concat(
		cloud(schemas.Access{PageSize: 1000, Calls: []string{"GET /wiki/rest/api/audit"}, Cost: "per day, its records/1000"}, readAudit),
		[]schemas.Access{{
			Deployment: schemas.Cloud, Credential: schemas.CredentialAdminKey, API: schemas.APIAdmin, PageSize: 500, Cost: "3, and per day its events/500",
			Calls:  []string{"GET /v1/orgs", "GET /v2/orgs/{id}/directories/-/users/count", "GET /v1/orgs/{id}/events"},
			Scopes: [][]string{{"read:directories:admin"}, {"read:events:admin"}},
			Note:   "Events of the whole organization, its other sites' too; the organization answers ten such questions a minute.",
		}},
		dataCenter(schemas.Access{PageSize: 1000, Calls: []string{"GET /rest/auditing/1.0/events"}, Cost: "per day, its records/1000", Note: "Category and summary in the server's language; the description is a JSON array of the method and further attributes, as objects with name and value."}, "ADMIN"),
	),
	Examples: []schemas.Example{
		{Question: "Who changed permissions in the last week?", SQL: "SELECT at, tenant_id, author_name, summary, affected_name FROM sitedrift.audit_events WHERE positionCaseInsensitive(summary, 'permission') > 0 AND at > now() - INTERVAL 7 DAY ORDER BY at DESC LIMIT 100"},
		{Question: "How many records does each site have a day?", SQL: "SELECT tenant_id, day, count() AS records FROM sitedrift.audit_events GROUP BY tenant_id, day ORDER BY day DESC, tenant_id LIMIT 100"},
	},
})
