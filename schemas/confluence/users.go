package confluence

import (
	"slices"

	"github.com/sitedrift/sitedrift/schemas"
)

// User is a row of users.
type User struct {
	AccountID, AccountType, AccountStatus    string
	DisplayName, PublicName, Email, TimeZone *string
	PersonalSpaceID                          *string
	External                                 *bool
}

// Users are the accounts that are in some group of the site.
var Users = schemas.Declare(schemas.Table[User]{
	Name: "users", Version: 1, Group: schemas.GroupInventory,
	Doc:   "Accounts that are in at least one group of the site; on Data Center all accounts, deactivated ones too. User search, which stops at 10,000, is not used.",
	Grain: "tenant, account",
	Needs: []string{"group_members"},
	Columns: []schemas.Column[User]{
		schemas.String("account_id", "Account; on Data Center the user key, which stays when the username changes.", func(r *User) string { return r.AccountID }).Key().Personal(),
		schemas.Enum("account_type", "atlassian for a person, app, customer, or another; on Data Center user.", func(r *User) string { return r.AccountType }),
		schemas.Enum("account_status", "active, inactive, closed or unknown.", func(r *User) string { return r.AccountStatus }),
		schemas.NullString("display_name", "Name as shown; null when hidden.", func(r *User) *string { return r.DisplayName }).Personal(),
		schemas.NullString("public_name", "Public name, on Data Center the username; null when hidden.", func(r *User) *string { return r.PublicName }).Personal(),
		schemas.NullString("email", "E-mail address; null when their privacy settings hide it, or when there is none.", func(r *User) *string { return r.Email }).Personal(),
		schemas.NullString("time_zone", "Time zone; null when hidden.", func(r *User) *string { return r.TimeZone }).Personal(),
		schemas.NullString("personal_space_id", "Id of the personal space, if there is one.", func(r *User) *string { return r.PersonalSpaceID }),
		schemas.NullBool("is_external", "Whether the account is an external collaborator (guest); null when the site does not say, which is not a no.", func(r *User) *bool { return r.External }),
	},
	EntityName: []string{"account_id", "display_name"},
	Sources: slices.Concat(
		cloud(schemas.Access{
			PageSize: 250, Calls: []string{"GET /wiki/rest/api/group/{id}/membersByGroupId", "POST /wiki/api/v2/users-bulk"}, Cost: "U/250",
			Note: "The members of all groups, then their details 250 at a time.",
		}, readGroups, readUser),
		[]schemas.Access{directory("U/100", "Accounts that hold a role on the site, in a group or not; without time zone, personal space and the mark of guests.")},
		dataCenter(schemas.Access{PageSize: 200, Calls: []string{"GET /rest/api/user/list"}, Cost: "U/200", Note: "Confluence 8.4 or newer."}, "ADMIN"),
	),
	Severities: []schemas.Severity{
		{Level: schemas.LevelMedium, Changes: []schemas.ChangeKind{schemas.ChangeChanged}, Fields: []string{"account_status", "is_external", "email"}, Why: "the account's standing or address changed"},
	},
	Examples: []schemas.Example{
		{Question: "How many accounts are active, how many closed?", SQL: "SELECT tenant_id, account_type, account_status, count() AS accounts FROM sitedrift.users GROUP BY tenant_id, account_type, account_status ORDER BY tenant_id, accounts DESC"},
	},
})
