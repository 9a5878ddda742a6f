package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// The link itself is not asked for: what is not there cannot leak (Invariant 9).
var askPublicLinks = question{"publicLinksByCriteria", `query($space: ID!, $first: Int, $after: String) { publicLinksByCriteria(spaceId: $space, first: $first, after: $after) {
  nodes { id ?title ?type status ?accessType ?lastEnabledBy ?lastEnabledByUser { accountId } ?lastEnabledDate }
  pageInfo { endPage hasNextPage } } }`}

// publicLinkWire is a page of publicLinksByCriteria.
type publicLinkWire struct {
	ID         ident   `json:"id"`
	Title      *string `json:"title"`
	Type       *string `json:"type"`
	Status     *string `json:"status"`
	AccessType *string `json:"accessType"`
	EnabledBy  *string `json:"lastEnabledBy"`
	Enabler    *struct {
		AccountID *string `json:"accountId"`
	} `json:"lastEnabledByUser"`
	EnabledDate *string `json:"lastEnabledDate"`
}

func normalizePublicLink(w *publicLinkWire, spaceKey string) (row datasets.PublicLink, why string) {
	row = datasets.PublicLink{PageID: string(w.ID), SpaceKey: spaceKey, Title: optional(w.Title), Type: optional(w.Type), EnabledBy: optional(w.EnabledBy)}
	if w.Enabler != nil && optional(w.Enabler.AccountID) != nil {
		row.EnabledBy = w.Enabler.AccountID
	}
	if w.AccessType != nil {
		row.Access = *w.AccessType
	}
	if w.EnabledDate != nil && *w.EnabledDate != "" {
		at, ok := parseTime(*w.EnabledDate)
		if !ok {
			return row, "lastEnabledDate is no time: " + cut(*w.EnabledDate, 40)
		}
		row.EnabledAt = at
	}
	if optional(w.Status) == nil {
		return row, "no status"
	}
	row.Status = *w.Status
	return row, ""
}

// readPublicLinks reads the links of one space. A space of which the list of
// spaces says that it has none is not asked about.
func (s *visit) readPublicLinks(ctx context.Context, space string, yield yielder) error {
	if s.isBarren(tablePublicLinkSpaces, space) {
		return nil
	}
	key := s.name(tablePublicLinkSpaces, space)
	var bad lacking
	err := connectionPages(ctx, s, datasets.PublicLinks.Dataset, walk[publicLinkWire]{
		q: askPublicLinks, variables: map[string]any{"space": space}, first: pageGraph, id: func(w *publicLinkWire) string { return string(w.ID) },
		page: func(data *graphData) *connection[publicLinkWire] { return data.PublicLinks },
		emit: func(items []*publicLinkWire, whole bool) error {
			var rows, unknown []datasets.PublicLink
			for _, w := range items {
				row, why := normalizePublicLink(w, key)
				if why != "" {
					bad.add("link of page", row.PageID, why)
				}
				if row.Status != "" && row.Status != "ON" {
					continue // it does not work: the list is of those that do
				}
				if why != "" || !whole {
					unknown = append(unknown, row)
				} else {
					rows = append(rows, row)
				}
			}
			return yieldPage(yield, datasets.PublicLinks, rows, unknown)
		},
	})
	if err != nil {
		return err
	}
	return bad.err("GraphQL publicLinksByCriteria")
}
