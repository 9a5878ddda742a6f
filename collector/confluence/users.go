package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// bulkQuestion is the body of users-bulk.
type bulkQuestion struct {
	AccountIDs []string `json:"accountIds"`
}

// userWire is a user in the answer of users-bulk. Ids that the site does not know
// are left out of it.
type userWire struct {
	AccountID       ident   `json:"accountId"`
	AccountType     *string `json:"accountType"`
	AccountStatus   *string `json:"accountStatus"`
	DisplayName     *string `json:"displayName"`
	PublicName      *string `json:"publicName"`
	Email           *string `json:"email"` // "" when it is hidden
	TimeZone        *string `json:"timeZone"`
	PersonalSpaceID ident   `json:"personalSpaceId"`
	Guest           flag    `json:"isGuest"`
	External        flag    `json:"isExternalCollaborator"`
}

func (w *userWire) external() flag {
	m := memberWire{Guest: w.Guest, External: w.External}
	return m.external()
}

func decodeUsers(body []byte) ([]userWire, error) {
	b, err := decodeV2(body, func(w *userWire) ident { return w.AccountID })
	return b.items, err
}

// normalizeUser turns the answer into a row; why says what it lacks to be one.
func normalizeUser(w *userWire, guest flag) (row datasets.User, why string) {
	row = datasets.User{
		AccountID: string(w.AccountID), DisplayName: optional(w.DisplayName), PublicName: optional(w.PublicName),
		Email: optional(w.Email), TimeZone: optional(w.TimeZone), PersonalSpaceID: optionalID(w.PersonalSpaceID), External: guest.known(),
	}
	switch {
	case w.AccountType == nil:
		return row, "no account type"
	case w.AccountStatus == nil:
		return row, "no account status"
	}
	row.AccountType, row.AccountStatus = *w.AccountType, *w.AccountStatus
	return row, ""
}

// readUsers looks up everybody who is in some group that this run has read. User
// search, the other way, ends at 10,000 accounts.
func (s *visit) readUsers(ctx context.Context, _ string, yield yielder) error {
	blocking, partial := s.membership()
	if blocking != nil {
		return blocking
	}
	l := &s.people.lookup
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.started && l.owed { // external_collaborators asked first
		rows, unknown := l.rows, l.unknown
		l.rows, l.unknown, l.owed = nil, nil, false
		if err := yieldPage(yield, datasets.Users, rows, unknown); err != nil {
			return err
		}
	} else {
		l.begin(s.accounts(), false)
	}
	for l.next < len(l.ids) {
		rows, unknown, err := s.lookUp(ctx, l)
		if err != nil {
			return s.readError(datasets.Users.Dataset, "", err)
		}
		if err := yieldPage(yield, datasets.Users, rows, unknown); err != nil {
			return err
		}
	}
	if partial != nil || s.peek { // who was asked about does not matter to a question
		return partial
	}
	return l.left.err("POST " + pathUsersBulk)
}
