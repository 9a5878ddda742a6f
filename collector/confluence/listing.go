package confluence

import (
	"hash/maphash"
	"net/url"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// The bounds of a listing. They are far beyond real sites; whoever passes them is
// being led in circles.
const (
	maxPages      = 100_000
	maxEmptyPages = 500 // in a row
	maxStandstill = 2   // pages in a row that bring nothing new
)

// listing is a paged endpoint whose items are of type T.
type listing[T any] struct {
	path   string     // escaped, begins with /wiki
	query  url.Values // without cursor and start
	limit  int        // asked for; never changed while walking
	weight int        // points an object is thought to cost
	decode func(body []byte) (batch[T], error)
	id     func(*T) ident
}

// limit is the size of a page to ask for.
func (s *visit) limit(size int) int {
	if s.peek {
		return 1
	}
	return size
}

// batch is one decoded page.
type batch[T any] struct {
	items []T
	next  string // link to the next page, if the answer has one
	links bool   // the answer has links at all
	// v1 only
	limit int // what the site made of the limit; 0: not said
	total int // number of items on all pages; 0: not said
}

// mark stands for an id or a cursor that was met. Those of a hostile site are as long
// as its answers, and are not kept (Invariant 7); that two of them get the same 128
// bits is as good as impossible, also for a site that tries, as the seeds are secret.
type mark [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func markOf(text string) mark {
	return mark{maphash.String(seeds[0], text), maphash.String(seeds[1], text)}
}

// seen remembers the items of a listing, so that an item that a moving listing
// repeats is handed over once, and pages that lead in circles are noticed. It
// stays empty as long as there is only one page.
type seen struct {
	ids  map[mark]int // number of the walk that saw it last
	walk int
}

// has reports whether the walk has met the item.
func (s *seen) has(id mark) bool {
	walk, known := s.ids[id]
	return known && walk == s.walk
}

// met counts the items of the walk.
func (s *seen) met() int {
	n := 0
	for _, walk := range s.ids {
		if walk == s.walk {
			n++
		}
	}
	return n
}

// keep returns the items that were not handed over before and how many of them
// this walk has not met, and remembers them.
func keep[T any](s *seen, items []T, id func(*T) ident) (fresh []T, progress int) {
	if s.ids == nil {
		s.ids = make(map[mark]int, 2*len(items))
	}
	fresh = items[:0]
	for i := range items {
		key := markOf(string(id(&items[i])))
		_, known := s.ids[key]
		if !s.has(key) {
			progress++
			s.ids[key] = s.walk
		}
		if !known {
			fresh = append(fresh, items[i])
		}
	}
	return fresh, progress
}

// course is what a walk from cursor to cursor remembers, so that an end that comes
// too early is doubted, and pages that lead in circles are noticed.
type course struct {
	ids               seen
	cursor            string        // of the page that is asked for; empty: the first
	met               map[mark]bool // cursors of this walk
	empty, standstill int           // pages in a row
	doubted           bool
}

// doubts reports whether the page shall be asked for once more: the one before
// promised more, and here is nothing, and the end.
func (c *course) doubts(items int, next string) bool {
	if items > 0 || next != "" || c.cursor == "" || c.doubted {
		return false
	}
	c.doubted = true
	return true
}

// turn goes on to the next page; false when the walk leads in circles. progress is
// how many of the page's items this walk had not met.
func (c *course) turn(items, progress int, next string) bool {
	switch {
	case progress > 0:
		c.empty, c.standstill = 0, 0
	case items > 0 || c.met[markOf(next)]:
		c.standstill++
	default:
		c.empty++
	}
	if c.standstill >= maxStandstill || c.empty >= maxEmptyPages {
		return false
	}
	if c.met == nil {
		c.met = map[mark]bool{}
	}
	c.met[markOf(next)] = true
	c.cursor, c.doubted = next, false
	return true
}

// restart begins the walk anew; what was handed over stays known.
func (c *course) restart() {
	c.ids.walk++
	clear(c.met)
	c.cursor, c.empty, c.standstill, c.doubted = "", 0, 0, false
}

func inCircles(where string) error {
	return &collector.ReadError{State: schemas.CoverageFailed, Evidence: where + ": endless listing: its next links lead on without anything new"}
}
