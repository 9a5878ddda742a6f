package confluence

import (
	"context"
	"net/url"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathGroups    = "/wiki/rest/api/group"
	pathGroupByID = "/wiki/rest/api/group/by-id"
	limitV1       = 200 // default and largest page (Confluence Cloud REST v1; more is a 400 for members)
)

// groupWire is a group in "Get groups" and "Get group".
type groupWire struct {
	ID   ident   `json:"id"`
	Name *string `json:"name"`
	Type *string `json:"type"`
}

// listV1 is the envelope of v1 listings. All but the results may be missing.
type listV1[T any] struct {
	Results   []T `json:"results"`
	Limit     int `json:"limit"`
	TotalSize int `json:"totalSize"`
	Links     *struct {
		Next string `json:"next"`
	} `json:"_links"`
}

// decodeV1 decodes a v1 page and checks that each item has an id.
func decodeV1[T any](body []byte, id func(*T) ident) (batch[T], error) {
	var w listV1[T]
	if err := decode(body, &w); err != nil {
		return batch[T]{}, err
	}
	b := batch[T]{items: w.Results, links: w.Links != nil, limit: max(w.Limit, 0), total: max(w.TotalSize, 0)}
	if w.Links != nil {
		b.next = w.Links.Next
	}
	return b, checkItems(w.Results, id)
}

func decodeGroups(body []byte) (batch[groupWire], error) { return decodeV1(body, groupID) }

func groupID(w *groupWire) ident { return w.ID }

// normalizeGroup turns the answer into a row; why says what it lacks to be one.
func normalizeGroup(w *groupWire) (row datasets.Group, why string) {
	row.GroupID = string(w.ID)
	switch {
	case w.Name == nil:
		return row, "no name"
	case w.Type == nil:
		return row, "no type"
	}
	row.Name, row.Type = *w.Name, *w.Type
	return row, ""
}

// readGroups lists the groups.
func (s *visit) readGroups(ctx context.Context, _ string, yield yielder) error {
	return listGroups(ctx, s, listing[groupWire]{path: pathGroups, limit: limitV1, weight: weightIdentity, decode: decodeGroups, id: groupID}, normalizeGroup, yield)
}

// listGroups lists the groups of either deployment.
func listGroups[W any](ctx context.Context, s *visit, l listing[W], normalize func(*W) (datasets.Group, string), yield yielder) error {
	s.begin(tableGroups)
	var bad lacking
	err := offsetPages(ctx, s, datasets.Groups.Dataset, l, func(items []W) error {
		rows := make([]datasets.Group, 0, len(items))
		var unknown []datasets.Group
		for i := range items {
			row, why := normalize(&items[i])
			if why != "" {
				bad.add("group", row.GroupID, why)
				unknown = append(unknown, row)
			} else {
				rows = append(rows, row)
			}
			s.list(tableGroups, row.GroupID, row.Name)
		}
		return yieldPage(yield, datasets.Groups, rows, unknown)
	})
	if err != nil {
		return err
	}
	return bad.err("GET " + l.path)
}

// oneGroup asks for a group by its id.
func (s *visit) oneGroup(ctx context.Context, id string) error {
	var w groupWire
	if err := s.getOne(ctx, pathGroupByID, url.Values{"id": {id}}, &w); err != nil {
		return err
	}
	if string(w.ID) != id {
		return &callError{"GET", pathGroupByID, malformedf("it is about group %q", cut(string(w.ID), 80))}
	}
	s.spend(weightIdentity, 1)
	return nil
}
