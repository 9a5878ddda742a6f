package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// externalCollaborator is the part of a user's row that guests are listed with.
func externalCollaborator(u datasets.User) datasets.ExternalCollaborator {
	return datasets.ExternalCollaborator{AccountID: u.AccountID, AccountStatus: u.AccountStatus, DisplayName: u.DisplayName, Email: u.Email}
}

var askExternalCollaborators = question{"confluence_externalCollaboratorsByCriteria", `query($cloud: ID, $first: Int, $after: String) { confluence_externalCollaboratorsByCriteria(cloudId: $cloud, first: $first, after: $after) {
  nodes { accountId ?displayName ?email ?spacesAssigned { nodes { id } pageInfo { hasNextPage } } }
  pageInfo { endCursor hasNextPage } } }`}

// personWire is a person of the GraphQL gateway.
type personWire struct {
	AccountID   string  `json:"accountId"`
	DisplayName *string `json:"displayName"`
	Email       *string `json:"email"`
	Spaces      *struct {
		Nodes []*struct {
			ID ident `json:"id"`
		} `json:"nodes"`
		PageInfo *struct {
			HasNextPage bool `json:"hasNextPage"`
		} `json:"pageInfo"`
	} `json:"spacesAssigned"`
}

// spaces are the spaces that a guest was let into; false when the list is null, or
// does not hold all.
func (w *personWire) spaces() (ids []string, known bool) {
	if w.Spaces == nil || w.Spaces.Nodes == nil || w.Spaces.PageInfo != nil && w.Spaces.PageInfo.HasNextPage {
		return nil, false
	}
	for _, space := range w.Spaces.Nodes {
		if space == nil || space.ID == "" {
			return nil, false
		}
		ids = append(ids, string(space.ID))
	}
	return ids, true
}

// listExternalCollaborators reads the site's own list of guests, which also tells
// the spaces that they were let into.
func (s *visit) listExternalCollaborators(ctx context.Context, _ string, yield yielder) error {
	return connectionPages(ctx, s, datasets.ExternalCollaborators.Dataset, walk[personWire]{
		q: askExternalCollaborators, variables: map[string]any{"cloud": s.site}, first: pageGraph, id: func(w *personWire) string { return w.AccountID },
		page: func(data *graphData) *connection[personWire] { return data.ExternalCollaborators },
		emit: func(items []*personWire, whole bool) error {
			var rows, partly []datasets.ExternalCollaborator
			for _, w := range items {
				row := datasets.ExternalCollaborator{AccountID: w.AccountID, DisplayName: optional(w.DisplayName), Email: optional(w.Email)}
				if row.SpaceIDs, row.SpacesKnown = w.spaces(); row.SpacesKnown {
					rows = append(rows, row)
				} else {
					partly = append(partly, row)
				}
			}
			if !whole {
				return yieldPage(yield, datasets.ExternalCollaborators, nil, append(rows, partly...))
			}
			if err := yieldPage(yield, datasets.ExternalCollaborators, rows, nil); err != nil {
				return err
			}
			return yieldPartly(yield, datasets.ExternalCollaborators, partly)
		},
	})
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
	if partial != nil || s.peek {
		return partial
	}
	return l.left.err("POST " + pathUsersBulk)
}
