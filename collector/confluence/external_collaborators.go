package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// externalCollaborator is the part of a user's row that guests are listed with.
func externalCollaborator(u datasets.User) datasets.ExternalCollaborator {
	return datasets.ExternalCollaborator{AccountID: u.AccountID, AccountStatus: u.AccountStatus, DisplayName: u.DisplayName, Email: u.Email}
}

// readExternalCollaborators hands over the accounts that are flagged as guests,
// from the answers that users was read from: no call is made for what is known
// already. Accounts whose flag the site leaves out are unknown rows.
func (s *visit) readExternalCollaborators(ctx context.Context, _ string, yield yielder) error {
	blocking, partial := s.membership()
	if blocking != nil {
		return blocking
	}
	l := &s.people.lookup
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.started {
		l.begin(s.accounts(), s.reads(tableUsers))
	}
	for l.next < len(l.ids) {
		rows, unknown, err := s.lookUp(ctx, l)
		if err != nil {
			return s.readError(datasets.ExternalCollaborators.Dataset, "", err)
		}
		if l.owed {
			l.rows, l.unknown = append(l.rows, rows...), append(l.unknown, unknown...)
		}
	}
	if err := yieldPage(yield, datasets.ExternalCollaborators, l.guests, l.doubtful); err != nil {
		return err
	}
	if partial != nil {
		return partial
	}
	return l.left.err("POST " + pathUsersBulk)
}
