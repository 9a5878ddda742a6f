package confluence

import (
	"context"
	"net/url"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathSpaces = "/wiki/api/v2/spaces"
	limitV2    = 250 // the largest page (Confluence Cloud REST v2)
)

// spaceWire is a space in "Get spaces" and "Get space by id".
type spaceWire struct {
	ID         ident   `json:"id"`
	Key        *string `json:"key"`
	Name       *string `json:"name"`
	Type       *string `json:"type"`
	Status     *string `json:"status"`
	AuthorID   ident   `json:"authorId"`
	Alias      *string `json:"currentActiveAlias"`
	CreatedAt  *string `json:"createdAt"`
	HomepageID ident   `json:"homepageId"`
}

// listV2 is the envelope of v2 listings.
type listV2[T any] struct {
	Results []T `json:"results"`
	Links   struct {
		Next string `json:"next"`
	} `json:"_links"`
}

// decodeV2 decodes a v2 page and checks that each item has an id.
func decodeV2[T any](body []byte, id func(*T) ident) (batch[T], error) {
	var w listV2[T]
	if err := decode(body, &w); err != nil {
		return batch[T]{}, err
	}
	return batch[T]{items: w.Results, next: w.Links.Next}, checkItems(w.Results, id)
}

// checkItems refuses a page without a list of items, and items without an id: a
// row that cannot be named would have to be skipped in silence.
func checkItems[T any](items []T, id func(*T) ident) error {
	if items == nil {
		return malformedf("no results")
	}
	for i := range items {
		if id(&items[i]) == "" {
			return malformedf("results[%d] has no id", i)
		}
	}
	return nil
}

func decodeSpaces(body []byte) (batch[spaceWire], error) { return decodeV2(body, spaceID) }

func spaceID(w *spaceWire) ident { return w.ID }

// normalizeSpace turns the answer into a row; why says what it lacks to be one.
func normalizeSpace(w *spaceWire) (row datasets.Space, why string) {
	row = datasets.Space{
		SpaceID: string(w.ID), Alias: optional(w.Alias), AuthorID: optionalID(w.AuthorID), HomepageID: optionalID(w.HomepageID),
	}
	for _, f := range [...]struct {
		name string
		from *string
		to   *string
	}{{"key", w.Key, &row.Key}, {"name", w.Name, &row.Name}, {"type", w.Type, &row.Type}, {"status", w.Status, &row.Status}} {
		if f.from == nil {
			return row, "no " + f.name
		}
		*f.to = *f.from
	}
	if w.CreatedAt != nil && *w.CreatedAt != "" {
		at, ok := parseTime(*w.CreatedAt)
		if !ok {
			return row, "createdAt is no time: " + cut(*w.CreatedAt, 40)
		}
		row.CreatedAt = at
	}
	return row, ""
}

func parseTime(text string) (time.Time, bool) {
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04:05Z0700"} { // both take fractions of seconds
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), true
		}
	}
	return time.Time{}, false
}

// readSpaces lists the spaces that the account can view.
//
// Whether the listing without a status filter holds archived spaces is not
// documented. So it is read as it is, and when no archived space was on it, the
// archived ones are asked for by name as well; what both hold counts once. That is
// one call more on a site without archived spaces, and no assumption that could
// make archived spaces look deleted.
func (s *visit) readSpaces(ctx context.Context, _ string, yield yielder) error {
	s.begin(tableSpaces)
	var bad lacking
	had := map[string]bool{}
	archived := false
	emit := func(items []spaceWire) error {
		rows := make([]datasets.Space, 0, len(items))
		var unknown []datasets.Space
		for i := range items {
			if had[string(items[i].ID)] {
				continue
			}
			had[string(items[i].ID)] = true
			row, why := normalizeSpace(&items[i])
			if why != "" {
				bad.add("space", row.SpaceID, why)
				unknown = append(unknown, row)
			} else {
				rows = append(rows, row)
			}
			archived = archived || row.Status == "archived"
			s.list(tableSpaces, row.SpaceID, row.Key)
		}
		return yieldPage(yield, datasets.Spaces, rows, unknown)
	}
	l := listing[spaceWire]{path: pathSpaces, limit: limitV2, weight: weightCore, decode: decodeSpaces, id: spaceID}
	if err := cursorPages(ctx, s, datasets.Spaces.Dataset, l, emit); err != nil {
		return err
	}
	if !archived && !s.peek {
		l.query = url.Values{"status": {"archived"}}
		if err := cursorPages(ctx, s, datasets.Spaces.Dataset, l, emit); err != nil {
			return err
		}
	}
	return bad.err("GET " + pathSpaces)
}

// yieldPage hands over rows, and rows of which too little is known.
func yieldPage[R any](yield yielder, table *schemas.Typed[R], rows, unknown []R) error {
	if len(rows) == 0 && len(unknown) == 0 {
		return nil
	}
	page := collector.Page{Rows: table.Page(rows)}
	if len(unknown) > 0 {
		page.Unknown = table.Page(unknown)
	}
	return yield(page)
}

// yieldPartly hands over rows of which the site kept a value to itself.
func yieldPartly[R any](yield yielder, table *schemas.Typed[R], rows []R) error {
	if len(rows) == 0 {
		return nil
	}
	return yield(collector.Page{Partly: table.Page(rows)})
}

// oneSpace asks for a space by its id.
func (s *visit) oneSpace(ctx context.Context, id string) error {
	path := pathSpaces + "/" + url.PathEscape(id)
	var w spaceWire
	if err := s.getOne(ctx, path, nil, &w); err != nil {
		return err
	}
	if string(w.ID) != id {
		return &callError{"GET", path, malformedf("it is about space %q", cut(string(w.ID), 80))}
	}
	s.spend(weightCore, 1)
	return nil
}
