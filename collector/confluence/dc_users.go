package confluence

import (
	"context"
	"net/url"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathUsersDC = "/rest/api/user/list"

// normalizeDataCenterUser turns the answer into a row. There are no guests on Data
// Center, so that nothing is said of them.
func normalizeDataCenterUser(w *dcUserWire) datasets.User {
	row := datasets.User{
		AccountID: string(w.UserKey), AccountType: w.accountType(), AccountStatus: "unknown",
		DisplayName: optional(w.DisplayName), PublicName: optional(w.Username), Email: optional(w.Email),
	}
	if w.Status != nil && *w.Status != "" {
		row.AccountStatus = *w.Status
	}
	return row
}

// readDataCenterUsers lists all users, deactivated ones too.
func (s *visit) readDataCenterUsers(ctx context.Context, _ string, yield yielder) error {
	l := listing[dcUserWire]{path: pathUsersDC, query: url.Values{"expand": {"status"}}, limit: limitDC, decode: decodeDataCenterUsers, id: dcUserKey}
	return offsetPages(ctx, s, datasets.Users.Dataset, l, func(items []dcUserWire) error {
		rows := make([]datasets.User, len(items))
		for i := range items {
			rows[i] = normalizeDataCenterUser(&items[i])
			s.know(rows[i].AccountID)
		}
		return yieldPage(yield, datasets.Users, rows, nil)
	})
}
