package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

var askPublicLinkSpaces = question{"publicLinkSpacesByCriteria", `query($first: Int, $after: String) { publicLinkSpacesByCriteria(first: $first, after: $after) {
  nodes { spaceId spaceKey ?name status ?isPolicySetForClassificationLevel ?stats { publicLinks { active } } }
  pageInfo { endPage hasNextPage } } }`}

// publicLinkSpaceWire is a space of publicLinkSpacesByCriteria.
type publicLinkSpaceWire struct {
	SpaceID   ident   `json:"spaceId"`
	SpaceKey  *string `json:"spaceKey"`
	Name      *string `json:"name"`
	Status    *string `json:"status"`
	PolicySet *bool   `json:"isPolicySetForClassificationLevel"`
	Stats     *struct {
		PublicLinks *struct {
			Active *int64 `json:"active"`
		} `json:"publicLinks"`
	} `json:"stats"`
}

func (w *publicLinkSpaceWire) active() *int64 {
	if w.Stats == nil || w.Stats.PublicLinks == nil {
		return nil
	}
	return w.Stats.PublicLinks.Active
}

// readPublicLinkSpaces lists the spaces for which public links are set.
func (s *visit) readPublicLinkSpaces(ctx context.Context, _ string, yield yielder) error {
	s.begin(tablePublicLinkSpaces)
	var bad lacking
	err := connectionPages(ctx, s, datasets.PublicLinkSpaces.Dataset, walk[publicLinkSpaceWire]{
		q: askPublicLinkSpaces, first: pageGraph, id: func(w *publicLinkSpaceWire) string { return string(w.SpaceID) },
		page: func(data *graphData) *connection[publicLinkSpaceWire] { return data.PublicLinkSpaces },
		emit: func(items []*publicLinkSpaceWire, whole bool) error {
			var rows, unknown []datasets.PublicLinkSpace
			for _, w := range items {
				row := datasets.PublicLinkSpace{SpaceID: string(w.SpaceID), Name: optional(w.Name), PolicySet: w.PolicySet, ActiveLinks: w.active()}
				if w.SpaceKey != nil {
					row.SpaceKey = *w.SpaceKey
				}
				if optional(w.Status) == nil {
					bad.add("space", row.SpaceID, "no status")
					unknown = append(unknown, row)
				} else {
					row.Status = *w.Status
					rows = append(rows, row)
				}
				s.list(tablePublicLinkSpaces, row.SpaceID, row.SpaceKey)
				if row.ActiveLinks != nil && *row.ActiveLinks == 0 {
					s.barren(tablePublicLinkSpaces, row.SpaceID)
				}
			}
			if !whole {
				rows, unknown = nil, append(unknown, rows...)
			}
			return yieldPage(yield, datasets.PublicLinkSpaces, rows, unknown)
		},
	})
	if err != nil {
		return err
	}
	return bad.err("GraphQL publicLinkSpacesByCriteria")
}
