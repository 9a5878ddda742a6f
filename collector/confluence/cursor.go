package confluence

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/sitedrift/sitedrift/schemas"
)

// cursorPages walks a v2 listing to its end, which is a page without a successor
// and never merely a short one. emit gets the items that it has not had yet; its
// error ends the walk and is returned.
func cursorPages[T any](ctx context.Context, s *visit, table *schemas.Dataset, l listing[T], emit func([]T) error) error {
	var c course
	restarted := false
	for range maxPages {
		var b batch[T]
		next := ""
		err := s.get(ctx, l.path, l.query, func(q url.Values) {
			q.Set("limit", strconv.Itoa(s.limit(l.limit)))
			if c.cursor != "" {
				q.Set("cursor", c.cursor)
			}
		}, func(a answer) error {
			var err error
			if b, err = l.decode(a.body); err != nil {
				return err
			}
			if b.next == "" {
				b.next = linkHeader(a.header)
			}
			if b.next != "" {
				next, err = nextCursor(b.next, l.path)
			}
			return err
		})
		if err != nil {
			// A cursor that the site no longer takes, for example because its order
			// was rebuilt: begin again, once.
			if c.cursor != "" && !restarted && statusOf(err) == http.StatusBadRequest {
				restarted = true
				c.restart()
				continue
			}
			return s.readError(table, "", err)
		}
		if c.doubts(len(b.items), next) {
			continue
		}
		s.spend(l.weight, len(b.items))
		items, progress := len(b.items), len(b.items)
		if c.cursor != "" || next != "" {
			b.items, progress = keep(&c.ids, b.items, l.id)
		}
		if len(b.items) > 0 {
			if err := emit(b.items); err != nil {
				return err
			}
		}
		if next == "" || s.peek {
			return nil
		}
		if !c.turn(items, progress, next) {
			break
		}
	}
	return inCircles("GET " + l.path)
}
