package confluence

import (
	"context"
	"net/url"
	"strconv"

	"github.com/sitedrift/sitedrift/schemas"
)

// cursorPages walks a v2 listing to its end, which is a page without a successor
// and never merely a short one. emit gets the items that it has not had yet; its
// error ends the walk and is returned.
func cursorPages[T any](ctx context.Context, s *visit, table *schemas.Dataset, l listing[T], emit func([]T) error) error {
	ids := seen{}
	met := map[string]bool{} // cursors of this walk
	cursor := ""
	empty, standstill := 0, 0
	restarted, doubted := false, false
	for range maxPages {
		var b batch[T]
		next := ""
		err := s.get(ctx, l.path, l.query, func(q url.Values) {
			q.Set("limit", strconv.Itoa(s.limit(l.limit)))
			if cursor != "" {
				q.Set("cursor", cursor)
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
			if cursor != "" && !restarted && statusOf(err) == 400 {
				restarted, doubted = true, false
				ids.walk++
				clear(met)
				cursor, empty, standstill = "", 0, 0
				continue
			}
			return s.readError(table, "", err)
		}
		if len(b.items) == 0 && next == "" && cursor != "" && !doubted {
			doubted = true // the page before promised more: ask once more before believing that it was the end
			continue
		}
		s.spend(l.weight, len(b.items))
		items, progress := len(b.items), len(b.items)
		if cursor != "" || next != "" {
			b.items, progress = keep(&ids, b.items, l.id)
		}
		if len(b.items) > 0 {
			if err := emit(b.items); err != nil {
				return err
			}
		}
		if s.peek {
			return nil
		}
		switch {
		case next == "":
			return nil
		case progress > 0:
			empty, standstill = 0, 0
		case items > 0 || met[next]:
			standstill++
		default:
			empty++
		}
		if standstill >= maxStandstill || empty >= maxEmptyPages {
			return inCircles("GET " + l.path)
		}
		met[next] = true
		cursor, doubted = next, false
	}
	return inCircles("GET " + l.path)
}
