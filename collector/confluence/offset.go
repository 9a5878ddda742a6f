package confluence

import (
	"context"
	"net/url"
	"strconv"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// offsetWalk is one walk over a v1 listing.
type offsetWalk struct {
	start             int  // of the next page
	overlaps          bool // the next page begins with an item that this walk has met
	covered           int  // places read so far
	total             int  // items on all pages, as the site counts them; 0: it does not say
	moved             bool
	doubted           bool // the answer at start was asked for twice
	empty, standstill int  // pages in a row
}

// offsetPages walks a v1 listing to its end: until a page has no next link,
// whatever its length. emit gets the items that it has not had yet; its error
// ends the walk and is returned.
//
// A listing by numbers moves when items come or go while it is read, and an item
// may slip from an unread page to a read one. Two things give that away: each
// page is asked for from the last place of the page before, and must begin with
// an item that is known; and where the site counts the items, every page must
// tell the same number. A listing that moved is walked again, once.
func offsetPages[T any](ctx context.Context, s *visit, table *schemas.Dataset, l listing[T], emit func([]T) error) error {
	ids := seen{}
	w := offsetWalk{}
	restarted := false
	for range maxPages {
		b, next, err := offsetPage(ctx, s, l, w.start)
		if err != nil {
			return s.readError(table, "", err)
		}
		n, progress := len(b.items), len(b.items)
		slipped := w.overlaps && (n == 0 || !ids.has(markOf(string(l.id(&b.items[0])))))
		if w.start > 0 || next >= 0 {
			b.items, progress = keep(&ids, b.items, l.id)
		}
		// Two answers are asked for once more before they are believed: an end
		// where the page before promised more, and new places with nothing new on
		// them, which may be an old page once again.
		old := n > 0 && progress == 0 && w.start+n > w.covered
		if (old || n == 0 && next < 0 && w.start > 0) && !w.doubted {
			w.doubted = true
			continue
		}
		if old {
			return inCircles("GET " + l.path)
		}
		s.spend(l.weight, n)
		if len(b.items) > 0 {
			if err := emit(b.items); err != nil {
				return err
			}
		}
		if s.peek {
			return nil
		}
		if slipped || w.total > 0 && b.total > 0 && b.total != w.total {
			if !restarted {
				restarted, w = true, offsetWalk{}
				ids.walk++
				continue
			}
			w.moved = true
		}
		w.total = b.total
		w.covered = max(w.covered, w.start+n)
		if next < 0 {
			if have := max(ids.met(), n); have < w.total {
				return &collector.ReadError{State: schemas.CoveragePartial, Evidence: "GET " + l.path + ": the site counts " + strconv.Itoa(w.total) + " items and showed " + strconv.Itoa(have)}
			}
			if w.moved {
				return &collector.ReadError{State: schemas.CoveragePartial, Evidence: "GET " + l.path + ": items came or went while the list was read, twice in a row"}
			}
			return nil
		}
		switch {
		case progress > 0:
			w.empty, w.standstill = 0, 0
		case next <= w.start:
			w.standstill++
		default:
			w.empty++
		}
		if w.standstill >= maxStandstill || w.empty >= maxEmptyPages {
			return inCircles("GET " + l.path)
		}
		w.overlaps = n > 0 && next == w.start+n
		w.start, w.doubted = next, false
		if w.overlaps {
			w.start--
		}
	}
	return inCircles("GET " + l.path)
}

// offsetPage asks for one page and says where the next one starts; -1: there is
// none. The number comes from the link, because the site knows how it counts. An
// answer without any links, which the documentation allows, is followed by
// another as long as pages are full.
func offsetPage[T any](ctx context.Context, s *visit, l listing[T], start int) (b batch[T], next int, err error) {
	next = -1
	err = s.get(ctx, l.path, l.query, func(q url.Values) {
		q.Set("limit", strconv.Itoa(s.limit(l.limit)))
		if start > 0 {
			q.Set("start", strconv.Itoa(start))
		}
	}, func(a answer) error {
		var err error
		if b, err = l.decode(a.body); err != nil {
			return err
		}
		size := l.limit
		if b.limit > 0 {
			size = b.limit // the site may hold pages shorter than asked for
		}
		switch {
		case b.next != "":
			next, err = nextStart(b.next, l.path, start, max(size, len(b.items)))
		case !b.links && len(b.items) >= size:
			next = start + len(b.items)
		}
		return err
	})
	return b, next, err
}
